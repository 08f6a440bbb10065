// SPDX-License-Identifier: MIT
// The backward of conv.h's convolution. The geometry is the forward's struct tt_conv throughout;
// its pointers are not looked at, but for x where dw needs it. Padding is at most kernel - 1,
// stride 1 or 2.
//
//   dx[n][y][x][c] = sum over taps (a, b) and outputs k of w[k][c][a][b] dy[n][oy][ox][k], where
//                    oy stride = y + top - a and ox stride = x + left - b
//   dw[k][c][a][b] = sum over n, oy, ox of
//                    dy[n][oy][ox][k] x[n][oy stride + a - top][ox stride + b - left][c]
//   db[k], and the gradient of image_bias (n, k): tt_column_sums over all pixels, or an image's.
//
// EXACT. dx of stride 1 is the convolution of dy with the flipped, transposed weights, padded by
// kernel - 1 - padding, in either algorithm of conv.h. dx of stride 2 is, for each of the four
// classes of pixels (y + top, x + left even or odd), the product of gemm.h over the class's own
// taps, last one first, outputs k fastest. dw is the product of gemm.h over all output pixels in
// order, or, for kernel 3, stride 1, the transpose of Winograd convolution (Lavin and Gray, 2015):
//   dw[k][c] = G^T (sum over tiles of (A dy A^T)[k] (B^T x B)[c], at each of 36 positions) G
// the sum in blocks of 128 tiles, added in order, each the sum of chains of 32 fused multiply-adds;
// from 256 tiles on in near-even parts, at most 32, of such blocks, whose sums are added in order.
//
// The backward needs x and w, nothing else of the forward.
#ifndef TT_SIMD_CONV_BACKWARD_H
#define TT_SIMD_CONV_BACKWARD_H

#include "conv/conv.h"

// The algorithm for dx: as for dw, with at least 16 outputs; stride 2 is always direct.
enum tt_conv_algorithm tt_conv_dx_choose(const struct tt_conv *c, struct tt_why *why);
// As tt_conv_flops, of tt_conv_dx.
double tt_conv_dx_flops(const struct tt_kernels *kernels, const struct tt_conv *c,
                        enum tt_conv_algorithm algorithm, int threads);

// Floats of the weights packed for dx. They depend on the stride: 1 is [ceil(c/32)][taps][k][32] of
// the flipped weights, 2 is four such, one for each class, each of its own taps.
size_t tt_conv_dx_packed_floats(size_t k, size_t c, size_t kernel);

// Packs outputs row .. row+rows-1 of the forward's weights, given in PyTorch's order, rows x c x
// kernel x kernel. Packing rows 0 to k-1 in any pieces fills the whole buffer.
void tt_conv_dx_pack_rows(float *packed, size_t k, size_t c, size_t kernel, size_t stride,
                          size_t row, size_t rows, const float *w);

// Bytes of scratch that tt_conv_dx needs (64-byte aligned).
size_t tt_conv_dx_scratch(const struct tt_conv *c, enum tt_conv_algorithm algorithm, int threads);

// dx (n, h, w, c) from dy (n, oh, ow, k) and weights packed by tt_conv_dx_pack_rows (64-byte
// aligned). dx overlaps no input; the result does not depend on threads.
void tt_conv_dx(const struct tt_kernels *kernels, const struct tt_conv *c,
                enum tt_conv_algorithm algorithm, const float *packed, const float *dy, float *dx,
                void *scratch, int threads);

// The algorithm for dw: Winograd where tiles of 4 x 4 outputs do not hang far over the edge.
enum tt_conv_algorithm tt_conv_dw_choose(const struct tt_conv *c, struct tt_why *why);
// As tt_conv_flops, of tt_conv_dw.
double tt_conv_dw_flops(const struct tt_conv *c, enum tt_conv_algorithm algorithm);

// Bytes of scratch that tt_conv_dw needs (64-byte aligned).
size_t tt_conv_dw_scratch(const struct tt_conv *c, enum tt_conv_algorithm algorithm, int threads);

// dw (k, c, kernel, kernel), PyTorch's order, from c->x and dy; with `accumulate` the sum is added
// to what dw holds. dw overlaps no input; the result does not depend on threads.
void tt_conv_dw(const struct tt_kernels *kernels, const struct tt_conv *c,
                enum tt_conv_algorithm algorithm, const float *dy, float *dw, int accumulate,
                void *scratch, int threads);

// The half of tt_conv_dw that has its own file.
enum {
    TT_WINOGRAD_DW_BLOCK = 128,
    TT_WINOGRAD_DW_PART = 128, // tiles, at least
    TT_WINOGRAD_DW_PARTS = 32,
};
double tt_conv_dw_winograd_flops(const struct tt_conv *c);
size_t tt_conv_dw_winograd_scratch(const struct tt_conv *c, int threads);
void tt_conv_dw_winograd(const struct tt_kernels *kernels, const struct tt_conv *c,
                         const float *dy, float *dw, int accumulate, void *scratch, int threads);

#endif
