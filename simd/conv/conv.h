// SPDX-License-Identifier: MIT
// 2-D convolution (cross-correlation, as PyTorch's conv2d) of NHWC images, kernel 1 or 3.
//
//   y[n][oy][ox][k] = (((sum w[k][c][a][b] x[n][oy s + a - top][ox s + b - left][c]) + bias[k])
//                      + image_bias[n][k]) + residual[n][oy][ox][k]
//
// Both algorithms have a fixed order, so every variant, blocking and thread count gives the same
// bits (EXACT). x outside the image is +0 and is multiplied like any other value, so a NaN or Inf
// weight shows at the border too.
//
// TT_CONV_DIRECT: the product of gemm.h with the reduction index i = (a, b, c), c fastest.
//
// TT_CONV_WINOGRAD: F(4x4, 3x3) at the points 0, +-3/4, +-3/2, infinity, for kernel 3, stride 1.
// (Lavin and Gray, 2015; the points halve the error of the usual 0, +-1, +-2.) Output tile (ty, tx)
// holds outputs 4 ty .. 4 ty + 3, 4 tx .. 4 tx + 3; its patch d is the 6 x 6 inputs under them.
//   V = B^T d B      first down each column of d, then along each row of what that gave
//   U = G g G^T      first down each column of g = w[k][c], then along each row
//   M = sum over c of U V at each of the 36 positions, in the order of gemm.h but with chains of
//       32: the transforms amplify what a chain rounds (128 channels: rms error 6.9e-7; chains of
//       64 8.5e-7, of 128 1.1e-6)
//   y = A^T M A      first down each column of M, then along each row; then the biases and residual
// Each transform of one column or row, with fma(a, b, c) = a b + c rounded once:
//   B: v0 = fma(81/64, d0, fma(-45/16, d2, d4))        v5 = fma(81/64, d1, fma(-45/16, d3, d5))
//      e = fma(-9/4, d2, d4), o = fma(-9/4, d1, d3):     v1 = fma(3/4, o, e), v2 = fma(-3/4, o, e)
//      e = fma(-9/16, d2, d4), o = fma(-9/16, d1, d3):   v3 = fma(3/2, o, e), v4 = fma(-3/2, o, e)
//   G: u0 = 64/81 g0                                     u5 = g2
//      e = fma(-8/27, g2, -128/243 g0), o = -32/81 g1:   u1 = e + o, u2 = e - o
//      e = fma(8/27, g2, 32/243 g0), o = 16/81 g1:       u3 = e + o, u4 = e - o
//   A: s = m1 + m2, d = m1 - m2, t = m3 + m4, f = m3 - m4:
//      y0 = (m0 + s) + t                                 y1 = fma(3/2, f, 3/4 d)
//      y2 = fma(9/4, t, 9/16 s)                          y3 = fma(27/8, f, 27/64 d) + m5
// The constants of G are rounded to float; all others are exact.
#ifndef TT_SIMD_CONV_H
#define TT_SIMD_CONV_H

#include <stddef.h>

#include "base/why.h"
#include "kernels.h"

// Activations x (n, c, h, w) and residual, y (n, k, oh, ow) in NHWC, dense; weight as packed below;
// bias (k), image_bias (n, k) and residual may be NULL. y overlaps no input.
struct tt_conv {
    size_t n, h, w, c, k;
    size_t kernel, stride, pad_top, pad_left, pad_bottom, pad_right;
    const float *x;
    struct tt_weight weight; // 64-byte aligned
    const float *bias;
    const float *image_bias;
    const float *residual;
    float *y;
};

enum { TT_WINOGRAD_CHAIN = 32 };

enum tt_conv_algorithm { TT_CONV_DIRECT, TT_CONV_WINOGRAD };

// The faster algorithm: a function of kernel, stride, padding, c, k, h and w alone. It says why,
// where it is asked.
enum tt_conv_algorithm tt_conv_choose(const struct tt_conv *c, struct tt_why *why);

// Whether Winograd can do it, and its tiles of 4 x 4 outputs hang so little over the edge that it
// saves products enough; how many tiles there are in an image.
int tt_conv_tiles_fit(const struct tt_conv *c, size_t *tiles, struct tt_why *why);

// Floating point operations of tt_conv as that algorithm does them, without biases and residual; a
// fused multiply-add counts 2. Winograd's are its products and its transforms, each as often as it
// is done; the zeros that fill up vectors do not count.
double tt_conv_flops(const struct tt_kernels *kernels, const struct tt_conv *c,
                     enum tt_conv_algorithm algorithm, int threads);

// Height and width of y; 0 where the kernel does not fit.
void tt_conv_out_size(const struct tt_conv *c, size_t *oh, size_t *ow);

// Elements of packed weights, which lie alike for both algorithms:
// [ceil(k/32)][kernel * kernel][c][32], filled up with zeros.
size_t tt_conv_packed_count(size_t k, size_t c, size_t kernel);

// Packs outputs row .. row+rows-1, given in PyTorch's order, rows x c x kernel x kernel elements of
// 4 or 2 bytes. Packing rows 0 to k-1 in any pieces fills the whole buffer.
void tt_conv_pack_rows(void *packed, size_t element, size_t k, size_t c, size_t kernel, size_t row,
                       size_t rows, const void *w);

// Bytes of scratch that tt_conv needs (it must be 64-byte aligned).
size_t tt_conv_scratch(const struct tt_conv *c, enum tt_conv_algorithm algorithm, int threads);

// Computes y. scratch as tt_conv_scratch() says; the result does not depend on threads.
void tt_conv(const struct tt_kernels *kernels, const struct tt_conv *c,
             enum tt_conv_algorithm algorithm, void *scratch, int threads);

// The halves of tt_conv, each in its own file.
void tt_conv_direct(const struct tt_kernels *kernels, const struct tt_conv *c, int threads);
void tt_conv_direct_why(const struct tt_kernels *kernels, const struct tt_conv *c,
                        struct tt_why *why); // how its product is cut
size_t tt_conv_winograd_scratch(const struct tt_conv *c, int threads);
double tt_conv_winograd_flops(const struct tt_kernels *kernels, const struct tt_conv *c,
                              int threads);
// Which operand stays in the cache, and why.
void tt_conv_winograd_why(const struct tt_kernels *kernels, const struct tt_conv *c, int threads,
                          struct tt_why *why);
void tt_conv_winograd(const struct tt_kernels *kernels, const struct tt_conv *c, void *scratch,
                      int threads);

// Kernel winograd_weights_f32(w, tap_stride, c, pair, u, position_stride): two of the six rows of
// U, for c channels and 32 outputs; rows[] = {0, 5}, {1, 2}, {3, 4} for pair 0, 1, 2. With
// g[a][b] = w[(3 a + b) tap_stride + ch * 32 + lane]:
//   u[(6 i + j) position_stride + ch * 32 + lane] = U[rows[i]][j],   i < 2, j < 6
// Kernels winograd_weights_f16 and _bf16 do the same with half precision, widened first.

// Kernel winograd_input_f32: V of one patch, channels 0 .. c-1. d[i][j] is the c floats at
// x + (i - top) row_stride + (j - left) pixel_stride where top <= i < bottom and left <= j < right,
// and +0 elsewhere. V[i][j] of channel ch goes to
// v[(6 i + j) position_stride + ch / 16 * lane_stride + ch % 16]; lanes behind c - 1 get the
// transform of zeros. v is 64-byte aligned, and so are both its strides.
struct tt_winograd_input {
    size_t c;
    const float *x; // d[top][left], the first that lies inside the image
    size_t row_stride, pixel_stride;
    size_t top, bottom, left, right;
    float *v;
    size_t position_stride, lane_stride;
};

// Kernel winograd_output_f32: outputs of one tile, n (1..32) channels, rows x columns (1..4) of the
// 4 x 4. M[i][j] is at m + (6 i + j) position_stride; y and residual have the same strides; bias,
// image_bias and residual may be NULL.
struct tt_winograd_output {
    size_t n, rows, columns;
    const float *m;
    size_t position_stride;
    const float *bias;
    const float *image_bias;
    const float *residual;
    float *y;
    size_t row_stride, pixel_stride;
};

// Kernel winograd_gradient_f32: the transpose of what winograd_output_f32 does to one tile. With
// d the rows x columns (1..4) outputs of a tile of dy, +0 beyond them, and c channels:
//   v[(6 i + j) position_stride + ch] = (A d A^T)[i][j],   lanes up to a multiple of 16 filled with
//   the transform of zeros; first down each column, then along each row:
//   v0 = d0, v5 = d3
//   e = fma(9/16, d2, d0), o = fma(27/64, d3, 3/4 d1): v1 = e + o, v2 = e - o
//   e = fma(9/4, d2, d0), o = fma(27/8, d3, 3/2 d1):   v3 = e + o, v4 = e - o
struct tt_winograd_gradient {
    size_t c, rows, columns;
    const float *dy;
    size_t row_stride, pixel_stride;
    float *v; // 64-byte aligned
    size_t position_stride;
};

// Kernel winograd_dw_f32: the transpose of winograd_weights_f32. n (1..32) channels of one output:
//   dw[9 ch + 3 a + b] = (G^T u G)[a][b] [+ dw], u[i][j] = u[(6 i + j) position_stride + ch]
// first down each column, then along each row, with s = u1 + u2, d = u1 - u2, t = u3 + u4,
// f = u3 - u4:
//   g0 = fma(64/81, u0, fma(32/243, t, -128/243 s))   g1 = fma(16/81, f, -32/81 d)
//   g2 = fma(8/27, t, fma(-8/27, s, u5))

#endif
