// SPDX-License-Identifier: MIT
// The backward of what shape.h moves. EXACT; input and output must not overlap.
//
//   upsample_nearest_backward_f32 (dy, dx, n, h, w, c, oh, ow)   dx (n, h, w, c) = the sum of dy
//       (n, oh, ow, c) over the pixels that repeat one, row by row, from +0
//   embedding_backward_f32 (ids, dy, dtable, t, c, ld)   for i = 0 .. t-1, in this order:
//       dtable[ids[i] ld + j] += dy[i ld + j], j < c
#ifndef TT_SIMD_SHAPE_BACKWARD_H
#define TT_SIMD_SHAPE_BACKWARD_H

#include "kernels.h"

// Adds dy (t, c) to the rows ids of dtable (any, c); threads divide columns, so that every row is
// summed in the order of positions.
void tt_embedding_backward(const struct tt_kernels *kernels, const int32_t *ids, const float *dy,
                           float *dtable, size_t t, size_t c, int threads);

#endif
