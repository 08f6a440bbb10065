// SPDX-License-Identifier: MIT
// Softmax over the last axis: y = e^(x - max) / sum, rows (m, c). EXACT: the sum runs over 32 lanes
// folded by halves. y may equal x. A row that holds NaN or +inf, or only -inf, gives NaN throughout
// (0x7fc00000), as in PyTorch.
#ifndef TT_SIMD_SOFTMAX_H
#define TT_SIMD_SOFTMAX_H

#include "kernels.h"

// y = softmax of each of the m rows of c floats; the result does not depend on threads.
void tt_softmax(const struct tt_kernels *kernels, const float *x, float *y, size_t m, size_t c,
                int threads);

#endif
