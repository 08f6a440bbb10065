// SPDX-License-Identifier: MIT
#include "train/bucket_sizes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/train_settings.h"

size_t tt_bucket_step(size_t width, size_t height, size_t unit) {
    size_t step = TT_BUCKET_STEP, side = width < height ? width : height;
    while (2 * step > side && step % 2 == 0 && step / 2 % unit == 0) step /= 2;
    return (step + unit - 1) / unit * unit;
}

int tt_picture_size_order(const void *a, const void *b) {
    const struct tt_picture_size *x = a, *y = b;
    if (x->width != y->width) return x->width < y->width ? -1 : 1;
    return x->height < y->height ? -1 : x->height > y->height;
}

enum tt_status tt_bucket_sizes(size_t width, size_t height, size_t step,
                               struct tt_picture_size **sizes, size_t *count,
                               struct tt_error *err) {
    size_t area = width * height, n = 1, kept = 1;
    struct tt_picture_size *all = malloc((2 * TT_BUCKET_SIZES + 3) * sizeof *all);
    if (!all) return tt_fail(err, TT_SYSTEM, "out of memory for sizes of buckets");
    all[0] = (struct tt_picture_size){width, height};
    for (size_t w = step; n <= 2 * TT_BUCKET_SIZES && w <= TT_IMAGE_SIDE && w * w <= 4 * area;
         w += step) {
        size_t h = area / w / step * step;
        if (4 * w * w < area || 4 * h * h < area || h > TT_IMAGE_SIDE) continue;
        all[n++] = (struct tt_picture_size){w, h};
        all[n++] = (struct tt_picture_size){h, w};
    }
    qsort(all, n, sizeof *all, tt_picture_size_order);
    for (size_t i = 1; i < n; i++)
        if (tt_picture_size_order(&all[i], &all[kept - 1])) all[kept++] = all[i];
    enum tt_status status = TT_OK;
    if (n > 2 * TT_BUCKET_SIZES || kept > TT_BUCKET_SIZES)
        status = tt_fail(err, TT_BAD_INPUT, "bucket_step: found %zu, which makes more than %d "
                         "sizes of about %zu x %zu pixels, expected a larger step", step,
                         TT_BUCKET_SIZES, width, height);
    else if (kept < 2)
        status = tt_fail(err, TT_BAD_INPUT, "bucket_step: found %zu, which makes no other size of "
                         "about %zu x %zu pixels, expected a smaller step or a larger size", step,
                         width, height);
    if (status) free(all);
    *sizes = status ? NULL : all;
    *count = status ? 0 : kept;
    return status;
}

// The factor between two ratios, as a fraction of at least 1; sides are at most 32768.
struct factor {
    uint64_t over, under;
};

static struct factor between(struct tt_picture_size a, struct tt_picture_size b) {
    uint64_t x = (uint64_t)a.width * b.height, y = (uint64_t)b.width * a.height;
    return x > y ? (struct factor){x, y} : (struct factor){y, x};
}

double tt_bucket_seen(struct tt_picture_size picture, struct tt_picture_size size) {
    struct factor f = between(picture, size);
    return (double)f.under / (double)f.over;
}

size_t tt_bucket_nearest(const struct tt_picture_size *sizes, size_t count,
                         struct tt_picture_size picture) {
    size_t best = 0;
    struct factor least = between(sizes[0], picture);
    for (size_t i = 1; i < count; i++) {
        struct factor f = between(sizes[i], picture);
        uint64_t x = f.over * least.under, y = least.over * f.under; // below 2^60
        bool larger = sizes[i].width * sizes[i].height > sizes[best].width * sizes[best].height;
        if (x > y || (x == y && !larger)) continue;
        best = i;
        least = f;
    }
    return best;
}

enum tt_status tt_buckets_asked(const struct tt_train_settings *s, size_t width, size_t height,
                                size_t unit, size_t *step, struct tt_picture_size **sizes,
                                size_t *count, struct tt_error *err) {
    *sizes = NULL;
    *count = 0;
    if (!s->buckets) return TT_OK;
    *step = s->bucket_step ? s->bucket_step : tt_bucket_step(width, height, unit);
    if (*step % unit)
        return tt_fail(err, TT_BAD_INPUT, "bucket_step: found %zu, expected a multiple of %zu: "
                       "what the model makes smaller by whole factors", *step, unit);
    return tt_bucket_sizes(width, height, *step, sizes, count, err);
}
