// SPDX-License-Identifier: MIT
// Direct convolution: the GEMM of gemm.h over output pixels, whose rows are gathered from the image
// a tile at a time, so no im2col buffer exists.
#include "conv/window.h"
#include "gemm/gemm.h"

static struct tt_gemm_rows rows_of(const struct tt_conv *c, struct tt_window *window) {
    *window = tt_window_of(c);
    // A tile must not span images where each has its own bias.
    size_t images = c->image_bias ? c->n : 1;
    window->pixels /= images;
    return (struct tt_gemm_rows){
        .images = images,
        .m = window->pixels,
        .n = c->k,
        .k = c->kernel * c->kernel * c->c,
        .gather = tt_window_gather,
        .row = tt_window_row,
        .context = window,
        .w = c->weight,
        .bias = c->bias,
        .image_bias = c->image_bias,
        .residual = c->residual,
        .ldr = c->k,
        .y = c->y,
        .ldy = c->k,
    };
}

void tt_conv_direct(const struct tt_kernels *kernels, const struct tt_conv *c, int threads) {
    struct tt_window window;
    struct tt_gemm_rows g = rows_of(c, &window);
    tt_gemm_rows(kernels, &g, threads);
}

void tt_conv_direct_why(const struct tt_kernels *kernels, const struct tt_conv *c,
                        struct tt_why *why) {
    struct tt_window window;
    struct tt_gemm_rows g = rows_of(c, &window);
    tt_gemm_rows_why(kernels, &g, why);
}
