// SPDX-License-Identifier: MIT
// The sizes of aspect-ratio buckets. They are those of kohya's sd-scripts (make_bucket_resolutions
// in library/model_util.py), the nearest is NovelAI's (bucketmanager.py of its
// novelai-aspect-ratio-bucketing: nearest in the logarithm of width / height).
#ifndef TT_TRAIN_BUCKET_SIZES_H
#define TT_TRAIN_BUCKET_SIZES_H

#include <stddef.h>

#include "base/status.h"

struct tt_picture_size {
    size_t width, height; // in pixels
};

// By width, then height: for qsort.
int tt_picture_size_order(const void *a, const void *b);

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

// Which part of a picture is seen when it is cut to the ratio of its size: 1 at most.
double tt_bucket_seen(struct tt_picture_size picture, struct tt_picture_size size);

// The sizes that settings ask for, of a model that takes multiples of `unit` pixels, and the step
// they are made in; *sizes NULL: nothing is asked for, there is one size. TT_BAD_INPUT: as of
// tt_bucket_sizes(), or a step that is no such multiple.
struct tt_train_settings;
enum tt_status tt_buckets_asked(const struct tt_train_settings *settings, size_t width,
                                size_t height, size_t unit, size_t *step,
                                struct tt_picture_size **sizes, size_t *count,
                                struct tt_error *err);

#endif
