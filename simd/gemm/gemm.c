// SPDX-License-Identifier: MIT
#include "gemm/gemm.h"

#include <string.h>

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t min(size_t a, size_t b) { return a < b ? a : b; }

size_t tt_gemm_packed_floats(size_t n, size_t k) {
    return ceil_div(n, TT_GEMM_PANEL) * TT_GEMM_PANEL * k;
}

void tt_gemm_pack_rows(float *packed, size_t n, size_t k, size_t row, size_t rows, const float *w) {
    for (size_t j = row; j < row + rows; j++) {
        float *panel = packed + j / TT_GEMM_PANEL * k * TT_GEMM_PANEL;
        const float *from = w + (j - row) * k;
        for (size_t i = 0; i < k; i++) panel[i * TT_GEMM_PANEL + j % TT_GEMM_PANEL] = from[i];
        if (j + 1 < n) continue;
        for (size_t lane = j % TT_GEMM_PANEL + 1; lane < TT_GEMM_PANEL; lane++)
            for (size_t i = 0; i < k; i++) panel[i * TT_GEMM_PANEL + lane] = 0;
    }
}

// How the work is cut: `row_tasks` near-even ranges of the row tiles of an image, times
// `panel_tasks` near-even ranges of panels. By shape only; about `wanted` tasks in all. Rows are
// cut first, because a task that has all panels gathers its rows only once.
struct split {
    size_t tiles, panels, row_tasks, panel_tasks;
};

static struct split choose_split(const struct tt_gemm_rows *g) {
    enum { wanted = 32, least_tiles = 4 };
    struct split s = {.tiles = ceil_div(g->m, TT_GEMM_ROWS),
                      .panels = ceil_div(g->n, TT_GEMM_PANEL)};
    size_t each = ceil_div(wanted, g->images);
    s.row_tasks = s.tiles <= least_tiles ? 1 : min(each, s.tiles / least_tiles);
    // Few rows and many weights: every weight should come from memory once.
    if (g->m <= 512 && s.panels >= each) s.row_tasks = 1;
    s.row_tasks = s.tiles > s.row_tasks * 256 ? ceil_div(s.tiles, 256) : s.row_tasks;
    s.panel_tasks = min(s.panels, ceil_div(each, s.row_tasks));
    return s;
}

static size_t part(size_t total, size_t parts, size_t index) { return total * index / parts; }

struct range {
    size_t begin, end;
};

// The first row of a tile, when m rows are spread near-evenly over all tiles.
static size_t tile_row(const struct tt_gemm_rows *g, const struct split *s, size_t tile) {
    return part(g->m, s->tiles, tile);
}

// Tiles (at most TT_GEMM_CHUNK) of one image against some panels, one k-block at a time.
static void run_chunk(const struct tt_kernels *kernels, const struct tt_gemm_rows *g,
                      const struct split *s, size_t image, struct range tiles,
                      struct range panels) {
    _Alignas(64) float packed[TT_GEMM_CHUNK][TT_GEMM_TILE_FLOATS];
    for (size_t i = 0; i < g->k; i += TT_GEMM_BLOCK) {
        size_t k = min(TT_GEMM_BLOCK, g->k - i);
        int last = i + k == g->k;
        for (size_t t = tiles.begin; t < tiles.end; t++) {
            size_t row = tile_row(g, s, t);
            g->gather(g->context, image, row, tile_row(g, s, t + 1) - row, i, k,
                      packed[t - tiles.begin]);
        }
        for (size_t p = panels.begin; p < panels.end; p++) {
            size_t j = p * TT_GEMM_PANEL;
            for (size_t t = tiles.begin; t < tiles.end; t++) {
                size_t row = tile_row(g, s, t), at = image * g->m + row;
                struct tt_gemm_tile tile = {
                    .rows = tile_row(g, s, t + 1) - row,
                    .n = min(TT_GEMM_PANEL, g->n - j),
                    .k = k,
                    .x = packed[t - tiles.begin],
                    .w = g->w + (p * g->k + i) * TT_GEMM_PANEL,
                    .accumulate = i > 0,
                    .bias = last && g->bias ? g->bias + j : NULL,
                    .image_bias = last && g->image_bias ? g->image_bias + image * g->n + j : NULL,
                    .residual = last && g->residual ? g->residual + at * g->ldr + j : NULL,
                    .ldr = g->ldr,
                    .y = g->y + at * g->ldy + j,
                    .ldy = g->ldy,
                };
                kernels->gemm_tile_f32(&tile);
            }
        }
    }
}

static void run_task(const struct tt_kernels *kernels, const struct tt_gemm_rows *g,
                     const struct split *s, size_t image, size_t row_task, size_t panel_task) {
    struct range panels = {part(s->panels, s->panel_tasks, panel_task),
                           part(s->panels, s->panel_tasks, panel_task + 1)};
    size_t begin = part(s->tiles, s->row_tasks, row_task);
    size_t end = part(s->tiles, s->row_tasks, row_task + 1);
    size_t chunks = ceil_div(end - begin, TT_GEMM_CHUNK);
    for (size_t c = 0; c < chunks; c++) {
        struct range tiles = {begin + part(end - begin, chunks, c),
                              begin + part(end - begin, chunks, c + 1)};
        run_chunk(kernels, g, s, image, tiles, panels);
    }
}

void tt_gemm_rows(const struct tt_kernels *kernels, const struct tt_gemm_rows *g, int threads) {
    struct split s = choose_split(g);
#pragma omp parallel for collapse(3) schedule(dynamic) num_threads(threads)
    for (size_t image = 0; image < g->images; image++)
        for (size_t p = 0; p < s.panel_tasks; p++)
            for (size_t r = 0; r < s.row_tasks; r++) run_task(kernels, g, &s, image, r, p);
}

static void gather_matrix(const void *context, size_t image, size_t row, size_t rows, size_t i,
                          size_t k, float *tile) {
    const struct tt_gemm *g = context;
    (void)image;
    for (size_t r = 0; r < rows; r++) {
        const float *x = g->x + (row + r) * g->ldx + i;
        float *to = tile + r * TT_GEMM_LANES;
        size_t at = 0;
        for (; at + TT_GEMM_LANES <= k; at += TT_GEMM_LANES)
            memcpy(to + at * TT_GEMM_ROWS, x + at, TT_GEMM_LANES * sizeof(float));
        memcpy(to + at * TT_GEMM_ROWS, x + at, (k - at) * sizeof(float));
    }
}

void tt_gemm(const struct tt_kernels *kernels, const struct tt_gemm *g, int threads) {
    struct tt_gemm_rows rows = {
        .images = 1, .m = g->m, .n = g->n, .k = g->k,
        .gather = gather_matrix, .context = g,
        .w = g->w, .bias = g->bias, .residual = g->residual, .ldr = g->ldr,
        .y = g->y, .ldy = g->ldy,
    };
    tt_gemm_rows(kernels, &rows, threads);
}
