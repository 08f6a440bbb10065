// SPDX-License-Identifier: MIT
// Winograd convolution: transform inputs and weights, multiply at each of the 36 positions,
// transform the products. Everything is stored as the operands of the gemm_tile_f32 kernel: inputs
// as packed rows (blocks of up to tt_gemm_tile_rows() tiles), weights as panels.
//
// The larger operand should pass through the caches once, while the other stays in the second
// level. So there are two ways, chosen by shape:
//
//   tiles stay    The weights are transformed once, for all threads. A task takes a few blocks,
//                 transforms their inputs into its own scratch, and meets all weights in order.
//   weights stay  Tiles are taken in groups; for each, all inputs are transformed, for all threads.
//                 A task takes two panels, transforms their weights into its own scratch, a third
//                 of the positions and 384 channels at a time, and meets all blocks in order.
//
// What is to be met next is fetched ahead, as third-level caches are slow to answer.
#include <omp.h>

#include "base/quant.h"
#include "conv/conv.h"
#include "conv/winograd.h"
#include "dequant/dequant.h"
#include "gemm/gemm.h"
#include "split.h"

enum {
    POSITIONS = 36,
    PAIR = 12, // positions of two rows, as winograd_weights_f32 makes them
    LINE = 16, // floats in a cache line
    BLOCK = TT_GEMM_ROWS * TT_GEMM_LANES, // floats of a block at one position, for 16 channels
    STAY_CHANNELS = 256,            // tiles stay up to this depth
    STAY_WEIGHTS = 12 << 20,        // and up to so many floats of transformed weights
    STAY_INPUTS = 5 << 16,          // floats of inputs that a task of tiles holds
    GROUP_INPUTS = 8 << 20,         // floats of inputs in a group, when weights stay
    TASK_PANELS = 2, TASK_BLOCKS = 40, // what a task takes, when weights stay
};

// Rows of positions in the order in which winograd_weights_f32 makes them; transformed weights are
// stored in this order, transformed inputs and products in the natural one.
static size_t natural_position(size_t q) {
    static const size_t rows[6] = {0, 5, 1, 2, 3, 4};
    return rows[q / 6] * 6 + q % 6;
}

// By shape and rows of a block; threads only see to it that each has a task. Strides and sizes of
// scratch areas are in floats.
struct plan {
    size_t oh, ow;                 // size of y
    size_t across, per_image;      // tiles in a row of tiles, in an image
    size_t tiles, blocks;          // in all
    size_t lanes;                  // 16-channel pieces of the input
    size_t panels;                 // 32-channel pieces of the output
    int tiles_stay;
    size_t parts, part_blocks;     // the blocks are cut in so many parts, of at most so many
    size_t task_panels, task_blocks;        // at most, for a multiplication
    size_t input_position, weight_position; // strides from one position to the next
    size_t shared, inputs, weights, floats, products; // scratch: one, and four for each thread
};

static struct plan make_plan(const struct tt_conv *c, size_t rows, int threads) {
    struct plan p = {.lanes = ceil_div(c->c, TT_GEMM_LANES),
                     .panels = ceil_div(c->k, TT_GEMM_PANEL)};
    tt_conv_out_size(c, &p.oh, &p.ow);
    p.across = ceil_div(p.ow, 4);
    p.per_image = p.across * ceil_div(p.oh, 4);
    p.tiles = c->n * p.per_image;
    p.blocks = ceil_div(p.tiles, rows);

    size_t all_weights = POSITIONS * p.panels * TT_GEMM_PANEL * c->c;
    size_t block_inputs = POSITIONS * p.lanes * BLOCK;
    p.tiles_stay = c->c <= STAY_CHANNELS && all_weights <= STAY_WEIGHTS &&
                   p.tiles * 4 > p.panels * TT_GEMM_PANEL;
    size_t limit = p.tiles_stay ? STAY_INPUTS : GROUP_INPUTS;
    p.parts = ceil_div(p.blocks, max(1, limit / block_inputs));
    if (p.tiles_stay) p.parts = max(p.parts, min(p.blocks, (size_t)threads));
    p.part_blocks = ceil_div(p.blocks, p.parts);
    p.task_panels = p.tiles_stay || p.panels < 2 * TASK_PANELS * (size_t)threads ? 1 : TASK_PANELS;
    p.task_blocks = p.tiles_stay ? p.part_blocks : min(p.part_blocks, TASK_BLOCKS);

    // One line more than a round number, or the positions of a patch would share a cache set.
    p.input_position = (p.part_blocks * p.lanes * TT_GEMM_ROWS | 1) * LINE;
    p.weight_position = p.task_panels * TT_GEMM_PANEL * min(c->c, TT_GEMM_BLOCK) + LINE;
    size_t inputs = POSITIONS * p.input_position;
    p.shared = p.tiles_stay ? p.panels * POSITIONS * p.weight_position : inputs;
    p.inputs = p.tiles_stay ? inputs : 0;
    p.weights = p.tiles_stay ? 0 : PAIR * p.weight_position;
    p.floats = 9 * p.task_panels * TT_GEMM_PANEL * min(c->c, TT_GEMM_BLOCK);
    if (!tt_is_quantised(c->weight.dtype)) p.floats = 0;
    p.products = p.task_blocks * TT_GEMM_ROWS * POSITIONS * p.task_panels * TT_GEMM_PANEL;
    return p;
}

// Scratch of a thread: dequantised weights are there where they have to be.
static size_t own(const struct plan *p) {
    return p->inputs + p->weights + p->floats + p->products;
}

size_t tt_conv_winograd_scratch(const struct tt_conv *c, int threads) {
    struct plan p = make_plan(c, TT_GEMM_ROWS, threads);
    struct plan q = make_plan(c, TT_GEMM_TWICE_6, threads);
    size_t p_own = own(&p), q_own = own(&q);
    return max(p.shared + (size_t)threads * p_own, q.shared + (size_t)threads * q_own) *
           sizeof(float);
}

// Of one application of B, of A and of G (conv.h), to a column or row: 12, 10 and 9 of them make a
// transform of two dimensions.
enum { INPUT_FLOPS = 12 * 24, OUTPUT_FLOPS = 10 * 16, WEIGHT_FLOPS = 9 * 13 };

double tt_conv_winograd_flops(const struct tt_kernels *kernels, const struct tt_conv *c,
                              int threads) {
    struct plan p = make_plan(c, tt_gemm_tile_rows(kernels), threads);
    double pairs = (double)c->c * (double)c->k, tiles = (double)p.tiles;
    size_t meetings = 0; // how often all weights are transformed
    for (size_t group = 0; !p.tiles_stay && group < p.parts; group++)
        meetings += ceil_div(part(p.blocks, p.parts, group + 1) - part(p.blocks, p.parts, group),
                             p.task_blocks);
    if (p.tiles_stay) meetings = 1;
    return 2.0 * POSITIONS * tiles * pairs + INPUT_FLOPS * tiles * (double)c->c +
           OUTPUT_FLOPS * tiles * (double)c->k + WEIGHT_FLOPS * pairs * (double)meetings;
}

void tt_conv_winograd_why(const struct tt_kernels *kernels, const struct tt_conv *c, int threads,
                          struct tt_why *why) {
    struct plan p = make_plan(c, tt_gemm_tile_rows(kernels), threads);
    if (p.tiles_stay)
        tt_why_add(why, "tiles stay in cache, %zu parts of %zu blocks pass by all weights: %zu "
                   "channels in (at most %d) and fewer weights than inputs", p.parts,
                   p.part_blocks, c->c, STAY_CHANNELS);
    else
        tt_why_add(why, "weights stay in cache, %zu panels at a time, %zu groups of tiles pass by: "
                   "%s", p.task_panels, p.parts,
                   c->c > STAY_CHANNELS ? "many channels" : "more weights than inputs");
}

struct range {
    size_t begin, end;
};

static struct range part_range(struct range all, size_t parts, size_t index) {
    size_t total = all.end - all.begin;
    return (struct range){all.begin + part(total, parts, index),
                          all.begin + part(total, parts, index + 1)};
}

// The first tile of a block, when all tiles are spread near-evenly.
static size_t block_tile(const struct plan *p, size_t block) {
    return part(p->tiles, p->blocks, block);
}

struct tile {
    size_t image, y, x; // output pixel of its top left corner
};

static struct tile find_tile(const struct plan *p, size_t index) {
    size_t in_image = index % p->per_image;
    return (struct tile){index / p->per_image, in_image / p->across * 4, in_image % p->across * 4};
}

// What a thread works with.
struct job {
    const struct tt_kernels *kernels;
    const struct tt_conv *conv;
    const struct plan *plan;
    float *inputs, *weights, *floats, *products;
    struct tt_busy_thread me;
};

// Inputs of one block, the `at`-th in the inputs, and 16-channel pieces `lanes`.
static void transform_inputs(const struct job *job, size_t block, size_t at, struct range lanes) {
    const struct tt_conv *c = job->conv;
    const struct plan *p = job->plan;
    size_t first = block_tile(p, block), ch = lanes.begin * TT_GEMM_LANES;
    for (size_t t = first; t < block_tile(p, block + 1); t++) {
        struct tile tile = find_tile(p, t);
        struct tt_winograd_input input = tt_winograd_patch(c, tile.image, tile.y, tile.x, ch);
        input.c = min(lanes.end * TT_GEMM_LANES, c->c) - ch;
        input.v = job->inputs + (at * p->lanes + lanes.begin) * BLOCK +
                  (t - first) * TT_GEMM_LANES;
        input.position_stride = p->input_position;
        input.lane_stride = BLOCK;
        job->kernels->winograd_input_f32(&input);
    }
}

// Quantised weights of some panels, channels i .. i+k-1, as floats: [panel][k][9][32], the order in
// which they are stored.
static void dequantise_weights(const struct job *job, struct range panels, size_t i, size_t k) {
    const struct tt_conv *c = job->conv;
    struct tt_quantised q = {c->weight, c->k, 9 * c->c, 1};
    for (size_t j = panels.begin; job->plan->floats && j < panels.end; j++)
        tt_dequant_panel(job->kernels, &q, j, 9 * i, 9 * k,
                         job->floats + (j - panels.begin) * 9 * k * TT_GEMM_PANEL, 9 * k);
}

// A third of the positions of some panels, channels i .. i+k-1, as [PAIR][panel][k][32].
static void transform_weights(const struct job *job, struct range panels, size_t i, size_t k,
                              int pair, float *u) {
    const struct tt_conv *c = job->conv;
    const struct tt_kernels *kernels = job->kernels;
    size_t taps = c->c * TT_GEMM_PANEL, stride = job->plan->weight_position;
    for (size_t j = panels.begin; j < panels.end; j++, u += k * TT_GEMM_PANEL) {
        // The panels and channels that were dequantised last, each with its taps side by side.
        const float *floats = job->floats + (j - panels.begin) * 9 * k * TT_GEMM_PANEL;
        for (size_t ch = 0; job->plan->floats && ch < k; ch++)
            kernels->winograd_weights_f32(floats + 9 * ch * TT_GEMM_PANEL, TT_GEMM_PANEL, 1, pair,
                                          u + ch * TT_GEMM_PANEL, stride);
        if (job->plan->floats) continue;
        size_t at = (j * 9 * c->c + i) * TT_GEMM_PANEL;
        const float *whole = c->weight.data;
        const uint16_t *half = c->weight.data;
        if (c->weight.dtype == TT_F32)
            kernels->winograd_weights_f32(whole + at, taps, k, pair, u, stride);
        else if (c->weight.dtype == TT_F16)
            kernels->winograd_weights_f16(half + at, taps, k, pair, u, stride);
        else
            kernels->winograd_weights_bf16(half + at, taps, k, pair, u, stride);
    }
}

// Adds channels i .. i+k-1 to the products [tile][36][panel][32] at one position. The inputs begin
// with block `first`; u holds the weights of this position. `next` is fetched on the way, so many
// cache lines for each call of the kernel and 16 channels; NULL means the inputs of the next block.
static void multiply(const struct job *job, struct range panels, struct range blocks, size_t first,
                     size_t i, size_t k, size_t position, const float *u, const float *next) {
    const struct plan *p = job->plan;
    size_t count = panels.end - panels.begin, depth = count * TT_GEMM_PANEL;
    size_t steps = k / TT_GEMM_LANES;
    for (size_t b = blocks.begin; b < blocks.end; b++) {
        size_t tile = block_tile(p, b) - block_tile(p, blocks.begin);
        struct tt_gemm_tile g = {
            .rows = block_tile(p, b + 1) - block_tile(p, b),
            .k = k,
            .chain = TT_WINOGRAD_CHAIN,
            .x = job->inputs + position * p->input_position +
                 ((b - first) * p->lanes + i / TT_GEMM_LANES) * BLOCK,
            .w = u,
            .accumulate = i > 0,
            .y = job->products + (tile * POSITIONS + position) * depth,
            .ldy = POSITIONS * depth,
        };
        if (p->tiles_stay)
            g.ahead[0].lines = ceil_div(TT_GEMM_LANES * 2, blocks.end - blocks.begin);
        else
            g.ahead[0].lines = ceil_div(TT_GEMM_ROWS, count);
        if (!p->tiles_stay && b + 1 < blocks.end) next = g.x + p->lanes * BLOCK;
        for (size_t j = panels.begin; j < panels.end; j++) {
            g.n = min(TT_GEMM_PANEL, job->conv->k - j * TT_GEMM_PANEL);
            g.ahead[0].from = next;
            job->kernels->gemm_tile_f32(&g);
            g.w += k * TT_GEMM_PANEL;
            g.y += TT_GEMM_PANEL;
            next += g.ahead[0].lines * LINE * steps;
        }
    }
}

static void transform_outputs(const struct job *job, struct range panels, struct range blocks) {
    const struct tt_conv *c = job->conv;
    const struct plan *p = job->plan;
    size_t first = block_tile(p, blocks.begin), depth = (panels.end - panels.begin) * TT_GEMM_PANEL;
    for (size_t t = first; t < block_tile(p, blocks.end); t++) {
        struct tile tile = find_tile(p, t);
        for (size_t j = panels.begin; j < panels.end; j++) {
            size_t k = j * TT_GEMM_PANEL;
            size_t at = ((tile.image * p->oh + tile.y) * p->ow + tile.x) * c->k + k;
            struct tt_winograd_output output = {
                .n = min(TT_GEMM_PANEL, c->k - k),
                .rows = min(4, p->oh - tile.y),
                .columns = min(4, p->ow - tile.x),
                .m = job->products + (t - first) * POSITIONS * depth +
                     (j - panels.begin) * TT_GEMM_PANEL,
                .position_stride = depth,
                .bias = c->bias ? c->bias + k : NULL,
                .image_bias = c->image_bias ? c->image_bias + tile.image * c->k + k : NULL,
                .residual = c->residual ? c->residual + at : NULL,
                .y = c->y + at,
                .row_stride = p->ow * c->k,
                .pixel_stride = c->k,
            };
            job->kernels->winograd_output_f32(&output);
        }
    }
}

// The work of one thread, when tiles stay.
static void run_tiles(struct job *job, float *shared) {
    const struct plan *p = job->plan;
    size_t k = job->conv->c;
#pragma omp for collapse(2) schedule(dynamic) nowait
    for (size_t j = 0; j < p->panels; j++)
        for (int pair = 0; pair < 3; pair++) {
            dequantise_weights(job, (struct range){j, j + 1}, 0, k);
            transform_weights(job, (struct range){j, j + 1}, 0, k, pair,
                              shared + (j * POSITIONS + (size_t)pair * PAIR) * p->weight_position);
        }
    tt_busy_meet(&job->me);
#pragma omp for schedule(dynamic) nowait
    for (size_t task = 0; task < p->parts; task++) {
        struct range blocks = part_range((struct range){0, p->blocks}, p->parts, task);
        for (size_t b = blocks.begin; b < blocks.end; b++)
            transform_inputs(job, b, b - blocks.begin, (struct range){0, p->lanes});
        for (size_t j = 0; j < p->panels; j++) {
            for (size_t q = 0; q < POSITIONS; q++) {
                const float *u = shared + (j * POSITIONS + q) * p->weight_position;
                multiply(job, (struct range){j, j + 1}, blocks, blocks.begin, 0, k,
                         natural_position(q), u, u + p->weight_position);
            }
            transform_outputs(job, (struct range){j, j + 1}, blocks);
        }
    }
}

// One task, when weights stay: the blocks `blocks` of a group that begins with block `first`.
static void run_panels(struct job *job, struct range panels, struct range blocks, size_t first) {
    const struct plan *p = job->plan;
    for (size_t i = 0; i < job->conv->c; i += TT_GEMM_BLOCK) {
        size_t k = min(TT_GEMM_BLOCK, job->conv->c - i);
        dequantise_weights(job, panels, i, k);
        for (int pair = 0; pair < 3; pair++) {
            transform_weights(job, panels, i, k, pair, job->weights);
            for (size_t q = 0; q < PAIR; q++) {
                size_t position = natural_position((size_t)pair * PAIR + q);
                size_t then = natural_position(((size_t)pair * PAIR + q + 1) % POSITIONS);
                multiply(job, panels, blocks, first, i, k, position,
                         job->weights + q * p->weight_position,
                         job->inputs + then * p->input_position +
                             ((blocks.begin - first) * p->lanes + i / TT_GEMM_LANES) * BLOCK);
            }
        }
    }
    transform_outputs(job, panels, blocks);
}

// The work of one thread, when weights stay.
static void run_groups(struct job *job, float *shared) {
    enum { piece = 4, wanted = 32 };
    const struct plan *p = job->plan;
    job->inputs = shared;
    for (size_t group = 0; group < p->parts; group++) {
        struct range all = part_range((struct range){0, p->blocks}, p->parts, group);
        size_t pieces = min(p->lanes, max(ceil_div(p->lanes, piece),
                                          ceil_div(wanted, all.end - all.begin)));
#pragma omp for collapse(2) schedule(dynamic) nowait
        for (size_t b = all.begin; b < all.end; b++)
            for (size_t l = 0; l < pieces; l++)
                transform_inputs(job, b, b - all.begin,
                                 part_range((struct range){0, p->lanes}, pieces, l));
        tt_busy_meet(&job->me);
        size_t panel_tasks = ceil_div(p->panels, p->task_panels);
        size_t block_tasks = ceil_div(all.end - all.begin, p->task_blocks);
#pragma omp for collapse(2) schedule(dynamic) nowait
        for (size_t j = 0; j < panel_tasks; j++)
            for (size_t b = 0; b < block_tasks; b++)
                run_panels(job, part_range((struct range){0, p->panels}, panel_tasks, j),
                           part_range(all, block_tasks, b), all.begin);
        if (group + 1 < p->parts) tt_busy_meet(&job->me);
    }
}

void tt_conv_winograd(const struct tt_kernels *kernels, const struct tt_conv *c, void *scratch,
                      int threads) {
    const struct plan p = make_plan(c, tt_gemm_tile_rows(kernels), threads);
    float *shared = scratch;
#pragma omp parallel num_threads(threads)
    {
        float *mine = shared + p.shared + (size_t)omp_get_thread_num() * own(&p);
        struct job job = {.kernels = kernels, .conv = c, .plan = &p};
        job.me = tt_busy_begin(kernels->busy, threads);
        job.inputs = mine;
        job.weights = mine + p.inputs;
        job.floats = job.weights + p.weights;
        job.products = job.floats + p.floats;
        if (p.tiles_stay)
            run_tiles(&job, shared);
        else
            run_groups(&job, shared);
        tt_busy_end(&job.me);
    }
}
