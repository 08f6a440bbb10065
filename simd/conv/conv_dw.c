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

// Winograd has a quarter of the products, and transforms that do not depend on the other side's
// depth; with fewer tiles than this the sums are too short to pay for what follows them.
enum tt_conv_algorithm tt_conv_dw_choose(const struct tt_conv *c, struct tt_why *why) {
    enum { LEAST_TILES = 8 };
    size_t tiles;
    if (!tt_conv_tiles_fit(c, &tiles, NULL) || c->n * tiles >= LEAST_TILES)
        return tt_conv_tiles_fit(c, &tiles, why) ? TT_CONV_WINOGRAD : TT_CONV_DIRECT;
    tt_why_add(why, "direct: %zu tiles of 4x4; Winograd pays from %d on", c->n * tiles,
               LEAST_TILES);
    return TT_CONV_DIRECT;
}

double tt_conv_dw_flops(const struct tt_conv *c, enum tt_conv_algorithm algorithm) {
    if (algorithm == TT_CONV_WINOGRAD) return tt_conv_dw_winograd_flops(c);
    return tt_conv_flops(NULL, c, TT_CONV_DIRECT, 1);
}

size_t tt_conv_dw_scratch(const struct tt_conv *c, enum tt_conv_algorithm algorithm, int threads) {
    if (algorithm == TT_CONV_WINOGRAD) return tt_conv_dw_winograd_scratch(c, threads);
    struct tt_window window = tt_window_of(c);
    struct tt_gemm_dw g = product_of(c, &window);
    return tt_gemm_dw_scratch(&g, threads);
}

void tt_conv_dw(const struct tt_kernels *kernels, const struct tt_conv *c,
                enum tt_conv_algorithm algorithm, const float *dy, float *dw, int accumulate,
                void *scratch, int threads) {
    if (algorithm == TT_CONV_WINOGRAD) {
        tt_conv_dw_winograd(kernels, c, dy, dw, accumulate, scratch, threads);
        return;
    }
    struct tt_window window = tt_window_of(c);
    struct tt_gemm_dw g = product_of(c, &window);
    g.dy = dy;
    g.dw = dw;
    g.accumulate = accumulate;
    tt_gemm_dw(kernels, &g, scratch, threads);
}
