// SPDX-License-Identifier: MIT
// The backward pass of group norm, made of other kernels and of plain loops in a fixed order, so
// that its bits depend on neither threads nor instruction set. norm/group_norm.h has one of its own
// kernels, but on one recorded gradient, a bias in front of a group norm, its error is 5.3 times
// PyTorch's, where this one stays below the 4.75 that the test allows.
#ifndef TT_GRAPH_GROUP_NORM_BACKWARD_H
#define TT_GRAPH_GROUP_NORM_BACKWARD_H

#include "norm/group_norm.h"

// Of y = group norm [+ silu] of x; what g holds but y is read. dx like x, NULL when not wanted;
// dgamma and dbeta (c) are added to. Scratch in bytes, 64-byte aligned.
struct tt_norm_gradients {
    const float *dy;
    float *dx, *dgamma, *dbeta;
};
size_t tt_composed_group_norm_backward_scratch(const struct tt_group_norm *g, int threads);
void tt_composed_group_norm_backward(const struct tt_kernels *kernels,
                                     const struct tt_group_norm *g,
                                     const struct tt_norm_gradients *to, void *scratch,
                                     int threads);

#endif
