// SPDX-License-Identifier: MIT
// What the drivers of Winograd convolution share.
#ifndef TT_SIMD_WINOGRAD_H
#define TT_SIMD_WINOGRAD_H

#include "conv/conv.h"

enum { TT_WINOGRAD_POSITIONS = 36 };

// The patch under the tile of outputs from (y, x) on, channels from ch on: where it lies, and what
// of it is inside the image. The caller says how many channels, and where V goes.
struct tt_winograd_input tt_winograd_patch(const struct tt_conv *c, size_t image, size_t y,
                                           size_t x, size_t ch);

#endif
