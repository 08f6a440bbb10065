// SPDX-License-Identifier: MIT
// Winograd convolution. Tiles are taken in groups small enough that their transformed inputs stay
// in the last-level cache. For each group, first all inputs are transformed, as packed rows of
// gemm.h: blocks of up to 14 tiles. Then each task takes some panels of outputs and some blocks:
// it transforms the weights into its own scratch, a third of the positions and 384 channels at a
// time (so they stay in the second-level cache), multiplies, and transforms the products.
#include <omp.h>

#include "conv/conv.h"
#include "gemm/gemm.h"

enum {
    POSITIONS = 36,
    PAIR = 12,            // positions of two rows
    TASK_PANELS = 2,      // panels of outputs a task takes
    TASK_BLOCKS = 20,     // blocks of tiles a task takes
    GROUP_BYTES = 32 << 20, // of transformed inputs
    BLOCK_FLOATS = TT_GEMM_ROWS * TT_GEMM_LANES,
};

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t min(size_t a, size_t b) { return a < b ? a : b; }

static size_t part(size_t total, size_t parts, size_t index) { return total * index / parts; }

// By shape only. Sizes of scratch areas are in floats.
struct plan {
    size_t oh, ow;               // size of y
    size_t across, per_image;    // tiles in a row of tiles, in an image
    size_t tiles, blocks, lanes; // tiles and blocks in all; 16-channel pieces of the input
    size_t groups;               // groups of blocks
    size_t position_stride;      // from one position of the transformed inputs to the next
    size_t panels, panel_tasks;
    size_t group_blocks, task_blocks; // at most
    size_t inputs, weights, products;
};

static struct plan make_plan(const struct tt_conv *c) {
    struct plan p;
    tt_conv_out_size(c, &p.oh, &p.ow);
    p.across = ceil_div(p.ow, 4);
    p.per_image = p.across * ceil_div(p.oh, 4);
    p.tiles = c->n * p.per_image;
    p.blocks = ceil_div(p.tiles, TT_GEMM_ROWS);
    p.lanes = ceil_div(c->c, TT_GEMM_LANES);
    size_t block_bytes = POSITIONS * p.lanes * BLOCK_FLOATS * sizeof(float);
    p.groups = ceil_div(p.blocks, GROUP_BYTES / block_bytes + 1);
    p.group_blocks = ceil_div(p.blocks, p.groups);
    // An odd number of cache lines, or all positions of a patch would fall into one cache set.
    p.position_stride = (p.group_blocks * p.lanes * TT_GEMM_ROWS | 1) * TT_GEMM_LANES;
    p.panels = ceil_div(c->k, TT_GEMM_PANEL);
    p.panel_tasks = ceil_div(p.panels, TASK_PANELS);
    p.task_blocks = min(p.group_blocks, TASK_BLOCKS);
    p.inputs = POSITIONS * p.position_stride;
    p.weights = PAIR * TASK_PANELS * TT_GEMM_PANEL * min(c->c, TT_GEMM_BLOCK);
    p.products = p.task_blocks * TT_GEMM_ROWS * POSITIONS * TASK_PANELS * TT_GEMM_PANEL;
    return p;
}

size_t tt_conv_winograd_scratch(const struct tt_conv *c, int threads) {
    struct plan p = make_plan(c);
    return (p.inputs + (size_t)threads * (p.weights + p.products)) * sizeof(float);
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

// Which of six inputs from `start` (counted from `pad` before the image) lie inside `size`.
static void inside(size_t start, size_t pad, size_t size, size_t *begin, size_t *end) {
    *begin = start < pad ? min(pad - start, 6) : 0;
    *end = size + pad > start ? min(size + pad - start, 6) : 0;
    if (*end < *begin) *end = *begin;
}

// Lanes (16 channels each) begin .. end-1 of the tiles of one block.
static void transform_inputs(const struct tt_kernels *kernels, const struct tt_conv *c,
                             const struct plan *p, size_t block, size_t begin, size_t end,
                             float *v) {
    size_t first = block_tile(p, block), ch = begin * TT_GEMM_LANES;
    for (size_t t = first; t < block_tile(p, block + 1); t++) {
        struct tile tile = find_tile(p, t);
        struct tt_winograd_input input = {
            .c = min(end * TT_GEMM_LANES, c->c) - ch,
            .x = c->x + tile.image * c->h * c->w * c->c,
            .row_stride = c->w * c->c,
            .pixel_stride = c->c,
            .v = v + (t - first) * TT_GEMM_LANES + begin * BLOCK_FLOATS,
            .position_stride = p->position_stride,
            .lane_stride = BLOCK_FLOATS,
        };
        inside(tile.y, c->pad_top, c->h, &input.top, &input.bottom);
        inside(tile.x, c->pad_left, c->w, &input.left, &input.right);
        if (input.top < input.bottom && input.left < input.right)
            input.x += ((tile.y + input.top - c->pad_top) * c->w + tile.x + input.left -
                        c->pad_left) * c->c + ch;
        kernels->winograd_input_f32(&input);
    }
}

struct range {
    size_t begin, end;
};

// Adds 384 channels from `i` to the products of two rows of positions, m[tile][36][outputs].
static void multiply(const struct tt_kernels *kernels, const struct tt_conv *c,
                     const struct plan *p, struct range panels, struct range blocks,
                     size_t first_block, size_t i, int pair, const float *v, float *u, float *m) {
    static const size_t rows[3][2] = {{0, 5}, {1, 2}, {3, 4}};
    size_t k = min(TT_GEMM_BLOCK, c->c - i), depth = (panels.end - panels.begin) * TT_GEMM_PANEL;
    size_t panel_floats = k * TT_GEMM_PANEL;
    for (size_t j = panels.begin; j < panels.end; j++)
        kernels->winograd_weights_f32(c->weight + (j * 9 * c->c + i) * TT_GEMM_PANEL,
                                      c->c * TT_GEMM_PANEL, k, pair,
                                      u + (j - panels.begin) * panel_floats, k * depth);
    for (size_t q = 0; q < PAIR; q++) {
        size_t position = rows[pair][q / 6] * 6 + q % 6;
        for (size_t b = blocks.begin; b < blocks.end; b++) {
            size_t tile = block_tile(p, b) - block_tile(p, blocks.begin);
            struct tt_gemm_tile g = {
                .rows = block_tile(p, b + 1) - block_tile(p, b),
                .k = k,
                .x = v + position * p->position_stride +
                     ((b - first_block) * p->lanes + i / TT_GEMM_LANES) * BLOCK_FLOATS,
                .w = u + q * k * depth,
                .accumulate = i > 0,
                .y = m + (tile * POSITIONS + position) * depth,
                .ldy = POSITIONS * depth,
            };
            for (size_t j = panels.begin; j < panels.end; j++) {
                g.n = min(TT_GEMM_PANEL, c->k - j * TT_GEMM_PANEL);
                kernels->gemm_tile_f32(&g);
                g.w += panel_floats;
                g.y += TT_GEMM_PANEL;
            }
        }
    }
}

static void transform_outputs(const struct tt_kernels *kernels, const struct tt_conv *c,
                              const struct plan *p, struct range panels, struct range blocks,
                              const float *m) {
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
                .m = m + (t - first) * POSITIONS * depth + k - panels.begin * TT_GEMM_PANEL,
                .position_stride = depth,
                .bias = c->bias ? c->bias + k : NULL,
                .image_bias = c->image_bias ? c->image_bias + tile.image * c->k + k : NULL,
                .residual = c->residual ? c->residual + at : NULL,
                .y = c->y + at,
                .row_stride = p->ow * c->k,
                .pixel_stride = c->k,
            };
            kernels->winograd_output_f32(&output);
        }
    }
}

void tt_conv_winograd(const struct tt_kernels *kernels, const struct tt_conv *c, void *scratch,
                      int threads) {
    struct plan p = make_plan(c);
    float *v = scratch, *own = v + p.inputs;
#pragma omp parallel num_threads(threads)
    for (size_t group = 0; group < p.groups; group++) {
        struct range all = {part(p.blocks, p.groups, group), part(p.blocks, p.groups, group + 1)};
        size_t blocks = all.end - all.begin;
        size_t lane_tasks = min(p.lanes, ceil_div(32, blocks));
#pragma omp for collapse(2) schedule(dynamic)
        for (size_t b = 0; b < blocks; b++)
            for (size_t l = 0; l < lane_tasks; l++)
                transform_inputs(kernels, c, &p, all.begin + b, part(p.lanes, lane_tasks, l),
                                 part(p.lanes, lane_tasks, l + 1),
                                 v + b * p.lanes * BLOCK_FLOATS);
        size_t block_tasks = ceil_div(blocks, p.task_blocks);
#pragma omp for collapse(2) schedule(dynamic)
        for (size_t j = 0; j < p.panel_tasks; j++) {
            for (size_t b = 0; b < block_tasks; b++) {
                float *u = own + (size_t)omp_get_thread_num() * (p.weights + p.products);
                float *m = u + p.weights;
                struct range panels = {part(p.panels, p.panel_tasks, j),
                                       part(p.panels, p.panel_tasks, j + 1)};
                struct range mine = {all.begin + part(blocks, block_tasks, b),
                                     all.begin + part(blocks, block_tasks, b + 1)};
                for (size_t i = 0; i < c->c; i += TT_GEMM_BLOCK)
                    for (int pair = 0; pair < 3; pair++)
                        multiply(kernels, c, &p, panels, mine, all.begin, i, pair, v, u, m);
                transform_outputs(kernels, c, &p, panels, mine, m);
            }
        }
    }
}
