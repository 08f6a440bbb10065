// SPDX-License-Identifier: MIT
// Sums over many numbers: bias gradients, the norm of a gradient. EXACT: blocks of fixed size are
// summed by a kernel, in a fixed order; the blocks are added in order in double. Threads divide
// blocks. None of the inputs overlaps an output.
#ifndef TT_SIMD_REDUCE_H
#define TT_SIMD_REDUCE_H

#include "kernels.h"

enum {
    TT_SUM_ROWS = 1024,   // rows of one block of column sums
    TT_SUM_FLOATS = 4096, // numbers of one block of a sum over everything
};

// Kernel column_sums_f32 (x, ldx, y, rows, c): y[j] = sum over r < rows of x[r ldx + j], j < c, a
// chain in double from +0, rounded once: the gradient of a bias is often what is left when large
// numbers cancel. rows is at least 1.

// y (images, c) = sums over the rows of x (images, rows, c), dense; with `accumulate` they are
// added to what y holds. The gradient of a bias is the sum over all rows (one image); of a
// per-image bias, over an image's pixels; of a table that repeats over the leading dimension, over
// that.
struct tt_column_sums {
    size_t images, rows, c;
    const float *x;
    float *y;
    int accumulate;
};
size_t tt_column_sums_scratch(const struct tt_column_sums *s);
void tt_column_sums(const struct tt_kernels *kernels, const struct tt_column_sums *s, void *scratch,
                    int threads);

// y[j] (or y[j] + that, with `accumulate`) = sum over b < blocks of partial[b ld + j], in order, in
// double, rounded once: how the drivers of this folder and of norm/ fold what their blocks gave.
void tt_fold_blocks(const float *partial, size_t blocks, size_t ld, size_t c, float *y,
                    int accumulate);

// Kernel sum_squares_f32 (x, n, sum): *sum = sum over i < n <= TT_SUM_FLOATS of x[i]^2, in 32 lanes
// (number i in lane i mod 32), folded by halves.

// Floats of scratch for n numbers.
size_t tt_sum_scratch_floats(size_t n);

// The sum over any n, in double.
double tt_sum_squares(const struct tt_kernels *kernels, const float *x, size_t n, float *scratch,
                      int threads);

#endif
