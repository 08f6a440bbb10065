// SPDX-License-Identifier: MIT
// Kernels that move or convert numbers. All are EXACT; input and output must not overlap.
//
//   upsample_nearest_f32 (x, y, n, h, w, c, oh, ow)   x (n, h, w, c) -> y (n, oh, ow, c), the
//   pixels
//       torch.nn.functional.interpolate(mode="nearest", size=(oh, ow)) takes
//   embedding_f32 (table, ids, y, t, c)   y[i] = table[ids[i]], rows of c; ids are in range
//   nchw_to_nhwc_f32, nhwc_to_nchw_f32 (x, y, n, c, hw)
//   convert_f16_f32, convert_bf16_f32 (x, y, n)   exact; NaN becomes 0x7fc00000
//   sinusoidal_f32 (timesteps, y, n, dim, flip_sin_to_cos, downscale_freq_shift, max_period)
//       y (n, dim), diffusers' get_timestep_embedding: angle t e^(-ln(max_period) i / (half -
//       shift)), each step rounded to float as PyTorch does, i < half = dim / 2; columns [sin,
//       cos], or [cos, sin] when flipped; an odd dim ends in 0. Sine and cosine are computed in
//       double.
//
// What only copies (upsample, embedding, the layouts) passes NaN bits on as they are.
#ifndef TT_SIMD_SHAPE_H
#define TT_SIMD_SHAPE_H

#include "kernels.h"

// The input pixel that output pixel `out` repeats, along one side: PyTorch's rule, by which exact
// halves are shifts and other ratios go through one float product.
static inline size_t nearest_pixel(size_t out, size_t in_size, size_t out_size) {
    if (out_size == in_size) return out;
    if (out_size == 2 * in_size) return out / 2;
    float scale = (float)in_size / (float)out_size;
    size_t in = (size_t)((float)out * scale);
    return in < in_size ? in : in_size - 1;
}

// Elements at .. at+n-1 of a weight in half precision as floats, by the kernel of its dtype.
static inline void tt_widen(const struct tt_kernels *kernels, const struct tt_weight *w, size_t at,
                            size_t n, float *y) {
    const uint16_t *half = (const uint16_t *)w->data + at;
    if (w->dtype == TT_F16) kernels->convert_f16_f32(half, y, n);
    else kernels->convert_bf16_f32(half, y, n);
}

#endif
