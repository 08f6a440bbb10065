// SPDX-License-Identifier: MIT
// Pictures: PNG and JPEG in, PNG out.
#ifndef TT_IO_IMAGE_H
#define TT_IO_IMAGE_H

#include "base/status.h"

// 8-bit RGB, rows from the top, no gaps.
struct tt_image {
    size_t width, height;
    uint8_t *rgb;
};

// No picture wider or higher than this is read, nor one of more pixels.
enum { TT_IMAGE_SIDE = 32768, TT_IMAGE_PIXELS = 1 << 28 };

// Reads a PNG (any colour type and depth; transparency over black) or a JPEG (grey or colour), told
// apart by content. TT_BAD_INPUT names the file and what is wrong with it.
enum tt_status tt_image_read(const char *path, struct tt_image *image, struct tt_error *err);
// The same from size bytes; name stands for the file in messages.
enum tt_status tt_image_read_memory(const char *name, const void *data, size_t size,
                                    struct tt_image *image, struct tt_error *err);
void tt_image_free(struct tt_image *image);

// Writes a PNG beside its name and renames it. settings, UTF-8 or NULL, goes into a text chunk
// called "parameters", where web interfaces look for it. The same picture and settings give the
// same bytes.
enum tt_status tt_image_write_png(const char *path, const struct tt_image *image,
                                  const char *settings, struct tt_error *err);

#endif
