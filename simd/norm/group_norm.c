// SPDX-License-Identifier: MIT
#include "group_norm.h"

#include <math.h>
#include <omp.h>

static size_t round_up(size_t floats) { return (floats + 15) / 16 * 16; }

static size_t block_count(const struct tt_group_norm *g) {
    return (g->hw + TT_GROUP_NORM_ROWS - 1) / TT_GROUP_NORM_ROWS;
}

// Scratch: sum and m2 (n, blocks, groups); mean and scale (n, c); lanes (threads, c).
size_t tt_group_norm_scratch(const struct tt_group_norm *g, int threads) {
    size_t partial = round_up(g->n * block_count(g) * g->groups);
    return sizeof(float) *
           (2 * partial + 2 * round_up(g->n * g->c) + (size_t)threads * round_up(g->c));
}

// Merges the blocks of one group of one image, then writes mean and scale for its channels.
static void merge(const struct tt_group_norm *g, const float *sum, const float *m2, size_t group,
                  float *mean, float *scale) {
    size_t width = g->c / g->groups, blocks = block_count(g), first = group * width;
    double total = 0, deviation = 0, count = (double)g->hw * (double)width;
    for (size_t b = 0; b < blocks; b++) total += (double)sum[b * g->groups + group];
    double centre = total / count;
    for (size_t b = 0; b < blocks; b++) {
        size_t left = g->hw - b * TT_GROUP_NORM_ROWS;
        double rows = (double)(left < TT_GROUP_NORM_ROWS ? left : TT_GROUP_NORM_ROWS);
        double off = (double)sum[b * g->groups + group] / (rows * (double)width) - centre;
        deviation += (double)m2[b * g->groups + group] + rows * (double)width * (off * off);
    }
    double rstd = 1 / sqrt(deviation / count + (double)g->eps);
    for (size_t j = first; j < first + width; j++) {
        mean[j] = (float)centre;
        scale[j] = (float)(rstd * (double)g->gamma[j]);
    }
}

void tt_group_norm(const struct tt_kernels *kernels, const struct tt_group_norm *g, void *scratch,
                   int threads) {
    size_t blocks = block_count(g), all = g->n * blocks, c = g->c;
    float *sum = scratch, *m2 = sum + round_up(all * g->groups);
    float *mean = m2 + round_up(all * g->groups), *scale = mean + round_up(g->n * c);
    float *lanes = scale + round_up(g->n * c);
#pragma omp parallel num_threads(threads)
    {
        float *own = lanes + (size_t)omp_get_thread_num() * round_up(c);
#pragma omp for schedule(static)
        for (size_t i = 0; i < all; i++) {
            size_t image = i / blocks, row = i % blocks * TT_GROUP_NORM_ROWS;
            size_t rows = g->hw - row < TT_GROUP_NORM_ROWS ? g->hw - row : TT_GROUP_NORM_ROWS;
            kernels->group_norm_stats_f32(g->x + (image * g->hw + row) * c, sum + i * g->groups,
                                          m2 + i * g->groups, own, rows, c, g->groups);
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < g->n * g->groups; i++) {
            size_t image = i / g->groups, part = image * blocks * g->groups;
            merge(g, sum + part, m2 + part, i % g->groups, mean + image * c, scale + image * c);
        }
        // Backwards, since each thread's last blocks are the ones still in its cache.
#pragma omp for schedule(static)
        for (size_t back = 0; back < all; back++) {
            size_t i = all - 1 - back, image = i / blocks, row = i % blocks * TT_GROUP_NORM_ROWS;
            size_t rows = g->hw - row < TT_GROUP_NORM_ROWS ? g->hw - row : TT_GROUP_NORM_ROWS;
            size_t at = (image * g->hw + row) * c;
            kernels->group_norm_apply_f32(g->x + at, mean + image * c, scale + image * c, g->beta,
                                          g->y + at, rows, c, g->silu);
        }
    }
}
