// SPDX-License-Identifier: MIT
// A tensor beside the statistics of another one: a sample of its elements, moments and quantiles.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compare/compare.h"
#include "engine.h"
#include "io/digest.h"
#include "verify/statistics.h"

// ---- quantiles, exactly: by the upper and the lower half of the bits ----

enum { BUCKETS = 1 << 16, RANKS = 2 * TT_QUANTILES, NONE = 255 };

// Numbers in ascending order as unsigned ones.
static uint32_t key_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float number_of(uint32_t key) {
    uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// The elements of these ranks (ascending) among the finite ones of x: one pass counts the upper
// halves, one the lower halves of those that a rank falls on.
static bool select_ranks(const float *x, size_t n, const size_t ranks[RANKS], float out[RANKS]) {
    size_t *upper = calloc(BUCKETS, sizeof *upper), below[RANKS], bucket = 0, before = 0;
    uint8_t *slot = malloc(BUCKETS); // of the second pass; NONE: no rank falls there
    uint32_t *lower = NULL;
    int slots = 0, of[RANKS];
    bool good = upper && slot;
    if (good) memset(slot, NONE, BUCKETS);
    for (size_t i = 0; good && i < n; i++)
        if (isfinite(x[i])) upper[key_of(x[i]) >> 16]++;
    for (int k = 0; good && k < RANKS; k++) {
        while (before + upper[bucket] <= ranks[k]) before += upper[bucket++];
        if (slot[bucket] == NONE) slot[bucket] = (uint8_t)slots++;
        of[k] = slot[bucket];
        below[k] = before;
        out[k] = number_of((uint32_t)bucket << 16);
    }
    good = good && (lower = calloc((size_t)slots * BUCKETS, sizeof *lower));
    for (size_t i = 0; good && i < n; i++) {
        uint32_t key = key_of(x[i]);
        if (isfinite(x[i]) && slot[key >> 16] != NONE)
            lower[(size_t)slot[key >> 16] * BUCKETS + (key & 0xffff)]++;
    }
    for (int k = 0; good && k < RANKS; k++) {
        const uint32_t *counts = lower + (size_t)of[k] * BUCKETS;
        size_t left = ranks[k] - below[k];
        uint32_t low = 0;
        while (counts[low] <= left) left -= counts[low++];
        out[k] = number_of(key_of(out[k]) | low);
    }
    free(upper);
    free(slot);
    free(lower);
    return good;
}

static bool find_quantiles(const float *x, size_t n, size_t finite, double quantiles[]) {
    size_t ranks[RANKS];
    float at[RANKS];
    for (int k = 0; k < TT_QUANTILES; k++) {
        double place = (double)k / (TT_QUANTILES - 1) * (double)(finite - 1);
        ranks[2 * k] = (size_t)place;
        ranks[2 * k + 1] = ranks[2 * k] + 1 < finite ? ranks[2 * k] + 1 : ranks[2 * k];
    }
    // Ranks ascend but that a pair may reach over the next one's first.
    for (int i = 1; i < RANKS; i++)
        for (int j = i; j > 0 && ranks[j] < ranks[j - 1]; j--) {
            size_t other = ranks[j];
            ranks[j] = ranks[j - 1];
            ranks[j - 1] = other;
        }
    if (!select_ranks(x, n, ranks, at)) return false;
    for (int k = 0; k < TT_QUANTILES; k++) {
        double place = (double)k / (TT_QUANTILES - 1) * (double)(finite - 1), below = floor(place);
        double ends[2] = {NAN, NAN};
        for (int i = 0; i < RANKS; i++) {
            if (ranks[i] == (size_t)below) ends[0] = (double)at[i];
            if (ranks[i] == (size_t)below + 1) ends[1] = (double)at[i];
        }
        quantiles[k] = place > below ? ends[0] + (place - below) * (ends[1] - ends[0]) : ends[0];
    }
    return true;
}

enum tt_status tt_statistics_of(const float *x, size_t n, struct tt_recorded_statistics *out,
                                struct tt_error *err) {
    struct tt_recorded_statistics s = {.min = INFINITY, .max = -INFINITY};
    size_t finite = 0;
    double sum = 0, squares = 0, deviation = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        finite++;
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
        s.min = fmin(s.min, (double)x[i]);
        s.max = fmax(s.max, (double)x[i]);
    }
    if (!finite) {
        *out = (struct tt_recorded_statistics){0};
        return TT_OK;
    }
    s.mean = sum / (double)finite;
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i])) deviation += ((double)x[i] - s.mean) * ((double)x[i] - s.mean);
    s.std = sqrt(deviation / (double)finite);
    s.l2 = sqrt(squares);
    if (!find_quantiles(x, n, finite, s.quantiles))
        return tt_fail(err, TT_SYSTEM, "out of memory for statistics");
    *out = s;
    return TT_OK;
}

// ---- beside recorded ones ----

struct worst {
    double difference;
    const char *what;
};

static void look(struct worst *w, const char *what, double a, double b) {
    double d = fabs(a - b);
    if (d <= w->difference) return;
    w->difference = d;
    w->what = what;
}

// None of these is farther off than the element that is farthest off.
static void look_at_all(struct worst *w, const struct tt_recorded_statistics *a,
                        const struct tt_recorded_statistics *b, size_t n) {
    look(w, "mean", a->mean, b->mean);
    look(w, "std", a->std, b->std);
    look(w, "min", a->min, b->min);
    look(w, "max", a->max, b->max);
    look(w, "l2", a->l2 / sqrt((double)n), b->l2 / sqrt((double)n));
    for (int k = 0; k < TT_QUANTILES; k++)
        look(w, "quantiles", a->quantiles[k], b->quantiles[k]);
}

enum tt_status tt_compare_statistics(const struct tt_engine *engine, const float *ours,
                                     const struct tt_shape *shape, enum tt_lies lies,
                                     const struct tt_recorded *recorded, bool whole,
                                     struct tt_difference *difference, const char **what,
                                     struct tt_error *err) {
    size_t n = tt_shape_count(shape), samples = n < TT_SAMPLE ? n : TT_SAMPLE;
    struct tt_compare_pair place = {.images = 1, .pixels = n, .channels = 1};
    struct tt_shape row = {1, {samples}};
    struct tt_recorded_statistics own;
    float sample[TT_SAMPLE] = {0};
    if (lies == TT_LIES_STEP && shape->rank == 4) {
        place.images = shape->dim[0];
        place.channels = shape->dim[1];
        place.pixels = shape->dim[2] * shape->dim[3];
    }
    for (size_t i = 0; i < samples; i++)
        sample[i] = ours[tt_compare_first(&place, tt_recorded_sample(n, i))];
    enum tt_status status = tt_compare(engine, sample, &row, TT_LIES_TORCH, recorded->view, whole,
                                       difference, err);
    if (!status) status = tt_statistics_of(ours, n, &own, err);
    if (status) return status;
    struct worst w = {difference->largest, "sample"};
    look_at_all(&w, &own, recorded->statistics, n);
    difference->at = tt_recorded_sample(n, difference->at);
    difference->largest = w.difference;
    *what = w.what;
    return TT_OK;
}

void tt_view_digest(const struct tt_view *view, char text[TT_VIEW_DIGEST]) {
    tt_bytes_digest(view->data, view->bytes, text);
}
