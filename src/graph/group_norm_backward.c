// SPDX-License-Identifier: MIT
#include <math.h>
#include <stdbool.h>

#include "graph/group_norm_backward.h"
#include "reduce/reduce.h"

#include "base/memory.h"

static size_t floats(size_t count) {
    return tt_align_up(count * sizeof(float)) / sizeof(float);
}

// Two tensors like x; sums (n, c) of two kinds; mean, 1 / deviation and the two sums of gradients
// of each group; then the scratch of column sums.
struct group_scratch {
    float *normal, *slope, *sums[2], *mean, *inverse, *first, *second;
    void *rest;
};

static struct tt_column_sums sums_of(const struct tt_group_norm *g, const float *x, float *y) {
    return (struct tt_column_sums){.images = g->n, .rows = g->hw, .c = g->c, .x = x, .y = y};
}

static void cut(const struct tt_group_norm *g, float *base, struct group_scratch *s) {
    size_t whole = floats(g->n * g->hw * g->c), sums = floats(g->n * g->c);
    size_t groups = floats(g->n * g->groups);
    float *at = base;
    *s = (struct group_scratch){
        .normal = at, .slope = at + whole, .sums = {at + 2 * whole, at + 2 * whole + sums},
    };
    at += 2 * whole + 2 * sums;
    s->mean = at;
    s->inverse = at + groups;
    s->first = at + 2 * groups;
    s->second = at + 3 * groups;
    s->rest = at + 4 * groups;
}

size_t tt_composed_group_norm_backward_scratch(const struct tt_group_norm *g, int threads) {
    size_t whole = floats(g->n * g->hw * g->c), sums = floats(g->n * g->c);
    struct tt_column_sums columns = sums_of(g, NULL, NULL);
    size_t forward = tt_group_norm_scratch(g, threads), rest = tt_column_sums_scratch(&columns);
    return (2 * whole + 2 * sums + 4 * floats(g->n * g->groups)) * sizeof(float) +
           (forward > rest ? forward : rest);
}

// The sum over a group's channels of sums (n, c), each times weight (c) where that is given.
static double group_sum(const struct tt_group_norm *g, const float *sums, const float *weight,
                        size_t image, size_t group) {
    size_t width = g->c / g->groups, begin = group * width;
    double sum = 0;
    for (size_t j = begin; j < begin + width; j++)
        sum += (double)sums[image * g->c + j] * (weight ? (double)weight[j] : 1.0);
    return sum;
}

// mean and inverse; then x normalised, in s->normal.
static void normalise(const struct tt_kernels *kernels, const struct tt_group_norm *g,
                      const struct group_scratch *s, int threads) {
    size_t width = g->c / g->groups;
    double count = (double)(width * g->hw);
    struct tt_column_sums sums = sums_of(g, g->x, s->sums[0]);
    tt_column_sums(kernels, &sums, s->rest, threads);
    for (size_t i = 0; i < g->n * g->groups; i++)
        s->mean[i] = (float)(group_sum(g, s->sums[0], NULL, i / g->groups, i % g->groups) / count);
#pragma omp parallel for num_threads(threads)
    for (size_t row = 0; row < g->n * g->hw; row++)
        for (size_t j = 0; j < g->c; j++) {
            float d = g->x[row * g->c + j] - s->mean[row / g->hw * g->groups + j / width];
            s->normal[row * g->c + j] = d;
            s->slope[row * g->c + j] = d * d;
        }
    sums = sums_of(g, s->slope, s->sums[0]);
    tt_column_sums(kernels, &sums, s->rest, threads);
    for (size_t i = 0; i < g->n * g->groups; i++)
        s->inverse[i] =
            (float)(1 / sqrt(group_sum(g, s->sums[0], NULL, i / g->groups, i % g->groups) / count +
                             (double)g->eps));
#pragma omp parallel for num_threads(threads)
    for (size_t row = 0; row < g->n * g->hw; row++)
        for (size_t j = 0; j < g->c; j++)
            s->normal[row * g->c + j] *= s->inverse[row / g->hw * g->groups + j / width];
}

void tt_composed_group_norm_backward(const struct tt_kernels *kernels,
                                     const struct tt_group_norm *g,
                                     const struct tt_norm_gradients *to, void *scratch,
                                     int threads) {
    struct group_scratch s;
    size_t width = g->c / g->groups, rows = g->n * g->hw;
    double count = (double)(width * g->hw);
    cut(g, scratch, &s);
    normalise(kernels, g, &s, threads);
    const float *dy = to->dy;
    if (g->silu) { // the gradient before the activation, in place of the sums' operand
        dy = s.slope;
        struct tt_group_norm plain = *g;
        plain.silu = 0;
        plain.y = s.slope; // the forward's bits
        tt_group_norm(kernels, &plain, s.rest, threads);
#pragma omp parallel for num_threads(threads)
        for (size_t row = 0; row < rows; row++) {
            float *z = s.slope + row * g->c;
            kernels->silu_backward_f32(z, to->dy + row * g->c, z, g->c);
        }
    }
    struct tt_column_sums sums = sums_of(g, dy, s.sums[0]);
    tt_column_sums(kernels, &sums, s.rest, threads);
    for (size_t j = 0; j < g->c; j++) {
        double sum = 0;
        for (size_t i = 0; i < g->n; i++) sum += (double)s.sums[0][i * g->c + j];
        to->dbeta[j] += (float)sum;
    }
    // dx first takes dy times the normalised x, whose sums are dgamma.
    float *product = to->dx ? to->dx : s.normal;
#pragma omp parallel for num_threads(threads)
    for (size_t i = 0; i < rows * g->c; i++) product[i] = dy[i] * s.normal[i];
    sums = sums_of(g, product, s.sums[1]);
    tt_column_sums(kernels, &sums, s.rest, threads);
    for (size_t j = 0; j < g->c; j++) {
        double sum = 0;
        for (size_t i = 0; i < g->n; i++) sum += (double)s.sums[1][i * g->c + j];
        to->dgamma[j] += (float)sum;
    }
    if (!to->dx) return;
    for (size_t i = 0; i < g->n * g->groups; i++) {
        size_t image = i / g->groups, group = i % g->groups;
        s.first[i] = (float)(group_sum(g, s.sums[0], g->gamma, image, group) / count);
        s.second[i] = (float)(group_sum(g, s.sums[1], g->gamma, image, group) / count);
    }
#pragma omp parallel for num_threads(threads)
    for (size_t row = 0; row < rows; row++)
        for (size_t j = 0; j < g->c; j++) {
            size_t i = row * g->c + j, group = row / g->hw * g->groups + j / width;
            float inner = (dy[i] * g->gamma[j] - s.first[group]) - s.normal[i] * s.second[group];
            to->dx[i] = inner * s.inverse[group];
        }
}
