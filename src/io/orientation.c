// SPDX-License-Identifier: MIT
#include "io/orientation.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "io/png_chunks.h"

// ---- Exif ----

enum { ORIENTATION = 0x0112, ENTRY = 12 };

// A TIFF file of either byte order.
struct tiff {
    const uint8_t *data;
    size_t size;
    bool big; // endian
};

static uint64_t number(const struct tiff *tiff, size_t at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | tiff->data[at + (tiff->big ? i : bytes - 1 - i)];
    return value;
}

// Bytes of a value of each type; 0: no such type.
static size_t unit(uint64_t type) {
    static const uint8_t units[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8};
    return type < sizeof units ? units[type] : 0;
}

// A value that is a whole number from 1 to 8, of whatever type; 9 for all others.
static int value_of(const struct tiff *tiff, uint64_t type, size_t at) {
    uint64_t bits = number(tiff, at, unit(type));
    double value = 0;
    float single;
    uint32_t low = (uint32_t)bits;
    switch (type) {
    case 3: case 4: case 6: case 8: case 9: case 13: case 16:
        value = bits <= 8 ? (double)bits : 0;
        break;
    case 5: case 10: {
        uint32_t above = (uint32_t)number(tiff, at, 4), below = (uint32_t)number(tiff, at + 4, 4);
        if (below && type == 5) value = (double)above / below;
        if (below && type == 10) value = (double)(int32_t)above / (int32_t)below;
        break;
    }
    case 11:
        memcpy(&single, &low, sizeof single);
        value = (double)single;
        break;
    case 12: memcpy(&value, &bits, sizeof value); break;
    default: break; // bytes and texts are no numbers
    }
    for (int i = 1; i <= 8; i++)
        if (value == i) return i;
    return 9;
}

int tt_exif_orientation(const uint8_t *exif, size_t size) {
    struct tiff tiff = {exif, size, false};
    for (int i = 0; i < 2 && tiff.size >= 6 && !memcmp(tiff.data, "Exif\0\0", 6); i++) {
        tiff.data += 6;
        tiff.size -= 6;
    }
    if (tiff.size < 8) return tiff.size ? 9 : 0;
    tiff.big = tiff.data[0] == 'M';
    // Some writers have the 42 in the other byte order.
    static const char *const heads[] = {"II*\0", "II\0*", "MM\0*", "MM*\0"};
    bool known = false;
    for (int i = 0; i < 4; i++) known = known || !memcmp(tiff.data, heads[i], 4);
    size_t at = number(&tiff, 4, 4), total = 0;
    if (!known) return 9;
    if (at > tiff.size || tiff.size - at < 2) return 0;
    size_t count = number(&tiff, at, 2);
    for (at += 2; count-- && tiff.size - at >= ENTRY; at += ENTRY) {
        uint64_t tag = number(&tiff, at, 2), type = number(&tiff, at + 2, 2);
        size_t values = number(&tiff, at + 4, 4), bytes = values * unit(type), where = at + 8;
        if (!bytes) continue;
        if (bytes > 4) {
            where = number(&tiff, where, 4);
            if ((total += bytes) > tiff.size) continue; // more than there is: that tag is damaged
            if (where > tiff.size || tiff.size - where < bytes) return 0;
        }
        if (tag == ORIENTATION) return value_of(&tiff, type, where);
    }
    return 0;
}

// ---- XMP ----

int tt_xmp_orientation(const uint8_t *xmp, size_t size) {
    static const char name[] = "tiff:Orientation";
    const uint8_t *end = xmp + size;
    for (const uint8_t *at = xmp; at && (at = memmem(at, (size_t)(end - at), name, 16));) {
        at += 16;
        size_t sign = end - at >= 3 && at[0] == '=' && at[1] == '"' ? 2
                      : end - at >= 2 && at[0] == '>'               ? 1
                                                                    : 0;
        if (sign && at[sign] >= '0' && at[sign] <= '9')
            return at[sign] == '0' ? 9 : at[sign] - '0';
    }
    return 0;
}

// ---- PNG ----

// A chunk whose checksum is right; data NULL: none.
struct chunk {
    char type[5];
    const uint8_t *data;
    size_t size;
};

static bool is_text(const struct chunk *c, const char *key) {
    size_t length = strlen(key) + 1;
    return (!strcmp(c->type, "tEXt") || !strcmp(c->type, "zTXt") || !strcmp(c->type, "iTXt")) &&
           c->size >= length && !memcmp(c->data, key, length);
}

static bool is_exif(const struct chunk *c) { return !strcmp(c->type, "eXIf"); }
static bool is_profile(const struct chunk *c) { return is_text(c, "Raw profile type exif"); }
static bool is_xmp(const struct chunk *c) { return is_text(c, "XML:com.adobe.xmp"); }

// The last one that is wanted.
static struct chunk find(const uint8_t *png, size_t size, bool (*wanted)(const struct chunk *)) {
    struct chunk found = {.data = NULL}, c;
    for (size_t at = 8, next; tt_png_chunk(png, size, at, &next); at = next) {
        memcpy(c.type, png + at + 4, 4);
        c.type[4] = 0;
        c.data = png + at + 8;
        c.size = next - at - 12;
        const uint8_t *sum = c.data + c.size;
        uint32_t stated = (uint32_t)sum[0] << 24 | (uint32_t)sum[1] << 16 |
                          (uint32_t)sum[2] << 8 | sum[3];
        if (wanted(&c) && crc32_z(0, png + at + 4, c.size + 4) == stated) found = c;
    }
    return found;
}

enum { MOST = 1 << 20 }; // bytes of a text that is unpacked, as Pillow has it

// A text as it is, unpacked into room (MOST bytes) where it is packed; NULL: damaged.
static const uint8_t *text_of(const struct chunk *c, uint8_t *room, size_t *size) {
    const uint8_t *at = (const uint8_t *)memchr(c->data, 0, c->size) + 1; // is_text() saw it
    const uint8_t *end = c->data + c->size;
    bool packed = c->type[0] == 'z';
    if (packed) at++; // the method
    if (c->type[0] == 'i') {
        if (end - at < 2) return NULL;
        packed = at[0] != 0;
        at += 2;
        for (int i = 0; i < 2; i++) { // the language, and the key in it
            at = memchr(at, 0, (size_t)(end - at));
            if (!at) return NULL;
            at++;
        }
    }
    if (at > end) return NULL;
    *size = (size_t)(end - at);
    if (!packed) return at;
    uLong taken = *size;
    uLongf made = MOST;
    if (uncompress2(room, &made, at, &taken) != Z_OK) return NULL;
    *size = made;
    return room;
}

static int digit(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// ImageMagick's way: a line that is empty, "exif", the length, and the data as digits.
static int profile_orientation(const uint8_t *text, size_t size, uint8_t *room) {
    const uint8_t *at = text, *end = text + size;
    size_t used = 0;
    for (int i = 0; i < 3; i++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (!at) return 0;
        at++;
    }
    for (; at < end; at++) {
        if (strchr(" \t\n\v\f\r", *at) && *at) continue;
        int high = digit(*at), low = at + 1 < end ? digit(at[1]) : -1;
        if (high < 0 || low < 0) return 0;
        room[used++] = (uint8_t)(16 * high + low); // room may be text: it comes behind
        at++;
    }
    return tt_exif_orientation(room, used);
}

int tt_png_orientation(const uint8_t *png, size_t size) {
    struct chunk exif = find(png, size, is_exif);
    struct chunk profile = exif.data ? exif : find(png, size, is_profile);
    int orientation = exif.data ? tt_exif_orientation(exif.data, exif.size) : 0;
    struct chunk xmp = orientation ? exif : find(png, size, is_xmp);
    if (orientation || (!xmp.data && (exif.data || !profile.data))) return orientation;
    size_t room_size = !exif.data && profile.size > MOST ? profile.size : MOST, length;
    uint8_t *room = malloc(room_size);
    if (!room) return -1;
    const uint8_t *text = !exif.data && profile.data ? text_of(&profile, room, &length) : NULL;
    if (text) orientation = profile_orientation(text, length, room);
    text = !orientation && xmp.data ? text_of(&xmp, room, &length) : NULL;
    if (text) orientation = tt_xmp_orientation(text, length);
    free(room);
    return orientation;
}

// ---- turning ----

enum tt_status tt_image_turn(const char *name, struct tt_image *image, int orientation,
                             struct tt_error *err) {
    if (orientation < 2 || orientation > 8) return TT_OK;
    size_t width = image->width, height = image->height;
    bool swapped = orientation >= 5;
    bool right = orientation == 2 || orientation == 3 || orientation >= 7; // columns from there
    bool below = orientation >= 3 && orientation != 5 && orientation != 8; // rows from there
    struct tt_image out = {swapped ? height : width, swapped ? width : height,
                           malloc(3 * width * height)};
    if (!out.rgb)
        return tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu x %zu pixels", name, width,
                       height);
    for (size_t y = 0; y < out.height; y++)
        for (size_t x = 0; x < out.width; x++) {
            size_t column = swapped ? y : x, row = swapped ? x : y;
            if (right) column = width - 1 - column;
            if (below) row = height - 1 - row;
            memcpy(out.rgb + 3 * (y * out.width + x), image->rgb + 3 * (row * width + column), 3);
        }
    free(image->rgb);
    *image = out;
    return TT_OK;
}
