// SPDX-License-Identifier: MIT
#include "gemm/gemm.h"

#include <math.h>
#include <string.h>

#include "check.h"
#include "reference.h"

static void copy_floats(float *to, const float *from, size_t n) {
    if (n) memcpy(to, from, n * sizeof *to);
}

// Where value i of row r lies: packed rows, or steps.
static size_t tile_at(const struct tt_gemm_tile *t, bool outer, size_t r, size_t i) {
    return outer ? i * t->ldx + r : (i / 16 * 14 + r) * 16 + i % 16;
}

// x as the contract packs it; what lies behind the rows and values is NaN.
static void fill_tile(struct check *c, const struct tt_gemm_tile *t, bool outer, float *x,
                      size_t floats) {
    float values[TT_GEMM_BLOCK];
    for (size_t i = 0; i < floats; i++) x[i] = NAN;
    for (size_t r = 0; r < t->rows; r++) {
        check_fill_f32(c, values, t->k, check_fill(c));
        for (size_t i = 0; i < t->k; i++) x[tile_at(t, outer, r, i)] = values[i];
    }
}

static void check_tile(struct check *c, bool outer) {
    void (*scalar)(const struct tt_gemm_tile *) =
        outer ? c->scalar->gemm_outer_f32 : c->scalar->gemm_tile_f32;
    void (*kernel)(const struct tt_gemm_tile *) =
        outer ? c->kernels->gemm_outer_f32 : c->kernels->gemm_tile_f32;
    while (check_case(c, 200)) {
        struct tt_gemm_tile t = {.rows = 1 + c->index % 14, .n = 1 + c->index * 13 % 32};
        t.k = c->index % 20 == 7 ? TT_GEMM_BLOCK : check_range(c, 1, c->index % 3 ? 40 : 384);
        t.chain = c->index % 5 ? TT_GEMM_CHAIN : 16 * (size_t)check_range(c, 1, 6);
        if (c->bench) t.rows = 14, t.n = 32, t.k = TT_GEMM_BLOCK, t.chain = TT_GEMM_CHAIN;
        t.ldy = t.n + (c->index % 2 ? check_range(c, 0, 9) : 0);
        t.ldr = t.n + (c->index % 2 ? check_range(c, 0, 9) : 0);
        t.accumulate = !c->bench && c->index % 4 > 1;
        if (outer) t.ldx = c->index % 2 ? t.rows + check_range(c, 0, 40) : 16;
        size_t floats = tile_at(&t, outer, t.rows - 1, t.k - 1) + 1;
        float *x = check_in_aligned(c, floats, FILL_UNIT);
        fill_tile(c, &t, outer, x, floats);
        t.x = x;
        t.w = check_in_aligned(c, t.k * TT_GEMM_PANEL, check_fill(c));
        if (c->index % 8 & 1) t.bias = check_in(c, t.n, check_fill(c));
        if (c->index % 8 & 2) t.image_bias = check_in(c, t.n, check_fill(c));
        if (c->index % 8 & 4) t.residual = check_in(c, (t.rows - 1) * t.ldr + t.n, check_fill(c));
        size_t size = (t.rows - 1) * t.ldy + t.n;
        struct check_out y = t.accumulate ? check_inout(c, size, FILL_UNIT) : check_out(c, size);
        float before[14 * 41];
        copy_floats(before, y.got, size);
        check_describe(c, "%zu rows, n %zu, k %zu, strides %zu and %zu, accumulate %d", t.rows, t.n,
                       t.k, t.ldy, t.ldr, t.accumulate);
        struct tt_gemm_tile want = t;
        t.y = y.got;
        want.y = y.want;
        check_work(c, 2.0 * (double)(t.rows * t.n * t.k));
        scalar(&want);
        CHECK_CALL(c, kernel(&t));
        for (size_t i = 0; check_reference(c) && i < t.rows * t.n && check_fill(c) < FILL_FINITE;
             i++) {
            size_t r = i / t.n, j = i % t.n;
            struct sum s = {0};
            for (size_t q = 0; q < t.k; q++)
                sum_product(&s, x[tile_at(&t, outer, r, q)], t.w[q * 32 + j]);
            if (t.accumulate) sum_product(&s, before[r * t.ldy + j], 1);
            if (t.bias) sum_product(&s, t.bias[j], 1);
            if (t.image_bias) sum_product(&s, t.image_bias[j], 1);
            if (t.residual) sum_product(&s, t.residual[r * t.ldr + j], 1);
            check_within(c, &y, r * t.ldy + j, s.value, sum_limit(&s));
        }
    }
}

void check_gemm_tile_f32(struct check *c) {
    check_tile(c, false);
}

void check_gemm_outer_f32(struct check *c) {
    check_tile(c, true);
}

// Packs in two pieces into a buffer of NaN, and sees that nothing of those is left.
static float *pack_weights(struct check *c, size_t n, size_t k, const float *w) {
    size_t floats = tt_gemm_packed_count(n, k), half = n / 2;
    float *packed = check_in_aligned(c, floats, FILL_UNIT);
    for (size_t i = 0; i < floats; i++) packed[i] = NAN;
    tt_gemm_pack_rows(packed, 4, n, k, half, n - half, w + half * k);
    tt_gemm_pack_rows(packed, 4, n, k, 0, half, w);
    for (size_t j = 0; j < (n + 31) / 32 * 32; j++)
        for (size_t i = 0; i < k; i++) {
            float got = packed[(j / 32 * k + i) * 32 + j % 32];
            if (memcmp(&got, j < n ? &w[j * k + i] : &(float){0}, sizeof got))
                check_fail(c, "packed weight (%zu, %zu) is %g", j, i, got);
        }
    return packed;
}

static void check_product(struct check *c, bool half) {
    while (check_case(c, c->quick ? 12 : 20)) {
        struct tt_gemm g = {.m = check_range(c, 1, 40), .n = check_range(c, 1, 70)};
        g.k = check_range(c, 1, c->index % 3 == 2 ? 900 : 50);
        if (c->index % 6 == 1) g.m = check_range(c, 100, 250);
        if (c->index == 4) g.m = 1, g.n = 33, g.k = 384;
        if (c->index == 8) g.m = 14, g.n = 32, g.k = 385;
        if (c->bench) g.m = 512, g.n = 640, g.k = 640;
        g.ldx = g.k + (c->index % 2 ? check_range(c, 0, 5) : 0);
        g.ldy = g.n + (c->index % 2 ? check_range(c, 0, 5) : 0);
        g.ldr = g.n + (c->index % 2 ? check_range(c, 0, 5) : 0);
        enum fill fill = c->index == 10 ? FILL_ANY : c->index % 2 ? FILL_UNIT : FILL_WIDE;
        g.x = check_in(c, (g.m - 1) * g.ldx + g.k, fill);
        const float *w = check_in(c, g.n * g.k, FILL_UNIT);
        struct tt_weight stored = half ? check_halve(c, (float *)w, g.n * g.k)
                                       : (struct tt_weight){w, TT_F32};
        g.w = (struct tt_weight){pack_weights(c, g.n, g.k, w), TT_F32};
        if (c->index % 4 & 1) g.bias = check_in(c, g.n, FILL_UNIT);
        if (c->index % 4 & 2) g.residual = check_in(c, (g.m - 1) * g.ldr + g.n, FILL_UNIT);
        struct check_out y = check_out(c, (g.m - 1) * g.ldy + g.n);
        check_describe(c, "m %zu, n %zu, k %zu", g.m, g.n, g.k);
        struct tt_gemm want = g;
        g.y = y.got;
        want.y = y.want;
        if (half) { // the same bits as from floats
            void *packed = check_scratch(c, 2 * tt_gemm_packed_count(g.n, g.k));
            tt_gemm_pack_rows(packed, 2, g.n, g.k, 0, g.n, stored.data);
            g.w = (struct tt_weight){packed, stored.dtype};
        }
        check_work(c, 2.0 * (double)(g.m * g.n * g.k));
        tt_gemm(c->scalar, &want, 1);
        CHECK_CALL(c, tt_gemm(c->kernels, &g, c->threads));
        for (size_t i = 0; check_reference(c) && fill != FILL_ANY && i < g.m * g.n; i++) {
            size_t r = i / g.n, j = i % g.n;
            struct sum s = {0};
            for (size_t q = 0; q < g.k; q++) sum_product(&s, g.x[r * g.ldx + q], w[j * g.k + q]);
            if (g.bias) sum_product(&s, g.bias[j], 1);
            if (g.residual) sum_product(&s, g.residual[r * g.ldr + j], 1);
            check_within(c, &y, r * g.ldy + j, s.value, sum_limit(&s));
        }
    }
}

void check_gemm(struct check *c) {
    check_product(c, false);
}

void check_gemm_half(struct check *c) {
    check_product(c, true);
}
