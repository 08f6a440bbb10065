// SPDX-License-Identifier: MIT
// Element-wise kernels. All are EXACT; y may equal an input but not overlap it otherwise; a NaN is
// stored as 0x7fc00000, whatever came in. Infinities give the limits (silu(-inf) = -0).
//
//   silu_f32, gelu_f32 (erf form), quick_gelu_f32 (x sigmoid(1.702 x)), tanh_f32
//                (x, y, n)      y[i] = f(x[i]); errors are in vec/math_scalar.h
//   relu_f32     (x, y, n)      y[i] = x[i] < 0 ? 0 : x[i]
//   affine_f32   (x, s, t, y, n)  y[i] = s x[i] + t, rounded once
//   add_f32      (a, b, y, n)   y[i] = a[i] + b[i]
//   scale_f32    (x, s, y, n)   y[i] = s x[i]
//   geglu_f32    (x, y, rows, c)  x (rows, 2c), y (rows, c): y = x[:, :c] gelu(x[:, c:]); y and x
//                                 must not overlap
//
// The caller splits ranges among threads; values do not depend on where a range begins or ends.
#ifndef TT_SIMD_ACT_H
#define TT_SIMD_ACT_H

#include "kernels.h"

#endif
