// SPDX-License-Identifier: MIT
// How two tensors differ: the kernel's pass, which is always made, and what is told on request.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/team.h"
#include "compare/compare.h"
#include "engine.h"

// ---- the two as a pair ----

struct both {
    struct tt_compare_pair pair;
    float *converted; // the reference, where it is of a dtype that the kernel does not take
    size_t count;
};

static enum tt_status make_pair(const float *ours, const struct tt_shape *shape, enum tt_lies lies,
                                const struct tt_view *reference, struct both *both,
                                struct tt_error *err) {
    size_t n = tt_shape_count(shape);
    char found[96], expected[96];
    *both = (struct both){.count = n};
    if (tt_shape_count(&reference->shape) != n)
        return tt_fail(err, TT_BAD_INPUT, "tensor '%s': found shape %s, expected %s",
                       reference->name, tt_shape_text(&reference->shape, found, sizeof found),
                       tt_shape_text(shape, expected, sizeof expected));
    both->pair = (struct tt_compare_pair){ours, reference->data, reference->dtype, 1, n, 1};
    if (lies == TT_LIES_STEP && shape->rank == 4) {
        both->pair.images = shape->dim[0];
        both->pair.channels = shape->dim[1];
        both->pair.pixels = shape->dim[2] * shape->dim[3];
    }
    if (reference->dtype == TT_F32 || reference->dtype == TT_F16 || reference->dtype == TT_BF16)
        return TT_OK;
    both->converted = malloc((n + 1) * sizeof *both->converted);
    if (!both->converted) return tt_fail(err, TT_SYSTEM, "out of memory for comparing");
    tt_view_floats(reference, 0, n, both->converted);
    both->pair.b = both->converted;
    both->pair.dtype = TT_F32;
    return TT_OK;
}

static float ours_at(const struct tt_compare_pair *pair, size_t i) {
    return pair->a[pair->channels > 1 ? tt_compare_first(pair, i) : i];
}

static double exact_difference(float x, float y) {
    float d = tt_difference_of(x, y);
    return d > 0 && isfinite(x) && isfinite(y) ? fabs((double)x - (double)y) : (double)d;
}

// ---- on request: element by element ----

// Of one block of the reference; blocks are folded in order.
enum { BLOCK = 1 << 16 };
struct sums {
    double max_relative, ulp, product, ours, reference;
    size_t decades[TT_DECADES];
    struct tt_excess excess;
    double worst; // of the excess, as a share of its limit
};

// Neighbouring floats are neighbouring numbers; the two zeros are one.
static int64_t place_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? (int64_t)INT32_MIN - bits : bits;
}

static size_t decade_of(double d) {
    static const double from[TT_DECADES] = {0,    1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5,
                                            1e-4, 1e-3,  1e-2,  1e-1,  1,    10,   100,  1000};
    size_t low = 0, high = TT_DECADES;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (d >= from[middle]) low = middle;
        else high = middle;
    }
    return low;
}

static void tell_block(const struct tt_compare_pair *pair, size_t begin, size_t end,
                       struct sums *s) {
    for (size_t i = begin; i < end; i++) {
        float x = ours_at(pair, i), y = tt_compare_second(pair, i);
        double d = exact_difference(x, y);
        s->decades[decade_of(d)]++;
        if (!isfinite(x) || !isfinite(y)) continue;
        s->product += (double)x * (double)y;
        s->ours += (double)x * (double)x;
        s->reference += (double)y * (double)y;
        if (y != 0) s->max_relative = fmax(s->max_relative, d / fabs((double)y));
        if (d > 0) s->ulp = fmax(s->ulp, fabs((double)(place_of(x) - place_of(y))));
    }
}

static void tell(const struct both *both, int threads, struct sums *blocks,
                 struct tt_difference *d) {
    size_t count = (both->count + BLOCK - 1) / BLOCK;
    struct sums all = {0};
#pragma omp parallel for num_threads(threads) schedule(static) if (count > 1)
    for (size_t i = 0; i < count; i++) {
        size_t end = (i + 1) * BLOCK;
        blocks[i] = (struct sums){0};
        tell_block(&both->pair, i * BLOCK, end < both->count ? end : both->count, &blocks[i]);
    }
    for (size_t i = 0; i < count; i++) {
        all.max_relative = fmax(all.max_relative, blocks[i].max_relative);
        all.ulp = fmax(all.ulp, blocks[i].ulp);
        all.product += blocks[i].product;
        all.ours += blocks[i].ours;
        all.reference += blocks[i].reference;
        for (size_t k = 0; k < TT_DECADES; k++) d->decades[k] += blocks[i].decades[k];
    }
    double lengths = sqrt(all.ours) * sqrt(all.reference);
    d->max_relative = all.max_relative;
    d->ulp = all.ulp;
    d->cosine = lengths > 0 ? fmin(fmax(all.product / lengths, -1), 1)
                            : !(all.ours > 0) && !(all.reference > 0);
    d->sqnr = d->l2 > 0 ? 20 * log10(d->reference_l2 / d->l2) : INFINITY;
    d->whole = true;
}

// ---- the calls ----

static void put(const struct both *both, const struct tt_compared_pair *c,
                struct tt_difference *d) {
    *d = (struct tt_difference){
        .count = both->count, .at = c->at, .l2 = sqrt(c->squares),
        .reference_l2 = sqrt(c->reference), .nan_ours = c->nan_a, .nan_reference = c->nan_b,
        .infinite_ours = c->infinite_a, .infinite_reference = c->infinite_b,
    };
    if (both->count) {
        d->ours = ours_at(&both->pair, c->at);
        d->reference = tt_compare_second(&both->pair, c->at);
        d->largest = exact_difference(d->ours, d->reference);
    }
    d->relative_l2 = isinf(d->largest) ? INFINITY
                     : d->l2 > 0       ? d->l2 / d->reference_l2
                                       : 0;
}

enum tt_status tt_compare(const struct tt_engine *engine, const float *ours,
                          const struct tt_shape *shape, enum tt_lies lies,
                          const struct tt_view *reference, bool whole,
                          struct tt_difference *difference, struct tt_error *err) {
    struct both both;
    struct tt_compared_pair compared;
    int threads = tt_team_size(engine->plan.threads);
    enum tt_status status = make_pair(ours, shape, lies, reference, &both, err);
    if (status) return status;
    size_t blocks = (both.count + BLOCK - 1) / BLOCK * sizeof(struct sums);
    size_t bytes = tt_compare_scratch(&both.pair, threads);
    if (whole && blocks > bytes) bytes = blocks;
    void *scratch = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (scratch) {
        tt_compare_arrays(&engine->kernels, &both.pair, &compared, scratch, threads);
        put(&both, &compared, difference);
        if (whole) tell(&both, threads, scratch, difference);
    }
    free(both.converted);
    if (!scratch) return tt_fail(err, TT_SYSTEM, "out of memory for comparing");
    free(scratch);
    return TT_OK;
}

static void look_for_excess(const struct tt_compare_pair *pair, size_t begin, size_t end,
                            double rtol, double atol, struct sums *s) {
    *s = (struct sums){.worst = -1};
    for (size_t i = begin; i < end; i++) {
        float x = ours_at(pair, i), y = tt_compare_second(pair, i);
        double d = exact_difference(x, y);
        double limit = isfinite(y) ? atol + rtol * fabs((double)y) : 0;
        double share = d > 0 ? d / limit : 0;
        if (share <= s->worst) continue;
        s->worst = share;
        s->excess = (struct tt_excess){i, x, y, d, limit};
    }
}

enum tt_status tt_compare_close(const struct tt_engine *engine, const float *ours,
                                const struct tt_shape *shape, enum tt_lies lies,
                                const struct tt_view *reference, double rtol, double atol,
                                struct tt_excess *excess, struct tt_error *err) {
    struct both both;
    enum tt_status status = make_pair(ours, shape, lies, reference, &both, err);
    if (status) return status;
    size_t count = (both.count + BLOCK - 1) / BLOCK, worst = 0;
    struct sums *blocks = calloc(count + 1, sizeof *blocks);
    if (blocks) {
#pragma omp parallel for num_threads(tt_team_size(engine->plan.threads)) if (count > 1)
        for (size_t i = 0; i < count; i++) {
            size_t end = (i + 1) * BLOCK;
            look_for_excess(&both.pair, i * BLOCK, end < both.count ? end : both.count, rtol, atol,
                            &blocks[i]);
        }
        for (size_t i = 1; i < count; i++)
            if (blocks[i].worst > blocks[worst].worst) worst = i;
        *excess = blocks[worst].excess;
    }
    free(both.converted);
    if (!blocks) return tt_fail(err, TT_SYSTEM, "out of memory for comparing");
    free(blocks);
    return TT_OK;
}

void tt_lay_steps(const struct tt_engine *engine, const struct tt_view *from,
                  const struct tt_shape *shape, float *to) {
    size_t n = tt_shape_count(shape), images = 1, channels = 1;
    if (shape->rank == 4) {
        images = shape->dim[0];
        channels = shape->dim[1];
    }
    size_t pixels = n / (images * channels);
    if (channels == 1 || pixels == 1) {
        tt_view_floats(from, 0, n, to);
        return;
    }
    // Some pixels of an image at a time, so that no second image is held.
    enum { PIXELS = 1024 };
    float *strip = malloc(channels * PIXELS * sizeof *strip);
    for (size_t i = 0; i < images; i++) {
        for (size_t p = 0, count; p < pixels; p += count) {
            float *row = to + (i * pixels + p) * channels;
            size_t at = i * channels * pixels + p;
            count = !strip ? 1 : pixels - p < PIXELS ? pixels - p : PIXELS;
            for (size_t c = 0; c < channels; c++)
                tt_view_floats(from, at + c * pixels, count, strip ? strip + c * count : row + c);
            if (strip) engine->kernels.nchw_to_nhwc_f32(strip, row, 1, channels, count);
        }
    }
    free(strip);
}
