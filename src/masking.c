// SPDX-License-Identifier: MIT
#include "masking.h"

#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "io/resample.h"

// ---- the region ----

// Pixels, the right and lower bound excluded.
struct region {
    long left, top, right, bottom;
};

// Widens one direction of a region of `length` pixels to `wanted`, inside 0 to `most`.
static void widen(long *from, long *to, double wanted, long most) {
    long more = (long)(wanted - (double)(*to - *from));
    *from -= more / 2;
    *to += more - more / 2;
    if (*to >= most) {
        *from -= *to - most;
        *to = most;
    }
    if (*from < 0) {
        *to -= *from;
        *from = 0;
    }
    if (*to >= most) *to = most;
}

// What the mask shows, with padding, at the proportions that are drawn: VaeImageProcessor's
// get_crop_region().
static enum tt_status find_region(const struct tt_image *mask, const struct tt_settings *s,
                                  struct region *r, struct tt_error *err) {
    long w = (long)mask->width, h = (long)mask->height, pad = s->inpaint_padding;
    *r = (struct region){w, h, 0, 0};
    for (long y = 0; y < h; y++)
        for (long x = 0; x < w; x++) {
            if (!tt_luma(mask->rgb + 3 * (y * w + x))) continue;
            if (x < r->left) r->left = x;
            if (x >= r->right) r->right = x + 1;
            if (y < r->top) r->top = y;
            r->bottom = y + 1;
        }
    if (!r->bottom)
        return tt_fail(err, TT_BAD_INPUT, "mask: found no pixel that is not black, expected some "
                       "to be drawn, with inpaint_padding %d around them", s->inpaint_padding);
    r->left = r->left > pad ? r->left - pad : 0;
    r->top = r->top > pad ? r->top - pad : 0;
    r->right = r->right + pad < w ? r->right + pad : w;
    r->bottom = r->bottom + pad < h ? r->bottom + pad : h;
    double wide = (double)(r->right - r->left), high = (double)(r->bottom - r->top);
    double ratio = (double)s->width / (double)s->height;
    if (wide / high > ratio) widen(&r->top, &r->bottom, wide / ratio, h);
    else widen(&r->left, &r->right, high * ratio, w);
    return TT_OK;
}

static enum tt_status copy(const struct tt_image *image, const struct region *r,
                           struct tt_image *out, struct tt_error *err) {
    size_t w = (size_t)(r->right - r->left), h = (size_t)(r->bottom - r->top);
    *out = (struct tt_image){w, h, malloc(3 * w * h)};
    if (!out->rgb) return tt_fail(err, TT_SYSTEM, "out of memory for %zu x %zu pixels", w, h);
    for (size_t y = 0; y < h; y++)
        memcpy(out->rgb + 3 * y * w,
               image->rgb + 3 * (((size_t)r->top + y) * image->width + (size_t)r->left), 3 * w);
    return TT_OK;
}

static struct region all_of(const struct tt_image *image) {
    return (struct region){0, 0, (long)image->width, (long)image->height};
}

// The mask as it is used, in memory of its own, and the region that is drawn.
static enum tt_status blur_and_find(const struct tt_settings *s, struct tt_image *mask,
                                    struct region *r, struct tt_error *err) {
    *r = all_of(s->mask);
    enum tt_status status = copy(s->mask, r, mask, err);
    if (!status) status = tt_blur(mask, s->mask_blur, err);
    if (!status && s->inpaint_padding >= 0) status = find_region(mask, s, r, err);
    return status;
}

// ---- before the run ----

// A part of a picture at the run's size.
static enum tt_status fit(const struct tt_image *image, const struct region *r,
                          const struct tt_settings *s, struct tt_image *out,
                          struct tt_error *err) {
    struct tt_image part = {0};
    enum tt_resize how = s->inpaint_padding >= 0 ? TT_RESIZE_FILL : (enum tt_resize)s->resize;
    enum tt_status status = copy(image, r, &part, err);
    if (!status) status = tt_image_resize(&part, how, s->width, s->height, out, err);
    tt_image_free(&part);
    return status;
}

enum tt_status tt_masking_make(const struct tt_settings *s, struct tt_masking *masking,
                               struct tt_error *err) {
    struct tt_image mask = {0}, fitted = {0};
    struct region r = all_of(s->image);
    size_t pixels = s->width * s->height;
    enum tt_status status = s->mask ? blur_and_find(s, &mask, &r, err) : TT_OK;
    if (!status) status = fit(s->image, &r, s, &masking->image, err);
    if (!status && s->mask) status = fit(&mask, &r, s, &fitted, err);
    if (!status && s->mask && !(masking->mask = malloc(pixels * sizeof *masking->mask)))
        status = tt_fail(err, TT_SYSTEM, "out of memory for a mask");
    for (size_t i = 0; !status && s->mask && i < pixels; i++)
        masking->mask[i] = tt_luma(fitted.rgb + 3 * i) >= 128 ? 1.0f : 0.0f; // of 255, a half
    tt_image_free(&mask);
    tt_image_free(&fitted);
    return status;
}

void tt_masking_free(struct tt_masking *masking) {
    tt_image_free(&masking->image);
    free(masking->mask);
    *masking = (struct tt_masking){0};
}

void tt_masking_shrink(const struct tt_masking *masking, size_t f, float *mask) {
    size_t w = masking->image.width / f, h = masking->image.height / f;
    for (size_t i = 0; i < w * h; i++)
        mask[i] = masking->mask[i / w * f * masking->image.width + i % w * f];
}

// ---- after the run ----

static unsigned divide_255(unsigned x) {
    x += 128;
    return (x + (x >> 8)) >> 8;
}

// The picture, premultiplied with what the mask leaves of it, and laid over what was drawn:
// Pillow's paste(), convert() and alpha_composite().
static uint8_t lay_over(uint8_t kept, uint8_t drawn, unsigned alpha) {
    enum { BITS = 7 };
    if (!alpha) return drawn;
    unsigned straight = divide_255(kept * alpha);
    if (alpha != 255) straight = 255 * straight / alpha;
    if (straight > 255) straight = 255;
    unsigned share = alpha << BITS, rest = (255u << BITS) - share;
    unsigned sum = straight * share + drawn * rest + (0x80 << BITS);
    return (uint8_t)((((sum >> 8) + sum) >> 8) >> BITS);
}

enum tt_status tt_masking_overlay(const struct tt_settings *s, struct tt_image *image,
                                  struct tt_error *err) {
    if (!s->mask || (s->mask_blur == 0 && s->inpaint_padding < 0)) return TT_OK;
    bool region = s->inpaint_padding >= 0;
    struct tt_image mask = {0}, kept = {0}, drawn = {0};
    struct region r, all;
    enum tt_status status = blur_and_find(s, &mask, &r, err);
    if (!status && !region) { // the run's own size, as it was fitted to it
        struct tt_image fitted = {0};
        status = fit(&mask, &r, s, &fitted, err);
        tt_image_free(&mask);
        mask = fitted;
        if (!status) status = fit(s->image, &r, s, &kept, err);
    } else if (!status) {
        all = all_of(s->image);
        status = copy(s->image, &all, &kept, err);
    }
    if (!status && region)
        status = tt_image_resize(image, TT_RESIZE_CROP, (size_t)(r.right - r.left),
                                 (size_t)(r.bottom - r.top), &drawn, err);
    for (size_t i = 0; !status && i < kept.width * kept.height; i++) {
        long x = (long)(i % kept.width), y = (long)(i / kept.width);
        bool inside = x >= r.left && x < r.right && y >= r.top && y < r.bottom;
        static const uint8_t black[3] = {0};
        const uint8_t *over = !region ? image->rgb + 3 * i
                            : inside  ? drawn.rgb + 3 * ((y - r.top) * (long)drawn.width +
                                                         x - r.left)
                                      : black;
        unsigned alpha = 255u - tt_luma(mask.rgb + 3 * i);
        for (size_t c = 0; c < 3; c++)
            kept.rgb[3 * i + c] = lay_over(kept.rgb[3 * i + c], over[c], alpha);
    }
    tt_image_free(&mask);
    tt_image_free(&drawn);
    if (status) tt_image_free(&kept);
    if (status) return status;
    tt_image_free(image);
    *image = kept;
    return TT_OK;
}
