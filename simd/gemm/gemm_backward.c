// SPDX-License-Identifier: MIT
// The weight gradient as a sum of outer products: outputs n are the tile's rows, read from dy where
// they are, and columns of x its panels, gathered. A task holds its part of dw until all rows are
// summed, and only then meets the weights' own order.
#include "gemm/gemm_backward.h"

#include <omp.h>
#include <string.h>

#include "split.h"

enum {
    TASK_PANELS = 16, // of columns: a task's sums stay in the cache
    LEAST_TASKS = 8,
};

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

// How the work is cut, by shape only: parts of the row blocks, times ranges of row tiles (at most
// TT_GEMM_CHUNK), times ranges of panels (at most TASK_PANELS).
struct split {
    size_t blocks, tiles, panels, parts, tile_tasks, panel_tasks;
};

static struct split choose_split(const struct tt_gemm_dw *g) {
    struct split s = {.blocks = ceil_div(g->m, TT_GEMM_BLOCK),
                      .tiles = ceil_div(g->n, TT_GEMM_ROWS),
                      .panels = ceil_div(g->k, TT_GEMM_PANEL)};
    s.tile_tasks = ceil_div(s.tiles, TT_GEMM_CHUNK);
    s.panel_tasks = ceil_div(s.panels, TASK_PANELS);
    s.parts = min(ceil_div(TT_GEMM_DW_PARTS, s.tile_tasks * s.panel_tasks),
                  s.blocks / TT_GEMM_DW_PART);
    if (!s.parts) s.parts = 1;
    if (s.parts * s.tile_tasks * s.panel_tasks < LEAST_TASKS)
        s.panel_tasks = min(s.panels, ceil_div(LEAST_TASKS, s.parts * s.tile_tasks));
    return s;
}

enum { PANEL_FLOATS = TT_GEMM_BLOCK * TT_GEMM_PANEL }; // of one thread

// A task's part of dw.
static size_t sums_floats(const struct split *s) {
    return ceil_div(s->tiles, s->tile_tasks) * TT_GEMM_ROWS * ceil_div(s->panels, s->panel_tasks) *
           TT_GEMM_PANEL;
}

// Sums of one part are stored as soon as they are whole, others when all are.
static size_t all_sums_floats(const struct split *s, int threads) {
    size_t tasks = s->parts * s->tile_tasks * s->panel_tasks;
    return (s->parts > 1 ? tasks : (size_t)threads) * sums_floats(s);
}

size_t tt_gemm_dw_scratch(const struct tt_gemm_dw *g, int threads) {
    struct split s = choose_split(g);
    return ((size_t)threads * PANEL_FLOATS + all_sums_floats(&s, threads)) * sizeof(float);
}

// What a task works with: outputs of tiles tile .. tile_end-1 and columns of panels panel ..
// panel_end-1.
struct task {
    const struct tt_kernels *kernels;
    const struct tt_gemm_dw *g;
    size_t all_tiles, tile, tile_end, panel, panel_end;
    float *columns, *sums;
};

// The first output of a tile, when all are spread near-evenly.
static size_t tile_output(const struct task *t, size_t tile) {
    return part(t->g->n, t->all_tiles, tile);
}

// Adds a block of rows to the task's sums, or begins them.
static void sum_block(const struct task *t, size_t row, size_t rows, int accumulate) {
    size_t first = tile_output(t, t->tile), ld = (t->panel_end - t->panel) * TT_GEMM_PANEL;
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
                .x = t->g->dy + row * t->g->lddy + j,
                .ldx = t->g->lddy,
                .w = t->columns,
                .accumulate = accumulate,
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

// What all tasks know.
struct job {
    const struct tt_kernels *kernels;
    const struct tt_gemm_dw *g;
    const struct split *split;
    float *panels, *sums; // one panel for each thread
};

static struct task make_task(const struct job *job, size_t index, size_t i, size_t p) {
    const struct split *s = job->split;
    size_t own = s->parts > 1 ? (index * s->tile_tasks + i) * s->panel_tasks + p
                              : (size_t)omp_get_thread_num();
    return (struct task){
        .kernels = job->kernels,
        .g = job->g,
        .all_tiles = s->tiles,
        .tile = part(s->tiles, s->tile_tasks, i),
        .tile_end = part(s->tiles, s->tile_tasks, i + 1),
        .panel = part(s->panels, s->panel_tasks, p),
        .panel_end = part(s->panels, s->panel_tasks, p + 1),
        .columns = job->panels + (size_t)omp_get_thread_num() * PANEL_FLOATS,
        .sums = job->sums + own * sums_floats(s),
    };
}

static void sum_part(const struct job *job, size_t index, size_t i, size_t p) {
    const struct split *s = job->split;
    struct task task = make_task(job, index, i, p);
    size_t begin = part(s->blocks, s->parts, index) * TT_GEMM_BLOCK;
    size_t end = min(job->g->m, part(s->blocks, s->parts, index + 1) * TT_GEMM_BLOCK);
    for (size_t row = begin; row < end; row += TT_GEMM_BLOCK)
        sum_block(&task, row, min(TT_GEMM_BLOCK, end - row), row > begin);
    if (s->parts == 1) store(&task);
}

// Adds the sums of all parts to the first one's, in order.
static void add_parts(const struct job *job, size_t i, size_t p) {
    const struct split *s = job->split;
    size_t count = sums_floats(s), stride = s->tile_tasks * s->panel_tasks * count;
    struct task task = make_task(job, 0, i, p);
    for (size_t index = 1; index < s->parts; index++)
        for (size_t at = 0; at < count; at++) task.sums[at] += task.sums[index * stride + at];
    store(&task);
}

void tt_gemm_dw(const struct tt_kernels *kernels, const struct tt_gemm_dw *g, void *scratch,
                int threads) {
    const struct split s = choose_split(g);
    struct job job = {.kernels = kernels, .g = g, .split = &s, .panels = scratch};
    job.sums = job.panels + (size_t)threads * PANEL_FLOATS;
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for collapse(3) schedule(dynamic) nowait
        for (size_t index = 0; index < s.parts; index++)
            for (size_t i = 0; i < s.tile_tasks; i++)
                for (size_t p = 0; p < s.panel_tasks; p++) sum_part(&job, index, i, p);
        if (s.parts > 1) {
            tt_busy_meet(&me);
#pragma omp for collapse(2) schedule(dynamic) nowait
            for (size_t i = 0; i < s.tile_tasks; i++)
                for (size_t p = 0; p < s.panel_tasks; p++) add_parts(&job, i, p);
        }
        tt_busy_end(&me);
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
