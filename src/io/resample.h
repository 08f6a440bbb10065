// SPDX-License-Identifier: MIT
// Pictures of another size, and blurred ones: byte for byte what Pillow makes of them, whose fixed
// point arithmetic this is (Image.resize, ImageFilter.GaussianBlur), since pipelines of diffusers
// prepare their pictures with it.
#ifndef TT_IO_RESAMPLE_H
#define TT_IO_RESAMPLE_H

#include "tintype.h"

enum tt_filter { TT_FILTER_BICUBIC, TT_FILTER_LANCZOS };

// A part of a picture, in its pixels. Of no width or height: what lies about that line.
struct tt_box {
    double left, top, right, bottom;
};

// The part `box` of image (NULL: all of it) at width x height. TT_SYSTEM: no memory.
enum tt_status tt_resample(const struct tt_image *image, const struct tt_box *box,
                           enum tt_filter filter, size_t width, size_t height,
                           struct tt_image *out, struct tt_error *err);

// Blurs in place, with about a Gaussian of this standard deviation in pixels: three box filters a
// direction. TT_SYSTEM: no memory.
enum tt_status tt_blur(struct tt_image *image, double radius, struct tt_error *err);

#endif
