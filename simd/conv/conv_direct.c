// SPDX-License-Identifier: MIT
// Direct convolution: the GEMM of gemm.h over output pixels, whose rows are gathered from the image
// a tile at a time, so no im2col buffer exists.
#include <string.h>

#include "conv/conv.h"
#include "gemm/gemm.h"

struct image {
    const struct tt_conv *conv;
    size_t pixels; // of y in one image, as the product counts images
};

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

static void gather_pixels(const void *context, size_t image, size_t row, size_t rows, size_t i,
                          size_t k, float *tile) {
    const struct image *g = context;
    const struct tt_conv *c = g->conv;
    size_t oh, ow;
    tt_conv_out_size(c, &oh, &ow);
    for (size_t r = 0; r < rows; r++) {
        size_t pixel = image * g->pixels + row + r;
        size_t n = pixel / (oh * ow), oy = pixel / ow % oh, ox = pixel % ow;
        for (size_t at = 0; at < k;) {
            size_t tap = (i + at) / c->c, ch = (i + at) % c->c;
            size_t run = c->c - ch < k - at ? c->c - ch : k - at;
            // Unsigned: a coordinate above or left of the image wraps to a huge one.
            size_t y = oy * c->stride + tap / c->kernel - c->pad_top;
            size_t x = ox * c->stride + tap % c->kernel - c->pad_left;
            int inside = y < c->h && x < c->w;
            put(tile + r * TT_GEMM_LANES, at,
                inside ? c->x + ((n * c->h + y) * c->w + x) * c->c + ch : NULL, run);
            at += run;
        }
    }
}

void tt_conv_direct(const struct tt_kernels *kernels, const struct tt_conv *c, int threads) {
    size_t oh, ow;
    tt_conv_out_size(c, &oh, &ow);
    // A tile must not span images where each has its own bias.
    size_t images = c->image_bias ? c->n : 1;
    struct image image = {.conv = c, .pixels = c->n / images * oh * ow};
    struct tt_gemm_rows g = {
        .images = images,
        .m = image.pixels,
        .n = c->k,
        .k = c->kernel * c->kernel * c->c,
        .gather = gather_pixels,
        .context = &image,
        .w = c->weight,
        .bias = c->bias,
        .image_bias = c->image_bias,
        .residual = c->residual,
        .ldr = c->k,
        .y = c->y,
        .ldy = c->k,
    };
    tt_gemm_rows(kernels, &g, threads);
}
