// SPDX-License-Identifier: MIT
// How two arrays differ, in one pass: the largest difference, the sums of squares of the
// differences and of the second array, and what is not finite. EXACT: a tile is summed by a kernel
// in 32 lanes, tiles are folded in order. Threads divide tiles.
//
// The difference of x and y is |x - y|, rounded to float; 0 where both are NaN or both the same
// infinity; infinity where one alone is NaN, or one is infinite and the other not the same. What
// has an infinite difference, or an infinite or NaN y, counts for no sum.
//
// Sums are in double: the squares of floats are exact there and never overflow or vanish, and over
// 2^32 numbers a lane stays within 2^-25 of its sum. Memory, not arithmetic, bounds the pass.
#ifndef TT_SIMD_COMPARE_H
#define TT_SIMD_COMPARE_H

#include <math.h>

#include "kernels.h"

// a and b: rows of n numbers, lda and ldb apart.
struct tt_compare_tile {
    const float *a, *b;
    size_t lda, ldb, rows, n;
};

struct tt_compared {
    double squares;   // sum of (a - b)^2
    double reference; // sum of b^2
    float largest;    // difference
    uint32_t nan_a, nan_b, infinite_a, infinite_b; // how many
};

// Kernel compare_f32 (tile, compared): number i of each row goes to lane i mod 32, row after row;
// the 32 lanes are folded by halves.

static inline float tt_difference_of(float x, float y) {
    if (x == y || (x != x && y != y)) return 0;
    float d = fabsf(x - y);
    return d == d ? d : INFINITY;
}

// a is `images` times `pixels` rows of `channels`, as networks have it here; b of a dtype (F32, F16
// or BF16), of any alignment, is `images` times `channels` rows of `pixels`, as PyTorch has it.
// Other tensors are one image of one channel.
struct tt_compare_pair {
    const float *a;
    const void *b;
    enum tt_dtype dtype;
    size_t images, pixels, channels;
};

struct tt_compared_pair {
    double squares, reference;
    float largest;
    size_t at; // where that is first, counted as b has it; 0: nothing differs
    size_t nan_a, nan_b, infinite_a, infinite_b;
};

// Element i of b.
float tt_compare_second(const struct tt_compare_pair *pair, size_t i);
// Where a has element i of b.
static inline size_t tt_compare_first(const struct tt_compare_pair *p, size_t i) {
    size_t image = i / (p->channels * p->pixels), rest = i % (p->channels * p->pixels);
    return image * p->channels * p->pixels + rest % p->pixels * p->channels + rest / p->pixels;
}

// Bytes of scratch, aligned to 64; the pass, on at most so many threads.
size_t tt_compare_scratch(const struct tt_compare_pair *pair, int threads);
void tt_compare_arrays(const struct tt_kernels *kernels, const struct tt_compare_pair *pair,
                       struct tt_compared_pair *compared, void *scratch, int threads);

#endif
