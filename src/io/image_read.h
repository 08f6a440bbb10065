// SPDX-License-Identifier: MIT
// Pictures that are read in a time that their size bounds, and by somebody who may give up.
#ifndef TT_IO_IMAGE_READ_H
#define TT_IO_IMAGE_READ_H

#include "base/poll.h"

// What is read at most, beside TT_IMAGE_SIDE and TT_IMAGE_PIXELS; memory is 3 bytes a pixel, 9 for
// a progressive JPEG. libjpeg writes 10 scans. Each walks the whole picture, however few bytes it
// has; an arithmetic-coded one may make every number of it out of none, and counts as several.
enum { TT_PICTURE_BYTES = 1 << 30, TT_JPEG_SCANS = 100, TT_JPEG_ARITHMETIC = 4 };
#define TT_JPEG_WORK ((size_t)1 << 32) // scans times pixels

// tt_image_read_memory() that asks poll (NULL: nobody) every few rows and scans.
enum tt_status tt_image_read_polled(const char *name, const void *data, size_t size,
                                    const struct tt_poll *poll, struct tt_image *image,
                                    struct tt_error *err);

#endif
