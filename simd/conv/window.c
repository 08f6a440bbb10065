// SPDX-License-Identifier: MIT
#include "conv/window.h"

#include <string.h>

#include "gemm/gemm.h"

static size_t out_size(size_t in, size_t pad, size_t kernel, size_t stride) {
    return in + pad < kernel ? 0 : (in + pad - kernel) / stride + 1;
}

void tt_conv_out_size(const struct tt_conv *c, size_t *oh, size_t *ow) {
    *oh = out_size(c->h, c->pad_top + c->pad_bottom, c->kernel, c->stride);
    *ow = out_size(c->w, c->pad_left + c->pad_right, c->kernel, c->stride);
}

struct tt_window tt_window_of(const struct tt_conv *c) {
    struct tt_window w = {
        .x = c->x, .h = c->h, .w = c->w, .c = c->c, .taps_y = c->kernel, .taps_x = c->kernel,
        .stride = c->stride, .top = c->pad_top, .left = c->pad_left,
    };
    tt_conv_out_size(c, &w.oh, &w.ow);
    w.pixels = c->n * w.oh * w.ow;
    return w;
}

// Fewer floats than a line: pieces of fixed sizes are faster than a call of memcpy.
static inline void copy_few(float *to, const float *from, size_t n) {
    for (size_t piece = TT_GEMM_LANES / 2; piece; piece /= 2) {
        if (!(n & piece)) continue;
        memcpy(to, from, piece * sizeof *to);
        to += piece;
        from += piece;
    }
}

// Values at .. at+k-1 of a tile's row, whose place is given for value 0; zeros where from is NULL.
static void put(float *to, size_t at, const float *from, size_t k) {
    to += at / TT_GEMM_LANES * TT_GEMM_LANES * TT_GEMM_ROWS;
    for (size_t lane = at % TT_GEMM_LANES; k; lane = 0, to += TT_GEMM_LANES * TT_GEMM_ROWS) {
        size_t part = TT_GEMM_LANES - lane < k ? TT_GEMM_LANES - lane : k;
        if (part == TT_GEMM_LANES && from)
            memcpy(to, from, TT_GEMM_LANES * sizeof *to);
        else if (from)
            copy_few(to + lane, from, part);
        else
            memset(to + lane, 0, part * sizeof *to);
        if (from) from += part;
        k -= part;
    }
}

// An output pixel, by its place in the product.
struct pixel {
    size_t n, y, x; // y and x of its first tap, which may wrap below 0
    size_t down, across;
};

static struct pixel find_pixel(const struct tt_window *w, size_t index) {
    size_t in_image = index % (w->oh * w->ow), down = in_image / w->ow, across = in_image % w->ow;
    return (struct pixel){index / (w->oh * w->ow), down * w->stride - w->top,
                          across * w->stride - w->left, down, across};
}

// To the first pixel of the next row of outputs.
static void next_line(const struct tt_window *w, struct pixel *pixel) {
    pixel->across = 0;
    pixel->x = 0 - w->left;
    pixel->y += w->stride;
    if (++pixel->down < w->oh) return;
    pixel->down = 0;
    pixel->y = 0 - w->top;
    pixel->n++;
}

// Taps side by side are contiguous in memory, as pixels are, so a window is as many runs of values
// as it has rows: values first .. first+count-1 of row `tap_row` go to place `at`.
struct run {
    size_t tap_row, first, count, at;
};

enum { MOST_RUNS = 3 };

static size_t find_runs(const struct tt_window *w, size_t i, size_t k, struct run run[MOST_RUNS]) {
    size_t line = w->taps_x * w->c, count = 0;
    for (size_t at = 0; at < k; count++) {
        size_t first = (i + at) % line, rest = line - first < k - at ? line - first : k - at;
        run[count] = (struct run){(i + at) / line, first, rest, at};
        at += rest;
    }
    return count;
}

// The row of the image that a run lies in; NULL outside. What is above has wrapped to a huge y.
static const float *run_line(const struct tt_window *w, const struct pixel *pixel,
                             const struct run *run) {
    size_t y = pixel->y + run->tap_row;
    return y < w->h ? w->x + (pixel->n * w->h + y) * w->w * w->c : NULL;
}

// The part of a run that starts at value `start` of the line, which may have wrapped below 0, and
// lies inside: its place in the run, and how much.
static size_t clip(const struct tt_window *w, size_t start, size_t count, size_t *skip) {
    size_t length = w->w * w->c, below = 0 - start;
    *skip = start < length ? 0 : below < count ? below : count;
    size_t rest = count - *skip, room = rest ? length - (start + *skip) : 0;
    return rest < room ? rest : room;
}

void tt_window_gather(const void *context, size_t image, size_t row, size_t rows, size_t i,
                      size_t k, float *tile) {
    const struct tt_window *w = context;
    struct pixel pixel = find_pixel(w, image * w->pixels + row);
    struct run runs[MOST_RUNS];
    size_t count = find_runs(w, i, k, runs);
    for (size_t r = 0; r < rows; r++, tile += TT_GEMM_LANES) {
        for (const struct run *run = runs; run < runs + count; run++) {
            const float *line = run_line(w, &pixel, run);
            size_t start = pixel.x * w->c + run->first, skip, inside;
            inside = line ? clip(w, start, run->count, &skip) : 0;
            if (!inside) {
                put(tile, run->at, NULL, run->count);
                continue;
            }
            put(tile, run->at, NULL, skip);
            put(tile, run->at + skip, line + (start + skip), inside);
            put(tile, run->at + skip + inside, NULL, run->count - skip - inside);
        }
        pixel.x += w->stride;
        if (++pixel.across == w->ow) next_line(w, &pixel);
    }
}

const float *tt_window_row(const void *context, size_t image, size_t row, size_t i) {
    const struct tt_window *w = context;
    struct pixel pixel = find_pixel(w, image * w->pixels + row);
    struct run run = {i / (w->taps_x * w->c), i % (w->taps_x * w->c), 1, 0};
    const float *line = run_line(w, &pixel, &run);
    size_t start = pixel.x * w->c + run.first;
    return line && start < w->w * w->c ? line + start : NULL;
}

// One run of `count` successive output pixels of a line, as columns of the panel. size: that of the
// run, a constant where it is a common one.
static inline void put_line(const struct tt_window *w, const float *line, size_t start,
                            size_t count, size_t size, float *panel) {
    size_t length = w->w * w->c, step = w->stride * w->c;
    for (size_t r = 0; r < count; r++, panel += TT_GEMM_PANEL, start += step) {
        if (start < length && start + size <= length) {
            memcpy(panel, line + start, size * sizeof *panel);
            continue;
        }
        size_t skip, inside = clip(w, start, size, &skip);
        memset(panel, 0, size * sizeof *panel);
        if (inside) memcpy(panel + skip, line + (start + skip), inside * sizeof *panel);
    }
}

static void put_columns(const struct tt_window *w, size_t row, size_t rows, const struct run *run,
                        float *panel) {
    struct pixel pixel = find_pixel(w, row);
    while (rows) {
        size_t span = w->ow - pixel.across < rows ? w->ow - pixel.across : rows;
        const float *line = run_line(w, &pixel, run);
        size_t start = pixel.x * w->c + run->first;
        if (!line)
            for (size_t r = 0; r < span; r++)
                memset(panel + r * TT_GEMM_PANEL, 0, run->count * sizeof *panel);
        else if (run->count == TT_GEMM_PANEL)
            put_line(w, line, start, span, TT_GEMM_PANEL, panel);
        else if (run->count == TT_GEMM_PANEL / 2)
            put_line(w, line, start, span, TT_GEMM_PANEL / 2, panel);
        else
            put_line(w, line, start, span, run->count, panel);
        panel += span * TT_GEMM_PANEL;
        rows -= span;
        next_line(w, &pixel);
    }
}

void tt_window_columns(const void *context, size_t row, size_t rows, size_t i, size_t count,
                       float *panel) {
    struct run runs[MOST_RUNS];
    size_t n = find_runs(context, i, count, runs);
    for (size_t j = 0; j < n; j++) put_columns(context, row, rows, &runs[j], panel + runs[j].at);
}
