// SPDX-License-Identifier: MIT
#include "conv/window.h"

#include <string.h>

#include "gemm/gemm.h"

struct tt_window tt_window_of(const struct tt_conv *c) {
    struct tt_window w = {
        .x = c->x, .h = c->h, .w = c->w, .c = c->c, .taps_y = c->kernel, .taps_x = c->kernel,
        .stride = c->stride, .top = c->pad_top, .left = c->pad_left,
    };
    tt_conv_out_size(c, &w.oh, &w.ow);
    w.pixels = c->n * w.oh * w.ow;
    return w;
}

// Values i .. i+k-1 of a row start at lane i % 16 of the tile, for a run within one tap.
static void put(float *to, size_t i, const float *from, size_t k) {
    while (k) {
        size_t lane = i % TT_GEMM_LANES, part = TT_GEMM_LANES - lane;
        float *at = to + i / TT_GEMM_LANES * TT_GEMM_LANES * TT_GEMM_ROWS + lane;
        if (part > k) part = k;
        if (part == TT_GEMM_LANES && from)
            memcpy(at, from, TT_GEMM_LANES * sizeof(float));
        else if (from)
            memcpy(at, from, part * sizeof(float));
        else
            memset(at, 0, part * sizeof(float));
        i += part;
        k -= part;
        if (from) from += part;
    }
}

// An output pixel, by its place in the product.
struct pixel {
    size_t n, y, x; // y and x of its first tap, which may wrap below 0
};

static struct pixel find_pixel(const struct tt_window *w, size_t index) {
    size_t in_image = index % (w->oh * w->ow);
    return (struct pixel){index / (w->oh * w->ow), in_image / w->ow * w->stride - w->top,
                          in_image % w->ow * w->stride - w->left};
}

// The channels of one tap of a pixel; NULL outside the image. A coordinate above or left of it has
// wrapped to a huge one.
static const float *tap_channels(const struct tt_window *w, struct pixel pixel, size_t tap) {
    size_t y = pixel.y + tap / w->taps_x, x = pixel.x + tap % w->taps_x;
    return y < w->h && x < w->w ? w->x + ((pixel.n * w->h + y) * w->w + x) * w->c : NULL;
}

void tt_window_gather(const void *context, size_t image, size_t row, size_t rows, size_t i,
                      size_t k, float *tile) {
    const struct tt_window *w = context;
    for (size_t r = 0; r < rows; r++) {
        struct pixel pixel = find_pixel(w, image * w->pixels + row + r);
        for (size_t at = 0; at < k;) {
            size_t ch = (i + at) % w->c, run = w->c - ch < k - at ? w->c - ch : k - at;
            const float *from = tap_channels(w, pixel, (i + at) / w->c);
            put(tile + r * TT_GEMM_LANES, at, from ? from + ch : NULL, run);
            at += run;
        }
    }
}

const float *tt_window_row(const void *context, size_t image, size_t row, size_t i) {
    const struct tt_window *w = context;
    const float *from = tap_channels(w, find_pixel(w, image * w->pixels + row), i / w->c);
    return from ? from + i % w->c : NULL;
}

// Values ch .. ch+run-1 of one tap of successive output pixels, as columns of the panel.
static void put_columns(const struct tt_window *w, size_t row, size_t rows, size_t tap, size_t ch,
                        size_t run, float *panel) {
    struct pixel pixel = find_pixel(w, row);
    size_t ty = tap / w->taps_x, tx = tap % w->taps_x, across = row % w->ow;
    size_t down = row / w->ow % w->oh;
    for (size_t r = 0; r < rows; r++, panel += TT_GEMM_PANEL) {
        size_t y = pixel.y + ty, x = pixel.x + tx;
        size_t from = ((pixel.n * w->h + y) * w->w + x) * w->c + ch; // none outside the picture
        if (y >= w->h || x >= w->w)
            memset(panel, 0, run * sizeof *panel);
        else if (run == TT_GEMM_PANEL)
            memcpy(panel, w->x + from, TT_GEMM_PANEL * sizeof *panel);
        else
            memcpy(panel, w->x + from, run * sizeof *panel);
        pixel.x += w->stride;
        if (++across < w->ow) continue;
        across = 0;
        pixel.x = 0 - w->left;
        pixel.y += w->stride;
        if (++down < w->oh) continue;
        down = 0;
        pixel.y = 0 - w->top;
        pixel.n++;
    }
}

void tt_window_columns(const void *context, size_t row, size_t rows, size_t i, size_t count,
                       float *panel) {
    const struct tt_window *w = context;
    for (size_t at = 0; at < count;) {
        size_t ch = (i + at) % w->c, run = w->c - ch < count - at ? w->c - ch : count - at;
        put_columns(w, row, rows, (i + at) / w->c, ch, run, panel + at);
        at += run;
    }
}
