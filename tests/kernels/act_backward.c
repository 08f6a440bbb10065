// SPDX-License-Identifier: MIT
#include "act/act_backward.h"

#include <math.h>
#include <string.h>

#include "check.h"

typedef void backward(const float *x, const float *dy, float *dx, size_t n);

static double silu_slope(double x) {
    double s = 1 / (1 + exp(-x));
    return s + x * s / (1 + exp(x));
}

static double quick_gelu_slope(double x) {
    return silu_slope(1.702 * x);
}

static double gelu(double x) {
    return x / 2 * erfc(-x / sqrt(2));
}

static double gelu_slope(double x) {
    return erfc(-x / sqrt(2)) / 2 + x * exp(-x * x / 2) / sqrt(8 * atan(1));
}

// Slopes are about 1 and pass through 0, so their limit is absolute. Every fourth case works in
// place of x, another of dy.
static void check_backward(struct check *c, backward *scalar, backward *kernel,
                           double (*slope)(double)) {
    while (check_case(c, 160)) {
        size_t n = check_length(c, 1 << 14);
        int place = (int)(c->index % 4);
        enum fill fill = check_fill(c);
        struct check_out dx = place > 1 ? check_inout(c, n, fill) : check_out(c, n);
        float *x = check_in(c, n, fill), *dy = check_in(c, n, FILL_WIDE);
        if (c->index % 8 == 4)
            for (size_t i = 0; i < n; i++) x[i] *= 8;
        if (n && place > 1) memcpy(place == 2 ? x : dy, dx.got, n * sizeof *x);
        check_describe(c, "n %zu, place %d", n, place);
        check_work(c, (double)n);
        scalar(x, dy, dx.want, n);
        CHECK_CALL(c, kernel(place == 2 ? dx.got : x, place == 3 ? dx.got : dy, dx.got, n));
        for (size_t i = 0; check_reference(c) && fill < FILL_FINITE && i < n; i++)
            check_within(c, &dx, i, (double)dy[i] * slope((double)x[i]),
                         0x1p-22 * fabs((double)dy[i]) + 0x1p-148);
    }
}

void check_silu_backward_f32(struct check *c) {
    check_backward(c, c->scalar->silu_backward_f32, c->kernels->silu_backward_f32, silu_slope);
}

void check_gelu_backward_f32(struct check *c) {
    check_backward(c, c->scalar->gelu_backward_f32, c->kernels->gelu_backward_f32, gelu_slope);
}

void check_quick_gelu_backward_f32(struct check *c) {
    check_backward(c, c->scalar->quick_gelu_backward_f32, c->kernels->quick_gelu_backward_f32,
                   quick_gelu_slope);
}

void check_geglu_backward_f32(struct check *c) {
    while (check_case(c, 120)) {
        size_t width = check_length(c, 1280) % 1281, rows = c->bench ? 16 : c->index % 4;
        bool in_place = c->index % 4 == 3;
        enum fill fill = check_fill(c);
        struct check_out dx = in_place ? check_inout(c, rows * 2 * width, fill)
                                       : check_out(c, rows * 2 * width);
        float *x = check_in(c, dx.n, fill);
        if (in_place && dx.n) memcpy(x, dx.got, dx.n * sizeof *x);
        const float *dy = check_in(c, rows * width, FILL_UNIT);
        check_describe(c, "%zu rows, c %zu", rows, width);
        check_work(c, (double)(rows * width));
        c->scalar->geglu_backward_f32(x, dy, dx.want, rows, width);
        CHECK_CALL(c, c->kernels->geglu_backward_f32(in_place ? dx.got : x, dy, dx.got, rows,
                                                     width));
        for (size_t i = 0; check_reference(c) && fill < FILL_FINITE && i < dx.n; i++) {
            size_t r = i / (2 * width), j = i % (2 * width);
            double value = (double)x[r * 2 * width + j % width];
            double d = (double)dy[r * width + j % width];
            double gate = (double)x[r * 2 * width + width + j % width];
            double expected = j < width ? d * gelu(gate) : d * value * gelu_slope(gate);
            double size = j < width ? fabs(expected) : fabs(d * value);
            check_within(c, &dx, i, expected, 0x1p-21 * size + fabs(d) * 0x1p-147 + 0x1p-149);
        }
    }
}

static double relu_slope(double x) {
    return x <= 0 ? 0 : 1;
}

static double tanh_slope(double x) {
    double c = 1 / cosh(x);
    return c * c;
}

void check_relu_backward_f32(struct check *c) {
    check_backward(c, c->scalar->relu_backward_f32, c->kernels->relu_backward_f32, relu_slope);
}

void check_tanh_backward_f32(struct check *c) {
    check_backward(c, c->scalar->tanh_backward_f32, c->kernels->tanh_backward_f32, tanh_slope);
}
