// SPDX-License-Identifier: MIT
#include "io/image_read.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "io/file.h"
#include "io/files.h"
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

// A PNG as a stream, its texts left out.
struct source {
    const uint8_t *data;
    size_t size, at, left; // left of the stretch
    const struct tt_poll *poll;
    bool cancelled, ended;
};

static ssize_t feed(void *cookie, char *out, size_t size) {
    struct source *source = cookie;
    size_t used = 0, count;
    source->cancelled = tt_poll_cancelled(source->poll);
    if (source->cancelled) return -1;
    for (; used < size; used += count) {
        if (!source->left)
            source->left = tt_png_stretch(source->data, source->size, &source->at);
        count = size - used < source->left ? size - used : source->left;
        if (!count) break;
        memcpy(out + used, source->data + source->at, count);
        source->at += count;
        source->left -= count;
    }
    source->ended |= used < size;
    return (ssize_t)used;
}

// The library's simplified interface says why only in words.
static enum tt_status png_failed(const char *name, const struct source *source, const char *message,
                                 struct tt_error *err) {
    if (source->cancelled) return tt_fail(err, TT_CANCELLED, "cancelled while reading %s", name);
    if (strstr(message, "memory")) return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    return tt_fail(err, TT_BAD_INPUT, "%s: not a valid PNG: %s", name,
                   source->ended ? "the file ends too early" : message);
}

static enum tt_status read_png(const char *name, const void *data, size_t size,
                               const struct tt_poll *poll, struct tt_image *image,
                               struct tt_error *err) {
    png_image png = {.version = PNG_IMAGE_VERSION};
    struct source source = {.data = data, .size = size, .poll = poll};
    enum tt_status status = TT_OK;
    if (!tt_png_chunks_fit(data, size))
        return tt_fail(err, TT_BAD_INPUT, "%s: not a valid PNG: a chunk goes beyond the end", name);
    FILE *file = fopencookie(&source, "rb", (cookie_io_functions_t){.read = feed});
    if (!file) return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    setvbuf(file, NULL, _IONBF, 0);
    if (png_image_begin_read_from_stdio(&png, file)) {
        png.format = PNG_FORMAT_RGB;
        png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB; // as other readers take 16-bit files
        status = make_room(name, png.width, png.height, image, err);
        if (!status) png_image_finish_read(&png, &(png_color){0, 0, 0}, image->rgb, 0, NULL);
    }
    if (!status && PNG_IMAGE_FAILED(png)) status = png_failed(name, &source, png.message, err);
    png_image_free(&png);
    fclose(file);
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

// Looks at a file that is being read, every few rows of each scan.
struct jpeg_watch {
    struct jpeg_progress_mgr base; // first, as above
    const char *name;
    const struct tt_poll *poll;
    struct tt_error *err;
    enum tt_status status;
};

static void jpeg_watch(j_common_ptr common) {
    struct jpeg_watch *watch = (struct jpeg_watch *)common->progress;
    struct jpeg_errors *errors = (struct jpeg_errors *)common->err;
    j_decompress_ptr jpeg = (j_decompress_ptr)common;
    size_t scans = (size_t)(jpeg->input_scan_number > 0 ? jpeg->input_scan_number : 0);
    size_t pixels = (size_t)jpeg->image_width * jpeg->image_height;
    size_t work = pixels * (jpeg->arith_code ? TT_JPEG_ARITHMETIC : 1), most = TT_JPEG_WORK / work;
    if (most > TT_JPEG_SCANS) most = TT_JPEG_SCANS;
    if (scans > most)
        watch->status = tt_fail(watch->err, TT_BAD_INPUT, "%s: found more than %zu scans of %u x "
                                "%u pixels, expected no more", watch->name, most,
                                jpeg->image_width, jpeg->image_height);
    else
        watch->status = tt_poll_ask(watch->poll, watch->name, watch->err);
    if (watch->status) longjmp(errors->escape, 1);
}

static enum tt_status read_jpeg(const char *name, const void *data, size_t size,
                                const struct tt_poll *poll, struct tt_image *image,
                                struct tt_error *err) {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_errors errors = {0};
    struct jpeg_watch watch = {
        .base.progress_monitor = jpeg_watch, .name = name, .poll = poll, .err = err};
    enum tt_status status;
    jpeg.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = jpeg_fail;
    errors.base.emit_message = jpeg_warn;
    if (setjmp(errors.escape)) {
        jpeg_destroy_decompress(&jpeg);
        if (watch.status) return watch.status;
        if (errors.base.msg_code == JERR_OUT_OF_MEMORY)
            return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
        return tt_fail(err, TT_BAD_INPUT, "%s: not a valid JPEG: %s", name, errors.message);
    }
    jpeg_create_decompress(&jpeg);
    jpeg.progress = &watch.base;
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

enum tt_status tt_image_read_polled(const char *name, const void *data, size_t size,
                                    const struct tt_poll *poll, struct tt_image *image,
                                    struct tt_error *err) {
    *image = (struct tt_image){0};
    enum tt_status status;
    if (size > TT_PICTURE_BYTES)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found %zu bytes, expected a picture of at most %d",
                         name, size, TT_PICTURE_BYTES);
    else if (size >= 8 && !png_sig_cmp(data, 0, 8))
        status = read_png(name, data, size, poll, image, err);
    else if (size >= 3 && !memcmp(data, "\xff\xd8\xff", 3))
        status = read_jpeg(name, data, size, poll, image, err);
    else
        status = tt_fail(err, TT_BAD_INPUT, "%s: found neither a PNG nor a JPEG", name);
    if (status) tt_image_free(image);
    return status;
}

enum tt_status tt_image_read_memory(const char *name, const void *data, size_t size,
                                    struct tt_image *image, struct tt_error *err) {
    return tt_image_read_polled(name, data, size, NULL, image, err);
}

enum tt_status tt_image_read(struct tt_files *files, const char *path, struct tt_image *image,
                             struct tt_error *err) {
    struct tt_bytes bytes = {0};
    enum tt_status status = tt_file_read(files, path, &bytes, err);
    if (!status)
        status = tt_image_read_polled(path, bytes.data, bytes.size, tt_files_poll(files), image,
                                      err);
    tt_bytes_free(&bytes);
    return status;
}

void tt_image_free(struct tt_image *image) {
    free(image->rgb);
    *image = (struct tt_image){0};
}
