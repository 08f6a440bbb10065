// SPDX-License-Identifier: MIT
#include "shape/shape.h"

#include <math.h>
#include <string.h>

#include "check.h"

static void expect_bits(struct check *c, const struct check_out *y, size_t i, const float *x) {
    if (memcmp(y->want + i, x, sizeof *x))
        check_fail(c, "scalar [%zu] is %g, should be a copy of %g", i, y->want[i], *x);
}

// PyTorch's nearest, as its documentation has it: floor(out * in / out_size).
void check_upsample_nearest_f32(struct check *c) {
    while (check_case(c, 80)) {
        size_t n = check_range(c, 1, 2), h = check_range(c, 1, 9), w = check_range(c, 1, 9);
        size_t channels = check_length(c, 320) % 100 + 1;
        size_t oh = c->index % 2 ? 2 * h : check_range(c, 1, 20);
        size_t ow = c->index % 2 ? 2 * w : check_range(c, 1, 20);
        if (c->bench) h = w = 32, oh = ow = 64;
        const float *x = check_in(c, n * h * w * channels, check_fill(c));
        struct check_out y = check_out(c, n * oh * ow * channels);
        check_describe(c, "n %zu, c %zu, %zu x %zu to %zu x %zu", n, channels, h, w, oh, ow);
        check_work(c, (double)y.n);
        c->scalar->upsample_nearest_f32(x, y.want, n, h, w, channels, oh, ow);
        CHECK_CALL(c, c->kernels->upsample_nearest_f32(x, y.got, n, h, w, channels, oh, ow));
        for (size_t i = 0; check_reference(c) && i < y.n; i++) {
            size_t ch = i % channels, col = i / channels % ow, row = i / channels / ow % oh;
            size_t image = i / channels / ow / oh;
            expect_bits(c, &y, i,
                        x + ((image * h + row * h / oh) * w + col * w / ow) * channels + ch);
        }
    }
}

void check_embedding_f32(struct check *c) {
    while (check_case(c, 80)) {
        size_t rows = check_range(c, 1, 50), t = check_range(c, 0, 77);
        size_t width = check_length(c, 768) % 769;
        const float *table = check_in(c, rows * width, check_fill(c));
        int32_t *ids = check_in_bytes(c, t * sizeof *ids);
        for (size_t i = 0; i < t; i++) ids[i] = (int32_t)check_range(c, 0, rows - 1);
        struct check_out y = check_out(c, t * width);
        check_describe(c, "%zu ids, c %zu", t, width);
        check_work(c, (double)y.n);
        c->scalar->embedding_f32(table, ids, y.want, t, width);
        CHECK_CALL(c, c->kernels->embedding_f32(table, ids, y.got, t, width));
        for (size_t i = 0; check_reference(c) && i < y.n; i++)
            expect_bits(c, &y, i, table + (size_t)ids[i / width] * width + i % width);
    }
}

typedef void layout(const float *x, float *y, size_t n, size_t c, size_t hw);

static void check_layout(struct check *c, layout *scalar, layout *kernel, bool from_nhwc) {
    while (check_case(c, 90)) {
        size_t n = check_range(c, 1, 2), channels = check_range(c, 1, 70);
        size_t hw = check_length(c, 4096) % 150;
        if (c->bench) n = 1, channels = 320, hw = 4096;
        const float *x = check_in(c, n * channels * hw, check_fill(c));
        struct check_out y = check_out(c, n * channels * hw);
        check_describe(c, "n %zu, c %zu, hw %zu", n, channels, hw);
        check_work(c, (double)y.n);
        scalar(x, y.want, n, channels, hw);
        CHECK_CALL(c, kernel(x, y.got, n, channels, hw));
        for (size_t i = 0; check_reference(c) && i < y.n; i++) {
            size_t image = i / (channels * hw), rest = i % (channels * hw);
            size_t ch = rest / hw, pixel = rest % hw; // NCHW
            size_t other = image * channels * hw + pixel * channels + ch;
            expect_bits(c, &y, from_nhwc ? i : other, x + (from_nhwc ? other : i));
        }
    }
}

void check_nchw_to_nhwc_f32(struct check *c) {
    check_layout(c, c->scalar->nchw_to_nhwc_f32, c->kernels->nchw_to_nhwc_f32, false);
}

void check_nhwc_to_nchw_f32(struct check *c) {
    check_layout(c, c->scalar->nhwc_to_nchw_f32, c->kernels->nhwc_to_nchw_f32, true);
}

static double half_value(uint16_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double sign = bits >> 15 ? -1 : 1;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24));
}

static double bfloat_value(uint16_t bits) {
    int exponent = bits >> 7 & 255, fraction = bits & 127;
    double sign = bits >> 15 ? -1 : 1;
    if (exponent == 255) return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(128 + fraction, exponent - 134) : ldexp(fraction, -133));
}

typedef void convert(const uint16_t *x, float *y, size_t n);

// The last case has all 65,536 values.
static void check_convert(struct check *c, convert *scalar, convert *kernel,
                          double (*value)(uint16_t)) {
    while (check_case(c, 101)) {
        size_t n = c->index == 100 ? 65536 : check_length(c, 65536);
        uint16_t *x = check_in_bytes(c, n * sizeof *x);
        for (size_t i = 0; i < n && c->index == 100; i++) x[i] = (uint16_t)i;
        struct check_out y = check_out(c, n);
        check_describe(c, "n %zu", n);
        check_work(c, (double)n);
        scalar(x, y.want, n);
        CHECK_CALL(c, kernel(x, y.got, n));
        for (size_t i = 0; check_reference(c) && i < n; i++)
            check_within(c, &y, i, value(x[i]), 0);
    }
}

void check_convert_f16_f32(struct check *c) {
    check_convert(c, c->scalar->convert_f16_f32, c->kernels->convert_f16_f32, half_value);
}

void check_convert_bf16_f32(struct check *c) {
    check_convert(c, c->scalar->convert_bf16_f32, c->kernels->convert_bf16_f32, bfloat_value);
}

void check_sinusoidal_f32(struct check *c) {
    while (check_case(c, 60)) {
        size_t n = check_range(c, 1, 4), dim = c->bench ? 320 : check_range(c, 2, 70);
        int flip = c->index % 2;
        float shift = c->index % 3 == 1 && dim > 3 ? 1 : 0, period = 10000;
        float *t = check_in(c, n, FILL_UNIT);
        for (size_t i = 0; i < n; i++) t[i] = c->index % 4 ? fabsf(t[i]) * 1000 : (float)(i * 333);
        struct check_out y = check_out(c, n * dim);
        check_describe(c, "n %zu, dim %zu, flip %d, shift %g", n, dim, flip, shift);
        check_work(c, (double)y.n);
        c->scalar->sinusoidal_f32(t, y.want, n, dim, flip, shift, period);
        CHECK_CALL(c, c->kernels->sinusoidal_f32(t, y.got, n, dim, flip, shift, period));
        for (size_t i = 0; check_reference(c) && i < y.n; i++) {
            size_t j = i % dim, half = dim / 2, q = j % half;
            double exponent = -log(period) * (double)q / ((double)half - (double)shift);
            double angle = (double)t[i / dim] * exp(exponent);
            double value = (j < half) == (flip != 0) ? cos(angle) : sin(angle);
            double limit = angle * (3 * fabs(exponent) + 3) * 0x1p-24 + 0x1p-24;
            if (j == 2 * half) value = limit = 0;
            check_within(c, &y, i, value, limit);
        }
    }
}
