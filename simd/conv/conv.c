// SPDX-License-Identifier: MIT
#include "conv/conv.h"

#include "gemm/gemm.h"

// Winograd pays where its 36 products for 16 outputs outweigh the transforms, which wants some
// depth on both sides, and where tiles of 4 x 4 do not hang far over the edge.
enum tt_conv_algorithm tt_conv_choose(const struct tt_conv *c, struct tt_why *why) {
    enum { LEAST_CHANNELS = 32 };
    size_t tiles;
    if (c->kernel == 3 && c->stride == 1 && c->c < LEAST_CHANNELS) {
        tt_why_add(why, "direct: %zu channels in; Winograd's transforms pay from %d on", c->c,
                   LEAST_CHANNELS);
        return TT_CONV_DIRECT;
    }
    return tt_conv_tiles_fit(c, &tiles, why) ? TT_CONV_WINOGRAD : TT_CONV_DIRECT;
}

int tt_conv_tiles_fit(const struct tt_conv *c, size_t *tiles, struct tt_why *why) {
    size_t oh, ow;
    if (c->kernel != 3 || c->stride != 1) {
        tt_why_add(why, "direct: kernel %zux%zu, stride %zu; Winograd is for 3x3, stride 1",
                   c->kernel, c->kernel, c->stride);
        return 0;
    }
    tt_conv_out_size(c, &oh, &ow);
    *tiles = (oh + 3) / 4 * ((ow + 3) / 4);
    int fit = 36 * *tiles <= 7 * oh * ow;
    tt_why_add(why, "%s: %zu products for each pair of channels and image in %zu tiles of 4x4, "
               "%zu directly%s", fit ? "Winograd" : "direct", 36 * *tiles, *tiles, 9 * oh * ow,
               fit ? "" : ": more than 7/9 of these");
    return fit;
}

double tt_conv_flops(const struct tt_kernels *kernels, const struct tt_conv *c,
                     enum tt_conv_algorithm algorithm, int threads) {
    if (algorithm == TT_CONV_WINOGRAD) return tt_conv_winograd_flops(kernels, c, threads);
    size_t oh, ow;
    tt_conv_out_size(c, &oh, &ow);
    return 2.0 * (double)(c->kernel * c->kernel * c->c) * (double)(c->n * oh * ow * c->k);
}

size_t tt_conv_packed_count(size_t k, size_t c, size_t kernel) {
    return tt_gemm_packed_count(k, kernel * kernel * c);
}

void tt_conv_pack_rows(void *packed, size_t element, size_t k, size_t c, size_t kernel, size_t row,
                       size_t rows, const void *w) {
    tt_gemm_pack_taps(packed, element, k, c, kernel * kernel, row, rows, w);
}

size_t tt_conv_scratch(const struct tt_conv *c, enum tt_conv_algorithm algorithm, int threads) {
    return algorithm == TT_CONV_WINOGRAD ? tt_conv_winograd_scratch(c, threads) : 0;
}

void tt_conv(const struct tt_kernels *kernels, const struct tt_conv *c,
             enum tt_conv_algorithm algorithm, void *scratch, int threads) {
    if (algorithm == TT_CONV_WINOGRAD)
        tt_conv_winograd(kernels, c, scratch, threads);
    else
        tt_conv_direct(kernels, c, threads);
}
