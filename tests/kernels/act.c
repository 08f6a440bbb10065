// SPDX-License-Identifier: MIT
#include "act/act.h"

#include <math.h>
#include <string.h>

#include "check.h"

typedef void unary(const float *x, float *y, size_t n);

// Every second case works in place.
static void check_unary(struct check *c, unary *scalar, unary *kernel, double (*f)(double),
                        double (*ulps)(double)) {
    while (check_case(c, 160)) {
        size_t n = check_length(c, 1 << 14);
        bool in_place = c->index % 4 == 3;
        struct check_out y =
            in_place ? check_inout(c, n, check_fill(c)) : check_out(c, n);
        float *x = check_in(c, n, check_fill(c));
        if (n && in_place) memcpy(x, y.got, n * sizeof *x);
        check_describe(c, "n %zu%s", n, in_place ? ", in place" : "");
        check_work(c, (double)n);
        scalar(x, y.want, n);
        CHECK_CALL(c, kernel(in_place ? y.got : x, y.got, n));
        for (size_t i = 0; check_reference(c) && i < n; i++)
            check_near(c, &y, i, f((double)x[i]), ulps((double)x[i]));
    }
}

static double silu(double x) {
    return x == -INFINITY ? -0.0 : x / (1 + exp(-x));
}

static double gelu(double x) {
    return x == -INFINITY ? -0.0 : x / 2 * erfc(-x / sqrt(2));
}

static double quick_gelu(double x) {
    return x == -INFINITY ? -0.0 : x / (1 + exp(-1.702 * x));
}

static double few(double x) {
    (void)x;
    return 5;
}

static double eight(double x) {
    (void)x;
    return 8;
}

// 1.702f x is rounded before the exponential sees it, and 1.702f is not 1.702.
static double quick_gelu_ulps(double x) {
    return 4 + 2 * fmin(fabs(1.702 * x), 128);
}

void check_silu_f32(struct check *c) {
    check_unary(c, c->scalar->silu_f32, c->kernels->silu_f32, silu, few);
}

void check_gelu_f32(struct check *c) {
    check_unary(c, c->scalar->gelu_f32, c->kernels->gelu_f32, gelu, eight);
}

void check_quick_gelu_f32(struct check *c) {
    check_unary(c, c->scalar->quick_gelu_f32, c->kernels->quick_gelu_f32, quick_gelu,
                quick_gelu_ulps);
}

void check_tanh_f32(struct check *c) {
    check_unary(c, c->scalar->tanh_f32, c->kernels->tanh_f32, tanh, few);
}

static double relu(double x) {
    return x < 0 ? 0 : x;
}

static double half(double x) {
    (void)x;
    return 0.5;
}

void check_relu_f32(struct check *c) {
    check_unary(c, c->scalar->relu_f32, c->kernels->relu_f32, relu, half);
}

void check_affine_f32(struct check *c) {
    while (check_case(c, 100)) {
        size_t n = check_length(c, 1 << 14);
        const float *x = check_in(c, n, check_fill(c)), *st = check_in(c, 2, check_fill(c));
        struct check_out y = check_out(c, n);
        check_describe(c, "n %zu, s %g, t %g", n, st[0], st[1]);
        check_work(c, (double)n);
        c->scalar->affine_f32(x, st[0], st[1], y.want, n);
        CHECK_CALL(c, c->kernels->affine_f32(x, st[0], st[1], y.got, n));
        for (size_t i = 0; check_reference(c) && check_fill(c) < FILL_FINITE && i < n; i++) {
            double product = (double)x[i] * (double)st[0]; // exact; the sum is rounded to double
            check_near(c, &y, i, product + (double)st[1], 0.5 + 0x1p-28);
        }
    }
}

void check_add_f32(struct check *c) {
    while (check_case(c, 160)) {
        size_t n = check_length(c, 1 << 14);
        bool in_place = c->index % 4 == 3;
        struct check_out y =
            in_place ? check_inout(c, n, check_fill(c)) : check_out(c, n);
        float *a = check_in(c, n, check_fill(c));
        if (n && in_place) memcpy(a, y.got, n * sizeof *a);
        const float *b = check_in(c, n, check_fill(c));
        check_describe(c, "n %zu%s", n, in_place ? ", in place" : "");
        check_work(c, (double)n);
        c->scalar->add_f32(a, b, y.want, n);
        CHECK_CALL(c, c->kernels->add_f32(in_place ? y.got : a, b, y.got, n));
        for (size_t i = 0; check_reference(c) && i < n; i++)
            check_near(c, &y, i, (double)a[i] + (double)b[i], 0.5);
    }
}

void check_scale_f32(struct check *c) {
    while (check_case(c, 100)) {
        size_t n = check_length(c, 1 << 14);
        const float *x = check_in(c, n, check_fill(c)), *s = check_in(c, 1, check_fill(c));
        struct check_out y = check_out(c, n);
        check_describe(c, "n %zu, s %g", n, *s);
        check_work(c, (double)n);
        c->scalar->scale_f32(x, *s, y.want, n);
        CHECK_CALL(c, c->kernels->scale_f32(x, *s, y.got, n));
        for (size_t i = 0; check_reference(c) && i < n; i++)
            check_near(c, &y, i, (double)x[i] * (double)*s, 0.5);
    }
}

void check_geglu_f32(struct check *c) {
    while (check_case(c, 120)) {
        size_t width = check_length(c, 1280) % 1281, rows = c->bench ? 16 : c->index % 4;
        const float *x = check_in(c, rows * 2 * width, check_fill(c));
        struct check_out y = check_out(c, rows * width);
        check_describe(c, "%zu rows, c %zu", rows, width);
        check_work(c, (double)(rows * width));
        c->scalar->geglu_f32(x, y.want, rows, width);
        CHECK_CALL(c, c->kernels->geglu_f32(x, y.got, rows, width));
        for (size_t i = 0; check_reference(c) && check_fill(c) < FILL_FINITE && i < y.n; i++) {
            const float *row = x + i / width * 2 * width;
            double a = (double)row[i % width], b = gelu((double)row[width + i % width]);
            check_within(c, &y, i, a * b, 0x1p-21 * fabs(a * b) + fabs(a) * 0x1p-147 + 0x1p-149);
        }
    }
}
