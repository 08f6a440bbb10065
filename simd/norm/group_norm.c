// SPDX-License-Identifier: MIT
#include "group_norm.h"

#include <math.h>
#include <omp.h>

#include "reduce/reduce.h"

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

// Merges the blocks of one group of one image, then writes mean and scale for its channels. Returns
// rstd.
static double merge(const struct tt_group_norm *g, const float *sum, const float *m2, size_t group,
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
    return rstd;
}

// Rows of block i, counted over all images.
static size_t block_rows(const struct tt_group_norm *g, size_t i) {
    size_t left = g->hw - i % block_count(g) * TT_GROUP_NORM_ROWS;
    return left < TT_GROUP_NORM_ROWS ? left : TT_GROUP_NORM_ROWS;
}

// The place of its first number in x.
static size_t block_at(const struct tt_group_norm *g, size_t i) {
    size_t blocks = block_count(g);
    return (i / blocks * g->hw + i % blocks * TT_GROUP_NORM_ROWS) * g->c;
}

// Where tt_group_norm_scratch() is divided.
struct statistics {
    float *sum, *m2;     // (n, blocks, groups)
    float *mean, *scale; // (n, c)
    float *lanes, *end;
};

static struct statistics divide(const struct tt_group_norm *g, void *scratch, int threads) {
    size_t partial = round_up(g->n * block_count(g) * g->groups), channels = round_up(g->n * g->c);
    float *at = scratch, *lanes = at + 2 * partial + 2 * channels;
    return (struct statistics){at, at + partial, at + 2 * partial, at + 2 * partial + channels,
                               lanes, lanes + (size_t)threads * round_up(g->c)};
}

// mean and scale of every channel, and each group's rstd (n, groups) unless it is NULL. Called by
// every thread of a team, which divides the work.
static void find_statistics(const struct tt_kernels *kernels, const struct tt_group_norm *g,
                            const struct statistics *s, double *rstd) {
    size_t blocks = block_count(g), all = g->n * blocks, c = g->c;
    float *own = s->lanes + (size_t)omp_get_thread_num() * round_up(c);
#pragma omp for schedule(static)
    for (size_t i = 0; i < all; i++)
        kernels->group_norm_stats_f32(g->x + block_at(g, i), s->sum + i * g->groups,
                                      s->m2 + i * g->groups, own, block_rows(g, i), c, g->groups);
#pragma omp for schedule(static)
    for (size_t i = 0; i < g->n * g->groups; i++) {
        size_t image = i / g->groups, part = image * blocks * g->groups;
        double one = merge(g, s->sum + part, s->m2 + part, i % g->groups, s->mean + image * c,
                           s->scale + image * c);
        if (rstd) rstd[i] = one;
    }
}

void tt_group_norm(const struct tt_kernels *kernels, const struct tt_group_norm *g, void *scratch,
                   int threads) {
    size_t blocks = block_count(g), all = g->n * blocks, c = g->c;
    struct statistics s = divide(g, scratch, threads);
#pragma omp parallel num_threads(threads)
    {
        find_statistics(kernels, g, &s, NULL);
        // Backwards, since each thread's last blocks are the ones still in its cache.
#pragma omp for schedule(static)
        for (size_t back = 0; back < all; back++) {
            size_t i = all - 1 - back, image = i / blocks, at = block_at(g, i);
            kernels->group_norm_apply_f32(g->x + at, s.mean + image * c, s.scale + image * c,
                                          g->beta, g->y + at, block_rows(g, i), c, g->silu);
        }
    }
}

// Scratch of the backward: the forward's; then rstd (n, groups) in double, the blocks' sums (n,
// blocks, 2, c), the images' (n, 2, c), slope and offset (n, c).
size_t tt_group_norm_backward_scratch(const struct tt_group_norm_backward *b, int threads) {
    const struct tt_group_norm *g = &b->forward;
    size_t floats = round_up(2 * g->n * g->groups) + round_up(g->n * block_count(g) * 2 * g->c) +
                    4 * round_up(g->n * g->c);
    return tt_group_norm_scratch(g, threads) + floats * sizeof(float);
}

// Folds the blocks of one group of one image, into the image's own sums and slope and offset.
static void merge_backward(const struct tt_group_norm *g, const float *sums, size_t group,
                           double rstd, float *own, float *slope, float *offset) {
    size_t width = g->c / g->groups, first = group * width;
    double a = 0, b = 0, count = (double)g->hw * (double)width;
    for (size_t j = first; j < first + width; j++) {
        double normal = 0, plain = 0;
        for (size_t i = 0; i < block_count(g); i++) {
            normal += (double)sums[i * 2 * g->c + j];
            plain += (double)sums[i * 2 * g->c + g->c + j];
        }
        own[j] = (float)(normal * rstd);
        own[g->c + j] = (float)plain;
        a += (double)g->gamma[j] * plain;
        b += (double)g->gamma[j] * normal;
    }
    for (size_t j = first; j < first + width; j++) {
        slope[j] = (float)(-(rstd * rstd * rstd) * b / count);
        offset[j] = (float)(-rstd * a / count);
    }
}

void tt_group_norm_backward(const struct tt_kernels *kernels,
                            const struct tt_group_norm_backward *b, void *scratch, int threads) {
    const struct tt_group_norm *g = &b->forward;
    size_t blocks = block_count(g), all = g->n * blocks, c = g->c;
    struct statistics s = divide(g, scratch, threads);
    double *rstd = (double *)s.end;
    float *sums = (float *)rstd + round_up(2 * g->n * g->groups);
    float *images = sums + round_up(all * 2 * c), *slope = images + 2 * round_up(g->n * c);
    float *offset = slope + round_up(g->n * c);
#pragma omp parallel num_threads(threads)
    {
        find_statistics(kernels, g, &s, rstd);
#pragma omp for schedule(static)
        for (size_t i = 0; i < all; i++) {
            size_t image = i / blocks, at = block_at(g, i);
            kernels->group_norm_backward_sums_f32(g->x + at, b->dy + at, s.mean + image * c,
                                                  s.scale + image * c, g->beta, b->dx + at,
                                                  sums + i * 2 * c, block_rows(g, i), c, g->silu);
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < g->n * g->groups; i++) {
            size_t image = i / g->groups;
            merge_backward(g, sums + image * blocks * 2 * c, i % g->groups, rstd[i],
                           images + image * 2 * c, slope + image * c, offset + image * c);
        }
#pragma omp single nowait
        {
            tt_fold_blocks(images, g->n, 2 * c, c, b->dgamma, b->accumulate);
            tt_fold_blocks(images + c, g->n, 2 * c, c, b->dbeta, b->accumulate);
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < all; i++) {
            size_t image = i / blocks, at = block_at(g, i);
            kernels->group_norm_backward_apply_f32(
                g->x + at, b->dx + at, s.mean + image * c, s.scale + image * c, slope + image * c,
                offset + image * c, b->dx + at, block_rows(g, i), c);
        }
    }
}
