// SPDX-License-Identifier: MIT
// Layer norm over the last axis: y = (x - mean) / sqrt(var + eps) * gamma + beta, rows (m, c), var
// the biased variance about the mean, in two passes over the row. EXACT: both sums run over 32
// lanes (element i in lane i mod 32) folded by halves. y may equal x. NaN is stored as 0x7fc00000.
#ifndef TT_SIMD_LAYER_NORM_H
#define TT_SIMD_LAYER_NORM_H

#include "kernels.h"

struct tt_layer_norm {
    size_t m, c;
    float eps;
    const float *x, *gamma, *beta; // (m, c), (c), (c)
    float *y;                      // (m, c)
};

// Computes y; the result does not depend on threads.
void tt_layer_norm(const struct tt_kernels *kernels, const struct tt_layer_norm *l, int threads);

#endif
