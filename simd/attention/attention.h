// SPDX-License-Identifier: MIT
// Attention: o = softmax(scale q k^T) v for every image and head; head j is columns [j d, (j+1) d)
// of each row. q is n tq rows, k and v n tk rows, o n tq rows, of heads * d floats at least ld*
// apart. With `causal`, query i sees keys 0..i only (tk >= 1; a query past the last key sees all).
//
// EXACT. Order, per query: q is multiplied by scale log2(e), which is held as two floats, high and
// low: fma(q, high, q low); keys go in blocks of TT_ATTENTION_KEYS, causal rows ending at their
// last key. In a block: scores are one fma chain over d each; m' = the larger of m so far and the
// block's; p = 2^(s - m'); the block's sum of p and each p v are chains in key order from 0; then l
// = l 2^(m - m') + sum and o = o 2^(m - m') + p v, one fma each. At the end o (1 / l). NaN scores,
// or +inf, make the query's output NaN (0x7fc00000); a score of -inf weighs nothing unless all are.
#ifndef TT_SIMD_ATTENTION_H
#define TT_SIMD_ATTENTION_H

#include "kernels.h"

enum {
    TT_ATTENTION_QUERIES = 128, // of one kernel call
    TT_ATTENTION_KEYS = 256,
};

struct tt_attention {
    size_t n, heads, tq, tk, d;
    float scale;
    int causal;
    const float *q;
    size_t ldq;
    const float *k;
    size_t ldk;
    const float *v;
    size_t ldv;
    float *o; // overlaps no input
    size_t ldo;
    float *stats; // NULL, or (n, heads, tq, 2): each query's m and 1 / l, for the backward
};

// Floats of scratch, 64-byte aligned, for one call of the kernel attention_f32 (a, image, head,
// query, scratch), which computes queries query .. query + 127 (or to tq; query is a multiple of
// 32) of one image and head.
size_t tt_attention_tile_scratch(size_t d);

// Bytes of scratch, 64-byte aligned, for a run with this many threads.
size_t tt_attention_scratch(const struct tt_attention *a, int threads);

// Computes o. scratch as tt_attention_scratch() says; the result does not depend on threads.
void tt_attention(const struct tt_kernels *kernels, const struct tt_attention *a, void *scratch,
                  int threads);

// The backward, from what the forward was given, its o and its stats. With p and s as above
// (recomputed), scale the natural one, and do the gradient of o:
//   delta = sum over the head of do o        ds[i][j] = p (do[i] . v[j] - delta[i])
//   dq[i] = scale sum_j ds[i][j] k[j]    dk[j] = scale sum_i ds[i][j] q[i]
//   dv[j] = sum_i p do[i]
// EXACT. p = 2^min(0, s - m) (1 / l), for keys that a query may not see 0, which is multiplied like
// any other number. For dq, s is as in the forward; for dk and dv the keys are multiplied by
// scale log2(e) instead of the queries, in the same way. All dot products over the head are one fma
// chain each; sums over keys or queries go in blocks of TT_ATTENTION_KEYS, each a chain, added in
// order from +0; the scale comes last. Neither pass holds more of p than a block.
//
// Kernels attention_backward_q_f32 (b, image, head, query, scratch): dq and delta of queries query
// .. query + 127; then attention_backward_kv_f32 (b, image, head, key, scratch): dk and dv of keys
// key .. key + 127; query and key are multiples of 32.
struct tt_attention_backward {
    struct tt_attention forward;
    const float *dout;        // gradient of o
    size_t lddo;
    float *dq, *dk, *dv;      // overlap no input
    size_t lddq, lddk, lddv;
    float *delta;             // (n, heads, tq): given by the first kernel to the second
};

// Floats of scratch, 64-byte aligned, for one call of either kernel.
size_t tt_attention_backward_tile_scratch(size_t d);

// Bytes of scratch, 64-byte aligned, for a run with this many threads.
size_t tt_attention_backward_scratch(const struct tt_attention_backward *b, int threads);

// Computes dq, dk and dv (b->delta is set by the driver); the result does not depend on threads.
void tt_attention_backward(const struct tt_kernels *kernels, const struct tt_attention_backward *b,
                           void *scratch, int threads);

#endif
