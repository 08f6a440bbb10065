// SPDX-License-Identifier: MIT
// How convolutions read their input without an im2col buffer: output pixels by index, and the
// values of a pixel's window, in the order (tap row, tap column, channel), as packed operands of
// the GEMM tile. What lies outside the image is +0.
#ifndef TT_SIMD_WINDOW_H
#define TT_SIMD_WINDOW_H

#include "conv/conv.h"

struct tt_window {
    const float *x;      // (n, h, w, c)
    size_t h, w, c;
    size_t taps_y, taps_x, stride;
    size_t top, left;    // padding; as with all sizes here, less than 0 wraps
    size_t oh, ow;       // output pixels of an image
    size_t pixels;       // rows of the product that it counts as one image
};

// The window of a convolution whose product is one image.
struct tt_window tt_window_of(const struct tt_conv *c);

// gather and row of struct tt_gemm_rows, context a struct tt_window.
void tt_window_gather(const void *context, size_t image, size_t row, size_t rows, size_t i,
                      size_t k, float *tile);
const float *tt_window_row(const void *context, size_t image, size_t row, size_t i);

// gather of struct tt_gemm_dw, context a struct tt_window.
void tt_window_columns(const void *context, size_t row, size_t rows, size_t i, size_t count,
                       float *panel);

#endif
