// SPDX-License-Identifier: MIT
#include "tintype.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

// The library goes on without memory, or ends the process. So its blocks hang in a list, and when
// one is not to be had, all go and it is left by a jump.
struct block {
    struct block *before, *after;
};
static _Thread_local struct {
    struct block *first;
    jmp_buf escape;
} writer;

static void *resize_block(void *data, size_t size) {
    struct block *block = realloc(data ? (struct block *)data - 1 : NULL, sizeof *block + size);
    if (!block) longjmp(writer.escape, 1);
    if (!data) *block = (struct block){NULL, writer.first};
    *(block->before ? &block->before->after : &writer.first) = block;
    if (block->after) block->after->before = block;
    return block + 1;
}

static void free_block(void *data) {
    if (!data) return;
    struct block *block = (struct block *)data - 1;
    *(block->before ? &block->before->after : &writer.first) = block->after;
    if (block->after) block->after->before = block->before;
    free(block);
}

#define STBIW_MALLOC(size) resize_block(NULL, size)
#define STBIW_REALLOC(data, size) resize_block(data, size)
#define STBIW_FREE(data) free_block(data)
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#pragma GCC diagnostic ignored "-Wunused-function" // what of the library is not called
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

#include "io/file.h"

static void put_u32(uint8_t *out, uint32_t x) {
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(x >> (24 - 8 * i));
}

// A tEXt chunk for ASCII, else iTXt, whose text is UTF-8 (PNG specification, 11.3.4). malloc'd.
static uint8_t *text_chunk(const char *text, size_t *size) {
    static const char ascii[] = "tEXtparameters", utf8[] = "iTXtparameters\0\0\0\0";
    const char *head = ascii;
    size_t head_size = sizeof ascii, length = strlen(text); // the keyword's NUL is part of the head
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] >= 0x80) {
            head = utf8;
            head_size = sizeof utf8;
        }
    if (length > 1u << 24) return NULL;
    *size = 4 + head_size + length + 4;
    uint8_t *chunk = malloc(*size);
    if (!chunk) return NULL;
    put_u32(chunk, (uint32_t)(head_size - 4 + length));
    memcpy(chunk + 4, head, head_size);
    memcpy(chunk + 4 + head_size, text, length);
    put_u32(chunk + *size - 4, (uint32_t)crc32(0, chunk + 4, (uInt)(head_size + length)));
    return chunk;
}

// The file without the settings, to be freed with free_block(); NULL without memory.
static uint8_t *make_png(const struct tt_image *image, int *length) {
    writer.first = NULL;
    if (!setjmp(writer.escape))
        return stbi_write_png_to_mem(image->rgb, (int)(3 * image->width), (int)image->width,
                                     (int)image->height, 3, length);
    while (writer.first) free_block(writer.first + 1);
    return NULL;
}

enum tt_status tt_image_write_png(const char *path, const struct tt_image *image,
                                  const char *settings, struct tt_error *err) {
    enum { HEADER = 8 + 25 }; // signature and IHDR
    // The library counts bytes in int.
    if (image->width > TT_IMAGE_SIDE || image->height > TT_IMAGE_SIDE ||
        image->width * image->height > TT_IMAGE_PIXELS)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: found %zu x %zu pixels, expected sides of at most %d and at most %d "
                       "pixels", path, image->width, image->height, TT_IMAGE_SIDE, TT_IMAGE_PIXELS);
    int length = 0;
    size_t chunk_size = 0;
    uint8_t *chunk = settings ? text_chunk(settings, &chunk_size) : NULL;
    uint8_t *png = make_png(image, &length);
    enum tt_status status;
    if (!png || (settings && !chunk)) {
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    } else {
        const struct tt_span spans[] = {
            {png, HEADER}, {chunk, chunk_size}, {png + HEADER, (size_t)length - HEADER},
        };
        status = tt_file_write(path, spans, sizeof spans / sizeof *spans, err);
    }
    free(chunk);
    free_block(png);
    return status;
}
