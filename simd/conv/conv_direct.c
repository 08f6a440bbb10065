// SPDX-License-Identifier: MIT
// Direct convolution: the GEMM of gemm.h over output pixels, whose rows are gathered from the image
// a tile at a time, so no im2col buffer exists.
#include <string.h>

#include "conv/conv.h"
#include "gemm/gemm.h"

struct image {
    const struct tt_conv *conv;
    size_t pixels; // of y in one image, as the product counts images
    size_t oh, ow; // size of y
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

// An output pixel, by its place in the product.
struct pixel {
    size_t n, y, x; // y and x of its first tap, which may wrap below 0
};

static struct pixel find_pixel(const struct image *g, size_t image, size_t row) {
    size_t index = image * g->pixels + row, in_image = index % (g->oh * g->ow);
    return (struct pixel){index / (g->oh * g->ow),
                          in_image / g->ow * g->conv->stride - g->conv->pad_top,
                          in_image % g->ow * g->conv->stride - g->conv->pad_left};
}

// The channels of one tap of a pixel; NULL outside the image. A coordinate above or left of it has
// wrapped to a huge one.
static const float *tap_channels(const struct tt_conv *c, struct pixel pixel, size_t tap) {
    size_t y = pixel.y + tap / c->kernel, x = pixel.x + tap % c->kernel;
    return y < c->h && x < c->w ? c->x + ((pixel.n * c->h + y) * c->w + x) * c->c : NULL;
}

static void gather_pixels(const void *context, size_t image, size_t row, size_t rows, size_t i,
                          size_t k, float *tile) {
    const struct image *g = context;
    size_t channels = g->conv->c;
    for (size_t r = 0; r < rows; r++) {
        struct pixel pixel = find_pixel(g, image, row + r);
        for (size_t at = 0; at < k;) {
            size_t ch = (i + at) % channels, run = channels - ch < k - at ? channels - ch : k - at;
            const float *from = tap_channels(g->conv, pixel, (i + at) / channels);
            put(tile + r * TT_GEMM_LANES, at, from ? from + ch : NULL, run);
            at += run;
        }
    }
}

static const float *pixel_row(const void *context, size_t image, size_t row, size_t i) {
    const struct image *g = context;
    const float *from = tap_channels(g->conv, find_pixel(g, image, row), i / g->conv->c);
    return from ? from + i % g->conv->c : NULL;
}

void tt_conv_direct(const struct tt_kernels *kernels, const struct tt_conv *c, int threads) {
    size_t oh, ow;
    tt_conv_out_size(c, &oh, &ow);
    // A tile must not span images where each has its own bias.
    size_t images = c->image_bias ? c->n : 1;
    struct image image = {.conv = c, .pixels = c->n / images * oh * ow, .oh = oh, .ow = ow};
    struct tt_gemm_rows g = {
        .images = images,
        .m = image.pixels,
        .n = c->k,
        .k = c->kernel * c->kernel * c->c,
        .gather = gather_pixels,
        .row = pixel_row,
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
