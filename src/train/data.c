// SPDX-License-Identifier: MIT
#include "train/data.h"

#include <math.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mix.h"
#include "base/text.h"
#include "train/dataset.h"

#pragma GCC diagnostic ignored "-Wunused-function" // what of the library is not called
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#include <stb/stb_image_resize.h>

// ---- pictures ----

// Scales the w0 x h0 window at (x, y) of image to the size of training: (height, width, 3).
static bool scale(struct tt_picture_size to, const struct tt_image *image, double x, double y,
                  double w0, double h0, uint8_t *rgb) {
    return stbir_resize_region(
        image->rgb, (int)image->width, (int)image->height, 0, rgb, (int)to.width, (int)to.height, 0,
        STBIR_TYPE_UINT8, 3, -1, 0, STBIR_EDGE_CLAMP, STBIR_EDGE_CLAMP, STBIR_FILTER_DEFAULT,
        STBIR_FILTER_DEFAULT, STBIR_COLORSPACE_LINEAR, NULL, (float)(x / (double)image->width),
        (float)(y / (double)image->height), (float)((x + w0) / (double)image->width),
        (float)((y + h0) / (double)image->height));
}

static bool fit(enum tt_fit how, struct tt_picture_size to, const struct tt_image *image,
                uint8_t *rgb) {
    double w = (double)image->width, h = (double)image->height, x = 0, y = 0;
    if (image->width == to.width && image->height == to.height) {
        memcpy(rgb, image->rgb, 3 * to.width * to.height);
        return true;
    }
    if (how == TT_FIT_CROP) { // the largest window of the right proportions
        double wanted = (double)to.width / (double)to.height, seen_w = w, seen_h = h;
        if (w / h > wanted) seen_w = h * wanted;
        else seen_h = w / wanted;
        x = (w - seen_w) / 2;
        y = (h - seen_h) / 2;
        w = seen_w;
        h = seen_h;
    }
    return scale(to, image, x, y, w, h, rgb);
}

// item: where the file's checksum and orientation go; may be NULL.
static enum tt_status read_image(const struct tt_dataset *data, const char *name,
                                 struct tt_image *image, struct tt_item *item,
                                 struct tt_error *err) {
    struct tt_bytes bytes = {0};
    struct tt_image_reading how = {.poll = tt_folder_poll(data->folder),
                                   .background = data->options.background};
    char where[512];
    tt_folder_where(data->folder, name, where, sizeof where);
    enum tt_status status = tt_folder_read(data->folder, name, &bytes, err);
    if (!status)
        status = tt_image_read_how(where, bytes.data, bytes.size, &how, image, err);
    if (!status && item) item->crc = (uint32_t)crc32_z(0, bytes.data, bytes.size);
    if (!status && item && how.orientation <= 8) item->orientation = how.orientation;
    tt_bytes_free(&bytes);
    return status;
}

enum tt_status tt_dataset_picture(const struct tt_dataset *data, size_t i, bool mirrored,
                                  float *out, struct tt_error *err) {
    struct tt_picture_size size = data->items[i].size;
    size_t w = size.width, n = w * size.height;
    struct tt_image image = {0};
    enum tt_status status =
        data->folder ? read_image(data, data->items[i].name, &image, NULL, err)
                     : tt_dataset_again(data, &data->items[i], &image, err);
    if (status) return status;
    uint8_t *rgb = malloc(3 * n);
    if (!rgb || !fit(data->options.fit, size, &image, rgb))
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu x %zu pixels",
                         data->items[i].name, w, size.height);
    for (size_t p = 0; !status && p < n; p++) {
        size_t to = mirrored ? p / w * w + (w - 1 - p % w) : p;
        for (size_t c = 0; c < 3; c++)
            out[c * n + to] = 2.0f * ((float)rgb[3 * p + c] / 255.0f) - 1.0f;
    }
    free(rgb);
    tt_image_free(&image);
    return status;
}

// Why a picture cannot be used, into why (TT_BAD_INPUT); or why it could not be looked at.
static enum tt_status find_problem(const struct tt_dataset *data, struct tt_item *item,
                                   struct tt_error *why) {
    struct tt_image image = {0};
    char where[512];
    tt_folder_where(data->folder, item->name, where, sizeof where);
    bool wanted = !data->options.captions || item->caption_count; // else it need not be read
    enum tt_status status = wanted ? read_image(data, item->name, &image, item, why) : TT_OK;
    if (status) return status;
    item->own = (struct tt_picture_size){image.width, image.height};
    tt_image_free(&image);
    return tt_dataset_judge(data, item, where, why);
}

// A picture that is no good is left out; a system that fails is not the picture's fault.
static enum tt_status check_pictures(struct tt_dataset *data, struct tt_error *err) {
    enum { AT_ONCE = 64 };
    const struct tt_dataset_options *o = &data->options;
    for (size_t first = 0; first < data->count; first += AT_ONCE) {
        size_t n = data->count - first < AT_ONCE ? data->count - first : AT_ONCE;
        struct tt_error *why = calloc(n, sizeof *why);
        if (!why) return tt_dataset_no_memory(err);
#pragma omp parallel for schedule(dynamic) num_threads(o->threads)
        for (size_t i = 0; i < n; i++)
            if (!data->items[first + i].problem)
                find_problem(data, &data->items[first + i], &why[i]);
        enum tt_status status = TT_OK;
        for (size_t i = 0; !status && i < n; i++) {
            if (!why[i].status) continue;
            if (why[i].status != TT_BAD_INPUT) {
                status = tt_fail(err, why[i].status, "%s", why[i].message);
                continue;
            }
            data->items[first + i].problem = tt_pool_format(&data->pool, "%s", why[i].message);
            if (!data->items[first + i].problem) status = tt_dataset_no_memory(err);
        }
        free(why);
        if (status) return status;
        if (o->progress && o->progress(o->context, first + n, data->count))
            return tt_fail(err, TT_CANCELLED, "cancelled while looking at pictures");
    }
    return TT_OK;
}

// ---- opening ----

static int usable_first(const void *a, const void *b) {
    const struct tt_item *x = a, *y = b;
    if (!x->problem != !y->problem) return x->problem ? 1 : -1;
    return tt_dataset_by_name(a, b);
}

static enum tt_status settle(struct tt_dataset *data, const char *path, struct tt_error *err) {
    if (data->count) qsort(data->items, data->count, sizeof *data->items, usable_first);
    while (data->used < data->count && !data->items[data->used].problem) data->used++;
    const struct tt_item *first = data->used < data->count ? &data->items[data->used] : NULL;
    if (first && data->options.strict)
        return tt_fail(err, TT_BAD_INPUT, "%s (%zu of %zu pictures cannot be used)",
                       first->problem, data->count - data->used, data->count);
    if (!data->used && first)
        return tt_fail(err, TT_BAD_INPUT, "%s: none of %zu pictures can be used; the first: %s",
                       path, data->count, first->problem);
    if (!data->used)
        return tt_fail(err, TT_BAD_INPUT, "%s: found no picture, expected %s", path,
                       data->folder ? "PNG or JPEG files, or WebP" : "at least one");
    return TT_OK;
}

static enum tt_status open_folder(struct tt_dataset *data, const char *path,
                                  struct tt_error *err) {
    enum tt_status status = tt_folder_open_any(path, &data->folder, err);
    if (status) return status;
    tt_folder_note_in(data->folder, data->options.files);
    data->name = tt_folder_name(data->folder);
    status = tt_dataset_read(data, path, err);
    return status ? status : check_pictures(data, err);
}

enum tt_status tt_dataset_open(const char *path, const struct tt_dataset_options *options,
                               struct tt_dataset **out, struct tt_error *err) {
    struct tt_dataset *data = calloc(1, sizeof *data);
    if (!data) return tt_dataset_no_memory(err);
    data->options = *options;
    data->name = path;
    enum tt_status status =
        options->own ? tt_dataset_ask(data, err) : open_folder(data, path, err);
    if (!status) status = settle(data, path, err);
    if (!status && options->hold > 0) status = tt_dataset_hold(data, path, err);
    if (status) {
        tt_dataset_close(data);
        return status;
    }
    *out = data;
    return TT_OK;
}

void tt_dataset_close(struct tt_dataset *data) {
    if (!data) return;
    tt_folder_close(data->folder);
    tt_pool_free(&data->pool);
    free(data->items);
    free(data);
}

size_t tt_dataset_count(const struct tt_dataset *data) { return data->used; }
size_t tt_dataset_held(const struct tt_dataset *data) { return data->held; }
const char *tt_dataset_name(const struct tt_dataset *data, size_t i) { return data->items[i].name; }
struct tt_picture_size tt_dataset_size(const struct tt_dataset *data, size_t i) {
    return data->items[i].size;
}
struct tt_picture_size tt_dataset_own_size(const struct tt_dataset *data, size_t i) {
    return data->items[i].own;
}
bool tt_dataset_stretches(const struct tt_dataset *data) {
    return data->options.fit == TT_FIT_STRETCH;
}
size_t tt_dataset_captions(const struct tt_dataset *data, size_t i) {
    return data->items[i].caption_count;
}
const char *tt_dataset_caption(const struct tt_dataset *data, size_t i, size_t k) {
    return data->items[i].captions[k];
}

const char *tt_dataset_skipped(const struct tt_dataset *data, size_t k) {
    size_t i = data->used + data->held + k;
    return i < data->count ? data->items[i].problem : NULL;
}

void tt_dataset_hash(const struct tt_dataset *data, char text[TT_DATASET_HASH_SIZE]) {
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&sha);
    for (size_t i = 0; i < data->used + data->held; i++) {
        const struct tt_item *item = &data->items[i];
        char line[64];
        if (i == data->used) sha256_update(&sha, 9, (const uint8_t *)"held out\n");
        int length = snprintf(line, sizeof line, "%zu %zu %08x", i, item->caption_count,
                              (unsigned)item->crc);
        // What was trained on before tags were followed lay on its side: it is not the same.
        if (item->orientation > 1)
            length += snprintf(line + length, sizeof line - (size_t)length, " %d",
                               item->orientation);
        snprintf(line + length, sizeof line - (size_t)length, "\n");
        sha256_update(&sha, strlen(line), (const uint8_t *)line);
        sha256_update(&sha, strlen(item->name) + 1, (const uint8_t *)item->name);
        for (size_t k = 0; k < item->caption_count; k++)
            sha256_update(&sha, strlen(item->captions[k]) + 1, (const uint8_t *)item->captions[k]);
    }
    sha256_digest(&sha, sizeof digest, digest);
    tt_text_hex(digest, TT_DATASET_HASH_SIZE / 2, text);
}

// ---- order ----

// A permutation of 0 to count - 1 without a table: a Feistel network of four rounds on the next
// even number of bits, walked until it lands inside (Black and Rogaway 2002, cycle walking).
size_t tt_shuffled(uint64_t count, uint64_t seed, uint64_t epoch, uint64_t at) {
    int half = 1;
    while (UINT64_C(1) << 2 * half < count) half++;
    uint64_t mask = (UINT64_C(1) << half) - 1;
    do {
        uint64_t left = at >> half, right = at & mask;
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t key = tt_mix(seed + TT_MIX_STEP * (epoch * 4 + round + 1));
            uint64_t next = left ^ (tt_mix(right + key) & mask);
            left = right;
            right = next;
        }
        at = left << half | right;
    } while (at >= count);
    return (size_t)at;
}

size_t tt_dataset_order(const struct tt_dataset *data, uint64_t seed, uint64_t n) {
    return tt_shuffled(data->used, seed, n / data->used, n % data->used);
}
