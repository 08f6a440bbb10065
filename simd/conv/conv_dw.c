// SPDX-License-Identifier: MIT
#include "conv/conv_backward.h"
#include "conv/window.h"
#include "gemm/gemm_backward.h"

static struct tt_gemm_dw product_of(const struct tt_conv *c, const struct tt_window *window) {
    size_t taps = c->kernel * c->kernel;
    return (struct tt_gemm_dw){
        .m = window->pixels, .n = c->k, .k = taps * c->c, .taps = taps, .lddy = c->k,
        .gather = tt_window_columns, .context = window,
    };
}

size_t tt_conv_dw_scratch(const struct tt_conv *c, int threads) {
    struct tt_window window = tt_window_of(c);
    struct tt_gemm_dw g = product_of(c, &window);
    return tt_gemm_dw_scratch(&g, threads);
}

void tt_conv_dw(const struct tt_kernels *kernels, const struct tt_conv *c, const float *dy,
                float *dw, int accumulate, void *scratch, int threads) {
    struct tt_window window = tt_window_of(c);
    struct tt_gemm_dw g = product_of(c, &window);
    g.dy = dy;
    g.dw = dw;
    g.accumulate = accumulate;
    tt_gemm_dw(kernels, &g, scratch, threads);
}
