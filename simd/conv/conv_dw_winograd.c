// SPDX-License-Identifier: MIT
// The weight gradient as the transpose of Winograd convolution: patches of x and tiles of dy are
// transformed, a block of tiles at a time; their outer products are summed at each of the 36
// positions; and the sums become weights. A task is a tile of at most 14 outputs and a panel of 32
// channels, whose sums lie together; where there are few, a sixth of their positions.
#include <omp.h>

#include "conv/conv_backward.h"
#include "conv/winograd.h"
#include "gemm/gemm.h"

enum {
    LINE = 16, // floats in a cache line
    POSITIONS = TT_WINOGRAD_POSITIONS,
    SUMS = TT_GEMM_ROWS * TT_GEMM_PANEL, // of a task, at one position
    ENOUGH_TASKS = 8, // where there are fewer, positions are divided
    PIECES = 6,
    TILES_PIECE = 4, // tiles that a thread transforms at once
};

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t min(size_t a, size_t b) { return a < b ? a : b; }

static size_t part(size_t total, size_t parts, size_t index) { return total * index / parts; }

// By shape only. Strides and sizes are in floats.
struct plan {
    size_t oh, ow, across, per_image, tiles; // tiles of 4 x 4 outputs
    size_t rows, panels, pieces;             // tasks: outputs, channels, positions
    size_t block;                            // tiles in a block, at most
    size_t line, x_position, dy_position;    // strides of the transformed tiles
};

static struct plan make_plan(const struct tt_conv *c) {
    struct plan p = {.rows = ceil_div(c->k, TT_GEMM_ROWS), .panels = ceil_div(c->c, TT_GEMM_PANEL)};
    tt_conv_out_size(c, &p.oh, &p.ow);
    p.across = ceil_div(p.ow, 4);
    p.per_image = p.across * ceil_div(p.oh, 4);
    p.tiles = c->n * p.per_image;
    p.pieces = p.rows * p.panels < ENOUGH_TASKS ? PIECES : 1;
    p.block = min(p.tiles, TT_WINOGRAD_DW_BLOCK);
    // Odd numbers of lines, or what is read together would share cache sets.
    p.line = (ceil_div(c->k, LINE) | 1) * LINE;
    p.dy_position = (p.block * p.line / LINE | 1) * LINE;
    p.x_position = (p.panels * p.block * 2 | 1) * LINE;
    return p;
}

size_t tt_conv_dw_winograd_scratch(const struct tt_conv *c) {
    struct plan p = make_plan(c);
    return POSITIONS * (p.x_position + p.dy_position + p.rows * p.panels * SUMS) * sizeof(float);
}

struct job {
    const struct tt_kernels *kernels;
    const struct tt_conv *conv;
    const struct plan *plan;
    const float *dy;
    float *dw;
    int accumulate;
    float *x_tiles, *dy_tiles, *sums;
};

// Tile t, the `at`-th of its block: one panel of x, or, behind the last panel, dy.
static void transform(const struct job *job, size_t t, size_t at, size_t panel) {
    const struct tt_conv *c = job->conv;
    const struct plan *p = job->plan;
    size_t image = t / p->per_image, in_image = t % p->per_image;
    size_t y = in_image / p->across * 4, x = in_image % p->across * 4;
    if (panel < p->panels) {
        size_t ch = panel * TT_GEMM_PANEL;
        struct tt_winograd_input input = tt_winograd_patch(c, image, y, x, ch);
        input.c = min(TT_GEMM_PANEL, c->c - ch);
        input.v = job->x_tiles + (panel * p->block + at) * TT_GEMM_PANEL;
        input.position_stride = p->x_position;
        input.lane_stride = LINE;
        job->kernels->winograd_input_f32(&input);
        return;
    }
    struct tt_winograd_gradient gradient = {
        .c = c->k, .rows = min(4, p->oh - y), .columns = min(4, p->ow - x),
        .dy = job->dy + ((image * p->oh + y) * p->ow + x) * c->k,
        .row_stride = p->ow * c->k, .pixel_stride = c->k,
        .v = job->dy_tiles + at * p->line, .position_stride = p->dy_position,
    };
    job->kernels->winograd_gradient_f32(&gradient);
}

// Adds a block of `count` tiles to some positions of a task's sums.
static void multiply(const struct job *job, size_t row, size_t panel, size_t begin, size_t end,
                     size_t count, int accumulate) {
    const struct plan *p = job->plan;
    size_t first = part(job->conv->k, p->rows, row);
    for (size_t q = begin; q < end; q++) {
        struct tt_gemm_tile tile = {
            .rows = part(job->conv->k, p->rows, row + 1) - first,
            .n = min(TT_GEMM_PANEL, job->conv->c - panel * TT_GEMM_PANEL),
            .k = count, .chain = TT_WINOGRAD_CHAIN,
            .x = job->dy_tiles + q * p->dy_position + first, .ldx = p->line,
            .w = job->x_tiles + q * p->x_position + panel * p->block * TT_GEMM_PANEL,
            .accumulate = accumulate,
            .y = job->sums + ((row * p->panels + panel) * POSITIONS + q) * SUMS,
            .ldy = TT_GEMM_PANEL,
        };
        job->kernels->gemm_outer_f32(&tile);
    }
}

// The weights of a task, from its sums.
static void finish(const struct job *job, size_t row, size_t panel) {
    const struct tt_conv *c = job->conv;
    const struct plan *p = job->plan;
    size_t first = part(c->k, p->rows, row), end = part(c->k, p->rows, row + 1);
    size_t ch = panel * TT_GEMM_PANEL;
    const float *sums = job->sums + (row * p->panels + panel) * POSITIONS * SUMS;
    for (size_t j = first; j < end; j++, sums += TT_GEMM_PANEL)
        job->kernels->winograd_dw_f32(sums, SUMS, min(TT_GEMM_PANEL, c->c - ch),
                                      job->dw + (j * c->c + ch) * 9, job->accumulate);
}

// The work of one thread.
static void run(const struct job *job) {
    const struct plan *p = job->plan;
    for (size_t t = 0; t < p->tiles; t += p->block) {
        size_t count = min(p->block, p->tiles - t);
#pragma omp for collapse(2) schedule(dynamic)
        for (size_t at = 0; at < count; at += TILES_PIECE)
            for (size_t panel = 0; panel <= p->panels; panel++)
                for (size_t i = at; i < min(at + TILES_PIECE, count); i++)
                    transform(job, t + i, i, panel);
#pragma omp for collapse(3) schedule(dynamic)
        for (size_t panel = 0; panel < p->panels; panel++)
            for (size_t row = 0; row < p->rows; row++)
                for (size_t i = 0; i < p->pieces; i++) {
                    multiply(job, row, panel, part(POSITIONS, p->pieces, i),
                             part(POSITIONS, p->pieces, i + 1), count, t > 0);
                    if (p->pieces == 1 && t + count == p->tiles) finish(job, row, panel);
                }
    }
    if (p->pieces == 1) return;
#pragma omp for collapse(2) schedule(dynamic)
    for (size_t panel = 0; panel < p->panels; panel++)
        for (size_t row = 0; row < p->rows; row++) finish(job, row, panel);
}

void tt_conv_dw_winograd(const struct tt_kernels *kernels, const struct tt_conv *c,
                         const float *dy, float *dw, int accumulate, void *scratch, int threads) {
    struct plan p = make_plan(c);
    float *dy_tiles = (float *)scratch + POSITIONS * p.x_position;
    struct job job = {
        .kernels = kernels, .conv = c, .plan = &p, .dy = dy, .dw = dw, .accumulate = accumulate,
        .x_tiles = scratch, .dy_tiles = dy_tiles, .sums = dy_tiles + POSITIONS * p.dy_position,
    };
#pragma omp parallel num_threads(threads)
    run(&job);
}
