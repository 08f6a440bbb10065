// SPDX-License-Identifier: MIT
// Texts: characters of UTF-8, ends, digits.
#ifndef TT_BASE_TEXT_H
#define TT_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The character at text, of size bytes at most, and how many bytes it takes; 0 when they are no
// valid UTF-8.
size_t tt_text_character(const char *text, size_t size, int32_t *character);

// Whether size bytes are valid UTF-8.
bool tt_text_is_utf8(const void *text, size_t size);

// Whether text ends with `end`.
bool tt_text_ends(const char *text, const char *end);

// Two hexadecimal digits a byte into text, which has room for them and the zero behind them.
void tt_text_hex(const uint8_t *bytes, size_t size, char *text);

#endif
