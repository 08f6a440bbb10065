// SPDX-License-Identifier: MIT
#include "base/text.h"

#include <string.h>
#include <utf8proc.h>

size_t tt_text_character(const char *text, size_t size, int32_t *character) {
    utf8proc_ssize_t used =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, character);
    return used > 0 ? (size_t)used : 0;
}

bool tt_text_is_utf8(const void *text, size_t size) {
    int32_t character;
    for (size_t at = 0, step; at < size; at += step) {
        step = tt_text_character((const char *)text + at, size - at, &character);
        if (!step) return false;
    }
    return true;
}

bool tt_text_ends(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && !strcmp(text + length - tail, end);
}

void tt_text_hex(const uint8_t *bytes, size_t size, char *text) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = 0;
}
