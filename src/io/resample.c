// SPDX-License-Identifier: MIT
#include "io/resample.h"

#include <math.h>
#include <sleef.h>
#include <stdlib.h>
#include <string.h>

// ---- another size ----

enum { BITS = 22 }; // of a weight behind the point: a sum of products with bytes stays in 32 bits

// What the pixels of one line of the result are made of.
struct taps {
    size_t most;   // weights of one pixel at most
    size_t *first; // the first pixel of the source
    size_t *count;
    int32_t *weights; // (size, most)
};

static double sinc(double x) {
    if (x == 0) return 1;
    x *= M_PI;
    return Sleef_cinz_sind1_u10purec(x) / x;
}

static double lanczos(double x) {
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

// Keys 1981, a = -1/2.
static double bicubic(double x) {
    x = fabs(x);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

static double weight(enum tt_filter filter, double x) {
    return filter == TT_FILTER_LANCZOS ? lanczos(x) : bicubic(x);
}

static void taps_free(struct taps *taps) {
    free(taps->first);
    free(taps->count);
    free(taps->weights);
}

// For `size` pixels of what lies between `from` and `to` of `source` ones. The filter is as wide as
// a pixel of the result, at least as one of the source.
static enum tt_status make_taps(size_t source, double from, double to, size_t size,
                                enum tt_filter filter, struct taps *taps, struct tt_error *err) {
    double scale = (to - from) / (double)size, wide = scale < 1 ? 1 : scale;
    double reach = (filter == TT_FILTER_LANCZOS ? 3 : 2) * wide, inverse = 1 / wide;
    taps->most = 2 * (size_t)ceil(reach) + 1;
    taps->first = malloc(size * sizeof *taps->first);
    taps->count = malloc(size * sizeof *taps->count);
    taps->weights = calloc(size, taps->most * sizeof *taps->weights);
    double *row = malloc(taps->most * sizeof *row);
    if (!taps->first || !taps->count || !taps->weights || !row) {
        free(row);
        return tt_fail(err, TT_SYSTEM, "out of memory for a picture of another size");
    }
    for (size_t i = 0; i < size; i++) {
        double middle = from + ((double)i + 0.5) * scale, sum = 0;
        double low = middle - reach + 0.5, high = middle + reach + 0.5;
        size_t first = low < 0 ? 0 : (size_t)low;
        size_t end = high > (double)source ? source : (size_t)high;
        for (size_t k = first; k < end; k++)
            sum += row[k - first] = weight(filter, ((double)k - middle + 0.5) * inverse);
        for (size_t k = first; k < end; k++) {
            double w = sum != 0 ? row[k - first] / sum : row[k - first];
            w *= 1 << BITS;
            taps->weights[i * taps->most + k - first] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
        }
        taps->first[i] = first;
        taps->count[i] = end - first;
    }
    free(row);
    return TT_OK;
}

static uint8_t clip(int32_t sum) {
    sum >>= BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

// in (rows, w, 3) -> out (rows, width, 3).
static void across(const struct taps *taps, const uint8_t *in, size_t w, size_t rows,
                   size_t width, uint8_t *out) {
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < width; x++) {
            const int32_t *k = taps->weights + x * taps->most;
            const uint8_t *from = in + 3 * (y * w + taps->first[x]);
            int32_t sum[3] = {1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1)};
            for (size_t i = 0; i < taps->count[x]; i++)
                for (size_t c = 0; c < 3; c++) sum[c] += from[3 * i + c] * k[i];
            for (size_t c = 0; c < 3; c++) out[3 * (y * width + x) + c] = clip(sum[c]);
        }
}

// in (h, width, 3) -> out (height, width, 3).
static void down(const struct taps *taps, const uint8_t *in, size_t width, size_t height,
                 uint8_t *out) {
    size_t row = 3 * width;
    for (size_t y = 0; y < height; y++) {
        const int32_t *k = taps->weights + y * taps->most;
        const uint8_t *from = in + taps->first[y] * row;
        for (size_t x = 0; x < row; x++) {
            int32_t sum = 1 << (BITS - 1);
            for (size_t i = 0; i < taps->count[y]; i++) sum += from[i * row + x] * k[i];
            out[y * row + x] = clip(sum);
        }
    }
}

// Sums are rounded to bytes between the passes, so their order shows. This is Pillow 13's, found by
// trying: rows first where they become fewer by more than twice what columns do.
static bool rows_first(const struct tt_image *image, size_t width, size_t height) {
    return height < image->height &&
           image->height - height + 2 * width > 2 * image->width;
}

enum tt_status tt_resample(const struct tt_image *image, const struct tt_box *box,
                           enum tt_filter filter, size_t width, size_t height,
                           struct tt_image *out, struct tt_error *err) {
    size_t w = image->width, h = image->height;
    struct tt_box all = {0, 0, (double)w, (double)h};
    if (!box) box = &all;
    bool wide = width != w || box->left != 0 || box->right != (double)width;
    bool high = height != h || box->top != 0 || box->bottom != (double)height;
    bool turned = rows_first(image, width, height);
    struct taps x = {0}, y = {0};
    enum tt_status status = TT_OK;
    uint8_t *between = NULL, *rgb = malloc(3 * width * height);
    if (!rgb) status = tt_fail(err, TT_SYSTEM, "out of memory for %zu x %zu pixels", width, height);
    if (!status && wide) status = make_taps(w, box->left, box->right, width, filter, &x, err);
    if (!status && high) status = make_taps(h, box->top, box->bottom, height, filter, &y, err);
    if (!status && wide && high && !(between = malloc(3 * (turned ? w * height : width * h))))
        status = tt_fail(err, TT_SYSTEM, "out of memory for a picture of another size");
    if (!status && wide && high && turned) {
        down(&y, image->rgb, w, height, between);
        across(&x, between, w, height, width, rgb);
    } else if (!status && wide && high) {
        across(&x, image->rgb, w, h, width, between);
        down(&y, between, width, height, rgb);
    } else if (!status && wide) {
        across(&x, image->rgb, w, h, width, rgb);
    } else if (!status && high) {
        down(&y, image->rgb, w, height, rgb);
    } else if (!status) {
        memcpy(rgb, image->rgb, 3 * w * h);
    }
    if (status) free(rgb);
    else *out = (struct tt_image){width, height, rgb};
    taps_free(&x);
    taps_free(&y);
    free(between);
    return status;
}

// ---- blur ----

enum { PASSES = 3, SHIFT = 24 };

// The (fractional) radius of a box filter that gives about a Gaussian when it is applied so often:
// Gwosdek et al. 2011, the extended box filter.
static float box_radius(float radius) {
    float variance = radius * radius / PASSES;
    float length = (float)sqrt(12.0 * (double)variance + 1.0);
    float whole = floorf((float)(((double)length - 1.0) / 2.0));
    float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
    part /= 6 * (variance - (whole + 1) * (whole + 1));
    return whole + part;
}

// One pass along a line of n pixels that are `step` bytes apart, of which the ends go on for ever.
static void box_line(const uint8_t *in, uint8_t *line, size_t n, size_t step, float wide) {
    size_t radius = (size_t)wide, last = n - 1;
    uint32_t full = (uint32_t)((float)(1 << SHIFT) / (wide * 2 + 1));
    uint32_t edge = ((1 << SHIFT) - ((uint32_t)radius * 2 + 1) * full) / 2, sum = 0;
    for (size_t x = 0; x <= radius; x++) sum += in[(x < last ? x : last) * step];
    sum += in[0] * (uint32_t)radius;
    for (size_t x = 0; x < n; x++) {
        size_t left = x > radius ? x - radius - 1 : 0;
        size_t right = x + radius + 1 < last ? x + radius + 1 : last;
        uint32_t bulk = sum * full + (in[left * step] + (uint32_t)in[right * step]) * edge;
        line[x] = (uint8_t)((bulk + (1u << (SHIFT - 1))) >> SHIFT);
        sum += in[right * step];
        sum -= in[(x > radius ? x - radius : 0) * step];
    }
}

static void box(uint8_t *rgb, uint8_t *line, size_t n, size_t step, float wide) {
    for (int pass = 0; pass < PASSES; pass++) {
        box_line(rgb, line, n, step, wide);
        for (size_t x = 0; x < n; x++) rgb[x * step] = line[x];
    }
}

enum tt_status tt_blur(struct tt_image *image, double radius, struct tt_error *err) {
    size_t w = image->width, h = image->height;
    if (!(radius > 0)) return TT_OK;
    uint8_t *line = malloc(w > h ? w : h);
    if (!line) return tt_fail(err, TT_SYSTEM, "out of memory to blur a picture");
    float wide = box_radius((float)radius);
    for (size_t y = 0; y < h; y++)
        for (size_t c = 0; c < 3; c++) box(image->rgb + 3 * y * w + c, line, w, 3, wide);
    for (size_t x = 0; x < w; x++)
        for (size_t c = 0; c < 3; c++) box(image->rgb + 3 * x + c, line, h, 3 * w, wide);
    free(line);
    return TT_OK;
}
