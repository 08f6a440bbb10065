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

// The backward: with z = (x - mean) rstd, both recomputed from x as the forward computes them, and
// g = dy gamma:
//   dx = rstd ((g - mean of g) - z mean of g z)      dgamma = sum of dy z      dbeta = sum of dy
// The backward needs x and gamma only. EXACT: the means run over 32 lanes, the sums over rows are
// chains of TT_LAYER_NORM_ROWS rows (z by fma), added in order in double; with `accumulate` dgamma
// and dbeta are added to. dx may equal dy or x.
//
// Kernel layer_norm_backward_f32 (x, gamma, dy, dx, sums, m, c, eps): one chain, m rows; sums
// (2, c) are its parts of dgamma and dbeta.
enum { TT_LAYER_NORM_ROWS = 32 };

struct tt_layer_norm_backward {
    size_t m, c;
    float eps;
    const float *x, *gamma, *dy;  // (m, c), (c), (m, c)
    float *dx, *dgamma, *dbeta;   // (m, c), (c), (c); NULL: not wanted, but dx
    int accumulate;
};

// Bytes of scratch, 64-byte aligned.
size_t tt_layer_norm_backward_scratch(const struct tt_layer_norm_backward *l);

// Computes dx, and dgamma and dbeta where they are wanted; the result does not depend on threads.
void tt_layer_norm_backward(const struct tt_kernels *kernels,
                            const struct tt_layer_norm_backward *l, void *scratch, int threads);

#endif
