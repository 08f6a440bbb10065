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

// The file without its texts, stretch by stretch: moves *at, where the one before ended (at first
// 0), past texts and returns how many bytes from there on come next; 0 at the end. `plain`: without
// gAMA, too, so that numbers stay as they are.
size_t tt_png_stretch(const uint8_t *data, size_t size, bool plain, size_t *at);

// Whether a whole chunk stands at `at` (the first at 8); *next: where the one behind it would.
bool tt_png_chunk(const uint8_t *data, size_t size, size_t at, size_t *next);

#endif
