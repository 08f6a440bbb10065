// SPDX-License-Identifier: MIT
// The text that a PNG carries.
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/image_read.h"
#include "io/png_chunks.h"
#include "tintype.h"

// What the library's callbacks see.
struct reader {
    const unsigned char *data;
    size_t size, at;
    const char *name;
    struct tt_error *err;
};

static void feed(png_structp png, png_bytep out, size_t size) {
    struct reader *r = png_get_io_ptr(png);
    if (size > r->size - r->at) png_error(png, "the file ends too early");
    memcpy(out, r->data + r->at, size);
    r->at += size;
}

static void fail(png_structp png, const char *message) {
    struct reader *r = png_get_error_ptr(png);
    tt_fail(r->err, TT_BAD_INPUT, "%s: not a valid PNG: %s", r->name, message);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, const char *message) {
    (void)png;
    (void)message;
}

static enum tt_status find_text(struct reader *r, png_structp png, png_infop info, char **out) {
    png_textp texts;
    int count;
    if (setjmp(png_jmpbuf(png))) return TT_BAD_INPUT;
    png_set_read_fn(png, r, feed);
    png_set_chunk_cache_max(png, 64); // texts, each unpacked to no more than
    png_set_chunk_malloc_max(png, 1 << 20);
    png_read_info(png, info);
    png_get_text(png, info, &texts, &count);
    for (int i = 0; i < count; i++) {
        if (strcmp(texts[i].key, "parameters")) continue;
        *out = strdup(texts[i].text);
        return *out ? TT_OK : tt_fail(r->err, TT_SYSTEM, "%s: out of memory", r->name);
    }
    return tt_fail(r->err, TT_BAD_INPUT, "%s: found a PNG without settings, expected a text "
                   "'parameters' in it", r->name);
}

enum tt_status tt_image_read_settings_memory(const char *name, const void *data, size_t size,
                                             char **settings, struct tt_error *err) {
    struct reader r = {.name = name, .data = data, .size = size, .err = err};
    if (size > TT_PICTURE_BYTES)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu bytes, expected a picture of at most %d",
                       name, size, TT_PICTURE_BYTES);
    if (size < 8 || png_sig_cmp(data, 0, 8))
        return tt_fail(err, TT_BAD_INPUT, "%s: found no PNG, expected a picture with settings in "
                       "it", name);
    if (!tt_png_chunks_fit(data, size))
        return tt_fail(err, TT_BAD_INPUT, "%s: not a valid PNG: a chunk goes beyond the end", name);
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, fail, ignore);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    enum tt_status status = info ? find_text(&r, png, info, settings)
                                 : tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    png_destroy_read_struct(&png, &info, NULL);
    return status;
}

enum tt_status tt_image_read_settings(struct tt_files *files, const char *path, char **settings,
                                      struct tt_error *err) {
    struct tt_bytes bytes = {0};
    enum tt_status status = tt_file_read(files, path, &bytes, err);
    if (!status)
        status = tt_image_read_settings_memory(path, bytes.data, bytes.size, settings, err);
    tt_bytes_free(&bytes);
    return status;
}
