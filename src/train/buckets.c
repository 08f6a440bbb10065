// SPDX-License-Identifier: MIT
#include "train/buckets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tintype.h"

// ---- batches ----

struct place {
    struct tt_picture_size size;
    size_t item;
};

static int by_place(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    int order = tt_picture_size_order(&x->size, &y->size);
    return order ? order : x->item < y->item ? -1 : x->item > y->item;
}

static size_t batches_of(const struct tt_bucket *bucket, size_t batch) {
    return (bucket->count + batch - 1) / batch;
}

enum tt_status tt_buckets_sort(const struct tt_dataset *data, size_t first, size_t count,
                               size_t *items, struct tt_error *err) {
    struct place *places = malloc((count ? count : 1) * sizeof *places);
    if (!places) return tt_fail(err, TT_SYSTEM, "out of memory for a list of pictures");
    for (size_t i = 0; i < count; i++)
        places[i] = (struct place){tt_dataset_size(data, first + i), first + i};
    if (count) qsort(places, count, sizeof *places, by_place);
    for (size_t i = 0; i < count; i++) items[i] = places[i].item;
    free(places);
    return TT_OK;
}

enum tt_status tt_buckets_new(const struct tt_dataset *data, size_t step, size_t batch,
                              struct tt_buckets **out, struct tt_error *err) {
    size_t n = tt_dataset_count(data);
    enum tt_status status = TT_OK;
    struct tt_buckets *b = calloc(1, sizeof *b);
    if (b) b->items = malloc(n * sizeof *b->items);
    if (b) b->bucket = calloc(n, sizeof *b->bucket);
    if (!b || !b->items || !b->bucket)
        status = tt_fail(err, TT_SYSTEM, "out of memory for a list of pictures");
    if (!status) status = tt_buckets_sort(data, 0, n, b->items, err);
    if (status) {
        tt_buckets_free(b);
        return status;
    }
    b->step = step;
    b->batch = batch;
    for (size_t i = 0; i < n; i++) {
        struct tt_picture_size size = tt_dataset_size(data, b->items[i]);
        if (!i || tt_picture_size_order(&size, &b->bucket[b->count - 1].size))
            b->bucket[b->count++] = (struct tt_bucket){.size = size, .items = &b->items[i]};
        b->bucket[b->count - 1].count++;
    }
    for (size_t i = 0; i < b->count; i++) {
        b->bucket[i].first = b->batches;
        b->batches += batches_of(&b->bucket[i], batch);
        b->partial += b->bucket[i].count % batch != 0;
    }
    *out = b;
    return TT_OK;
}

void tt_buckets_free(struct tt_buckets *buckets) {
    if (!buckets) return;
    free(buckets->bucket);
    free(buckets->items);
    free(buckets);
}

size_t tt_buckets_batch(const struct tt_buckets *b, uint64_t seed, uint64_t n, size_t *items) {
    uint64_t epoch = n / b->batches;
    size_t at = tt_shuffled(b->batches, seed, epoch, n % b->batches), low = 0, high = b->count;
    while (high - low > 1) { // the last bucket that begins at or before `at`
        size_t middle = (low + high) / 2;
        if (b->bucket[middle].first <= at) low = middle;
        else high = middle;
    }
    const struct tt_bucket *bucket = &b->bucket[low];
    size_t begin = (at - bucket->first) * b->batch, left = bucket->count - begin;
    size_t count = left < b->batch ? left : b->batch;
    // Buckets of one length are not to be in one order.
    uint64_t own = seed + UINT64_C(0xD1B54A32D192ED03) * (low + 1);
    for (size_t i = 0; i < count; i++)
        items[i] = bucket->items[tt_shuffled(bucket->count, own, epoch, begin + i)];
    return count;
}

// ---- what is told ----

void tt_buckets_tell(const struct tt_buckets *b, const struct tt_dataset *data, size_t width,
                     size_t height, size_t unit, const struct tt_notes *notes) {
    char text[800] = ""; // a note's length, a few buckets a line
    size_t small = 0, worst = 0, many = 0;
    double least = 1;
    for (size_t i = 0; i < b->count; i++) {
        size_t used = strlen(text);
        small += b->bucket[i].count < b->batch;
        snprintf(text + used, sizeof text - used, "%s%zu x %zu: %zu", used ? ", " : "",
                 b->bucket[i].size.width, b->bucket[i].size.height, b->bucket[i].count);
        if (i + 1 < b->count && strlen(text) < 72) continue;
        tt_note(notes, "buckets in steps of %zu, with so many pictures each: %s", b->step, text);
        text[0] = 0;
    }
    if (b->step > unit && 4 * b->step > (width < height ? width : height))
        tt_note(notes, "steps of %zu pixels are coarse for %zu x %zu: with a smaller bucket_step "
                "less of the pictures is cut", b->step, width, height);
    tt_note(notes, "an epoch is %zu batches, in which every picture is seen once", b->batches);
    if (b->partial)
        tt_note(notes, "%zu of the %zu batches hold fewer than %zu pictures: what is left of a "
                "bucket; %zu buckets hold less than a batch", b->partial, b->batches, b->batch,
                small);
    for (size_t i = 0; i < tt_dataset_count(data); i++) {
        double seen = tt_bucket_seen(tt_dataset_own_size(data, i), tt_dataset_size(data, i));
        many += seen < 0.5;
        if (seen >= least) continue;
        least = seen;
        worst = i;
    }
    if (many && !tt_dataset_stretches(data))
        tt_note(notes, "less than half is seen of %zu pictures, for which no bucket is long "
                "enough; of %s it is %.0f %%", many, tt_dataset_name(data, worst), 100 * least);
}
