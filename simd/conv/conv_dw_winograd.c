// SPDX-License-Identifier: MIT
// The weight gradient as the transpose of Winograd convolution: patches of x and tiles of dy are
// transformed, a block of tiles at a time; their outer products are summed at each of the 36
// positions; and the sums become weights. Where there are many tiles, a thread takes a part of them
// alone, with sums of its own, and these are added in the end; else the threads share each block.
#include <omp.h>
#include <stdbool.h>
#include <string.h>

#include "conv/conv_backward.h"
#include "conv/winograd.h"
#include "gemm/gemm.h"
#include "split.h"

enum {
    LINE = 16, // floats in a cache line
    POSITIONS = TT_WINOGRAD_POSITIONS,
    SUMS = TT_GEMM_ROWS * TT_GEMM_PANEL, // of at most 14 outputs and 32 channels at one position
};

// By shape only. Strides and sizes are in floats.
struct plan {
    size_t oh, ow, across, per_image, tiles; // tiles of 4 x 4 outputs
    size_t rows, panels;                     // pieces of the outputs and of the channels
    size_t parts, block;                     // of the tiles; tiles in a block, at most
    size_t line, x_position, dy_position;    // strides of the transformed tiles
    size_t transformed, sums;                // sizes: of a block, of a part's sums
};

static struct plan make_plan(const struct tt_conv *c) {
    struct plan p = {.rows = ceil_div(c->k, TT_GEMM_ROWS), .panels = ceil_div(c->c, TT_GEMM_PANEL)};
    tt_conv_out_size(c, &p.oh, &p.ow);
    p.across = ceil_div(p.ow, 4);
    p.per_image = p.across * ceil_div(p.oh, 4);
    p.tiles = c->n * p.per_image;
    p.parts = min(p.tiles / TT_WINOGRAD_DW_PART, TT_WINOGRAD_DW_PARTS);
    if (!p.parts) p.parts = 1;
    p.block = min(p.tiles, TT_WINOGRAD_DW_BLOCK);
    // Odd numbers of lines, or what is read together would share cache sets.
    p.line = (ceil_div(c->k, LINE) | 1) * LINE;
    p.dy_position = (p.block * p.line / LINE | 1) * LINE;
    p.x_position = (p.panels * p.block * 2 | 1) * LINE;
    p.transformed = POSITIONS * (p.x_position + p.dy_position);
    p.sums = p.rows * p.panels * POSITIONS * SUMS;
    return p;
}

// Whether threads take a part each, or share each part.
static bool takes_parts(const struct plan *p, int threads) { return p->parts >= (size_t)threads; }

size_t tt_conv_dw_winograd_scratch(const struct tt_conv *c, int threads) {
    struct plan p = make_plan(c);
    size_t blocks = takes_parts(&p, threads) ? (size_t)threads : 1;
    return (blocks * p.transformed + p.parts * p.sums) * sizeof(float);
}

double tt_conv_dw_winograd_flops(const struct tt_conv *c) {
    // Of a column or row of x, of dy and of the sums (conv.h), 12, 10 and 9 of each.
    enum { X_FLOPS = 12 * 24, DY_FLOPS = 10 * 14, SUM_FLOPS = 9 * 16 };
    struct plan p = make_plan(c);
    double pairs = (double)c->c * (double)c->k, tiles = (double)p.tiles;
    return 2.0 * POSITIONS * tiles * pairs + X_FLOPS * tiles * (double)c->c +
           DY_FLOPS * tiles * (double)c->k +
           (SUM_FLOPS + POSITIONS * (double)(p.parts - 1)) * pairs;
}

struct job {
    const struct tt_kernels *kernels;
    const struct tt_conv *conv;
    const struct plan *plan;
    const float *dy;
    float *dw;
    int accumulate;
    float *transformed, *sums;
};

// Tile t, the `at`-th of the block v: one panel of x, or, behind the last panel, dy.
static void transform(const struct job *job, size_t t, float *v, size_t at, size_t panel) {
    const struct tt_conv *c = job->conv;
    const struct plan *p = job->plan;
    size_t image = t / p->per_image, in_image = t % p->per_image;
    size_t y = in_image / p->across * 4, x = in_image % p->across * 4;
    if (panel < p->panels) {
        size_t ch = panel * TT_GEMM_PANEL;
        struct tt_winograd_input input = tt_winograd_patch(c, image, y, x, ch);
        input.c = min(TT_GEMM_PANEL, c->c - ch);
        input.v = v + (panel * p->block + at) * TT_GEMM_PANEL;
        input.position_stride = p->x_position;
        input.lane_stride = LINE;
        job->kernels->winograd_input_f32(&input);
        return;
    }
    struct tt_winograd_gradient gradient = {
        .c = c->k, .rows = min(4, p->oh - y), .columns = min(4, p->ow - x),
        .dy = job->dy + ((image * p->oh + y) * p->ow + x) * c->k,
        .row_stride = p->ow * c->k, .pixel_stride = c->k,
        .v = v + POSITIONS * p->x_position + at * p->line, .position_stride = p->dy_position,
    };
    job->kernels->winograd_gradient_f32(&gradient);
}

// Adds the `count` tiles of block v to the sums of position q and one panel.
static void multiply(const struct job *job, const float *v, size_t count, float *sums,
                     int accumulate, size_t q, size_t panel) {
    const struct plan *p = job->plan;
    size_t k = job->conv->k;
    for (size_t row = 0; row < p->rows; row++) {
        size_t first = part(k, p->rows, row);
        struct tt_gemm_tile tile = {
            .rows = part(k, p->rows, row + 1) - first,
            .n = min(TT_GEMM_PANEL, job->conv->c - panel * TT_GEMM_PANEL),
            .k = count, .chain = TT_WINOGRAD_CHAIN,
            .x = v + POSITIONS * p->x_position + q * p->dy_position + first, .ldx = p->line,
            .w = v + q * p->x_position + panel * p->block * TT_GEMM_PANEL,
            .accumulate = accumulate,
            .y = sums + ((row * p->panels + panel) * POSITIONS + q) * SUMS,
            .ldy = TT_GEMM_PANEL,
        };
        job->kernels->gemm_outer_f32(&tile);
    }
}

static size_t part_begin(const struct plan *p, size_t index) {
    return part(p->tiles, p->parts, index);
}

// One part, by one thread; v is its own.
static void sum_alone(const struct job *job, size_t index, float *v) {
    const struct plan *p = job->plan;
    size_t begin = part_begin(p, index), end = part_begin(p, index + 1);
    for (size_t t = begin; t < end; t += p->block) {
        size_t count = min(p->block, end - t);
        for (size_t i = 0; i < count; i++)
            for (size_t panel = 0; panel <= p->panels; panel++)
                transform(job, t + i, v, i, panel);
        for (size_t q = 0; q < POSITIONS; q++)
            for (size_t panel = 0; panel < p->panels; panel++)
                multiply(job, v, count, job->sums + index * p->sums, t > begin, q, panel);
    }
}

// One part, by all threads, which share v. Each meets the panels again that it has transformed.
static void sum_together(const struct job *job, size_t index, float *v,
                         struct tt_busy_thread *me) {
    const struct plan *p = job->plan;
    size_t begin = part_begin(p, index), end = part_begin(p, index + 1);
    for (size_t t = begin; t < end; t += p->block) {
        size_t count = min(p->block, end - t);
#pragma omp for collapse(2) schedule(static) nowait
        for (size_t panel = 0; panel < p->panels; panel++)
            for (size_t i = 0; i < count; i++) transform(job, t + i, v, i, panel);
#pragma omp for schedule(static) nowait
        for (size_t i = 0; i < count; i++) transform(job, t + i, v, i, p->panels);
        tt_busy_meet(me);
#pragma omp for collapse(2) schedule(static) nowait
        for (size_t panel = 0; panel < p->panels; panel++)
            for (size_t q = 0; q < POSITIONS; q++)
                multiply(job, v, count, job->sums + index * p->sums, t > begin, q, panel);
        tt_busy_meet(me);
    }
}

// Adds the sums of all parts to the first one's: one row of a panel.
static void add_parts(const struct plan *p, float *sums) {
    float total[TT_GEMM_PANEL];
    memcpy(total, sums, sizeof total);
    for (size_t index = 1; index < p->parts; index++)
        for (size_t i = 0; i < TT_GEMM_PANEL; i++) total[i] += sums[index * p->sums + i];
    memcpy(sums, total, sizeof total);
}

// The weights of some outputs and a panel, from the sums of all parts.
static void finish(const struct job *job, size_t row, size_t panel) {
    const struct tt_conv *c = job->conv;
    const struct plan *p = job->plan;
    size_t first = part(c->k, p->rows, row), end = part(c->k, p->rows, row + 1);
    size_t ch = panel * TT_GEMM_PANEL;
    float *sums = job->sums + (row * p->panels + panel) * POSITIONS * SUMS;
    if (p->parts > 1)
        for (size_t i = 0; i < POSITIONS * SUMS; i += TT_GEMM_PANEL) add_parts(p, sums + i);
    for (size_t j = first; j < end; j++, sums += TT_GEMM_PANEL)
        job->kernels->winograd_dw_f32(sums, SUMS, min(TT_GEMM_PANEL, c->c - ch),
                                      job->dw + (j * c->c + ch) * 9, job->accumulate);
}

void tt_conv_dw_winograd(const struct tt_kernels *kernels, const struct tt_conv *c,
                         const float *dy, float *dw, int accumulate, void *scratch, int threads) {
    struct plan p = make_plan(c);
    struct job job = {
        .kernels = kernels, .conv = c, .plan = &p, .dy = dy, .dw = dw, .accumulate = accumulate,
        .sums = scratch, .transformed = (float *)scratch + p.parts * p.sums,
    };
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
        if (takes_parts(&p, threads)) {
            float *v = job.transformed + (size_t)omp_get_thread_num() * p.transformed;
#pragma omp for schedule(dynamic) nowait
            for (size_t index = 0; index < p.parts; index++) sum_alone(&job, index, v);
            tt_busy_meet(&me);
        } else {
            for (size_t index = 0; index < p.parts; index++)
                sum_together(&job, index, job.transformed, &me);
        }
#pragma omp for collapse(2) schedule(dynamic) nowait
        for (size_t panel = 0; panel < p.panels; panel++)
            for (size_t row = 0; row < p.rows; row++) finish(&job, row, panel);
        tt_busy_end(&me);
    }
}
