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

size_t tt_png_drop_texts(const uint8_t *data, size_t size, uint8_t *out) {
    size_t used = SIGNATURE, length;
    memcpy(out, data, SIGNATURE);
    for (size_t at = SIGNATURE; at < size; at += length) {
        const uint8_t *chunk = data + at;
        length = size - at < AROUND || whole(chunk) > size - at ? size - at : whole(chunk);
        if (length >= AROUND && (is(chunk, "tEXt") || is(chunk, "zTXt") || is(chunk, "iTXt")))
            continue;
        memcpy(out + used, chunk, length);
        used += length;
    }
    return used;
}
