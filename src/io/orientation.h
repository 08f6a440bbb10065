// SPDX-License-Identifier: MIT
// Which way up a picture is: the orientation tag that cameras write. What counts is what Pillow's
// ImageOps.exif_transpose() goes by: the tag of the Exif data, or, where that has none, of the XMP.
#ifndef TT_IO_ORIENTATION_H
#define TT_IO_ORIENTATION_H

#include <stddef.h>
#include <stdint.h>

#include "tintype.h"

// What Exif data (with or without its "Exif\0\0") and an XMP packet say; 0: nothing. Other numbers
// than 1 to 8 mean nothing, but are an answer; one that is no Exif data at all has 9.
int tt_exif_orientation(const uint8_t *exif, size_t size);
int tt_xmp_orientation(const uint8_t *xmp, size_t size);
// What a PNG's chunks say, wherever in the file they stand; -1: no memory to unpack them.
int tt_png_orientation(const uint8_t *png, size_t size);

// Turns the picture so that it is upright: 1 to 8 as the tag has them, others leave it. TT_SYSTEM:
// no memory for another 3 bytes a pixel.
enum tt_status tt_image_turn(const char *name, struct tt_image *image, int orientation,
                             struct tt_error *err);

#endif
