// SPDX-License-Identifier: MIT
#include "group_norm.h"

#include <math.h>
#include <omp.h>
#include <stdbool.h>

static size_t round_up(size_t floats) { return (floats + 15) / 16 * 16; }

static size_t block_count(const struct tt_group_norm *g) {
    return (g->hw + TT_GROUP_NORM_ROWS - 1) / TT_GROUP_NORM_ROWS;
}

// Whether each thread takes whole images, so that it meets an image again while that is in its
// cache; a quarter slower at most, where images do not go into threads.
static bool takes_images(const struct tt_group_norm *g, int threads) {
    return g->n > 1 && (g->n % (size_t)threads == 0 || g->n >= 4 * (size_t)threads);
}

static struct tt_group_norm image_of(const struct tt_group_norm *g, size_t image) {
    struct tt_group_norm one = *g;
    one.n = 1;
    if (g->x) one.x += image * g->hw * g->c; // there is no data where scratch is counted
    if (g->y) one.y += image * g->hw * g->c;
    return one;
}

// Scratch: sum and m2 (n, blocks, groups); mean and scale (n, c); lanes (threads, c).
static size_t scratch_floats(const struct tt_group_norm *g, int threads) {
    size_t partial = round_up(g->n * block_count(g) * g->groups);
    return 2 * partial + 2 * round_up(g->n * g->c) + (size_t)threads * round_up(g->c);
}

size_t tt_group_norm_scratch(const struct tt_group_norm *g, int threads) {
    if (!takes_images(g, threads)) return scratch_floats(g, threads) * sizeof(float);
    struct tt_group_norm one = image_of(g, 0);
    return (size_t)threads * scratch_floats(&one, 1) * sizeof(float);
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
                            const struct statistics *s, double *rstd,
                            struct tt_busy_thread *me) {
    size_t blocks = block_count(g), all = g->n * blocks, c = g->c;
    float *own = s->lanes + (size_t)omp_get_thread_num() * round_up(c);
#pragma omp for schedule(static) nowait
    for (size_t i = 0; i < all; i++)
        kernels->group_norm_stats_f32(g->x + block_at(g, i), s->sum + i * g->groups,
                                      s->m2 + i * g->groups, own, block_rows(g, i), c, g->groups);
    tt_busy_meet(me);
#pragma omp for schedule(static) nowait
    for (size_t i = 0; i < g->n * g->groups; i++) {
        size_t image = i / g->groups, part = image * blocks * g->groups;
        double one = merge(g, s->sum + part, s->m2 + part, i % g->groups, s->mean + image * c,
                           s->scale + image * c);
        if (rstd) rstd[i] = one;
    }
    tt_busy_meet(me);
}

static void normalise(const struct tt_kernels *kernels, const struct tt_group_norm *g,
                      float *scratch, int threads) {
    size_t blocks = block_count(g), all = g->n * blocks, c = g->c;
    struct statistics s = divide(g, scratch, threads);
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
        find_statistics(kernels, g, &s, NULL, &me);
        // Backwards, since each thread's last blocks are the ones still in its cache.
#pragma omp for schedule(static) nowait
        for (size_t back = 0; back < all; back++) {
            size_t i = all - 1 - back, image = i / blocks, at = block_at(g, i);
            kernels->group_norm_apply_f32(g->x + at, s.mean + image * c, s.scale + image * c,
                                          g->beta, g->y + at, block_rows(g, i), c, g->silu);
        }
        tt_busy_end(&me);
    }
}

void tt_group_norm(const struct tt_kernels *kernels, const struct tt_group_norm *g, void *scratch,
                   int threads) {
    if (!takes_images(g, threads)) {
        normalise(kernels, g, scratch, threads);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for schedule(static) nowait
        for (size_t image = 0; image < g->n; image++) {
            struct tt_group_norm one = image_of(g, image);
            normalise(kernels, &one,
                      (float *)scratch + (size_t)omp_get_thread_num() * scratch_floats(&one, 1), 1);
        }
        tt_busy_end(&me);
    }
}

// Where the backward's scratch is divided, behind the forward's.
struct backward {
    double *rstd;        // (n, groups)
    float *sums;         // (n, blocks, 3, 2, c)
    float *coefficients; // (n, 3, 2, c)
};

static struct backward divide_backward(const struct tt_group_norm *g, float *at) {
    float *sums = at + round_up(2 * g->n * g->groups);
    return (struct backward){(double *)at, sums, sums + round_up(6 * g->n * block_count(g) * g->c)};
}

static size_t backward_floats(const struct tt_group_norm *g, int threads) {
    return scratch_floats(g, threads) + round_up(2 * g->n * g->groups) +
           round_up(6 * g->n * block_count(g) * g->c) + round_up(6 * g->n * g->c);
}

// First the sums of g z and of g over each image, (n, 2, c) in double.
static size_t image_sums_floats(const struct tt_group_norm *g) { return round_up(4 * g->n * g->c); }

size_t tt_group_norm_backward_scratch(const struct tt_group_norm_backward *b, int threads) {
    const struct tt_group_norm *g = &b->forward;
    struct tt_group_norm one = image_of(g, 0);
    size_t rest = takes_images(g, threads) ? (size_t)threads * backward_floats(&one, 1)
                                           : backward_floats(g, threads);
    return (image_sums_floats(g) + rest) * sizeof(float);
}

// x in two floats, the second `ld` after the first.
static void split(double x, float *to, size_t ld) {
    to[0] = (float)x;
    to[ld] = (float)(x - (double)to[0]);
}

// Folds the blocks of one group of one image, into the image's own sums and the coefficients of
// dx = scale g + slope x + offset.
static void merge_backward(const struct tt_group_norm *g, const float *sums, size_t group,
                           const float *mean, double rstd, double *own, float *coefficients) {
    size_t width = g->c / g->groups, first = group * width, c = g->c;
    double a = 0, b = 0, count = (double)g->hw * (double)width, shift = 0;
    for (size_t j = first; j < first + width; j++) {
        double normal = 0, plain = 0;
        for (size_t i = 0; i < block_count(g); i++) {
            const float *part = sums + i * 6 * c + j;
            normal += (double)part[0] + (double)part[c];
            plain += (double)part[2 * c] + (double)part[3 * c];
            shift += (double)part[4 * c] + (double)part[5 * c];
        }
        own[j] = normal;
        own[c + j] = plain;
    }
    shift /= count; // the mean is further on than the float from which the blocks measure
    for (size_t j = first; j < first + width; j++) {
        own[j] -= shift * own[c + j];
        a += (double)g->gamma[j] * own[c + j];
        b += (double)g->gamma[j] * own[j];
        own[j] *= rstd;
    }
    double slope = -(rstd * rstd * rstd) * b / count;
    double offset = -rstd * a / count - slope * ((double)mean[first] + shift);
    for (size_t j = first; j < first + width; j++) {
        split(rstd * (double)g->gamma[j], coefficients + j, c);
        split(slope, coefficients + 2 * c + j, c);
        split(offset, coefficients + 4 * c + j, c);
    }
}

// y[j] (or y[j] + that) = the sum over images of sums (n, 2, c), rounded once.
static void fold_images(const struct tt_group_norm *g, const double *sums, float *y,
                        int accumulate) {
    for (size_t j = 0; j < g->c; j++) {
        double total = accumulate ? (double)y[j] : 0;
        for (size_t i = 0; i < g->n; i++) total += sums[i * 2 * g->c + j];
        y[j] = (float)total;
    }
}

// dx, and the images' sums.
static void find_dx(const struct tt_kernels *kernels, const struct tt_group_norm_backward *b,
                    double *images, float *scratch, int threads) {
    const struct tt_group_norm *g = &b->forward;
    size_t blocks = block_count(g), all = g->n * blocks, c = g->c;
    struct statistics s = divide(g, scratch, threads);
    struct backward own = divide_backward(g, s.end);
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
        find_statistics(kernels, g, &s, own.rstd, &me);
#pragma omp for schedule(static) nowait
        for (size_t i = 0; i < all; i++) {
            size_t image = i / blocks, at = block_at(g, i);
            kernels->group_norm_backward_sums_f32(
                g->x + at, b->dy + at, s.mean + image * c, s.scale + image * c, g->beta,
                b->dx + at, own.sums + i * 6 * c, block_rows(g, i), c, g->silu);
        }
        tt_busy_meet(&me);
#pragma omp for schedule(static) nowait
        for (size_t i = 0; i < g->n * g->groups; i++) {
            size_t image = i / g->groups;
            merge_backward(g, own.sums + image * blocks * 6 * c, i % g->groups,
                           s.mean + image * c, own.rstd[i], images + image * 2 * c,
                           own.coefficients + image * 6 * c);
        }
        tt_busy_meet(&me);
#pragma omp for schedule(static) nowait
        for (size_t back = 0; back < all; back++) {
            size_t i = all - 1 - back, at = block_at(g, i);
            kernels->group_norm_backward_apply_f32(g->x + at, b->dx + at,
                                                   own.coefficients + i / blocks * 6 * c,
                                                   b->dx + at, block_rows(g, i), c);
        }
        tt_busy_end(&me);
    }
}

void tt_group_norm_backward(const struct tt_kernels *kernels,
                            const struct tt_group_norm_backward *b, void *scratch, int threads) {
    const struct tt_group_norm *g = &b->forward;
    double *images = scratch;
    float *rest = (float *)scratch + image_sums_floats(g);
    if (takes_images(g, threads)) {
#pragma omp parallel num_threads(threads)
        {
            struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for schedule(static) nowait
            for (size_t image = 0; image < g->n; image++) {
                struct tt_group_norm_backward one = *b;
                one.forward = image_of(g, image);
                one.dy += image * g->hw * g->c;
                one.dx += image * g->hw * g->c;
                find_dx(kernels, &one, images + image * 2 * g->c,
                        rest + (size_t)omp_get_thread_num() * backward_floats(&one.forward, 1), 1);
            }
            tt_busy_end(&me);
        }
    } else {
        find_dx(kernels, b, images, rest, threads);
    }
    if (b->dgamma) fold_images(g, images, b->dgamma, b->accumulate);
    if (b->dbeta) fold_images(g, images + g->c, b->dbeta, b->accumulate);
}
