// SPDX-License-Identifier: MIT
// The backward of the matrix product y[M,N] = x[M,K] w[N,K]^T + bias[N] of gemm.h.
//
//   dx[r][i] = sum_j dy[r][j] w[j][i]      tt_gemm with the transposed weights, packed as below
//   dw[j][i] = sum_r dy[r][j] x[r][i]      tt_gemm_dw
//   db[j]    = sum_r dy[r][j]              tt_column_sums (reduce/reduce.h)
//
// EXACT: dw is the product of gemm.h with the rows as reduction index: blocks of 384 rows, each the
// sum of chains of 128. Where dw is small and the rows are many, they are cut into near-even parts,
// whose sums are added in order; how many is a function of m, n and k alone. The backward needs x
// and w; y, or what a residual or a bias added, it does not.
#ifndef TT_SIMD_GEMM_BACKWARD_H
#define TT_SIMD_GEMM_BACKWARD_H

#include "gemm/gemm.h"

// Floats of the packed transpose (k, n) of an (n, k) weight matrix: tt_gemm_packed_count(k, n).
//
// Packs rows row .. row+rows-1 of an (n, k) matrix, given as rows x k floats, so that
// tt_gemm(m, n = k, k = n, x = dy, w = packed) computes dx. Packing row 0 to n-1 in any pieces
// fills the whole buffer, the zeros behind column k-1 included.
void tt_gemm_pack_transposed(float *packed, size_t n, size_t k, size_t row, size_t rows,
                             const float *w);

// dw of linear layers and convolutions: the reduction index is a row, of m; `gather` writes values
// i .. i+count-1 (count at most 32, i a multiple of 32) of rows row .. row+rows-1 of x as
// panel[rows][32]; what is behind `count` must be finite or at least harmless, it never counts.
// dw is (n, k / taps, taps), PyTorch's order: value i = tap (k / taps) + ch of x belongs to
// dw[j][ch][tap]. With `accumulate` the whole sum is added to what dw holds.
struct tt_gemm_dw {
    size_t m, n, k, taps;
    const float *dy; // rows of n floats, lddy apart
    size_t lddy;
    void (*gather)(const void *context, size_t row, size_t rows, size_t i, size_t count,
                   float *panel);
    const void *context;
    float *dw;
    int accumulate;
};

// So many tasks are wanted, and so many blocks of 384 rows make a part, at least.
enum { TT_GEMM_DW_PARTS = 32, TT_GEMM_DW_PART = 4 };

// Bytes of scratch, 64-byte aligned, for a run with this many threads.
size_t tt_gemm_dw_scratch(const struct tt_gemm_dw *g, int threads);

// Computes dw. scratch as tt_gemm_dw_scratch() says; the result does not depend on threads. dw
// overlaps no input; m, n and k are at least 1.
void tt_gemm_dw(const struct tt_kernels *kernels, const struct tt_gemm_dw *g, void *scratch,
                int threads);

// dw of a linear layer: x (m, k), dy (m, n), dw (n, k), dense.
struct tt_linear_dw {
    size_t m, n, k;
    const float *x, *dy;
    float *dw;
    int accumulate;
};
size_t tt_linear_dw_scratch(const struct tt_linear_dw *l, int threads);
void tt_linear_dw(const struct tt_kernels *kernels, const struct tt_linear_dw *l, void *scratch,
                  int threads);

#endif
