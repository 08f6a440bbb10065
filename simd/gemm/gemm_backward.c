// SPDX-License-Identifier: MIT
// The weight gradient as a sum of outer products: outputs n are the tile's rows, packed from dy a
// step at a time, and columns of x its panels. A task holds its part of dw until all rows are
// summed, and only then meets the weights' own order.
#include "gemm/gemm_backward.h"

#include <omp.h>
#include <string.h>

enum {
    TASK_PANELS = 16, // of columns, that share a pass over the packed tiles
    LEAST_TASKS = 8,
};

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t min(size_t a, size_t b) { return a < b ? a : b; }

static size_t part(size_t total, size_t parts, size_t index) { return total * index / parts; }

void tt_gemm_pack_transposed(float *packed, size_t n, size_t k, size_t row, size_t rows,
                             const float *w) {
    for (size_t i = 0; i < k; i += TT_GEMM_PANEL) {
        size_t count = min(TT_GEMM_PANEL, k - i);
        for (size_t j = row; j < row + rows; j++) {
            float *to = packed + (i / TT_GEMM_PANEL * n + j) * TT_GEMM_PANEL;
            memcpy(to, w + (j - row) * k + i, count * sizeof *to);
            for (size_t lane = count; lane < TT_GEMM_PANEL; lane++) to[lane] = 0;
        }
    }
}

// How the work is cut, by shape only: ranges of row tiles (of at most TT_GEMM_CHUNK) times ranges
// of panels (of at most TASK_PANELS).
struct split {
    size_t tiles, panels, tile_tasks, panel_tasks;
};

static struct split choose_split(const struct tt_gemm_dw *g) {
    struct split s = {.tiles = ceil_div(g->n, TT_GEMM_ROWS),
                      .panels = ceil_div(g->k, TT_GEMM_PANEL)};
    s.tile_tasks = ceil_div(s.tiles, TT_GEMM_CHUNK);
    s.panel_tasks = ceil_div(s.panels, TASK_PANELS);
    if (s.tile_tasks * s.panel_tasks < LEAST_TASKS)
        s.panel_tasks = min(s.panels, ceil_div(LEAST_TASKS, s.tile_tasks));
    return s;
}

// Of one thread: the packed tiles, a panel, and the task's part of dw.
enum {
    TILE_FLOATS = TT_GEMM_BLOCK * TT_GEMM_LANES,
    TILES_FLOATS = TT_GEMM_CHUNK * TILE_FLOATS,
    PANEL_FLOATS = TT_GEMM_BLOCK * TT_GEMM_PANEL,
};

static size_t sums_floats(const struct tt_gemm_dw *g) {
    struct split s = choose_split(g);
    return ceil_div(s.tiles, s.tile_tasks) * TT_GEMM_ROWS * ceil_div(s.panels, s.panel_tasks) *
           TT_GEMM_PANEL;
}

size_t tt_gemm_dw_scratch(const struct tt_gemm_dw *g, int threads) {
    return (size_t)threads * (TILES_FLOATS + PANEL_FLOATS + sums_floats(g)) * sizeof(float);
}

// The tile of outputs j .. j+count-1 over rows row .. row+rows-1 of dy, as packed steps.
static void pack_tile(const struct tt_gemm_dw *g, size_t j, size_t count, size_t row, size_t rows,
                      float *tile) {
    const float *dy = g->dy + row * g->lddy + j;
    if (count == TT_GEMM_ROWS)
        for (size_t r = 0; r < rows; r++, dy += g->lddy, tile += TT_GEMM_LANES)
            memcpy(tile, dy, TT_GEMM_ROWS * sizeof *dy);
    else
        for (size_t r = 0; r < rows; r++, dy += g->lddy, tile += TT_GEMM_LANES)
            for (size_t i = 0; i < count; i++) tile[i] = dy[i];
}

// What a task works with: outputs of tiles tile .. tile_end-1 and columns of panels panel ..
// panel_end-1.
struct task {
    const struct tt_kernels *kernels;
    const struct tt_gemm_dw *g;
    size_t all_tiles, tile, tile_end, panel, panel_end;
    float *tiles, *columns, *sums;
};

// The first output of a tile, when all are spread near-evenly.
static size_t tile_output(const struct task *t, size_t tile) {
    return part(t->g->n, t->all_tiles, tile);
}

static void sum_block(const struct task *t, size_t row, size_t rows) {
    size_t first = tile_output(t, t->tile), ld = (t->panel_end - t->panel) * TT_GEMM_PANEL;
    for (size_t i = t->tile; i < t->tile_end; i++) {
        size_t j = tile_output(t, i);
        pack_tile(t->g, j, tile_output(t, i + 1) - j, row, rows,
                  t->tiles + (i - t->tile) * TILE_FLOATS);
    }
    for (size_t p = t->panel; p < t->panel_end; p++) {
        size_t column = p * TT_GEMM_PANEL, count = min(TT_GEMM_PANEL, t->g->k - column);
        t->g->gather(t->g->context, row, rows, column, count, t->columns);
        for (size_t i = t->tile; i < t->tile_end; i++) {
            size_t j = tile_output(t, i);
            struct tt_gemm_tile tile = {
                .rows = tile_output(t, i + 1) - j,
                .n = count,
                .k = rows,
                .chain = TT_GEMM_CHAIN,
                .x = t->tiles + (i - t->tile) * TILE_FLOATS,
                .ldx = TT_GEMM_LANES,
                .w = t->columns,
                .accumulate = row > 0,
                .y = t->sums + (j - first) * ld + (p - t->panel) * TT_GEMM_PANEL,
                .ldy = ld,
            };
            t->kernels->gemm_outer_f32(&tile);
        }
    }
}

// Brings the sums into the order of dw.
static void store(const struct task *t) {
    const struct tt_gemm_dw *g = t->g;
    size_t first = tile_output(t, t->tile), end = tile_output(t, t->tile_end);
    size_t column = t->panel * TT_GEMM_PANEL, last = min(g->k, t->panel_end * TT_GEMM_PANEL);
    size_t channels = g->k / g->taps, ld = (t->panel_end - t->panel) * TT_GEMM_PANEL;
    for (size_t j = first; j < end; j++) {
        const float *sums = t->sums + (j - first) * ld;
        float *dw = g->dw + j * g->k;
        size_t tap = column / channels, ch = column % channels;
        for (size_t i = column; i < last; i++, sums++) {
            float *to = dw + ch * g->taps + tap;
            *to = g->accumulate ? *to + *sums : *sums;
            if (++ch == channels) ch = 0, tap++;
        }
    }
}

void tt_gemm_dw(const struct tt_kernels *kernels, const struct tt_gemm_dw *g, void *scratch,
                int threads) {
    const struct split s = choose_split(g);
    size_t own = TILES_FLOATS + PANEL_FLOATS + sums_floats(g);
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads)
    for (size_t i = 0; i < s.tile_tasks; i++) {
        for (size_t p = 0; p < s.panel_tasks; p++) {
            float *mine = (float *)scratch + (size_t)omp_get_thread_num() * own;
            struct task task = {
                .kernels = kernels,
                .g = g,
                .all_tiles = s.tiles,
                .tile = part(s.tiles, s.tile_tasks, i),
                .tile_end = part(s.tiles, s.tile_tasks, i + 1),
                .panel = part(s.panels, s.panel_tasks, p),
                .panel_end = part(s.panels, s.panel_tasks, p + 1),
                .tiles = mine,
                .columns = mine + TILES_FLOATS,
                .sums = mine + TILES_FLOATS + PANEL_FLOATS,
            };
            for (size_t row = 0; row < g->m; row += TT_GEMM_BLOCK)
                sum_block(&task, row, min(TT_GEMM_BLOCK, g->m - row));
            store(&task);
        }
    }
}

static void gather_columns(const void *context, size_t row, size_t rows, size_t i, size_t count,
                           float *panel) {
    const struct tt_linear_dw *l = context;
    const float *x = l->x + row * l->k + i;
    if (count == TT_GEMM_PANEL)
        for (size_t r = 0; r < rows; r++, x += l->k, panel += TT_GEMM_PANEL)
            memcpy(panel, x, TT_GEMM_PANEL * sizeof *x);
    else
        for (size_t r = 0; r < rows; r++, x += l->k, panel += TT_GEMM_PANEL)
            memcpy(panel, x, count * sizeof *x);
}

static struct tt_gemm_dw product_of(const struct tt_linear_dw *l) {
    return (struct tt_gemm_dw){
        .m = l->m, .n = l->n, .k = l->k, .taps = 1, .dy = l->dy, .lddy = l->n,
        .gather = gather_columns, .context = l, .dw = l->dw, .accumulate = l->accumulate,
    };
}

size_t tt_linear_dw_scratch(const struct tt_linear_dw *l, int threads) {
    struct tt_gemm_dw g = product_of(l);
    return tt_gemm_dw_scratch(&g, threads);
}

void tt_linear_dw(const struct tt_kernels *kernels, const struct tt_linear_dw *l, void *scratch,
                  int threads) {
    struct tt_gemm_dw g = product_of(l);
    tt_gemm_dw(kernels, &g, scratch, threads);
}
