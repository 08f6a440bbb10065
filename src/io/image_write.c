// SPDX-License-Identifier: MIT
#include "tintype.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <jerror.h>
#include <jpeglib.h>

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

// The library wants the file in one piece, the settings go behind the header.
static enum tt_status encode_png(const char *name, const struct tt_image *image,
                                 const char *settings, void **data, size_t *size,
                                 struct tt_error *err) {
    enum { HEADER = 8 + 25 }; // signature and IHDR
    int length = 0;
    size_t chunk_size = 0;
    uint8_t *chunk = settings ? text_chunk(settings, &chunk_size) : NULL;
    uint8_t *png = make_png(image, &length), *all = NULL;
    if (png && (!settings || chunk)) all = malloc((size_t)length + chunk_size);
    if (all) {
        memcpy(all, png, HEADER);
        if (chunk) memcpy(all + HEADER, chunk, chunk_size);
        memcpy(all + HEADER + chunk_size, png + HEADER, (size_t)length - HEADER);
        *data = all;
        *size = (size_t)length + chunk_size;
    }
    free(chunk);
    free_block(png);
    return all ? TT_OK : tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
}

struct jpeg_errors {
    struct jpeg_error_mgr base; // first, so that the library's pointer is ours
    jmp_buf escape;
};

static void jpeg_fail(j_common_ptr jpeg) {
    longjmp(((struct jpeg_errors *)jpeg->err)->escape, 1);
}

static enum tt_status encode_jpeg(const char *name, const struct tt_image *image,
                                  const char *settings, void **data, size_t *size,
                                  struct tt_error *err) {
    enum { QUALITY = 95, COMMENT = 65533 };
    struct jpeg_compress_struct jpeg;
    struct jpeg_errors errors;
    // As much as any picture can take (tjBufSize() of libjpeg-turbo): a buffer that the library
    // makes larger on its way is lost when it then fails.
    unsigned long length = (image->width + 7) / 8 * 8 * ((image->height + 7) / 8 * 8) * 6 + 2048 +
                           COMMENT + 4;
    unsigned char *room = malloc(length), *written = room;
    if (!room) return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    jpeg.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = jpeg_fail;
    if (setjmp(errors.escape)) {
        char message[JMSG_LENGTH_MAX];
        errors.base.format_message((j_common_ptr)&jpeg, message);
        bool memory = errors.base.msg_code == JERR_OUT_OF_MEMORY;
        jpeg_destroy_compress(&jpeg);
        free(room);
        return tt_fail(err, memory ? TT_SYSTEM : TT_BAD_INPUT, "%s: no JPEG can be made: %s", name,
                       memory ? "out of memory" : message);
    }
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &written, &length);
    jpeg.image_width = (JDIMENSION)image->width;
    jpeg.image_height = (JDIMENSION)image->height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, QUALITY, TRUE);
    for (int c = 0; c < jpeg.num_components; c++)
        jpeg.comp_info[c].h_samp_factor = jpeg.comp_info[c].v_samp_factor = 1;
    jpeg_start_compress(&jpeg, TRUE);
    size_t text = settings ? strlen(settings) : 0;
    if (text) jpeg_write_marker(&jpeg, JPEG_COM, (const JOCTET *)settings,
                                (unsigned)(text < COMMENT ? text : COMMENT));
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW row = image->rgb + 3 * image->width * jpeg.next_scanline;
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    unsigned char *fits = realloc(room, length);
    *data = fits ? fits : room;
    *size = length;
    return TT_OK;
}

enum tt_status tt_image_encode(const char *name, enum tt_image_format format,
                               const struct tt_image *image, const char *settings, void **data,
                               size_t *size, struct tt_error *err) {
    // The library counts bytes in int.
    if (!image->width || !image->height || image->width > TT_IMAGE_SIDE ||
        image->height > TT_IMAGE_SIDE || image->width * image->height > TT_IMAGE_PIXELS)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: found %zu x %zu pixels, expected sides of 1 to %d and at most %d "
                       "pixels", name, image->width, image->height, TT_IMAGE_SIDE, TT_IMAGE_PIXELS);
    return (format == TT_JPEG ? encode_jpeg : encode_png)(name, image, settings, data, size, err);
}

enum tt_status tt_image_format(const char *path, enum tt_image_format *format,
                               struct tt_error *err) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *end = strrchr(name, '.');
    bool letters = end && end > name && end[1];
    for (const char *c = end; letters && *++c;) letters = isalnum((unsigned char)*c);
    letters = letters && isalpha((unsigned char)end[1]); // "v1.5" ends in none
    *format = letters && (!strcasecmp(end, ".jpg") || !strcasecmp(end, ".jpeg")) ? TT_JPEG : TT_PNG;
    if (!letters || *format == TT_JPEG || !strcasecmp(end, ".png")) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: found a name that ends in %s, expected .png, .jpg or "
                   ".jpeg", path, end);
}

enum tt_status tt_image_write(struct tt_files *files, const char *path,
                              const struct tt_image *image, const char *settings,
                              struct tt_error *err) {
    enum tt_image_format format;
    void *data = NULL;
    size_t size = 0;
    enum tt_status status = tt_image_format(path, &format, err);
    if (!status) status = tt_image_encode(path, format, image, settings, &data, &size, err);
    if (!status) status = tt_write_file(files, path, data, size, err);
    free(data);
    return status;
}
