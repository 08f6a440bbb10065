// SPDX-License-Identifier: MIT
// Text drawn into pictures: DejaVu Sans, built into the binary, anti-aliased.
#ifndef TT_CLI_LETTERING_H
#define TT_CLI_LETTERING_H

#include "tintype.h"

// A font at one size. Draws UTF-8; what is no valid UTF-8 or not in the font shows as a box.
struct lettering;

// pixels: from the top of the highest letter to the bottom of the lowest. NULL: out of memory.
struct lettering *lettering_new(double pixels);
void lettering_free(struct lettering *l);

// Pixels from one line to the next.
size_t lettering_line(const struct lettering *l);

// Pixels that the first `bytes` of text take in a line, rounded up.
size_t lettering_width(const struct lettering *l, const char *text, size_t bytes);

// The part of text that fits into width pixels as one line: its bytes; *next is where the next line
// begins. Breaks at spaces and line breaks; inside a word only when it is longer than a line.
size_t lettering_break(const struct lettering *l, const char *text, size_t width, size_t *next);

// Draws the first `bytes` of text with the upper left corner of its line at (x, y), grey 0 (black)
// to 255. What lies outside of the picture is not drawn.
void lettering_draw(const struct lettering *l, struct tt_image *image, size_t x, size_t y,
                    const char *text, size_t bytes, int grey);

#endif
