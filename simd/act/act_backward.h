// SPDX-License-Identifier: MIT
// The backward of act.h, element by element, from the forward's input x and dy. All are EXACT; dx
// may equal x or dy but not overlap them otherwise; a NaN is stored as 0x7fc00000.
//
//   silu_backward_f32, gelu_backward_f32, quick_gelu_backward_f32, tanh_backward_f32
//                       (x, dy, dx, n)        dx[i] = dy[i] f'(x[i]); slopes are in
//                                             vec/math_scalar.h
//   relu_backward_f32   (x, dy, dx, n)        dx[i] = x[i] <= 0 ? 0 : dy[i]
//   geglu_backward_f32  (x, dy, dx, rows, c)  x and dx (rows, 2c), dy (rows, c):
//                                             dx[:, :c] = dy gelu(x[:, c:])
//                                             dx[:, c:] = dy x[:, :c] gelu'(x[:, c:])
//                                             dx may equal x, and overlaps dy nowhere
//
// The others need no kernel of their own: the gradient of scale and affine is scale_f32, of add a
// copy (of what repeats, tt_column_sums in reduce/reduce.h), of a sum of gradients add_f32.
#ifndef TT_SIMD_ACT_BACKWARD_H
#define TT_SIMD_ACT_BACKWARD_H

#include "kernels.h"

#endif
