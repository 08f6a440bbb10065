// SPDX-License-Identifier: MIT
#include <math.h>
#include <string.h>

#include "check.h"
#include "norm/group_norm.h"
#include "norm/layer_norm.h"
#include "reference.h"

static const double U = 0x1p-24; // rounding to float

struct moments {
    double mean, rstd, largest;
};

// Of rows x width numbers, rows stride apart.
static struct moments moments(const float *x, size_t rows, size_t width, size_t stride,
                              double eps) {
    struct moments m = {0};
    double n = (double)(rows * width), variance = 0;
    for (size_t i = 0; i < rows * width; i++) {
        double v = (double)x[i / width * stride + i % width];
        m.mean += v / n;
        m.largest = fmax(m.largest, fabs(v));
    }
    for (size_t i = 0; i < rows * width; i++) {
        double d = (double)x[i / width * stride + i % width] - m.mean;
        variance += d * d / n;
    }
    m.rstd = 1 / sqrt(variance + eps);
    return m;
}

// The limit of (x - mean) rstd gamma + beta: mean is off by some roundings of the largest x, rstd
// by as many of itself.
static void check_normal(struct check *c, const struct check_out *y, size_t i, double x,
                         struct moments m, double gamma, double beta, double chain, bool silu) {
    double normal = (x - m.mean) * m.rstd, value = normal * gamma + beta;
    double limit = U * (chain + 16) * fabs(gamma) * (m.largest * m.rstd + fabs(normal)) +
                   2 * U * fabs(beta) + 0x1p-149;
    if (silu) value /= 1 + exp(-value), limit = 1.1 * limit + 3 * U * fabs(value);
    check_within(c, y, i, value, limit);
}

static void layer_norm_reference(struct check *c, const struct check_out *y, const float *x,
                                 const float *gamma, const float *beta, size_t width, float eps) {
    struct moments m = {0};
    for (size_t i = 0; i < y->n; i++) {
        if (i % width == 0) m = moments(x + i, 1, width, width, (double)eps);
        check_normal(c, y, i, (double)x[i], m, (double)gamma[i % width], (double)beta[i % width],
                     (double)(width / 32), false);
    }
}

static const float epsilons[] = {1e-5f, 1e-6f, 1e-3f};

void check_layer_norm_f32(struct check *c) {
    while (check_case(c, 120)) {
        size_t width = check_length(c, 768) + 1, rows = c->bench ? 16 : 1 + c->index % 3;
        const float *x = check_in(c, rows * width, check_fill(c));
        const float *gamma = check_in(c, width, FILL_UNIT), *beta = check_in(c, width, FILL_WIDE);
        struct check_out y = check_out(c, rows * width);
        float eps = epsilons[c->index % 3];
        check_describe(c, "m %zu, c %zu", rows, width);
        check_work(c, (double)y.n);
        c->scalar->layer_norm_f32(x, gamma, beta, y.want, rows, width, eps);
        CHECK_CALL(c, c->kernels->layer_norm_f32(x, gamma, beta, y.got, rows, width, eps));
        if (check_reference(c) && check_fill(c) < FILL_FINITE)
            layer_norm_reference(c, &y, x, gamma, beta, width, eps);
    }
}

void check_layer_norm(struct check *c) {
    while (check_case(c, 12)) {
        struct tt_layer_norm l = {.m = check_range(c, 1, 60), .c = check_range(c, 1, 90)};
        if (c->bench) l.m = 4096, l.c = 320;
        l.eps = epsilons[c->index % 3];
        l.x = check_in(c, l.m * l.c, FILL_UNIT);
        l.gamma = check_in(c, l.c, FILL_UNIT);
        l.beta = check_in(c, l.c, FILL_UNIT);
        struct check_out y = check_out(c, l.m * l.c);
        check_describe(c, "m %zu, c %zu", l.m, l.c);
        struct tt_layer_norm want = l;
        l.y = y.got;
        want.y = y.want;
        check_work(c, (double)y.n);
        tt_layer_norm(c->scalar, &want, 1);
        CHECK_CALL(c, tt_layer_norm(c->kernels, &l, c->threads));
        if (check_reference(c)) layer_norm_reference(c, &y, l.x, l.gamma, l.beta, l.c, l.eps);
    }
}

// sum and m2 are one output here: the first and the second half of it.
void check_group_norm_stats_f32(struct check *c) {
    while (check_case(c, 150)) {
        size_t groups = c->bench ? 32 : check_range(c, 1, 9);
        size_t width = c->bench ? 10 : check_range(c, 1, 20);
        size_t rows = c->bench ? TT_GROUP_NORM_ROWS : check_range(c, 1, TT_GROUP_NORM_ROWS);
        size_t channels = groups * width;
        const float *x = check_in(c, rows * channels, check_fill(c));
        struct check_out y = check_out(c, 2 * groups);
        float *lanes = check_scratch(c, channels * sizeof *lanes);
        check_describe(c, "%zu rows, c %zu, %zu groups", rows, channels, groups);
        check_work(c, (double)(rows * channels));
        c->scalar->group_norm_stats_f32(x, y.want, y.want + groups, lanes, rows, channels, groups);
        CHECK_CALL(c, c->kernels->group_norm_stats_f32(x, y.got, y.got + groups, lanes, rows,
                                                       channels, groups));
        if (!check_reference(c) || check_fill(c) >= FILL_FINITE) continue;
        for (size_t g = 0; g < groups; g++) {
            struct sum s = {0}, m2 = {0};
            for (size_t i = 0; i < rows * width; i++)
                sum_product(&s, (double)x[i / width * channels + g * width + i % width], 1);
            double mean = s.value / (double)(rows * width);
            double off = sum_limit(&s) / (double)(rows * width);
            for (size_t i = 0; i < rows * width; i++) {
                double d = fabs((double)x[i / width * channels + g * width + i % width] - mean);
                sum_product(&m2, d, d);
                m2.magnitude += 4 * off * d / U / 4 / (double)(rows * width) + 4 * d * d;
            }
            check_within(c, &y, g, s.value, sum_limit(&s));
            check_within(c, &y, groups + g, m2.value, sum_limit(&m2));
        }
    }
}

void check_group_norm_apply_f32(struct check *c) {
    while (check_case(c, 160)) {
        size_t channels = check_length(c, 320) + 1, rows = c->bench ? 32 : 1 + c->index % 5;
        int silu = c->index / 2 % 2;
        bool in_place = c->index % 8 == 7;
        struct check_out y = in_place ? check_inout(c, rows * channels, check_fill(c))
                                      : check_out(c, rows * channels);
        float *x = check_in(c, y.n, check_fill(c));
        if (in_place) memcpy(x, y.got, y.n * sizeof *x);
        const float *mean = check_in(c, channels, FILL_UNIT);
        const float *scale = check_in(c, channels, FILL_WIDE);
        const float *beta = check_in(c, channels, check_fill(c));
        check_describe(c, "%zu rows, c %zu, silu %d", rows, channels, silu);
        check_work(c, (double)y.n);
        c->scalar->group_norm_apply_f32(x, mean, scale, beta, y.want, rows, channels, silu);
        CHECK_CALL(c, c->kernels->group_norm_apply_f32(in_place ? y.got : x, mean, scale, beta,
                                                       y.got, rows, channels, silu));
        for (size_t i = 0; check_reference(c) && check_fill(c) < FILL_FINITE && i < y.n; i++) {
            size_t j = i % channels;
            double slope = ((double)x[i] - (double)mean[j]) * (double)scale[j];
            double v = slope + (double)beta[j];
            double limit = U * (fabs(slope) + 1.01 * fabs(v)) + 0x1p-149;
            if (silu) v /= 1 + exp(-v), limit = 1.1 * limit + 6 * U * fabs(v);
            check_within(c, &y, i, v, limit);
        }
    }
}

void check_group_norm(struct check *c) {
    while (check_case(c, 20)) {
        struct tt_group_norm g = {.n = check_range(c, 1, 3), .hw = check_range(c, 1, 100)};
        g.groups = check_range(c, 1, 8);
        g.c = g.groups * check_range(c, 1, 11);
        if (c->bench) g = (struct tt_group_norm){.n = 1, .hw = 4096, .c = 320, .groups = 32};
        g.eps = epsilons[c->index % 3];
        g.silu = c->index % 2;
        bool any = c->index == 8;
        g.x = check_in(c, g.n * g.hw * g.c, any ? FILL_ANY : FILL_UNIT);
        g.gamma = check_in(c, g.c, FILL_UNIT);
        g.beta = check_in(c, g.c, FILL_UNIT);
        struct check_out y = check_out(c, g.n * g.hw * g.c);
        void *scratch = check_scratch(c, tt_group_norm_scratch(&g, c->threads));
        void *scratch1 = check_scratch(c, tt_group_norm_scratch(&g, 1));
        check_describe(c, "n %zu, hw %zu, c %zu, %zu groups, silu %d", g.n, g.hw, g.c, g.groups,
                       g.silu);
        struct tt_group_norm want = g;
        g.y = y.got;
        want.y = y.want;
        check_work(c, (double)y.n);
        tt_group_norm(c->scalar, &want, scratch1, 1);
        CHECK_CALL(c, tt_group_norm(c->kernels, &g, scratch, c->threads));
        for (size_t i = 0; check_reference(c) && !any && i < y.n; i++) {
            size_t j = i % g.c, image = i / g.c / g.hw, width = g.c / g.groups;
            const float *group = g.x + image * g.hw * g.c + j / width * width;
            struct moments m = moments(group, g.hw, width, g.c, (double)g.eps);
            check_normal(c, &y, i, (double)g.x[i], m, (double)g.gamma[j], (double)g.beta[j],
                         (double)(TT_GROUP_NORM_ROWS + width), g.silu);
        }
    }
}
