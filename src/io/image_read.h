// SPDX-License-Identifier: MIT
// Pictures that are read in a time that their size bounds, and by somebody who may give up.
#ifndef TT_IO_IMAGE_READ_H
#define TT_IO_IMAGE_READ_H

#include "base/poll.h"

// What is read at most, beside TT_IMAGE_SIDE and TT_IMAGE_PIXELS; memory is 3 bytes a pixel, 6
// where a picture is turned, 7 for transparent ones, 9 for a progressive JPEG, 12 for a WebP.
// libjpeg writes 10 scans. Each walks the whole picture, however few bytes it has; an
// arithmetic-coded one may make every number of it out of none, and counts as several.
enum { TT_PICTURE_BYTES = 1 << 30, TT_JPEG_SCANS = 100, TT_JPEG_ARITHMETIC = 4 };
#define TT_JPEG_WORK ((size_t)1 << 32) // scans times pixels

// How a picture is read. Zero-initialise.
struct tt_image_reading {
    const struct tt_poll *poll; // asked every few rows and scans; may be NULL
    enum tt_background background;
    int orientation; // after reading: the tag that the picture was turned by; 0: none
};

// tt_image_read_memory() with all that. how may be NULL.
enum tt_status tt_image_read_how(const char *name, const void *data, size_t size,
                                 struct tt_image_reading *how, struct tt_image *image,
                                 struct tt_error *err);
// The same with poll (NULL: nobody).
enum tt_status tt_image_read_polled(const char *name, const void *data, size_t size,
                                    const struct tt_poll *poll, struct tt_image *image,
                                    struct tt_error *err);

#endif
