// SPDX-License-Identifier: MIT
// Pictures of another size, as diffusers' VaeImageProcessor (and web interfaces) make them.
#include "io/resample.h"

#include <stdlib.h>
#include <string.h>

// Puts a picture onto another, with its corner at (x, y), which may be outside.
static void paste(const struct tt_image *from, long x, long y, struct tt_image *onto) {
    long left = x < 0 ? -x : 0, top = y < 0 ? -y : 0;
    long right = (long)onto->width - x, bottom = (long)onto->height - y;
    if (right > (long)from->width) right = (long)from->width;
    if (bottom > (long)from->height) bottom = (long)from->height;
    for (long row = top; row < bottom && right > left; row++)
        memcpy(onto->rgb + 3 * ((size_t)(row + y) * onto->width + (size_t)(left + x)),
               from->rgb + 3 * ((size_t)row * from->width + (size_t)left),
               3 * (size_t)(right - left));
}

// Between one edge of the picture and the same edge of its frame: what lies about the former. It
// is as long as that, and `depth` deep.
static enum tt_status fill(const struct tt_image *scaled, struct tt_box edge, bool across,
                           size_t depth, long x, long y, struct tt_image *onto,
                           struct tt_error *err) {
    struct tt_image strip = {0};
    enum tt_status status = tt_resample(scaled, &edge, TT_FILTER_BICUBIC,
                                        across ? onto->width : depth,
                                        across ? depth : onto->height, &strip, err);
    if (!status) paste(&strip, x, y, onto);
    free(strip.rgb);
    return status;
}

// The frame's empty sides, where the picture is narrower (or lower) than it. An odd line stays
// black, as in the programs that this follows.
static enum tt_status fill_sides(const struct tt_image *scaled, struct tt_image *onto,
                                 struct tt_error *err) {
    double w = (double)scaled->width, h = (double)scaled->height;
    long above = (long)(onto->height / 2) - (long)(scaled->height / 2);
    long beside = (long)(onto->width / 2) - (long)(scaled->width / 2);
    enum tt_status status = TT_OK;
    if (scaled->height < onto->height && above > 0) {
        status = fill(scaled, (struct tt_box){0, 0, w, 0}, true, (size_t)above, 0, 0, onto, err);
        if (!status)
            status = fill(scaled, (struct tt_box){0, h, w, h}, true, (size_t)above, 0,
                          above + (long)scaled->height, onto, err);
    }
    if (!status && scaled->width < onto->width && beside > 0) {
        status = fill(scaled, (struct tt_box){0, 0, 0, h}, false, (size_t)beside, 0, 0, onto, err);
        if (!status)
            status = fill(scaled, (struct tt_box){w, 0, w, h}, false, (size_t)beside,
                          beside + (long)scaled->width, 0, onto, err);
    }
    return status;
}

enum tt_status tt_image_resize(const struct tt_image *image, enum tt_resize how, size_t width,
                               size_t height, struct tt_image *out, struct tt_error *err) {
    if (!width || !height || width > TT_IMAGE_SIDE || height > TT_IMAGE_SIDE)
        return tt_fail(err, TT_BAD_INPUT, "picture: found a size of %zu x %zu, expected sides of "
                       "1 to %d", width, height, TT_IMAGE_SIDE);
    if (how == TT_RESIZE_STRETCH)
        return tt_resample(image, NULL, TT_FILTER_LANCZOS, width, height, out, err);
    double ratio = (double)width / (double)height;
    double own = (double)image->width / (double)image->height;
    bool crop = how == TT_RESIZE_CROP;
    // The side that fits exactly, and the other one by the picture's proportions.
    bool by_width = crop ? ratio > own : ratio < own;
    size_t w = by_width || ratio == own ? width : image->width * height / image->height;
    size_t h = by_width ? image->height * width / image->width : height;
    struct tt_image scaled = {0}, frame = {width, height, calloc(height, 3 * width)};
    enum tt_status status = TT_OK;
    if (!frame.rgb) status = tt_fail(err, TT_SYSTEM, "out of memory for a picture");
    if (!status)
        status = tt_resample(image, NULL, TT_FILTER_LANCZOS, w ? w : 1, h ? h : 1, &scaled, err);
    if (!status)
        paste(&scaled, (long)(width / 2) - (long)(scaled.width / 2),
              (long)(height / 2) - (long)(scaled.height / 2), &frame);
    if (!status && !crop) status = fill_sides(&scaled, &frame, err);
    free(scaled.rgb);
    if (status) free(frame.rgb);
    else *out = frame;
    return status;
}
