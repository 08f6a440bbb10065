// SPDX-License-Identifier: MIT
// Matrix product with packed weights: linear layers, and convolutions as sums over taps.
//
//   y[r][j] = ((sum_i x[r][i] w[j][i]) + bias[j]) + residual[r][j]
//
// The order of the sum is part of the contract, so every variant, blocking and thread count gives
// the same bits (EXACT): i is cut in blocks of TT_GEMM_BLOCK, these in chains of 128. A
// chain is fused multiply-adds from +0 in the order of i; a block is its chains added in order, the
// sum its blocks added in order, each time the first one to nothing. Short chains round less: at
// k = 448, 128 instead of 384 leaves a quarter of the worst error and 0.6 of the rms.
//
// Packed weights: panels of 32 outputs, [ceil(n/32)][k][32], filled up with zeros.
// Packed rows: tiles of up to 14 rows, [ceil(k/16)][14][16]: one cache line per row and 16 values,
// so that a kernel reads one stream at constant offsets, whatever the tensor's strides are. What
// lies behind the last row or value of a tile never counts.
#ifndef TT_SIMD_GEMM_H
#define TT_SIMD_GEMM_H

#include <stddef.h>

#include "kernels.h"

enum {
    TT_GEMM_BLOCK = 384,
    TT_GEMM_CHAIN = 128,
    TT_GEMM_PANEL = 32,
    TT_GEMM_ROWS = 14,
    TT_GEMM_TWICE_6 = 12,
    TT_GEMM_LANES = 16,
    TT_GEMM_TILE_FLOATS = TT_GEMM_BLOCK * TT_GEMM_ROWS, // room for one packed tile
    TT_GEMM_CHUNK = 8,      // tiles that share a pass over the weights,
    TT_GEMM_CHUNK_HALF = 6, // and where a panel of them is widened first
};

// One k-block of one tile against one panel: the argument of the kernels gemm_tile_f32 and
// gemm_outer_f32, which differ in how the tile's values lie: packed rows x[i/16][r][i%16], or
// steps x[i][ldx], of which the first `rows` count.
//   s[r][j] = chains of `chain` steps over i < k of x[r, i] w[i][j], added in order
//   y[r][j] = (((accumulate ? y[r][j] + s : s) + bias[j]) + image_bias[j]) + residual[r][j]
// rows 1..14, n 1..32, k 1..384, chain a multiple of 16; w holds k rows of 32 floats; bias,
// image_bias and residual may be absent (NULL). y overlaps no input. w and packed rows are 64-byte
// aligned, the rest needs no alignment.
// ahead: memory that later tiles will read, fetched into the second-level cache while this one is
// computed; only a hint, it may end or lie anywhere.
struct tt_gemm_tile {
    size_t rows, n, k, chain;
    const float *x;
    size_t ldx; // of gemm_outer_f32 alone
    const float *w;
    int accumulate;
    const float *bias;
    const float *image_bias;
    const float *residual;
    size_t ldr;
    float *y;
    size_t ldy;
    struct tt_ahead {
        const void *from; // NULL: nothing
        size_t lines;     // cache lines to fetch per 16 steps of k
    } ahead[2];
};

// y[M,N] = x[M,K] . w[N,K]^T (+ bias[N]) (+ residual[M,N]); rows of x, residual and y lie ldx, ldr
// and ldy floats apart; bias and residual may be NULL. m, n and k are at least 1. y overlaps no
// input (with k > 384 it holds sums of blocks on the way).
struct tt_gemm {
    size_t m, n, k;
    const float *x;
    size_t ldx;
    struct tt_weight w; // packed, 64-byte aligned
    const float *bias;
    const float *residual;
    size_t ldr;
    float *y;
    size_t ldy;
};

// How many rows drivers put into a tile at most, as many as fill the kernel's registers evenly:
// TT_GEMM_ROWS or TT_GEMM_TWICE_6. No result depends on it.
size_t tt_gemm_tile_rows(const struct tt_kernels *kernels);

// Elements of the packed form of an (n, k) weight matrix.
size_t tt_gemm_packed_count(size_t n, size_t k);

// Packs rows row .. row+rows-1 of an (n, k) matrix, given as rows x k elements of that many bytes
// (4 or 2, aligned so). Packing row 0 to n-1 in any pieces fills the whole buffer, the zeros behind
// row n-1 included.
void tt_gemm_pack_rows(void *packed, size_t element, size_t n, size_t k, size_t row, size_t rows,
                       const void *w);

// The same where a row is [channels][taps] (a convolution's weights) and is wanted as [taps]
// [channels]; k = channels * taps.
void tt_gemm_pack_taps(void *packed, size_t element, size_t n, size_t channels, size_t taps,
                       size_t row, size_t rows, const void *w);

// How tt_gemm_rows cuts the work, and what it does about the weights' dtype.
struct tt_gemm_rows;
void tt_gemm_rows_why(const struct tt_kernels *kernels, const struct tt_gemm_rows *g,
                      struct tt_why *why);
void tt_gemm_why(const struct tt_kernels *kernels, const struct tt_gemm *g, struct tt_why *why);

// Computes y; the result does not depend on threads.
void tt_gemm(const struct tt_kernels *kernels, const struct tt_gemm *g, int threads);

// The driver that linear layers and direct convolution share: the product of `images` x m gathered
// rows with packed weights. `gather` packs rows row .. row+rows-1 (at most 14) of an image, values
// i .. i+k-1 (i a multiple of 384, k at most 384), as a tile. `row` says where the values of a row
// from i on lie, or NULL: memory to fetch ahead. image_bias is (images, n) or NULL.
struct tt_gemm_rows {
    size_t images, m, n, k;
    void (*gather)(const void *context, size_t image, size_t row, size_t rows, size_t i, size_t k,
                   float *tile);
    const float *(*row)(const void *context, size_t image, size_t row, size_t i);
    const void *context;
    struct tt_weight w;
    const float *bias;
    const float *image_bias;
    const float *residual;
    size_t ldr;
    float *y;
    size_t ldy;
};
void tt_gemm_rows(const struct tt_kernels *kernels, const struct tt_gemm_rows *g, int threads);

#endif
