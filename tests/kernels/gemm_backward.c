// SPDX-License-Identifier: MIT
// Gradients of linear layers and convolutions: what the drivers give with every table, against
// float64. Their arithmetic is gemm_tile_f32's, and Winograd's transforms.
#include "gemm/gemm_backward.h"

#include <math.h>
#include <string.h>

#include "check.h"
#include "conv/conv_backward.h"
#include "reference.h"

// dx = dy w through the transposed pack, which is packed in two pieces into a buffer of NaN.
void check_linear_dx(struct check *c) {
    while (check_case(c, c->quick ? 12 : 20)) {
        size_t m = check_range(c, 1, 40), n = check_range(c, 1, 70), k = check_range(c, 1, 70);
        if (c->index % 3 == 2) n = check_range(c, 385, 900);
        if (c->bench) m = 4096, n = 640, k = 640;
        const float *w = check_in(c, n * k, FILL_UNIT);
        size_t floats = tt_gemm_packed_count(k, n), half = n / 2;
        float *packed = check_in_aligned(c, floats, FILL_UNIT);
        for (size_t i = 0; i < floats; i++) packed[i] = NAN;
        tt_gemm_pack_transposed(packed, n, k, half, n - half, w + half * k);
        tt_gemm_pack_transposed(packed, n, k, 0, half, w);
        for (size_t i = 0; i < floats; i++)
            if (isnan(packed[i])) check_fail(c, "[%zu] of the packed weights is missing", i);
        const float *dy = check_in(c, m * n, FILL_UNIT);
        struct check_out dx = check_out(c, m * k);
        check_describe(c, "m %zu, n %zu, k %zu", m, n, k);
        check_work(c, 2.0 * (double)(m * n * k));
        struct tt_gemm g = {.m = m, .n = k, .k = n, .x = dy, .ldx = n, .w = {packed, TT_F32},
                            .ldy = k};
        struct tt_gemm want = g;
        want.y = dx.want;
        g.y = dx.got;
        tt_gemm(c->scalar, &want, 1);
        CHECK_CALL(c, tt_gemm(c->kernels, &g, c->threads));
        for (size_t i = 0; check_reference(c) && i < dx.n; i++) {
            struct sum s = {0};
            for (size_t j = 0; j < n; j++)
                sum_product(&s, (double)dy[i / k * n + j], (double)w[j * k + i % k]);
            check_within(c, &dx, i, s.value, sum_limit(&s));
        }
    }
}

void check_linear_dw(struct check *c) {
    while (check_case(c, c->quick ? 12 : 20)) {
        struct tt_linear_dw l = {.m = check_range(c, 1, 70), .n = check_range(c, 1, 70)};
        l.k = check_range(c, 1, 100);
        if (c->index % 3 == 2) l.m = check_range(c, 385, 900), l.n = check_range(c, 1, 130);
        if (c->index == 4) l.k = 700, l.n = 15;
        if (c->index == 7) l.m = 5000, l.n = 17, l.k = 40; // three parts
        if (c->bench) l.m = 4096, l.n = 640, l.k = 640;
        l.accumulate = c->index % 2;
        l.x = check_in(c, l.m * l.k, c->index % 4 ? FILL_UNIT : FILL_WIDE);
        l.dy = check_in(c, l.m * l.n, FILL_UNIT);
        const float *before = check_in(c, l.n * l.k, FILL_UNIT);
        struct check_out dw = l.accumulate ? check_inout(c, l.n * l.k, FILL_UNIT)
                                           : check_out(c, l.n * l.k);
        if (l.accumulate) {
            memcpy(dw.got, before, dw.n * sizeof *before);
            memcpy(dw.want, before, dw.n * sizeof *before);
        }
        void *scratch = check_scratch(c, tt_linear_dw_scratch(&l, c->threads));
        void *scratch1 = check_scratch(c, tt_linear_dw_scratch(&l, 1));
        check_describe(c, "m %zu, n %zu, k %zu, accumulate %d", l.m, l.n, l.k, l.accumulate);
        check_work(c, 2.0 * (double)(l.m * l.n * l.k));
        struct tt_linear_dw want = l;
        want.dw = dw.want;
        l.dw = dw.got;
        tt_linear_dw(c->scalar, &want, scratch1, 1);
        CHECK_CALL(c, tt_linear_dw(c->kernels, &l, scratch, c->threads));
        for (size_t i = 0; check_reference(c) && i < dw.n; i++) {
            struct sum s = {0};
            for (size_t r = 0; r < l.m; r++)
                sum_product(&s, (double)l.dy[r * l.n + i / l.k], (double)l.x[r * l.k + i % l.k]);
            if (l.accumulate) sum_product(&s, (double)before[i], 1);
            check_within(c, &dw, i, s.value, sum_limit(&s));
        }
    }
}

static void choose_conv(struct check *c, struct tt_conv *g, bool winograd) {
    g->n = check_range(c, 1, 2);
    g->h = check_range(c, 3, 13), g->w = check_range(c, 3, 13);
    g->c = check_range(c, 1, 70), g->k = check_range(c, 1, 40);
    if (c->index == 3) g->k = 400, g->h = 5; // more than one k-block
    if (c->index == 5) g->c = 1, g->k = 4;
    if (c->index == 6) g->n = 3, g->h = 12, g->w = 13, g->c = 35; // more than one block of rows
    g->kernel = winograd || c->index % 4 != 1 ? 3 : 1;
    g->stride = winograd || c->index % 3 != 2 ? 1 : 2;
    if (g->kernel == 3) g->pad_top = g->pad_left = g->pad_bottom = g->pad_right = 1;
    if (g->kernel == 3 && c->index % 5 == 4) g->pad_top = g->pad_left = 0;
    if (g->kernel == 3 && c->index % 7 == 3) g->pad_top = 2, g->pad_right = 0;
    if (c->bench) *g = (struct tt_conv){.n = 1, .h = 64, .w = 64, .c = 320, .k = 320,
                                       .kernel = 3, .stride = 1, .pad_top = 1, .pad_left = 1,
                                       .pad_bottom = 1, .pad_right = 1};
    check_describe(c, "n %zu, %zu x %zu, c %zu, k %zu, kernel %zu, stride %zu, pad %zu %zu %zu %zu",
                   g->n, g->h, g->w, g->c, g->k, g->kernel, g->stride, g->pad_top, g->pad_left,
                   g->pad_bottom, g->pad_right);
}

// The input pixel that tap (a, b) of output (oy, ox) meets; false where it lies outside.
static bool tap_inside(const struct tt_conv *g, size_t oy, size_t ox, size_t a, size_t b, size_t *y,
                       size_t *x) {
    *y = oy * g->stride + a - g->pad_top;
    *x = ox * g->stride + b - g->pad_left;
    return *y < g->h && *x < g->w; // negative ones wrap around
}

// dx of one value: over all outputs that saw its pixel.
static struct sum dx_sum(const struct tt_conv *g, const float *w, const float *dy, size_t at) {
    size_t oh, ow, ch = at % g->c, pixel = at / g->c, image = pixel / (g->h * g->w);
    struct sum s = {0};
    tt_conv_out_size(g, &oh, &ow);
    for (size_t i = 0; i < oh * ow * g->kernel * g->kernel; i++) {
        size_t tap = i % (g->kernel * g->kernel), out = i / (g->kernel * g->kernel), y, x;
        if (!tap_inside(g, out / ow, out % ow, tap / g->kernel, tap % g->kernel, &y, &x)) continue;
        if ((image * g->h + y) * g->w + x != pixel) continue;
        for (size_t k = 0; k < g->k; k++)
            sum_product(&s, (double)dy[(image * oh * ow + out) * g->k + k],
                        (double)w[(k * g->c + ch) * g->kernel * g->kernel + tap]);
    }
    s.terms += g->k; // zeros that were multiplied
    return s;
}

// The limit of Winograd counts with the largest sum: its tiles mix outputs.
static void dx_reference(struct check *c, const struct tt_conv *g, const float *w, const float *dy,
                         const struct check_out *dx, bool winograd) {
    double largest = 0;
    for (int pass = winograd ? 0 : 1; pass < 2; pass++)
        for (size_t i = 0; i < dx->n; i++) {
            struct sum s = dx_sum(g, w, dy, i);
            largest = fmax(largest, s.magnitude);
            if (winograd) s.magnitude = largest, s.terms = g->k + 64;
            if (pass) check_within(c, dx, i, s.value, sum_limit(&s));
        }
}

static void conv_dx(struct check *c, bool winograd) {
    enum tt_conv_algorithm algorithm = winograd ? TT_CONV_WINOGRAD : TT_CONV_DIRECT;
    while (check_case(c, c->quick ? 12 : 20)) {
        struct tt_conv g = {0};
        choose_conv(c, &g, winograd);
        size_t oh, ow, taps = g.kernel * g.kernel, half = g.k / 2;
        tt_conv_out_size(&g, &oh, &ow);
        const float *w = check_in(c, g.k * g.c * taps, FILL_UNIT);
        size_t floats = tt_conv_dx_packed_floats(g.k, g.c, g.kernel);
        float *packed = check_in_aligned(c, floats, FILL_UNIT);
        for (size_t i = 0; i < floats; i++) packed[i] = NAN;
        tt_conv_dx_pack_rows(packed, g.k, g.c, g.kernel, g.stride, 0, half, w);
        tt_conv_dx_pack_rows(packed, g.k, g.c, g.kernel, g.stride, half, g.k - half,
                             w + half * g.c * taps);
        for (size_t i = 0; i < floats; i++)
            if (isnan(packed[i])) check_fail(c, "[%zu] of the packed weights is missing", i);
        const float *dy = check_in(c, g.n * oh * ow * g.k, FILL_UNIT);
        struct check_out dx = check_out(c, g.n * g.h * g.w * g.c);
        void *scratch = check_scratch(c, tt_conv_dx_scratch(&g, algorithm, c->threads));
        void *scratch1 = check_scratch(c, tt_conv_dx_scratch(&g, algorithm, 1));
        check_work(c, 2.0 * (double)(g.n * oh * ow * g.k * g.c * taps));
        tt_conv_dx(c->scalar, &g, algorithm, packed, dy, dx.want, scratch1, 1);
        CHECK_CALL(c, tt_conv_dx(c->kernels, &g, algorithm, packed, dy, dx.got, scratch,
                                 c->threads));
        if (check_reference(c)) dx_reference(c, &g, w, dy, &dx, winograd);
    }
}

void check_conv_dx_direct(struct check *c) {
    conv_dx(c, false);
}

void check_conv_dx_winograd(struct check *c) {
    conv_dx(c, true);
}

static struct sum dw_sum(const struct tt_conv *g, const float *dy, size_t i) {
    size_t oh, ow, taps = g->kernel * g->kernel, k = i / taps / g->c, ch = i / taps % g->c, y, x;
    struct sum s = {0};
    tt_conv_out_size(g, &oh, &ow);
    for (size_t out = 0; out < g->n * oh * ow; out++) {
        size_t tap = i % taps;
        if (!tap_inside(g, out / ow % oh, out % ow, tap / g->kernel, tap % g->kernel, &y, &x))
            continue;
        size_t pixel = (out / (oh * ow) * g->h + y) * g->w + x;
        sum_product(&s, (double)dy[out * g->k + k], (double)g->x[pixel * g->c + ch]);
    }
    return s;
}

// The limit of Winograd counts with the largest sum: its transforms mix taps.
static void dw_reference(struct check *c, const struct tt_conv *g, const float *dy,
                         const float *before, const struct check_out *dw, bool winograd) {
    double largest = 0;
    for (int pass = winograd ? 0 : 1; pass < 2; pass++)
        for (size_t i = 0; i < dw->n; i++) {
            struct sum s = dw_sum(g, dy, i);
            if (before) sum_product(&s, (double)before[i], 1);
            largest = fmax(largest, s.magnitude);
            if (winograd) s.magnitude = largest, s.terms += 64;
            if (pass) check_within(c, dw, i, s.value, sum_limit(&s));
        }
}

static void conv_dw(struct check *c, bool winograd) {
    enum tt_conv_algorithm algorithm = winograd ? TT_CONV_WINOGRAD : TT_CONV_DIRECT;
    while (check_case(c, c->quick ? 12 : 20)) {
        struct tt_conv g = {0};
        choose_conv(c, &g, winograd);
        if (winograd && c->index == 7) g.n = 3, g.h = 29, g.w = 30, g.c = g.k = 5; // two blocks
        if (winograd && c->index == 8) g.n = 3, g.h = 44, g.w = 49, g.c = g.k = 2; // three parts
        size_t oh, ow, taps = g.kernel * g.kernel, count = g.k * g.c * taps;
        int accumulate = c->index % 2;
        tt_conv_out_size(&g, &oh, &ow);
        g.x = check_in(c, g.n * g.h * g.w * g.c, FILL_UNIT);
        const float *dy = check_in(c, g.n * oh * ow * g.k, FILL_UNIT);
        const float *before = check_in(c, count, FILL_UNIT);
        struct check_out dw = accumulate ? check_inout(c, count, FILL_UNIT) : check_out(c, count);
        if (accumulate) {
            memcpy(dw.got, before, dw.n * sizeof *before);
            memcpy(dw.want, before, dw.n * sizeof *before);
        }
        void *scratch = check_scratch(c, tt_conv_dw_scratch(&g, algorithm, c->threads));
        void *scratch1 = check_scratch(c, tt_conv_dw_scratch(&g, algorithm, 1));
        check_work(c, 2.0 * (double)(g.n * oh * ow * count));
        tt_conv_dw(c->scalar, &g, algorithm, dy, dw.want, accumulate, scratch1, 1);
        CHECK_CALL(c, tt_conv_dw(c->kernels, &g, algorithm, dy, dw.got, accumulate, scratch,
                                 c->threads));
        if (check_reference(c))
            dw_reference(c, &g, dy, accumulate ? before : NULL, &dw, winograd);
    }
}

void check_conv_dw_direct(struct check *c) {
    conv_dw(c, false);
}

void check_conv_dw_winograd(struct check *c) {
    conv_dw(c, true);
}
