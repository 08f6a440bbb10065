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

#endif
