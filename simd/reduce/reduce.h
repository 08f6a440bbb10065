// SPDX-License-Identifier: MIT
// Sums over many numbers: bias gradients, losses, the norm of a gradient. EXACT: blocks of fixed
// size are summed in float by a kernel, in a fixed order; the blocks are added in order in double.
// Threads divide blocks. None of the inputs overlaps an output, but where dx is said to equal x.
#ifndef TT_SIMD_REDUCE_H
#define TT_SIMD_REDUCE_H

#include "kernels.h"

enum {
    TT_SUM_CHAIN = 32,    // rows of one chain of column sums
    TT_SUM_ROWS = 1024,   // rows of one block of column sums
    TT_SUM_FLOATS = 4096, // numbers of one block of a sum over everything
};

// Kernel column_sums_f32 (x, ldx, y, rows, c): y[j] = sum over r < rows of x[r ldx + j], j < c, in
// groups of TT_SUM_CHAIN rows: each a chain from +0, the groups added in order, the first one to
// nothing. rows is at least 1.

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

// Kernels whose `sum` is a sum over n <= TT_SUM_FLOATS numbers, in 32 lanes (number i in lane i mod
// 32), folded by halves:
//   sum_squares_f32    (x, n, sum)                    *sum = sum x^2
//   squared_error_f32  (x, target, factor, dx, n, sum)
//        d = x - target; dx = factor d; *sum = sum d^2
//   absolute_error_f32 (x, target, factor, dx, n, sum)
//        d = x - target; dx = factor sign(d), +0 where d is 0; *sum = sum |d|
// dx may equal x. dx is the gradient of factor/2 sum d^2, or of factor sum |d|.

// Floats of scratch for n numbers.
size_t tt_sum_scratch_floats(size_t n);

// The sums over any n, in double.
double tt_sum_squares(const struct tt_kernels *kernels, const float *x, size_t n, float *scratch,
                      int threads);
double tt_squared_error(const struct tt_kernels *kernels, const float *x, const float *target,
                        float factor, float *dx, size_t n, float *scratch, int threads);
double tt_absolute_error(const struct tt_kernels *kernels, const float *x, const float *target,
                         float factor, float *dx, size_t n, float *scratch, int threads);

#endif
