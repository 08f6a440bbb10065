// SPDX-License-Identifier: MIT
#include "gemm/gemm.h"

#include <string.h>

#include "shape/shape.h"
#include "split.h"

enum { LINE = 64 }; // bytes in a cache line

size_t tt_gemm_tile_rows(const struct tt_kernels *kernels) {
    return kernels->mask & TT_CPU_avx512 ? TT_GEMM_ROWS : TT_GEMM_TWICE_6;
}

size_t tt_gemm_packed_count(size_t n, size_t k) {
    return ceil_div(n, TT_GEMM_PANEL) * TT_GEMM_PANEL * k;
}

// Lanes lane .. lane+count-1 of one panel, from as many rows of elements; `element` is a constant
// wherever this is inlined. Each value's 32 lanes are written together, so a line of the panel is
// met once.
static inline __attribute__((always_inline)) void pack_lanes(char *panel, size_t element,
                                                             size_t channels, size_t taps,
                                                             size_t lane, size_t count,
                                                             const char *w) {
    size_t length = channels * taps;
    panel += lane * element;
    for (size_t ch = 0, i = 0; ch < channels; ch++)
        for (size_t tap = 0; tap < taps; tap++, i++) {
            char *to = panel + (tap * channels + ch) * TT_GEMM_PANEL * element;
            for (size_t j = 0; j < count; j++)
                memcpy(to + j * element, w + (j * length + i) * element, element);
        }
}

void tt_gemm_pack_taps(void *packed, size_t element, size_t n, size_t channels, size_t taps,
                       size_t row, size_t rows, const void *weights) {
    size_t k = channels * taps, end = row + rows;
    const char *w = weights;
    while (row < end) {
        size_t lane = row % TT_GEMM_PANEL, count = min(TT_GEMM_PANEL - lane, end - row);
        char *panel = (char *)packed + row / TT_GEMM_PANEL * k * TT_GEMM_PANEL * element;
        if (element == 4)
            pack_lanes(panel, 4, channels, taps, lane, count, w);
        else
            pack_lanes(panel, 2, channels, taps, lane, count, w);
        row += count;
        w += count * k * element;
        if (row < n || lane + count == TT_GEMM_PANEL) continue;
        size_t rest = TT_GEMM_PANEL - lane - count;
        for (size_t i = 0; i < k; i++)
            memset(panel + (i * TT_GEMM_PANEL + lane + count) * element, 0, rest * element);
    }
}

void tt_gemm_pack_rows(void *packed, size_t element, size_t n, size_t k, size_t row, size_t rows,
                       const void *w) {
    tt_gemm_pack_taps(packed, element, n, k, 1, row, rows, w);
}

// How the work is cut: `row_tasks` near-even ranges of the row tiles of an image, times
// `panel_tasks` near-even ranges of panels. By shape only. A task that has many panels gathers its
// rows seldom, so panels are divided only where rows give too few tasks.
struct split {
    size_t tiles, panels, row_tasks, panel_tasks;
};

// What fits on the stack: packed tiles, and beside fewer of them a widened block of a panel.
static size_t chunk_tiles(const struct tt_gemm_rows *g) {
    return g->w.dtype == TT_F32 ? TT_GEMM_CHUNK : TT_GEMM_CHUNK_HALF;
}

static struct split choose_split(const struct tt_kernels *kernels, const struct tt_gemm_rows *g) {
    enum { few_tasks = 16, many_tasks = 32, least_panels = 4 };
    struct split s = {.tiles = ceil_div(g->m, tt_gemm_tile_rows(kernels)),
                      .panels = ceil_div(g->n, TT_GEMM_PANEL)};
    size_t chunks = ceil_div(s.tiles, chunk_tiles(g));
    s.row_tasks = chunks * g->images <= 2 * many_tasks ? chunks : ceil_div(chunks, 2);
    s.panel_tasks = min(ceil_div(few_tasks, s.row_tasks * g->images),
                        ceil_div(s.panels, least_panels));
    return s;
}

struct range {
    size_t begin, end;
};

// The first row of a tile, when m rows are spread near-evenly over all tiles.
static size_t tile_row(const struct tt_gemm_rows *g, const struct split *s, size_t tile) {
    return part(g->m, s->tiles, tile);
}

// What a task of tiles and panels of one image works with.
struct task {
    const struct tt_kernels *kernels;
    const struct tt_gemm_rows *g;
    const struct split *split;
    size_t image;
    struct range tiles, panels;
};

// The x that follows values i .. i+k-1 of tile t, row `index` of the tile: the next k-block's, or
// the first of the same tile in the next chunk. NULL where there is none.
static const float *next_row(const struct task *task, size_t t, size_t count, size_t index,
                             size_t i, size_t k) {
    const struct tt_gemm_rows *g = task->g;
    if (i + k == g->k) {
        t += count;
        i = 0;
        k = 0;
    }
    if (index >= TT_GEMM_ROWS || t >= task->tiles.end) return NULL;
    size_t row = tile_row(g, task->split, t) + index;
    return row < g->m ? g->row(g->context, task->image, row, i + k) : NULL;
}

// Steps i .. i+k-1 of a panel as floats: where they lie, or widened into `wide`.
static const float *panel_floats(const struct task *task, size_t panel, size_t i, size_t k,
                                 float *wide) {
    const struct tt_weight *w = &task->g->w;
    size_t at = (panel * task->g->k + i) * TT_GEMM_PANEL;
    if (w->dtype == TT_F32) return (const float *)w->data + at;
    tt_widen(task->kernels, w, at, k * TT_GEMM_PANEL, wide);
    return wide;
}

// One k-block of the packed tiles `chunk` against all panels of the task. Each tile fetches ahead
// its share of the next panel's weights, and one row of the x that is packed next.
static void run_block(const struct task *task, struct range chunk, size_t i, size_t k,
                      float (*packed)[TT_GEMM_TILE_FLOATS], float *wide) {
    const struct tt_gemm_rows *g = task->g;
    size_t count = chunk.end - chunk.begin, element = g->w.dtype == TT_F32 ? 4 : 2;
    // A few rows pass by the weights as fast as memory gives them, with nothing to hide behind.
    size_t lines = TT_GEMM_PANEL * TT_GEMM_LANES * element / LINE;
    size_t share = g->m < 8 ? 0 : ceil_div(lines, count);
    int last = i + k == g->k;
    for (size_t p = task->panels.begin; p < task->panels.end; p++) {
        size_t j = p * TT_GEMM_PANEL;
        size_t next = p + 1 < task->panels.end ? (p + 1) * g->k + i
                                               : task->panels.begin * g->k + (last ? 0 : i + k);
        const char *ahead = (const char *)g->w.data + next * TT_GEMM_PANEL * element;
        const float *w = panel_floats(task, p, i, k, wide);
        for (size_t t = chunk.begin; t < chunk.end; t++) {
            size_t row = tile_row(g, task->split, t), at = task->image * g->m + row;
            size_t line = (t - chunk.begin) * share * (k / TT_GEMM_LANES);
            struct tt_gemm_tile tile = {
                .rows = tile_row(g, task->split, t + 1) - row,
                .n = min(TT_GEMM_PANEL, g->n - j),
                .k = k,
                .chain = TT_GEMM_CHAIN,
                .x = packed[t - chunk.begin],
                .w = w,
                .accumulate = i > 0,
                .bias = last && g->bias ? g->bias + j : NULL,
                .image_bias = last && g->image_bias ? g->image_bias + task->image * g->n + j : NULL,
                .residual = last && g->residual ? g->residual + at * g->ldr + j : NULL,
                .ldr = g->ldr,
                .y = g->y + at * g->ldy + j,
                .ldy = g->ldy,
                .ahead = {{ahead + line * LINE, share},
                          {next_row(task, t, count, p - task->panels.begin, i, k), 1}},
            };
            task->kernels->gemm_tile_f32(&tile);
        }
    }
}

static void run_task(const struct task *task) {
    const struct tt_gemm_rows *g = task->g;
    _Alignas(64) union {
        float packed[TT_GEMM_CHUNK][TT_GEMM_TILE_FLOATS];
        struct {
            float packed[TT_GEMM_CHUNK_HALF][TT_GEMM_TILE_FLOATS];
            float wide[TT_GEMM_BLOCK * TT_GEMM_PANEL];
        } half;
    } room;
    size_t total = task->tiles.end - task->tiles.begin;
    size_t chunks = ceil_div(total, chunk_tiles(g));
    for (size_t c = 0; c < chunks; c++) {
        struct range chunk = {task->tiles.begin + part(total, chunks, c),
                              task->tiles.begin + part(total, chunks, c + 1)};
        for (size_t i = 0; i < g->k; i += TT_GEMM_BLOCK) {
            size_t k = min(TT_GEMM_BLOCK, g->k - i);
            for (size_t t = chunk.begin; t < chunk.end; t++) {
                size_t row = tile_row(g, task->split, t);
                g->gather(g->context, task->image, row, tile_row(g, task->split, t + 1) - row, i, k,
                          room.packed[t - chunk.begin]);
            }
            run_block(task, chunk, i, k, room.packed, room.half.wide);
        }
    }
}

void tt_gemm_rows_why(const struct tt_kernels *kernels, const struct tt_gemm_rows *g,
                      struct tt_why *why) {
    struct split s = choose_split(kernels, g);
    tt_why_add(why, "tiles of %zu rows, %zu tasks of %zu rows by %zu panels of 32",
               tt_gemm_tile_rows(kernels), g->images * s.row_tasks * s.panel_tasks,
               ceil_div(g->m, s.row_tasks), ceil_div(s.panels, s.panel_tasks));
    if (g->w.dtype != TT_F32)
        tt_why_add(why, "%s weights are widened by panels, %zu tiles to each instead of %d; "
                   "products are of f32", tt_dtype_name(g->w.dtype), chunk_tiles(g), TT_GEMM_CHUNK);
}

void tt_gemm_rows(const struct tt_kernels *kernels, const struct tt_gemm_rows *g, int threads) {
    struct split s = choose_split(kernels, g);
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for collapse(3) schedule(dynamic) nowait
        for (size_t image = 0; image < g->images; image++) {
            for (size_t r = 0; r < s.row_tasks; r++) {
                for (size_t p = 0; p < s.panel_tasks; p++) {
                    struct task task = {
                        .kernels = kernels,
                        .g = g,
                        .split = &s,
                        .image = image,
                        .tiles = {part(s.tiles, s.row_tasks, r), part(s.tiles, s.row_tasks, r + 1)},
                        .panels = {part(s.panels, s.panel_tasks, p),
                                   part(s.panels, s.panel_tasks, p + 1)},
                    };
                    run_task(&task);
                }
            }
        }
        tt_busy_end(&me);
    }
}

static const float *matrix_row(const void *context, size_t image, size_t row, size_t i) {
    const struct tt_gemm *g = context;
    (void)image;
    return g->x + row * g->ldx + i;
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

static struct tt_gemm_rows rows_of(const struct tt_gemm *g) {
    return (struct tt_gemm_rows){
        .images = 1, .m = g->m, .n = g->n, .k = g->k,
        .gather = gather_matrix, .row = matrix_row, .context = g,
        .w = g->w, .bias = g->bias, .residual = g->residual, .ldr = g->ldr,
        .y = g->y, .ldy = g->ldy,
    };
}

void tt_gemm_why(const struct tt_kernels *kernels, const struct tt_gemm *g, struct tt_why *why) {
    struct tt_gemm_rows rows = rows_of(g);
    tt_gemm_rows_why(kernels, &rows, why);
}

void tt_gemm(const struct tt_kernels *kernels, const struct tt_gemm *g, int threads) {
    struct tt_gemm_rows rows = rows_of(g);
    tt_gemm_rows(kernels, &rows, threads);
}
