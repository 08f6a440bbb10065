// SPDX-License-Identifier: MIT
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "norm/group_norm.h"
#include "norm/layer_norm.h"
#include "reference.h"

static const double U = 0x1p-24; // rounding to float
static const float epsilons[] = {1e-5f, 1e-6f, 1e-3f};

static struct check_out sums_out(struct check *c, size_t n, const float *before) {
    struct check_out y = check_out(c, n);
    if (before) memcpy(y.got, before, n * sizeof *before);
    if (before) memcpy(y.want, before, n * sizeof *before);
    return y;
}

// A group of numbers that share mean and rstd: rows x width, `stride` apart, with the gradients g
// of what they became, each off by at most gerr, and the weights gamma of the width columns.
struct group {
    const float *x, *gamma;
    const double *g, *gerr;
    size_t rows, width, stride;
    double eps, chain;
};

// Compares dx (laid out like x, from dx_at) with float64 and adds to the sums of g z and g over
// rows and their limits: sum[4][width].
static void group_reference(struct check *c, const struct group *t, const struct check_out *dx,
                            size_t dx_at, double *sum[4]) {
    double n = (double)(t->rows * t->width), mean = 0, variance = 0, largest = 0, far = 0;
    for (size_t i = 0; i < t->rows * t->width; i++) {
        double x = (double)t->x[i / t->width * t->stride + i % t->width];
        mean += x / n;
        if (fabs(x) > largest) largest = fabs(x);
    }
    for (size_t i = 0; i < t->rows * t->width; i++) {
        double d = (double)t->x[i / t->width * t->stride + i % t->width] - mean;
        variance += d * d / n;
        if (fabs(d) > far) far = fabs(d);
    }
    double rstd = 1 / sqrt(variance + t->eps), unit = U * (t->chain + 24);
    double reach = (largest + far) * rstd, plain = 0, normal = 0, a = 0, b = 0, off = 0;
    for (size_t i = 0; i < t->rows * t->width; i++) {
        size_t at = i / t->width * t->stride + i % t->width;
        double z = ((double)t->x[at] - mean) * rstd, gamma = (double)t->gamma[i % t->width];
        plain += gamma * t->g[at] / n;
        normal += gamma * t->g[at] * z / n;
        a += fabs(gamma * t->g[at]) / n;
        b += fabs(gamma * t->g[at] * z) / n;
        if (fabs(gamma) * t->gerr[at] > off) off = fabs(gamma) * t->gerr[at];
        sum[0][i % t->width] += t->g[at] * z;
        sum[1][i % t->width] += t->g[at];
        sum[2][i % t->width] += fabs(t->g[at]) * unit * (reach + fabs(z)) + fabs(z) * t->gerr[at];
        sum[3][i % t->width] += fabs(t->g[at]) * unit + t->gerr[at];
    }
    for (size_t i = 0; i < t->rows * t->width; i++) {
        size_t at = i / t->width * t->stride + i % t->width;
        double z = ((double)t->x[at] - mean) * rstd;
        double g = (double)t->gamma[i % t->width] * t->g[at];
        double limit = off * (2 + fabs(z) * far * rstd) +
                       unit * (fabs(g) + a + fabs(z) * b + reach * (b + a * fabs(z)));
        check_within(c, dx, dx_at + at, rstd * (g - plain - z * normal), rstd * limit + 0x1p-140);
    }
}

static void compare_sums(struct check *c, const struct check_out *sums, double *sum[4],
                         size_t width, const float *before) {
    for (size_t i = 0; i < 2 * width; i++) {
        double value = sum[i / width][i % width], limit = sum[2 + i / width][i % width];
        if (before) value += (double)before[i], limit += 3 * U * (fabs(value) + 1);
        check_within(c, sums, i, value, limit + 2 * U * fabs(value) + 0x1p-140);
    }
}

static void layer_norm_reference(struct check *c, const struct tt_layer_norm_backward *l,
                                 const struct check_out *dx, const struct check_out *sums,
                                 const float *before) {
    double *room = calloc(l->m * l->c + 5 * l->c, sizeof *room), *sum[4];
    double *none = room + l->m * l->c;
    for (size_t i = 0; i < l->m * l->c; i++) room[i] = (double)l->dy[i];
    for (size_t i = 0; i < 4; i++) sum[i] = none + (i + 1) * l->c;
    for (size_t r = 0; r < l->m; r++) {
        struct group t = {.x = l->x + r * l->c, .gamma = l->gamma, .g = room + r * l->c,
                          .gerr = none, .rows = 1, .width = l->c, .stride = l->c,
                          .eps = (double)l->eps, .chain = (double)(l->c / 32)};
        group_reference(c, &t, dx, r * l->c, sum);
    }
    for (size_t i = 0; i < l->c; i++) { // the chain over rows
        sum[2][i] *= 1 + (double)TT_LAYER_NORM_ROWS / 8;
        sum[3][i] *= 1 + (double)TT_LAYER_NORM_ROWS / 8;
    }
    compare_sums(c, sums, sum, l->c, before);
    free(room);
}

void check_layer_norm_backward_f32(struct check *c) {
    while (check_case(c, 120)) {
        size_t width = check_length(c, 768) + 1, rows = c->bench ? 32 : 1 + c->index % 5;
        bool in_place = c->index % 4 == 3;
        float *x = check_in(c, rows * width, check_fill(c));
        float *dy = check_in(c, rows * width, check_fill(c));
        const float *gamma = check_in(c, width, FILL_UNIT);
        struct check_out dx = in_place ? check_inout(c, rows * width, check_fill(c))
                                       : check_out(c, rows * width);
        struct check_out sums = check_out(c, 2 * width);
        if (in_place) memcpy(dy, dx.got, dx.n * sizeof *dy);
        float eps = epsilons[c->index % 3];
        check_describe(c, "m %zu, c %zu%s", rows, width, in_place ? ", in place" : "");
        check_work(c, (double)dx.n);
        c->scalar->layer_norm_backward_f32(x, gamma, dy, dx.want, sums.want, rows, width, eps);
        CHECK_CALL(c, c->kernels->layer_norm_backward_f32(x, gamma, in_place ? dx.got : dy, dx.got,
                                                          sums.got, rows, width, eps));
        struct tt_layer_norm_backward l = {.m = rows, .c = width, .eps = eps, .x = x,
                                           .gamma = gamma, .dy = dy};
        if (check_reference(c) && check_fill(c) == FILL_UNIT)
            layer_norm_reference(c, &l, &dx, &sums, NULL);
    }
}

void check_layer_norm_backward(struct check *c) {
    while (check_case(c, 12)) {
        struct tt_layer_norm_backward l = {.m = check_range(c, 1, 90), .c = check_range(c, 1, 90)};
        if (c->bench) l.m = 4096, l.c = 320;
        l.eps = epsilons[c->index % 3];
        l.accumulate = c->index % 2;
        l.x = check_in(c, l.m * l.c, FILL_UNIT);
        l.gamma = check_in(c, l.c, FILL_UNIT);
        l.dy = check_in(c, l.m * l.c, FILL_UNIT);
        const float *before = check_in(c, 2 * l.c, FILL_UNIT);
        if (!l.accumulate) before = NULL;
        struct check_out dx = check_out(c, l.m * l.c), sums = sums_out(c, 2 * l.c, before);
        void *scratch = check_scratch(c, tt_layer_norm_backward_scratch(&l));
        check_describe(c, "m %zu, c %zu, accumulate %d", l.m, l.c, l.accumulate);
        check_work(c, (double)dx.n);
        struct tt_layer_norm_backward want = l;
        l.dx = dx.got, l.dgamma = sums.got, l.dbeta = sums.got + l.c;
        want.dx = dx.want, want.dgamma = sums.want, want.dbeta = sums.want + l.c;
        tt_layer_norm_backward(c->scalar, &want, scratch, 1);
        CHECK_CALL(c, tt_layer_norm_backward(c->kernels, &l, scratch, c->threads));
        if (check_reference(c)) layer_norm_reference(c, &l, &dx, &sums, before);
    }
}

static double silu_slope(double x) {
    double s = 1 / (1 + exp(-x));
    return s + x * s / (1 + exp(x));
}

void check_group_norm_backward_sums_f32(struct check *c) {
    while (check_case(c, 150)) {
        size_t width = c->bench ? 320 : check_range(c, 1, 90);
        size_t rows = c->bench ? TT_GROUP_NORM_ROWS : check_range(c, 1, TT_GROUP_NORM_ROWS);
        int silu = c->bench || c->index / 2 % 2;
        bool in_place = c->index % 8 == 7;
        const float *x = check_in(c, rows * width, check_fill(c));
        float *dy = check_in(c, rows * width, check_fill(c));
        const float *mean = check_in(c, width, FILL_UNIT), *scale = check_in(c, width, FILL_UNIT);
        const float *beta = check_in(c, width, FILL_UNIT);
        struct check_out g = in_place ? check_inout(c, rows * width, check_fill(c))
                                      : check_out(c, rows * width);
        struct check_out sums = check_out(c, 6 * width);
        if (in_place) memcpy(dy, g.got, g.n * sizeof *dy);
        check_describe(c, "%zu rows, c %zu, silu %d", rows, width, silu);
        check_work(c, (double)g.n);
        c->scalar->group_norm_backward_sums_f32(x, dy, mean, scale, beta, g.want, sums.want, rows,
                                                width, silu);
        CHECK_CALL(c, c->kernels->group_norm_backward_sums_f32(
                          x, in_place ? g.got : dy, mean, scale, beta, g.got, sums.got, rows,
                          width, silu));
        for (size_t j = 0; check_reference(c) && check_fill(c) == FILL_UNIT && j < width; j++) {
            double sum[6] = {0};
            for (size_t r = 0; r < rows; r++) {
                size_t at = r * width + j;
                double d = (double)x[at] - (double)mean[j], v = d * (double)scale[j];
                double limit = 0, value = (double)dy[at];
                if (silu) {
                    limit = fabs(value) * (0x1p-22 + U * (2 * fabs(v) + fabs((double)beta[j])));
                    value *= silu_slope(v + (double)beta[j]);
                }
                check_within(c, &g, at, value, limit);
                sum[0] += value * d, sum[1] += value, sum[2] += d;
                sum[3] += limit * fabs(d) + 0x1p-48 * fabs(value * d);
                sum[4] += limit + 0x1p-48 * fabs(value);
                sum[5] += 0x1p-48 * fabs(d);
            }
            for (int k = 0; k < 3; k++) {
                const float *own = sums.want + 2 * (size_t)k * width + j;
                double off = fabs((double)own[0] + (double)own[width] - sum[k]);
                if (!(off <= sum[3 + k] + 0x1p-140))
                    check_fail(c, "sum %d of channel %zu is off by %g, limit %g", k, j, off,
                               sum[3 + k]);
            }
        }
    }
}

void check_group_norm_backward_apply_f32(struct check *c) {
    while (check_case(c, 120)) {
        size_t width = check_length(c, 320) + 1, rows = c->bench ? 32 : 1 + c->index % 5;
        bool in_place = c->index % 4 == 3;
        const float *x = check_in(c, rows * width, check_fill(c));
        float *g = check_in(c, rows * width, check_fill(c));
        float *table = check_in(c, 6 * width, FILL_UNIT);
        for (size_t i = 0; i < 6 * width; i++)
            if (i / width % 2) table[i] *= 0x1p-24f;
        struct check_out dx = in_place ? check_inout(c, rows * width, check_fill(c))
                                       : check_out(c, rows * width);
        if (in_place) memcpy(g, dx.got, dx.n * sizeof *g);
        check_describe(c, "%zu rows, c %zu", rows, width);
        check_work(c, (double)dx.n);
        c->scalar->group_norm_backward_apply_f32(x, g, table, dx.want, rows, width);
        CHECK_CALL(c, c->kernels->group_norm_backward_apply_f32(x, in_place ? dx.got : g, table,
                                                                dx.got, rows, width));
        for (size_t i = 0; check_reference(c) && check_fill(c) < FILL_FINITE && i < dx.n; i++) {
            const float *own = table + i % width;
            double a = (double)g[i] * ((double)own[0] + (double)own[width]);
            double b = (double)x[i] * ((double)own[2 * width] + (double)own[3 * width]);
            double offset = (double)own[4 * width] + (double)own[5 * width];
            check_within(c, &dx, i, a + b + offset, U * fabs(a + b + offset) + 0x1p-140 +
                         0x1p-48 * (fabs(a) + fabs(b) + fabs(offset)));
        }
    }
}

static void group_norm_reference(struct check *c, const struct tt_group_norm_backward *b,
                                 const struct check_out *dx, const struct check_out *sums,
                                 const float *before) {
    const struct tt_group_norm *f = &b->forward;
    size_t all = f->n * f->hw * f->c, width = f->c / f->groups;
    double *g = calloc(2 * all + 4 * f->c, sizeof *g), *gerr = g + all, *sum[4], *part[4];
    for (size_t i = 0; i < 4; i++) sum[i] = gerr + all + i * f->c;
    for (size_t i = 0; i < f->n * f->groups; i++) {
        size_t channel = i % f->groups * width, at = i / f->groups * f->hw * f->c + channel;
        struct group t = {.x = f->x + at, .gamma = f->gamma + channel, .g = g + at,
                          .gerr = gerr + at, .rows = f->hw, .width = width, .stride = f->c,
                          .eps = (double)f->eps,
                          .chain = (double)(TT_GROUP_NORM_ROWS + width)};
        double n = (double)(f->hw * width), mean = 0, variance = 0, reach = 0;
        for (size_t k = 0; k < f->hw * width; k++)
            mean += (double)t.x[k / width * f->c + k % width] / n;
        for (size_t k = 0; k < f->hw * width; k++)
            variance += pow((double)t.x[k / width * f->c + k % width] - mean, 2) / n;
        double rstd = 1 / sqrt(variance + t.eps);
        reach = (1 + fabs(mean)) * rstd;
        for (size_t k = 0; k < f->hw * width; k++) {
            size_t to = k / width * f->c + k % width;
            double dy = (double)b->dy[at + to], gamma = (double)t.gamma[k % width];
            double beta = (double)f->beta[channel + k % width];
            double v = ((double)t.x[to] - mean) * rstd * gamma + beta;
            g[at + to] = f->silu ? dy * silu_slope(v) : dy;
            if (!f->silu) continue;
            double off = U * (t.chain + 24) * fabs(gamma) * 2 * reach + U * fabs(beta);
            gerr[at + to] = fabs(dy) * (0x1p-22 + off);
        }
        for (int k = 0; k < 4; k++) part[k] = sum[k] + channel;
        group_reference(c, &t, dx, at, part);
    }
    compare_sums(c, sums, sum, f->c, before);
    free(g);
}

void check_group_norm_backward(struct check *c) {
    while (check_case(c, 20)) {
        struct tt_group_norm g = {.n = check_range(c, 1, 3), .hw = check_range(c, 1, 100)};
        g.groups = check_range(c, 1, 8);
        g.c = g.groups * check_range(c, 1, 11);
        if (c->bench) g = (struct tt_group_norm){.n = 1, .hw = 4096, .c = 320, .groups = 32};
        g.eps = epsilons[c->index % 3];
        g.silu = c->bench || c->index % 2;
        g.x = check_in(c, g.n * g.hw * g.c, FILL_UNIT);
        g.gamma = check_in(c, g.c, FILL_UNIT);
        g.beta = check_in(c, g.c, FILL_UNIT);
        struct tt_group_norm_backward b = {.forward = g, .accumulate = c->index % 4 > 1};
        b.dy = check_in(c, g.n * g.hw * g.c, FILL_UNIT);
        const float *before = check_in(c, 2 * g.c, FILL_UNIT);
        if (!b.accumulate) before = NULL;
        struct check_out dx = check_out(c, g.n * g.hw * g.c), sums = sums_out(c, 2 * g.c, before);
        void *scratch = check_scratch(c, tt_group_norm_backward_scratch(&b, c->threads));
        void *scratch1 = check_scratch(c, tt_group_norm_backward_scratch(&b, 1));
        check_describe(c, "n %zu, hw %zu, c %zu, %zu groups, silu %d", g.n, g.hw, g.c, g.groups,
                       g.silu);
        check_work(c, (double)dx.n);
        struct tt_group_norm_backward want = b;
        b.dx = dx.got, b.dgamma = sums.got, b.dbeta = sums.got + g.c;
        want.dx = dx.want, want.dgamma = sums.want, want.dbeta = sums.want + g.c;
        tt_group_norm_backward(c->scalar, &want, scratch1, 1);
        CHECK_CALL(c, tt_group_norm_backward(c->kernels, &b, scratch, c->threads));
        if (check_reference(c)) group_norm_reference(c, &b, &dx, &sums, before);
    }
}
