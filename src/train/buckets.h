// SPDX-License-Identifier: MIT
// Aspect-ratio buckets: pictures are trained in sizes of about their own proportions, and a batch
// has one size. The sizes are those of kohya's sd-scripts (make_bucket_resolutions in
// library/model_util.py), the nearest is NovelAI's (bucketmanager.py of its
// novelai-aspect-ratio-bucketing: nearest in the logarithm of width / height).
#ifndef TT_TRAIN_BUCKETS_H
#define TT_TRAIN_BUCKETS_H

#include <stdint.h>

#include "train/data.h"

enum { TT_BUCKET_STEP = 64, TT_BUCKET_SIZES = 1024 };

// The step that is taken when nobody says one: 64 pixels, halved while no second size within
// width x height would be that narrow, but always a multiple of `unit`, what the model halves.
size_t tt_bucket_step(size_t width, size_t height, size_t unit);

// The sizes around width x height, by width, then height: itself; and of all with sides that are
// multiples of step, from half to twice the root of its area, the highest of each width and the
// widest of each height that have no larger area. *sizes is malloc'd. TT_BAD_INPUT: there is no
// other size, or there are more than TT_BUCKET_SIZES.
enum tt_status tt_bucket_sizes(size_t width, size_t height, size_t step,
                               struct tt_picture_size **sizes, size_t *count,
                               struct tt_error *err);

// Which of the sizes a picture belongs to: of the nearest ratio (the factor between both ratios is
// the smallest), then of the larger area, then the first.
size_t tt_bucket_nearest(const struct tt_picture_size *sizes, size_t count,
                         struct tt_picture_size picture);

struct tt_bucket {
    struct tt_picture_size size;
    const size_t *items; // of the dataset, `count` of them, at least one
    size_t count;
    size_t first; // its first batch of an epoch, before they are shuffled
};

// The pictures of a dataset by the size that each is trained in. An epoch shows every picture once:
// each bucket is shuffled and cut into batches, of which the last holds what is left, and the
// batches of all buckets are shuffled.
struct tt_buckets {
    struct tt_bucket *bucket; // by width, then height
    size_t count, step;
    size_t batch;             // pictures of a whole one
    size_t batches, partial;  // of an epoch; those of them that are not whole
    size_t *items;
};

// Items first to first + count - 1 of the data, ordered by the size they are trained in.
enum tt_status tt_buckets_sort(const struct tt_dataset *data, size_t first, size_t count,
                               size_t *items, struct tt_error *err);

// step: that their sizes were made in. TT_SYSTEM: memory. The dataset need not outlive them.
enum tt_status tt_buckets_new(const struct tt_dataset *data, size_t step, size_t batch,
                              struct tt_buckets **out, struct tt_error *err);
void tt_buckets_free(struct tt_buckets *buckets); // takes NULL, too

// Batch n of a training that began with 0: which pictures, all of one size, into items; returns how
// many. It follows from the seed alone, so that training can go on from any batch.
size_t tt_buckets_batch(const struct tt_buckets *buckets, uint64_t seed, uint64_t n, size_t *items);

// The sizes that settings ask for, of a model that takes multiples of `unit` pixels, and the step
// they are made in; *sizes NULL: nothing is asked for, there is one size. TT_BAD_INPUT: as of
// tt_bucket_sizes(), or a step that is no such multiple.
struct tt_train_settings;
enum tt_status tt_buckets_asked(const struct tt_train_settings *settings, size_t width,
                                size_t height, size_t unit, size_t *step,
                                struct tt_picture_size **sizes, size_t *count,
                                struct tt_error *err);

// Tells what each holds, how many batches are not whole, of which picture the least is seen, and
// whether the step is coarse for width x height, where a multiple of `unit` may be less.
void tt_buckets_tell(const struct tt_buckets *buckets, const struct tt_dataset *data,
                     size_t width, size_t height, size_t unit, const struct tt_notes *notes);

#endif
