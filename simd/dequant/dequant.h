// SPDX-License-Identifier: MIT
// Quantised weights as floats. The kernels take blocks as base/quant.h tells them; what is around
// them cuts rows out of a weight and lays them in panels, as the matrix product reads them.
//
//   dequant_<kind>_f32 (x, y, n)   n blocks of x, each 32 or 256 elements -> y
//
// EXACT: each operation is rounded once, in the order of base/quant.h; d and m must be finite. x
// needs no alignment. Input and output must not overlap.
#ifndef TT_SIMD_DEQUANT_H
#define TT_SIMD_DEQUANT_H

#include "kernels.h"

// A quantised weight of n rows, each of channels * taps elements, [channels][taps], that lie as in
// the file: blocks go on from row to row.
struct tt_quantised {
    struct tt_weight w;
    size_t n, channels, taps;
};

// Channels first .. first+count-1 of the 32 rows of a panel as floats, [taps][32]: of tap t and
// channel first + i at out + (t * tap_stride + i) * 32. Rows that are not there are zeros. out is
// 64-byte aligned.
void tt_dequant_panel(const struct tt_kernels *kernels, const struct tt_quantised *q, size_t panel,
                      size_t first, size_t count, float *out, size_t tap_stride);

// All of it, packed as tt_gemm_pack_taps() packs floats; from `threads` threads.
void tt_dequant_packed(const struct tt_kernels *kernels, const struct tt_quantised *q, float *out,
                       int threads);

// Elements first .. first+count-1 of the weight.
void tt_dequant_elements(const struct tt_kernels *kernels, const struct tt_weight *w, size_t first,
                         size_t count, float *y);

#endif
