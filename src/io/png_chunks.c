// SPDX-License-Identifier: MIT
#include "io/png_chunks.h"

#include <string.h>

enum { SIGNATURE = 8, HEAD = 8, AROUND = 12 }; // bytes of a chunk's length and type; and checksum

static bool is(const uint8_t *chunk, const char *type) {
    return !memcmp(chunk + 4, type, 4);
}

static size_t whole(const uint8_t *p) {
    return AROUND + ((size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);
}

bool tt_png_chunks_fit(const uint8_t *data, size_t size) {
    for (size_t at = SIGNATURE; size - at >= HEAD; at += whole(data + at)) {
        if (is(data + at, "IDAT")) return true;
        if (whole(data + at) > size - at) return false;
    }
    return true;
}

bool tt_png_chunk(const uint8_t *data, size_t size, size_t at, size_t *next) {
    if (at > size || size - at < AROUND || whole(data + at) > size - at) return false;
    *next = at + whole(data + at);
    return true;
}

static bool is_left_out(const uint8_t *chunk, bool plain) {
    return is(chunk, "tEXt") || is(chunk, "zTXt") || is(chunk, "iTXt") ||
           (plain && is(chunk, "gAMA"));
}

size_t tt_png_stretch(const uint8_t *data, size_t size, bool plain, size_t *at) {
    if (*at < SIGNATURE) return SIGNATURE - *at;
    while (size - *at >= AROUND && whole(data + *at) <= size - *at) {
        const uint8_t *chunk = data + *at;
        if (!is_left_out(chunk, plain)) return whole(chunk);
        *at += whole(chunk);
    }
    return size - *at;
}
