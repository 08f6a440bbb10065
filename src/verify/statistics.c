// SPDX-License-Identifier: MIT
// Statistics of a tensor: moments, and exact quantiles without sorting all of it or copying it.
// Sums run over eight lanes, element i to lane i mod 8, so that every machine has the same bits.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "verify/statistics.h"

enum { LANES = 8, HALF = 1 << 16, RANKS = 2 * TT_QUANTILES, FEW = 8192 };

static double fold(const double *sum) {
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

double tt_largest(const float *x, size_t n) {
    float most = 0;
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        float a = fabsf(x[i]);
        finite = finite && a <= 3.40282347e38f;
        most = a > most ? a : most;
    }
    return finite ? (double)most : NAN;
}

// ---- order ----

// Unsigned numbers in the order of the floats; both zeros are one.
static uint32_t key_of(float x) {
    uint32_t bits;
    x += 0.0f;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 ? ~bits : bits | 1u << 31;
}

static float float_of(uint32_t key) {
    uint32_t bits = key >> 31 ? key & ~(1u << 31) : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// Few floats are sorted sooner than counted.
static bool sort(const float *x, size_t n, const size_t *ranks, float *values) {
    float *sorted = malloc(n * sizeof *sorted);
    size_t count = 0;
    for (size_t i = 0; sorted && i < n; i++)
        if (isfinite(x[i])) sorted[count++] = x[i];
    if (sorted) qsort(sorted, count, sizeof *sorted, by_value);
    for (int r = 0; sorted && r < RANKS; r++) values[r] = sorted[ranks[r]];
    free(sorted);
    return sorted != NULL;
}

// The finite floats of these ranks, which ascend but for few floats: all are counted by the upper
// half of their keys, then those near a rank by the lower half.
static bool pick(struct tt_statistics_room *room, const float *x, size_t n, const size_t *ranks,
                   float *values) {
    static const unsigned char none = 255;
    unsigned char *slot = malloc(HALF);
    if (!room->upper) room->upper = malloc(HALF * sizeof *room->upper);
    if (!room->lower) room->lower = malloc((size_t)RANKS * HALF * sizeof *room->lower);
    if (!slot || !room->upper || !room->lower) {
        free(slot);
        return false;
    }
    memset(room->upper, 0, HALF * sizeof *room->upper);
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i])) room->upper[key_of(x[i]) >> 16]++;
    memset(slot, none, HALF);
    size_t bin = 0, below = 0, bins[RANKS], before[RANKS], slots = 0;
    for (int r = 0; r < RANKS; r++) {
        if (r && ranks[r] < ranks[r - 1]) bin = below = 0;
        while (below + room->upper[bin] <= ranks[r]) below += room->upper[bin++];
        bins[r] = bin;
        before[r] = below;
        if (slot[bin] == none) slot[bin] = (unsigned char)slots++;
    }
    memset(room->lower, 0, slots * HALF * sizeof *room->lower);
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        uint32_t key = key_of(x[i]);
        unsigned at = slot[key >> 16];
        if (at != none) room->lower[at * HALF + (key & (HALF - 1))]++;
    }
    for (int r = 0; r < RANKS; r++) {
        const uint32_t *counts = room->lower + (size_t)slot[bins[r]] * HALF;
        size_t at = 0, passed = before[r];
        while (passed + counts[at] <= ranks[r]) passed += counts[at++];
        values[r] = float_of((uint32_t)bins[r] << 16 | (uint32_t)at);
    }
    free(slot);
    return true;
}

// Quantile q / 16 lies linearly between the two values whose ranks enclose q (n - 1) / 16.
static bool find_quantiles(struct tt_statistics_room *room, const float *x, size_t n,
                           size_t finite, double *quantiles) {
    size_t ranks[RANKS];
    float values[RANKS];
    for (size_t q = 0; q < TT_QUANTILES; q++) {
        double place = (double)(finite - 1) * (double)q / (TT_QUANTILES - 1);
        ranks[2 * q] = (size_t)floor(place);
        ranks[2 * q + 1] = (size_t)ceil(place);
    }
    if (!(n <= FEW ? sort(x, n, ranks, values) : pick(room, x, n, ranks, values))) return false;
    for (size_t q = 0; q < TT_QUANTILES; q++) {
        double place = (double)(finite - 1) * (double)q / (TT_QUANTILES - 1);
        double low = values[2 * q], high = values[2 * q + 1];
        quantiles[q] = low + (high - low) * (place - floor(place));
    }
    return true;
}

bool tt_statistics_of(struct tt_statistics_room *room, const float *x, size_t n,
                      struct tt_recorded_statistics *statistics) {
    double sum[LANES] = {0}, squares[LANES] = {0}, spread[LANES] = {0};
    size_t finite = 0;
    for (size_t i = 0; i < n; i++) {
        double value = isfinite(x[i]) ? (double)x[i] : 0;
        finite += isfinite(x[i]) != 0;
        sum[i % LANES] += value;
        squares[i % LANES] += value * value;
    }
    *statistics = (struct tt_recorded_statistics){.not_finite = n - finite};
    if (!finite) return true;
    double mean = fold(sum) / (double)finite;
    for (size_t i = 0; i < n; i++) {
        double off = isfinite(x[i]) ? (double)x[i] - mean : 0;
        spread[i % LANES] += off * off;
    }
    statistics->mean = mean;
    statistics->std = sqrt(fold(spread) / (double)finite);
    statistics->l2 = sqrt(fold(squares));
    if (!find_quantiles(room, x, n, finite, statistics->quantiles)) return false;
    statistics->min = statistics->quantiles[0];
    statistics->max = statistics->quantiles[TT_QUANTILES - 1];
    return true;
}

void tt_statistics_free(struct tt_statistics_room *room) {
    free(room->upper);
    free(room->lower);
    *room = (struct tt_statistics_room){0};
}
