// SPDX-License-Identifier: MIT
#include "tintype.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "io/file.h"
#include "io/png_chunks.h"

static enum tt_status make_room(const char *name, size_t width, size_t height,
                                struct tt_image *image, struct tt_error *err) {
    if (width == 0 || height == 0 || width > TT_IMAGE_SIDE || height > TT_IMAGE_SIDE ||
        width * height > TT_IMAGE_PIXELS)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: found %zu x %zu pixels, expected sides of 1 to %d and at most %d "
                       "pixels",
                       name, width, height, TT_IMAGE_SIDE, TT_IMAGE_PIXELS);
    *image = (struct tt_image){width, height, malloc(3 * width * height)};
    if (!image->rgb)
        return tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu x %zu pixels", name, width,
                       height);
    return TT_OK;
}

// The library's simplified interface says why only in words.
static bool lacks_memory(const png_image *png) {
    return strstr(png->message, "memory") != NULL;
}

static enum tt_status read_png(const char *name, const void *data, size_t size,
                               struct tt_image *image, struct tt_error *err) {
    png_image png = {.version = PNG_IMAGE_VERSION};
    enum tt_status status = TT_OK;
    if (!tt_png_chunks_fit(data, size))
        return tt_fail(err, TT_BAD_INPUT, "%s: not a valid PNG: a chunk goes beyond the end", name);
    uint8_t *plain = malloc(size);
    if (!plain) return tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu bytes", name, size);
    if (png_image_begin_read_from_memory(&png, plain, tt_png_drop_texts(data, size, plain))) {
        png.format = PNG_FORMAT_RGB;
        png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB; // as other readers take 16-bit files
        status = make_room(name, png.width, png.height, image, err);
        if (!status) png_image_finish_read(&png, &(png_color){0, 0, 0}, image->rgb, 0, NULL);
    }
    if (!status && PNG_IMAGE_FAILED(png) && lacks_memory(&png))
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    if (!status && PNG_IMAGE_FAILED(png))
        status = tt_fail(err, TT_BAD_INPUT, "%s: not a valid PNG: %s", name, png.message);
    png_image_free(&png);
    free(plain);
    return status;
}

struct jpeg_errors {
    struct jpeg_error_mgr base; // first, so that the library's pointer is ours
    jmp_buf escape;
    char message[JMSG_LENGTH_MAX];
};

static void jpeg_fail(j_common_ptr jpeg) {
    struct jpeg_errors *errors = (struct jpeg_errors *)jpeg->err;
    jpeg->err->format_message(jpeg, errors->message);
    longjmp(errors->escape, 1);
}

// A damaged file decodes to something grey with only a warning: take it as an error.
static void jpeg_warn(j_common_ptr jpeg, int level) {
    if (level < 0) jpeg_fail(jpeg);
}

static enum tt_status read_jpeg(const char *name, const void *data, size_t size,
                                struct tt_image *image, struct tt_error *err) {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_errors errors = {0};
    enum tt_status status;
    jpeg.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = jpeg_fail;
    errors.base.emit_message = jpeg_warn;
    if (setjmp(errors.escape)) {
        jpeg_destroy_decompress(&jpeg);
        if (errors.base.msg_code == JERR_OUT_OF_MEMORY)
            return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
        return tt_fail(err, TT_BAD_INPUT, "%s: not a valid JPEG: %s", name, errors.message);
    }
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, data, size);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_RGB;
    status = make_room(name, jpeg.image_width, jpeg.image_height, image, err);
    if (!status) {
        jpeg_start_decompress(&jpeg);
        while (jpeg.output_scanline < jpeg.output_height) {
            JSAMPROW row = image->rgb + 3 * image->width * jpeg.output_scanline;
            jpeg_read_scanlines(&jpeg, &row, 1);
        }
        jpeg_finish_decompress(&jpeg);
    }
    jpeg_destroy_decompress(&jpeg);
    return status;
}

enum tt_status tt_image_read_memory(const char *name, const void *data, size_t size,
                                    struct tt_image *image, struct tt_error *err) {
    *image = (struct tt_image){0};
    enum tt_status status;
    if (size >= 8 && !png_sig_cmp(data, 0, 8))
        status = read_png(name, data, size, image, err);
    else if (size >= 3 && !memcmp(data, "\xff\xd8\xff", 3))
        status = read_jpeg(name, data, size, image, err);
    else
        status = tt_fail(err, TT_BAD_INPUT, "%s: found neither a PNG nor a JPEG", name);
    if (status) tt_image_free(image);
    return status;
}

enum tt_status tt_image_read(struct tt_files *files, const char *path, struct tt_image *image,
                             struct tt_error *err) {
    struct tt_bytes bytes = {0};
    enum tt_status status = tt_file_read(files, path, &bytes, err);
    if (!status) status = tt_image_read_memory(path, bytes.data, bytes.size, image, err);
    tt_bytes_free(&bytes);
    return status;
}

void tt_image_free(struct tt_image *image) {
    free(image->rgb);
    *image = (struct tt_image){0};
}
