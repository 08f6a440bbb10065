// SPDX-License-Identifier: MIT
// A look at a PNG's chunks before libpng reads them: it takes memory for whatever length a chunk
// states, and unpacks every text.
#ifndef TT_IO_PNG_CHUNKS_H
#define TT_IO_PNG_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whether every chunk before the picture's data is as long as it says.
bool tt_png_chunks_fit(const uint8_t *data, size_t size);

// Copies the file to out, which has room for size bytes, without its texts; returns the bytes used.
size_t tt_png_drop_texts(const uint8_t *data, size_t size, uint8_t *out);

#endif
