// SPDX-License-Identifier: MIT
#include "conv/conv.h"

#include "gemm/gemm.h"

static size_t out_size(size_t in, size_t pad, size_t kernel, size_t stride) {
    return in + pad < kernel ? 0 : (in + pad - kernel) / stride + 1;
}

void tt_conv_out_size(const struct tt_conv *c, size_t *oh, size_t *ow) {
    *oh = out_size(c->h, c->pad_top + c->pad_bottom, c->kernel, c->stride);
    *ow = out_size(c->w, c->pad_left + c->pad_right, c->kernel, c->stride);
}

// Winograd pays where its 36 products for 16 outputs outweigh the transforms, which wants some
// depth on both sides, and where tiles of 4 x 4 do not hang far over the edge.
enum tt_conv_algorithm tt_conv_choose(const struct tt_conv *c) {
    if (c->kernel != 3 || c->stride != 1 || c->c < 32) return TT_CONV_DIRECT;
    size_t oh, ow;
    tt_conv_out_size(c, &oh, &ow);
    size_t tiles = (oh + 3) / 4 * ((ow + 3) / 4);
    return 36 * tiles <= 7 * oh * ow ? TT_CONV_WINOGRAD : TT_CONV_DIRECT;
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
