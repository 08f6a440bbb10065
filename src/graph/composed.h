// SPDX-License-Identifier: MIT
// Backward passes that are made of other kernels and of plain loops in a fixed order, so that their
// bits depend on neither threads nor instruction set.
#ifndef TT_GRAPH_COMPOSED_H
#define TT_GRAPH_COMPOSED_H

#include "attention/attention.h"
#include "norm/group_norm.h"
#include "norm/layer_norm.h"

// Of y = group norm [+ silu] of x; what g holds but y is read. dx like x, NULL when not wanted;
// dgamma and dbeta (c) are added to. Scratch in bytes, 64-byte aligned.
struct tt_norm_gradients {
    const float *dy;
    float *dx, *dgamma, *dbeta;
};
size_t tt_composed_group_norm_backward_scratch(const struct tt_group_norm *g, int threads);
void tt_composed_group_norm_backward(const struct tt_kernels *kernels,
                                     const struct tt_group_norm *g,
                            const struct tt_norm_gradients *to, void *scratch, int threads);

// Of y = layer norm of x, likewise.
size_t tt_composed_layer_norm_backward_scratch(const struct tt_layer_norm *l);
void tt_composed_layer_norm_backward(const struct tt_kernels *kernels,
                                     const struct tt_layer_norm *l,
                            const struct tt_norm_gradients *to, void *scratch, int threads);

// Of attention; o is not read. dq, dk and dv are dense and like q, k and v; any may be NULL. With
// P = softmax(scale q k^T), which is computed once more, and D = dO v^T:
//     dv = P^T dO      dS = scale P (D - row sums of P D)      dq = dS k      dk = dS^T q
struct tt_attention_gradients {
    const float *dy;
    float *dq, *dk, *dv;
};
size_t tt_composed_attention_backward_scratch(const struct tt_attention *a, int threads);
void tt_composed_attention_backward(const struct tt_kernels *kernels, const struct tt_attention *a,
                           const struct tt_attention_gradients *to, void *scratch, int threads);

#endif
