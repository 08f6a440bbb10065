// SPDX-License-Identifier: MIT
// The gradient of a convolution's input. With stride s, a pixel meets only the taps of its own
// class, a = class + s t, and these form a small convolution of dy with stride 1; of stride 1 there
// is one class, with all taps.
#include <string.h>

#include "conv/conv_backward.h"
#include "conv/window.h"
#include "gemm/gemm.h"

static struct tt_conv transposed(const struct tt_conv *c) {
    size_t oh, ow;
    tt_conv_out_size(c, &oh, &ow);
    return (struct tt_conv){
        .n = c->n, .h = oh, .w = ow, .c = c->k, .k = c->c, .kernel = c->kernel, .stride = 1,
        .pad_top = c->kernel - 1 - c->pad_top, .pad_left = c->kernel - 1 - c->pad_left,
        .pad_bottom = c->h + c->pad_top - oh, .pad_right = c->w + c->pad_left - ow,
    };
}

// As for dw, but for what is too thin. The forward asks for more depth: there, few channels show
// what the transforms round.
enum { LEAST_DEPTH = 16 };

enum tt_conv_algorithm tt_conv_dx_choose(const struct tt_conv *c, struct tt_why *why) {
    if (c->stride != 1) {
        tt_why_add(why, "direct: stride %zu, in four classes of pixels", c->stride);
        return TT_CONV_DIRECT;
    }
    struct tt_conv t = transposed(c);
    if (t.c >= LEAST_DEPTH) return tt_conv_dw_choose(&t, why);
    tt_why_add(why, "direct: %zu outputs; Winograd's transforms pay from %d on", t.c, LEAST_DEPTH);
    return TT_CONV_DIRECT;
}

double tt_conv_dx_flops(const struct tt_kernels *kernels, const struct tt_conv *c,
                        enum tt_conv_algorithm algorithm, int threads) {
    struct tt_conv t = transposed(c);
    // With stride 2 each product of the forward is met once, in the class of its pixel.
    return c->stride == 1 ? tt_conv_flops(kernels, &t, algorithm, threads)
                          : tt_conv_flops(kernels, c, TT_CONV_DIRECT, threads);
}

// How many taps along one side belong to a class.
static size_t class_taps(size_t kernel, size_t stride, size_t class) {
    return kernel > class ? (kernel - class - 1) / stride + 1 : 0;
}

size_t tt_conv_dx_packed_floats(size_t k, size_t c, size_t kernel) {
    return tt_gemm_packed_count(c, kernel * kernel * k);
}

// One class: taps (class_y + s ty, class_x + s tx), each direction reversed.
static void pack_class(float *packed, size_t k, size_t c, size_t kernel, size_t stride,
                       size_t class_y, size_t class_x, size_t row, size_t rows, const float *w) {
    size_t down = class_taps(kernel, stride, class_y), across = class_taps(kernel, stride, class_x);
    size_t taps = down * across, whole = kernel * kernel;
    for (size_t i = 0; i < c; i += TT_GEMM_PANEL, packed += taps * k * TT_GEMM_PANEL) {
        size_t lanes = c - i < TT_GEMM_PANEL ? c - i : TT_GEMM_PANEL;
        for (size_t j = row; j < row + rows; j++)
            for (size_t t = 0; t < taps; t++) {
                size_t a = class_y + stride * (down - 1 - t / across);
                size_t b = class_x + stride * (across - 1 - t % across);
                const float *from = w + ((j - row) * c + i) * whole + a * kernel + b;
                float *to = packed + (t * k + j) * TT_GEMM_PANEL;
                for (size_t lane = 0; lane < lanes; lane++) to[lane] = from[lane * whole];
                for (size_t lane = lanes; lane < TT_GEMM_PANEL; lane++) to[lane] = 0;
            }
    }
}

void tt_conv_dx_pack_rows(float *packed, size_t k, size_t c, size_t kernel, size_t stride,
                          size_t row, size_t rows, const float *w) {
    for (size_t y = 0; y < stride; y++)
        for (size_t x = 0; x < stride; x++) {
            size_t taps = class_taps(kernel, stride, y) * class_taps(kernel, stride, x);
            pack_class(packed, k, c, kernel, stride, y, x, row, rows, w);
            packed += tt_gemm_packed_count(c, taps * k);
        }
}

size_t tt_conv_dx_scratch(const struct tt_conv *c, enum tt_conv_algorithm algorithm, int threads) {
    if (c->stride != 1)
        return c->n * ((c->h + 1) / 2) * ((c->w + 1) / 2) * c->c * sizeof(float);
    struct tt_conv t = transposed(c);
    return tt_conv_scratch(&t, algorithm, threads);
}

// The pixels of a class along one side: first, first + 2, ... below size.
struct side {
    size_t class, taps, first, count;
};

static struct side class_side(const struct tt_conv *c, size_t class, size_t pad, size_t size) {
    size_t first = (class + pad) % 2;
    return (struct side){class, class_taps(c->kernel, 2, class), first,
                         size > first ? (size - first + 1) / 2 : 0};
}

// Pixels of one class (n, down, across), dense in y, to their places; zeros where y is NULL.
static void scatter_row(const struct tt_conv *c, struct side down, struct side across,
                        const float *y, float *dx, size_t row) {
    size_t at = (row / down.count * c->h + down.first + row % down.count * 2) * c->w;
    for (size_t i = 0; i < across.count; i++) {
        float *to = dx + (at + across.first + 2 * i) * c->c;
        if (y)
            memcpy(to, y + (row * across.count + i) * c->c, c->c * sizeof *to);
        else
            memset(to, 0, c->c * sizeof *to);
    }
}

static void scatter(const struct tt_kernels *kernels, const struct tt_conv *c, struct side down,
                    struct side across, const float *y, float *dx, int threads) {
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
        for (size_t row = 0; row < c->n * down.count; row++)
            scatter_row(c, down, across, y, dx, row);
        tt_busy_end(&me);
    }
}

static void run_classes(const struct tt_kernels *kernels, const struct tt_conv *c,
                        const float *packed, const float *dy, float *dx, float *y, int threads) {
    for (size_t class = 0; class < 4; class++) {
        struct side down = class_side(c, class / 2, c->pad_top, c->h);
        struct side across = class_side(c, class % 2, c->pad_left, c->w);
        size_t taps = down.taps * across.taps, pixels = c->n * down.count * across.count;
        const float *w = packed;
        packed += tt_gemm_packed_count(c->c, taps * c->k);
        if (!pixels) continue;
        // The last tap meets output (first + pad - class) / 2 of dy, the reversed first one
        // taps - 1 before it.
        struct tt_window window = {
            .x = dy, .c = c->k, .taps_y = down.taps, .taps_x = across.taps, .stride = 1,
            .top = down.taps - 1 - (down.first + c->pad_top - down.class) / 2,
            .left = across.taps - 1 - (across.first + c->pad_left - across.class) / 2,
            .oh = down.count, .ow = across.count, .pixels = pixels,
        };
        tt_conv_out_size(c, &window.h, &window.w);
        struct tt_gemm_rows g = {
            .images = 1, .m = pixels, .n = c->c, .k = taps * c->k, .gather = tt_window_gather,
            .row = tt_window_row, .context = &window, .w = {w, TT_F32},
            .y = y, .ldy = c->c,
        };
        if (taps) tt_gemm_rows(kernels, &g, threads);
        scatter(kernels, c, down, across, taps ? y : NULL, dx, threads);
    }
}

void tt_conv_dx(const struct tt_kernels *kernels, const struct tt_conv *c,
                enum tt_conv_algorithm algorithm, const float *packed, const float *dy, float *dx,
                void *scratch, int threads) {
    if (c->stride != 1) {
        run_classes(kernels, c, packed, dy, dx, scratch, threads);
        return;
    }
    struct tt_conv t = transposed(c);
    t.x = dy;
    t.weight = (struct tt_weight){packed, TT_F32};
    t.y = dx;
    tt_conv(kernels, &t, algorithm, scratch, threads);
}
