// SPDX-License-Identifier: MIT
#include "io/image_read.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "io/file.h"
#include "io/files.h"
#include "io/image_webp.h"
#include "io/orientation.h"
#include "io/png_chunks.h"

static enum tt_status check_size(const char *name, size_t width, size_t height,
                                 struct tt_error *err) {
    if (width == 0 || height == 0 || width > TT_IMAGE_SIDE || height > TT_IMAGE_SIDE ||
        width * height > TT_IMAGE_PIXELS)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: found %zu x %zu pixels, expected sides of 1 to %d and at most %d "
                       "pixels",
                       name, width, height, TT_IMAGE_SIDE, TT_IMAGE_PIXELS);
    return TT_OK;
}

static enum tt_status make_room(const char *name, size_t width, size_t height,
                                struct tt_image *image, struct tt_error *err) {
    enum tt_status status = check_size(name, width, height, err);
    if (status) return status;
    *image = (struct tt_image){width, height, malloc(3 * width * height)};
    if (!image->rgb)
        return tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu x %zu pixels", name, width,
                       height);
    return TT_OK;
}

// ---- transparency ----

// What sRGB numbers are as light, and the light from which on each number is the nearest.
static void light_of_numbers(double light[256], double from[256]) {
    for (int i = 0; i < 256; i++) {
        double x = i / 255.0, y = (i - 0.5) / 255;
        light[i] = x <= 0.04045 ? x / 12.92 : pow((x + 0.055) / 1.055, 2.4);
        from[i] = y <= 0.04045 ? y / 12.92 : pow((y + 0.055) / 1.055, 2.4);
    }
}

static uint8_t nearest(const double from[256], double light) {
    int low = 0, high = 255; // the last number that begins no later
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (from[middle] <= light) low = middle;
        else high = middle - 1;
    }
    return (uint8_t)low;
}

// (n, 4) with straight alpha onto the background: (n, 3).
static void lay_on(enum tt_background background, const uint8_t *rgba, size_t n, uint8_t *rgb) {
    double light[256], from[256];
    unsigned ground = background == TT_BACKGROUND_WHITE ? 255 : 0;
    light_of_numbers(light, from);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++) {
            unsigned x = rgba[4 * i + c], alpha = rgba[4 * i + 3];
            if (alpha == 255) rgb[3 * i + c] = (uint8_t)x;
            else if (background == TT_BACKGROUND_LINEAR)
                rgb[3 * i + c] = nearest(from, light[x] * alpha / 255);
            else rgb[3 * i + c] = (uint8_t)((x * alpha + ground * (255 - alpha) + 127) / 255);
        }
}

// ---- PNG ----

// A PNG as a stream, its texts left out, and its gAMA where numbers count as they are.
struct source {
    const uint8_t *data;
    size_t size, at, left; // left of the stretch
    const struct tt_poll *poll;
    bool plain, cancelled, ended;
};

static ssize_t feed(void *cookie, char *out, size_t size) {
    struct source *source = cookie;
    size_t used = 0, count;
    source->cancelled = tt_poll_cancelled(source->poll);
    if (source->cancelled) return -1;
    for (; used < size; used += count) {
        if (!source->left)
            source->left =
                tt_png_stretch(source->data, source->size, source->plain, &source->at);
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

// The pixels, once the head is read: by the library onto black, or with their alpha.
static enum tt_status take_png(const char *name, png_image *png, enum tt_background background,
                               struct tt_image *image, struct tt_error *err) {
    size_t n = (size_t)png->width * png->height;
    enum tt_status status = make_room(name, png->width, png->height, image, err);
    if (status) return status;
    if (background == TT_BACKGROUND_LINEAR || !(png->format & PNG_FORMAT_FLAG_ALPHA)) {
        png->format = PNG_FORMAT_RGB;
        png_image_finish_read(png, &(png_color){0, 0, 0}, image->rgb, 0, NULL);
        return TT_OK;
    }
    uint8_t *rgba = malloc(4 * n);
    if (!rgba)
        return tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu transparent pixels", name, n);
    png->format = PNG_FORMAT_RGBA;
    if (png_image_finish_read(png, NULL, rgba, 0, NULL)) lay_on(background, rgba, n, image->rgb);
    free(rgba);
    return TT_OK;
}

static enum tt_status read_png(const char *name, const void *data, size_t size,
                               struct tt_image_reading *how, struct tt_image *image,
                               struct tt_error *err) {
    png_image png = {.version = PNG_IMAGE_VERSION};
    struct source source = {.data = data, .size = size, .poll = how->poll,
                            .plain = how->background != TT_BACKGROUND_LINEAR};
    enum tt_status status = TT_OK;
    if (!tt_png_chunks_fit(data, size))
        return tt_fail(err, TT_BAD_INPUT, "%s: not a valid PNG: a chunk goes beyond the end", name);
    FILE *file = fopencookie(&source, "rb", (cookie_io_functions_t){.read = feed});
    if (!file) return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    setvbuf(file, NULL, _IONBF, 0);
    if (png_image_begin_read_from_stdio(&png, file)) {
        png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB; // as other readers take 16-bit files
        status = take_png(name, &png, how->background, image, err);
    }
    if (!status && PNG_IMAGE_FAILED(png)) status = png_failed(name, &source, png.message, err);
    png_image_free(&png);
    fclose(file);
    if (!status) how->orientation = tt_png_orientation(data, size);
    return status;
}

// ---- JPEG ----

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

// Of the markers before the picture: Exif data in one or several of them, put together, and XMP;
// -1: no memory for that.
static int jpeg_orientation(const struct jpeg_decompress_struct *jpeg) {
    static const char exif_name[] = "Exif\0", xmp_name[] = "http://ns.adobe.com/xap/1.0/";
    const struct jpeg_marker_struct *m, *xmp = NULL;
    size_t used = 0;
    int orientation = 0;
    for (m = jpeg->marker_list; m; m = m->next) used += m->data_length;
    uint8_t *exif = malloc(used + 1);
    used = 0;
    for (m = jpeg->marker_list; exif && m; m = m->next) {
        if (m->data_length >= sizeof xmp_name && !memcmp(m->data, xmp_name, sizeof xmp_name))
            xmp = m;
        if (m->data_length < sizeof exif_name || memcmp(m->data, exif_name, sizeof exif_name))
            continue;
        memcpy(exif + used, m->data + sizeof exif_name, m->data_length - sizeof exif_name);
        used += m->data_length - sizeof exif_name;
    }
    if (!exif) return -1;
    orientation = tt_exif_orientation(exif, used);
    if (!orientation && xmp)
        orientation = tt_xmp_orientation(xmp->data + sizeof xmp_name,
                                         xmp->data_length - sizeof xmp_name);
    free(exif);
    return orientation;
}

static enum tt_status read_jpeg(const char *name, const void *data, size_t size,
                                struct tt_image_reading *how, struct tt_image *image,
                                struct tt_error *err) {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_errors errors = {0};
    struct jpeg_watch watch = {
        .base.progress_monitor = jpeg_watch, .name = name, .poll = how->poll,
        .err = err};
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
    jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&jpeg, TRUE);
    how->orientation = jpeg_orientation(&jpeg);
    jpeg.out_color_space = JCS_RGB;
    if (jpeg.jpeg_color_space == JCS_CMYK || jpeg.jpeg_color_space == JCS_YCCK)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found a JPEG for print (CMYK), expected RGB or "
                         "grey", name);
    else status = make_room(name, jpeg.image_width, jpeg.image_height, image, err);
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

// ---- all ----

static enum tt_status read_webp(const char *name, const void *data, size_t size,
                                struct tt_image_reading *how, struct tt_image *image,
                                struct tt_error *err) {
    size_t width, height;
    uint8_t *rgba;
    enum tt_status status = tt_webp_read(name, data, size, how->poll, check_size, &width, &height,
                                         &rgba, &how->orientation, err);
    if (!status) status = make_room(name, width, height, image, err);
    if (!status) lay_on(how->background, rgba, width * height, image->rgb);
    free(rgba);
    return status;
}

enum tt_status tt_image_read_how(const char *name, const void *data, size_t size,
                                 struct tt_image_reading *how, struct tt_image *image,
                                 struct tt_error *err) {
    struct tt_image_reading none = {0};
    if (!how) how = &none;
    how->orientation = 0;
    *image = (struct tt_image){0};
    enum tt_status status;
    if (size > TT_PICTURE_BYTES)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found %zu bytes, expected a picture of at most %d",
                         name, size, TT_PICTURE_BYTES);
    else if (size >= 8 && !png_sig_cmp(data, 0, 8))
        status = read_png(name, data, size, how, image, err);
    else if (size >= 3 && !memcmp(data, "\xff\xd8\xff", 3))
        status = read_jpeg(name, data, size, how, image, err);
    else if (tt_is_webp(data, size))
        status = read_webp(name, data, size, how, image, err);
    else
        status = tt_fail(err, TT_BAD_INPUT, "%s: found neither a PNG nor a JPEG nor a WebP", name);
    if (!status && how->orientation < 0)
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory for its orientation", name);
    if (!status) status = tt_image_turn(name, image, how->orientation, err);
    if (status) tt_image_free(image);
    return status;
}

enum tt_status tt_image_read_polled(const char *name, const void *data, size_t size,
                                    const struct tt_poll *poll, struct tt_image *image,
                                    struct tt_error *err) {
    return tt_image_read_how(name, data, size, &(struct tt_image_reading){.poll = poll}, image,
                             err);
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
