// SPDX-License-Identifier: MIT
// Aspect-ratio buckets: pictures are trained in sizes of about their own proportions
// (train/bucket_sizes.h), and a batch has one size.
#ifndef TT_TRAIN_BUCKETS_H
#define TT_TRAIN_BUCKETS_H

#include <stdint.h>

#include "train/data.h"

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

// Tells what each holds, how many batches are not whole, of which picture the least is seen, and
// whether the step is coarse for width x height, where a multiple of `unit` may be less.
void tt_buckets_tell(const struct tt_buckets *buckets, const struct tt_dataset *data,
                     size_t width, size_t height, size_t unit, const struct tt_notes *notes);

#endif
