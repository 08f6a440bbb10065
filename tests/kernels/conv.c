// SPDX-License-Identifier: MIT
#include "conv/conv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "gemm/gemm.h"
#include "reference.h"

// The matrices of conv.h, as a reader would write them down.
static const double BT[6][6] = {
    {81 / 64., 0, -45 / 16., 0, 1, 0},        {0, -27 / 16., -9 / 4., 3 / 4., 1, 0},
    {0, 27 / 16., -9 / 4., -3 / 4., 1, 0},    {0, -27 / 32., -9 / 16., 3 / 2., 1, 0},
    {0, 27 / 32., -9 / 16., -3 / 2., 1, 0},   {0, 81 / 64., 0, -45 / 16., 0, 1},
};
static const double G[6][3] = {
    {64 / 81., 0, 0},
    {-128 / 243., -32 / 81., -8 / 27.},
    {-128 / 243., 32 / 81., -8 / 27.},
    {32 / 243., 16 / 81., 8 / 27.},
    {32 / 243., -16 / 81., 8 / 27.},
    {0, 0, 1},
};
static const double AT[4][6] = {
    {1, 1, 1, 1, 1, 0},
    {0, 3 / 4., -3 / 4., 3 / 2., -3 / 2., 0},
    {0, 9 / 16., 9 / 16., 9 / 4., 9 / 4., 0},
    {0, 27 / 64., -27 / 64., 27 / 8., -27 / 8., 1},
};

// (L x L^T)[i][j] of an n x n patch, and its limit: each of the two passes rounds a few times.
static struct sum sandwich(const double *l, size_t n, const double *patch, size_t i, size_t j) {
    struct sum s = {0};
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < n; b++)
            sum_product(&s, l[i * n + a] * l[j * n + b], patch[a * n + b]);
    s.terms = 2 * n + 4;
    return s;
}

// Of weights in any dtype.
static void transform_weights(const struct tt_kernels *kernels, struct tt_weight w,
                              size_t tap_stride, size_t channels, int pair, float *u,
                              size_t position_stride) {
    if (w.dtype == TT_F32)
        kernels->winograd_weights_f32(w.data, tap_stride, channels, pair, u, position_stride);
    if (w.dtype == TT_F16)
        kernels->winograd_weights_f16(w.data, tap_stride, channels, pair, u, position_stride);
    if (w.dtype == TT_BF16)
        kernels->winograd_weights_bf16(w.data, tap_stride, channels, pair, u, position_stride);
}

static void check_weights(struct check *c, enum tt_dtype dtype) {
    static const int rows[3][2] = {{0, 5}, {1, 2}, {3, 4}};
    while (check_case(c, 45)) {
        size_t channels = c->bench ? 64 : 1 + c->index / 3 % 9, lanes = channels * 32;
        int pair = (int)(c->index % 3);
        size_t tap_stride = lanes + check_range(c, 0, 2) * 32;
        size_t position_stride = lanes + check_range(c, 0, 2) * 32;
        const float *w = check_in_aligned(c, 8 * tap_stride + lanes, check_fill(c));
        struct check_out u = check_out_aligned(c, 11 * position_stride + lanes);
        check_describe(c, "c %zu, pair %d", channels, pair);
        check_work(c, (double)lanes * 12);
        struct tt_weight stored = {w, TT_F32};
        if (dtype != TT_F32)
            stored = check_halve_to(c, (float *)w, 8 * tap_stride + lanes, dtype);
        transform_weights(c->scalar, stored, tap_stride, channels, pair, u.want, position_stride);
        CHECK_CALL(c, transform_weights(c->kernels, stored, tap_stride, channels, pair, u.got,
                                        position_stride));
        if (!check_reference(c) || check_fill(c) >= FILL_FINITE) continue;
        for (size_t at = 0; at < lanes * 12; at++) {
            size_t position = at / lanes, lane = at % lanes;
            double patch[9];
            for (size_t tap = 0; tap < 9; tap++) patch[tap] = w[tap * tap_stride + lane];
            size_t i = (size_t)rows[pair][position / 6];
            struct sum s = {0};
            for (size_t a = 0; a < 3; a++)
                for (size_t b = 0; b < 3; b++)
                    sum_product(&s, G[i][a] * G[position % 6][b], patch[a * 3 + b]);
            s.terms = 10;
            check_within(c, &u, position * position_stride + lane, s.value, sum_limit(&s));
        }
    }
}

void check_winograd_weights_f32(struct check *c) {
    check_weights(c, TT_F32);
}

void check_winograd_weights_f16(struct check *c) {
    check_weights(c, TT_F16);
}

void check_winograd_weights_bf16(struct check *c) {
    check_weights(c, TT_BF16);
}

void check_winograd_input_f32(struct check *c) {
    while (check_case(c, 100)) {
        struct tt_winograd_input g = {.c = c->bench ? 320 : 1 + c->index % 50, .bottom = 6};
        g.right = 6;
        if (c->index % 2 && !c->bench) {
            g.top = check_range(c, 0, 5), g.bottom = check_range(c, g.top, 6);
            g.left = check_range(c, 0, 5), g.right = check_range(c, g.left, 6);
        }
        g.pixel_stride = g.c + check_range(c, 0, 3);
        g.row_stride = 6 * g.pixel_stride + check_range(c, 0, 9);
        size_t blocks = (g.c + 15) / 16, height = g.bottom - g.top, width = g.right - g.left;
        g.lane_stride = 16 * check_range(c, 1, 3);
        g.position_stride = blocks * g.lane_stride + 16 * check_range(c, 0, 2);
        size_t in = (height - 1) * g.row_stride + (width - 1) * g.pixel_stride + g.c;
        if (!height || !width) in = 0;
        g.x = check_in(c, in, check_fill(c));
        struct check_out v =
            check_out_aligned(c, 35 * g.position_stride + (blocks - 1) * g.lane_stride + 16);
        check_describe(c, "c %zu, rows %zu to %zu, columns %zu to %zu", g.c, g.top, g.bottom,
                       g.left, g.right);
        struct tt_winograd_input want = g;
        want.v = v.want;
        g.v = v.got;
        check_work(c, (double)g.c * 36);
        c->scalar->winograd_input_f32(&want);
        CHECK_CALL(c, c->kernels->winograd_input_f32(&g));
        if (!check_reference(c) || check_fill(c) >= FILL_FINITE) continue;
        for (size_t ch = 0; ch < blocks * 16; ch++) {
            double patch[36] = {0};
            for (size_t i = g.top; i < g.bottom && ch < g.c; i++)
                for (size_t j = g.left; j < g.right; j++)
                    patch[i * 6 + j] =
                        g.x[(i - g.top) * g.row_stride + (j - g.left) * g.pixel_stride + ch];
            for (size_t p = 0; p < 36; p++) {
                struct sum s = sandwich(&BT[0][0], 6, patch, p / 6, p % 6);
                check_within(c, &v, p * g.position_stride + ch / 16 * g.lane_stride + ch % 16,
                             s.value, sum_limit(&s));
            }
        }
    }
}

static void output_reference(struct check *c, const struct tt_winograd_output *g,
                             const struct check_out *y) {
    for (size_t k = 0; k < g->n; k++) {
        for (size_t i = 0; i < g->rows; i++)
            for (size_t j = 0; j < g->columns; j++) {
                struct sum s = {0};
                for (size_t p = 0; p < 36; p++)
                    sum_product(&s, AT[i][p / 6] * AT[j][p % 6], g->m[p * g->position_stride + k]);
                size_t at = i * g->row_stride + j * g->pixel_stride + k;
                if (g->bias) sum_product(&s, g->bias[k], 1);
                if (g->image_bias) sum_product(&s, g->image_bias[k], 1);
                if (g->residual) sum_product(&s, g->residual[at], 1);
                s.terms = 20;
                check_within(c, y, at, s.value, sum_limit(&s));
            }
    }
}

void check_winograd_output_f32(struct check *c) {
    while (check_case(c, 128)) {
        struct tt_winograd_output g = {.n = 1 + c->index % 32, .rows = 4, .columns = 4};
        if (c->bench) g.n = 32;
        if (c->index % 3 == 1) g.rows = check_range(c, 1, 4), g.columns = check_range(c, 1, 4);
        g.position_stride = g.n + check_range(c, 0, 40);
        g.pixel_stride = g.n + check_range(c, 0, 5);
        g.row_stride = 4 * g.pixel_stride + check_range(c, 0, 5);
        size_t size = (g.rows - 1) * g.row_stride + (g.columns - 1) * g.pixel_stride + g.n;
        g.m = check_in(c, 35 * g.position_stride + g.n, check_fill(c));
        if (c->index / 2 % 8 & 1) g.bias = check_in(c, g.n, check_fill(c));
        if (c->index / 2 % 8 & 2) g.image_bias = check_in(c, g.n, check_fill(c));
        if (c->index / 2 % 8 & 4) g.residual = check_in(c, size, check_fill(c));
        struct check_out y = check_out(c, size);
        check_describe(c, "n %zu, %zu x %zu", g.n, g.rows, g.columns);
        struct tt_winograd_output want = g;
        want.y = y.want;
        g.y = y.got;
        check_work(c, (double)g.n * 16);
        c->scalar->winograd_output_f32(&want);
        CHECK_CALL(c, c->kernels->winograd_output_f32(&g));
        if (check_reference(c) && check_fill(c) < FILL_FINITE) output_reference(c, &g, &y);
    }
}

// (A d A^T)[p / 6][p % 6] of a 4 x 4 tile, and its limit.
static struct sum gradient_sum(const double *d, size_t p) {
    struct sum s = {0};
    for (size_t i = 0; i < 16; i++) sum_product(&s, AT[i / 4][p / 6] * AT[i % 4][p % 6], d[i]);
    s.terms = 16;
    return s;
}

void check_winograd_gradient_f32(struct check *c) {
    while (check_case(c, 100)) {
        struct tt_winograd_gradient g = {.c = c->bench ? 320 : 1 + c->index % 50, .rows = 4};
        g.columns = 4;
        if (c->index % 3 == 1) g.rows = check_range(c, 1, 4), g.columns = check_range(c, 1, 4);
        g.pixel_stride = g.c + check_range(c, 0, 3);
        g.row_stride = 4 * g.pixel_stride + check_range(c, 0, 9);
        size_t padded = (g.c + 15) / 16 * 16;
        g.position_stride = padded + 16 * check_range(c, 0, 2);
        g.dy = check_in(c, (g.rows - 1) * g.row_stride + (g.columns - 1) * g.pixel_stride + g.c,
                        check_fill(c));
        struct check_out v = check_out_aligned(c, 35 * g.position_stride + padded);
        check_describe(c, "c %zu, %zu x %zu", g.c, g.rows, g.columns);
        struct tt_winograd_gradient want = g;
        want.v = v.want;
        g.v = v.got;
        check_work(c, (double)g.c * 16);
        c->scalar->winograd_gradient_f32(&want);
        CHECK_CALL(c, c->kernels->winograd_gradient_f32(&g));
        if (!check_reference(c) || check_fill(c) >= FILL_FINITE) continue;
        for (size_t ch = 0; ch < padded; ch++) {
            double tile[16] = {0};
            for (size_t i = 0; i < g.rows && ch < g.c; i++)
                for (size_t j = 0; j < g.columns; j++)
                    tile[i * 4 + j] = g.dy[i * g.row_stride + j * g.pixel_stride + ch];
            for (size_t p = 0; p < 36; p++) {
                struct sum s = gradient_sum(tile, p);
                check_within(c, &v, p * g.position_stride + ch, s.value, sum_limit(&s));
            }
        }
    }
}

void check_winograd_dw_f32(struct check *c) {
    while (check_case(c, 64)) {
        size_t n = c->bench ? 32 : 1 + c->index % 32, stride = n + check_range(c, 0, 40);
        int accumulate = c->index / 2 % 2;
        const float *u = check_in(c, 35 * stride + n, check_fill(c));
        struct check_out dw = accumulate ? check_inout(c, n * 9, FILL_UNIT) : check_out(c, n * 9);
        float before[32 * 9];
        memcpy(before, dw.got, dw.n * sizeof *before);
        check_describe(c, "n %zu, accumulate %d", n, accumulate);
        check_work(c, (double)n * 36);
        c->scalar->winograd_dw_f32(u, stride, n, dw.want, accumulate);
        CHECK_CALL(c, c->kernels->winograd_dw_f32(u, stride, n, dw.got, accumulate));
        for (size_t i = 0; check_reference(c) && check_fill(c) < FILL_FINITE && i < dw.n; i++) {
            struct sum s = {0};
            for (size_t p = 0; p < 36; p++)
                sum_product(&s, G[p / 6][i % 9 / 3] * G[p % 6][i % 3], u[p * stride + i / 9]);
            if (accumulate) sum_product(&s, before[i], 1);
            s.terms = 20;
            check_within(c, &dw, i, s.value, sum_limit(&s));
        }
    }
}

// Output (image, oy, ox, k) as conv.h defines it; w in PyTorch's order.
static struct sum convolve(const struct tt_conv *g, const float *w, size_t image, size_t oy,
                           size_t ox, size_t k) {
    struct sum s = {0};
    for (size_t a = 0; a < g->kernel; a++)
        for (size_t b = 0; b < g->kernel; b++) {
            size_t y = oy * g->stride + a - g->pad_top, x = ox * g->stride + b - g->pad_left;
            if (y >= g->h || x >= g->w) continue; // negative ones wrap around
            for (size_t ch = 0; ch < g->c; ch++)
                sum_product(&s, g->x[((image * g->h + y) * g->w + x) * g->c + ch],
                            w[((k * g->c + ch) * g->kernel + a) * g->kernel + b]);
        }
    if (g->bias) sum_product(&s, g->bias[k], 1);
    if (g->image_bias) sum_product(&s, g->image_bias[image * g->k + k], 1);
    return s;
}

// The limit of Winograd counts with the largest sum of the image: its tiles mix outputs.
static void conv_reference(struct check *c, const struct tt_conv *g, const float *w,
                           const struct check_out *y, bool winograd) {
    size_t oh, ow;
    double largest = 0;
    tt_conv_out_size(g, &oh, &ow);
    for (int pass = winograd ? 0 : 1; pass < 2; pass++)
        for (size_t i = 0; i < y->n; i++) {
            size_t k = i % g->k, pixel = i / g->k;
            struct sum s = convolve(g, w, pixel / (oh * ow), pixel / ow % oh, pixel % ow, k);
            if (g->residual) sum_product(&s, g->residual[i], 1);
            if (s.magnitude > largest) largest = s.magnitude;
            if (winograd) s.magnitude = largest, s.terms = g->c + 64;
            if (pass) check_within(c, y, i, s.value, sum_limit(&s));
        }
}

static void choose_conv(struct check *c, struct tt_conv *g, bool winograd) {
    g->n = check_range(c, 1, 2);
    g->h = check_range(c, 1, 13), g->w = check_range(c, 1, 13);
    g->c = check_range(c, 1, 40), g->k = check_range(c, 1, 70);
    if (c->index == 3) g->c = 400, g->h = 5; // more than one k-block
    if (c->index == 5) g->k = 1, g->c = 4;
    g->kernel = winograd || c->index % 4 != 1 ? 3 : 1;
    g->stride = winograd || c->index % 3 != 2 ? 1 : 2;
    if (g->kernel == 3) g->pad_top = g->pad_left = g->pad_bottom = g->pad_right = 1;
    if (c->index % 5 == 4) {
        g->pad_top = g->pad_left = 0;
        g->h += 2, g->w += 2;
    }
    if (c->bench) *g = (struct tt_conv){.n = 1, .h = 64, .w = 64, .c = 320, .k = 320,
                                       .kernel = 3, .stride = 1, .pad_top = 1, .pad_left = 1,
                                       .pad_bottom = 1, .pad_right = 1};
}

static void conv(struct check *c, bool winograd, bool half) {
    enum tt_conv_algorithm algorithm = winograd ? TT_CONV_WINOGRAD : TT_CONV_DIRECT;
    while (check_case(c, c->quick ? 12 : 20)) {
        struct tt_conv g = {0};
        choose_conv(c, &g, winograd);
        size_t oh, ow, taps = g.kernel * g.kernel;
        tt_conv_out_size(&g, &oh, &ow);
        enum fill fill = c->index == 10 ? FILL_ANY : FILL_UNIT;
        const float *w = check_in(c, g.k * g.c * taps, FILL_UNIT);
        float *packed = check_in_aligned(c, tt_conv_packed_count(g.k, g.c, g.kernel), FILL_UNIT);
        struct tt_weight stored = half ? check_halve(c, (float *)w, g.k * g.c * taps)
                                       : (struct tt_weight){w, TT_F32};
        size_t some = g.k / 2;
        tt_conv_pack_rows(packed, 4, g.k, g.c, g.kernel, 0, some, w);
        tt_conv_pack_rows(packed, 4, g.k, g.c, g.kernel, some, g.k - some, w + some * g.c * taps);
        g.weight = (struct tt_weight){packed, TT_F32};
        g.x = check_in(c, g.n * g.h * g.w * g.c, fill);
        struct check_out y = check_out(c, g.n * oh * ow * g.k);
        if (c->index % 8 & 1) g.bias = check_in(c, g.k, FILL_UNIT);
        if (c->index % 8 & 2) g.image_bias = check_in(c, g.n * g.k, FILL_UNIT);
        if (c->index % 8 & 4) g.residual = check_in(c, y.n, FILL_UNIT);
        void *scratch = check_scratch(c, tt_conv_scratch(&g, algorithm, c->threads));
        void *scratch1 = check_scratch(c, tt_conv_scratch(&g, algorithm, 1));
        check_describe(c, "n %zu, %zu x %zu, c %zu, k %zu, kernel %zu, stride %zu, pad %zu %zu",
                       g.n, g.h, g.w, g.c, g.k, g.kernel, g.stride, g.pad_top, g.pad_bottom);
        struct tt_conv want = g;
        want.y = y.want;
        g.y = y.got;
        if (half) { // the same bits as from floats
            void *halves = check_scratch(c, 2 * tt_conv_packed_count(g.k, g.c, g.kernel));
            tt_conv_pack_rows(halves, 2, g.k, g.c, g.kernel, 0, g.k, stored.data);
            g.weight = (struct tt_weight){halves, stored.dtype};
        }
        check_work(c, 2.0 * (double)(y.n * g.c * taps));
        tt_conv(c->scalar, &want, algorithm, scratch1, 1);
        CHECK_CALL(c, tt_conv(c->kernels, &g, algorithm, scratch, c->threads));
        if (check_reference(c) && fill != FILL_ANY) conv_reference(c, &g, w, &y, winograd);
    }
}

void check_conv_direct(struct check *c) {
    conv(c, false, false);
}

void check_conv_winograd(struct check *c) {
    conv(c, true, false);
}

void check_conv_direct_half(struct check *c) {
    conv(c, false, true);
}

void check_conv_winograd_half(struct check *c) {
    conv(c, true, true);
}
