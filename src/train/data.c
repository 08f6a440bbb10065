// SPDX-License-Identifier: MIT
#include "train/data.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <zlib.h>

#include "base/memory.h"
#include "io/folder.h"
#include "io/image_read.h"
#include "io/json.h"
#include "text/tokenizer.h"

#pragma GCC diagnostic ignored "-Wunused-function" // what of the library is not called
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#include <stb/stb_image_resize.h>

struct item {
    const char *name;
    const char **captions;
    size_t caption_count;
    uint32_t crc;        // of the file
    const char *problem; // "FILE: why it is left out", or NULL
};

struct tt_dataset {
    struct tt_dataset_options options;
    struct tt_folder *folder;
    struct tt_pool pool;
    struct item *items; // those in use first, then those left out
    size_t count, used, room, captions, text; // text: bytes of captions and names
};

static const char metadata[] = "metadata.jsonl";

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

static enum tt_status no_memory(struct tt_error *err) {
    return tt_fail(err, TT_SYSTEM, "out of memory for a list of pictures");
}

// ---- the list ----

// Whether another picture, or caption of one, is too much.
static enum tt_status check_limits(const struct tt_dataset *data, struct tt_error *err) {
    const char *path = tt_folder_name(data->folder);
    if (data->count >= TT_DATASET_ITEMS)
        return tt_fail(err, TT_BAD_INPUT, "%s: found more than %d pictures, expected no more", path,
                       TT_DATASET_ITEMS);
    if (data->captions >= TT_DATASET_CAPTIONS)
        return tt_fail(err, TT_BAD_INPUT, "%s: found more than %d captions, expected no more", path,
                       TT_DATASET_CAPTIONS);
    if (data->text > TT_DATASET_TEXT)
        return tt_fail(err, TT_BAD_INPUT, "%s: found more than %d bytes of names and captions, "
                       "expected no more", path, TT_DATASET_TEXT);
    return TT_OK;
}

static struct item *add(struct tt_dataset *data, const char *name) {
    if (data->count == data->room) {
        size_t room = data->room ? 2 * data->room : 256;
        struct item *items = realloc(data->items, room * sizeof *items);
        if (!items) return NULL;
        data->items = items;
        data->room = room;
    }
    struct item *item = &data->items[data->count];
    *item = (struct item){.name = tt_pool_format(&data->pool, "%s", name)};
    if (!item->name) return NULL;
    data->text += strlen(name);
    data->count++;
    return item;
}

static bool add_caption(struct tt_dataset *data, struct item *item, const char *text, size_t room) {
    if (!item->captions)
        item->captions = tt_pool_alloc(&data->pool, room * sizeof *item->captions);
    if (!item->captions) return false;
    const char *copy = tt_pool_format(&data->pool, "%s", text);
    item->captions[item->caption_count++] = copy;
    data->captions++;
    data->text += strlen(text);
    return copy != NULL;
}

// One line of metadata.jsonl.
static enum tt_status read_line(struct tt_dataset *data, const char *where, const char *line,
                                size_t size, struct tt_error *err) {
    json_t *object = NULL;
    enum tt_status status = tt_json_parse(where, line, size, &object, err);
    if (status) return status;
    const char *name = json_string_value(json_object_get(object, "file_name"));
    const json_t *text = json_object_get(object, "text");
    size_t captions = json_is_array(text) ? json_array_size(text) : 1;
    bool good = json_is_string(text) || captions > 0;
    for (size_t i = 0; json_is_array(text) && i < captions; i++)
        good = good && json_is_string(json_array_get(text, i));
    if (text && !json_is_string(text) && !json_is_array(text)) good = false;
    if (!text) good = !data->options.captions;
    char found[128];
    struct item *item = NULL;
    if (!name) {
        status = tt_fail(err, TT_BAD_INPUT, "%s: file_name: found %s, expected a string", where,
                         tt_json_text(json_object_get(object, "file_name"), found, sizeof found));
    } else if (!good) {
        status = tt_fail(err, TT_BAD_INPUT,
                         "%s: text: found %s, expected a string or a list of strings", where,
                         tt_json_text(text, found, sizeof found));
    } else if ((status = check_limits(data, err)) == TT_OK && !(item = add(data, name))) {
        status = no_memory(err);
    }
    for (size_t i = 0; !status && text && i < captions; i++) {
        const json_t *caption = json_is_array(text) ? json_array_get(text, i) : text;
        status = check_limits(data, err);
        if (!status && json_string_length(caption) > TT_TEXT_BYTES)
            status = tt_fail(err, TT_BAD_INPUT, "%s: text: found %zu bytes, expected at most %d",
                             where, json_string_length(caption), TT_TEXT_BYTES);
        if (status) break;
        if (!add_caption(data, item, json_string_value(caption), captions)) status = no_memory(err);
    }
    json_decref(object);
    return status;
}

static enum tt_status read_metadata(struct tt_dataset *data, struct tt_error *err) {
    struct tt_bytes bytes = {0};
    enum tt_status status = tt_folder_read(data->folder, metadata, &bytes, err);
    size_t number = 0;
    if (!status && bytes.size > TT_DATASET_LIST)
        status = tt_fail(err, TT_BAD_INPUT, "%s/%s: found %zu bytes, expected at most %d",
                         tt_folder_name(data->folder), metadata, bytes.size, TT_DATASET_LIST);
    for (size_t at = 0; !status && at < bytes.size;) {
        const char *line = (const char *)bytes.data + at;
        const char *end = memchr(line, '\n', bytes.size - at);
        size_t size = end ? (size_t)(end - line) : bytes.size - at;
        char where[512], file[400];
        tt_folder_where(data->folder, metadata, file, sizeof file);
        snprintf(where, sizeof where, "%s: line %zu", file, ++number);
        at += size + 1;
        size_t blank = 0;
        while (blank < size && strchr(" \t\r", line[blank]) && line[blank]) blank++;
        if (blank == size) continue; // an empty line
        status = read_line(data, where, line, size, err);
        const struct tt_dataset_options *o = &data->options;
        if (!status && number % 4096 == 0 && o->progress && o->progress(o->context, 0, data->count))
            status = tt_fail(err, TT_CANCELLED, "cancelled while reading %s", where);
    }
    tt_bytes_free(&bytes);
    return status;
}

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n > m && !strcasecmp(name + n - m, end);
}

static bool is_picture(const char *name) {
    return name[0] != '.' &&
           (ends_with(name, ".png") || ends_with(name, ".jpg") || ends_with(name, ".jpeg"));
}

// The caption beside a picture: the file's text without the white space at its end.
static enum tt_status read_caption(struct tt_dataset *data, struct item *item,
                                   struct tt_error *err) {
    const char *dot = strrchr(item->name, '.');
    char *name = tt_pool_format(&data->pool, "%.*s.txt", (int)(dot - item->name), item->name);
    if (!name) return no_memory(err);
    if (!tt_folder_has(data->folder, name)) return TT_OK;
    struct tt_bytes bytes = {0};
    enum tt_status status = tt_folder_read(data->folder, name, &bytes, err);
    if (status) return status;
    size_t size = bytes.size;
    if (size > TT_TEXT_BYTES) {
        item->problem = tt_pool_format(&data->pool, "%s/%s: found %zu bytes, expected at most %d",
                                       tt_folder_name(data->folder), name, size, TT_TEXT_BYTES);
        tt_bytes_free(&bytes);
        return item->problem ? TT_OK : no_memory(err);
    }
    while (size > 0 && strchr(" \t\r\n", bytes.data[size - 1]) && bytes.data[size - 1]) size--;
    utf8proc_int32_t c;
    bool good = true;
    for (size_t i = 0; good && i < size;) {
        utf8proc_ssize_t n = utf8proc_iterate(bytes.data + i, (utf8proc_ssize_t)(size - i), &c);
        good = n > 0 && c != 0;
        i += n > 0 ? (size_t)n : 1;
    }
    char *text = good ? tt_pool_alloc(&data->pool, size + 1) : NULL;
    if (text) memcpy(text, bytes.data, size);
    if (!good)
        item->problem = tt_pool_format(&data->pool, "%s/%s: not UTF-8 text",
                                       tt_folder_name(data->folder), name);
    if ((good && !text) || (text && !add_caption(data, item, text, 1)) ||
        (!good && !item->problem))
        status = no_memory(err);
    tt_bytes_free(&bytes);
    return status;
}

// Every picture in the folder; captions from the text files.
static enum tt_status read_pictures(struct tt_dataset *data, const char *path,
                                    struct tt_error *err) {
    DIR *directory = opendir(path);
    if (!directory) return tt_fail(err, TT_BAD_INPUT, "%s: %s", path, strerror(errno));
    enum tt_status status = TT_OK;
    for (struct dirent *entry; !status && (entry = readdir(directory));) {
        if (!is_picture(entry->d_name)) continue;
        status = check_limits(data, err);
        if (status) break;
        struct item *item = add(data, entry->d_name);
        status = item ? read_caption(data, item, err) : no_memory(err);
    }
    closedir(directory);
    return status;
}

// Pictures beside metadata.jsonl that it does not name are left out like others, text files mean
// that two conventions are mixed.
static enum tt_status look_for_others(struct tt_dataset *data, const char *path,
                                      struct tt_error *err) {
    DIR *directory = opendir(path);
    if (!directory) return tt_fail(err, TT_BAD_INPUT, "%s: %s", path, strerror(errno));
    enum tt_status status = TT_OK;
    size_t listed = data->count;
    if (listed) qsort(data->items, listed, sizeof *data->items, by_name);
    for (struct dirent *entry; !status && (entry = readdir(directory));) {
        struct item key = {.name = entry->d_name};
        if (ends_with(entry->d_name, ".txt") && entry->d_name[0] != '.')
            status = tt_fail(err, TT_BAD_INPUT,
                             "%s: found %s and %s, expected captions in one way: metadata.jsonl, "
                             "or text files", path, metadata, entry->d_name);
        if (!is_picture(entry->d_name) ||
            (listed && bsearch(&key, data->items, listed, sizeof key, by_name)))
            continue;
        status = check_limits(data, err);
        if (status) break;
        struct item *item = add(data, entry->d_name);
        if (item)
            item->problem = tt_pool_format(&data->pool, "%s/%s: not in %s", path, entry->d_name,
                                           metadata);
        if (!item || !item->problem) status = no_memory(err);
    }
    closedir(directory);
    return status;
}

// ---- pictures ----

// Scales the w0 x h0 window at (x, y) of image to the size of training: (height, width, 3).
static bool scale(const struct tt_dataset_options *o, const struct tt_image *image, double x,
                  double y, double w0, double h0, uint8_t *rgb) {
    return stbir_resize_region(
        image->rgb, (int)image->width, (int)image->height, 0, rgb, (int)o->width, (int)o->height, 0,
        STBIR_TYPE_UINT8, 3, -1, 0, STBIR_EDGE_CLAMP, STBIR_EDGE_CLAMP, STBIR_FILTER_DEFAULT,
        STBIR_FILTER_DEFAULT, STBIR_COLORSPACE_LINEAR, NULL, (float)(x / (double)image->width),
        (float)(y / (double)image->height), (float)((x + w0) / (double)image->width),
        (float)((y + h0) / (double)image->height));
}

static bool fit(const struct tt_dataset_options *o, const struct tt_image *image, uint8_t *rgb) {
    double w = (double)image->width, h = (double)image->height, x = 0, y = 0;
    if (image->width == o->width && image->height == o->height) {
        memcpy(rgb, image->rgb, 3 * o->width * o->height);
        return true;
    }
    if (o->fit == TT_FIT_CROP) { // the largest window of the right proportions
        double wanted = (double)o->width / (double)o->height, seen_w = w, seen_h = h;
        if (w / h > wanted) seen_w = h * wanted;
        else seen_h = w / wanted;
        x = (w - seen_w) / 2;
        y = (h - seen_h) / 2;
        w = seen_w;
        h = seen_h;
    }
    return scale(o, image, x, y, w, h, rgb);
}

// crc: of the file's bytes; may be NULL.
static enum tt_status read_image(const struct tt_dataset *data, const char *name,
                                 struct tt_image *image, uint32_t *crc, struct tt_error *err) {
    struct tt_bytes bytes = {0};
    char where[512];
    tt_folder_where(data->folder, name, where, sizeof where);
    enum tt_status status = tt_folder_read(data->folder, name, &bytes, err);
    if (!status)
        status = tt_image_read_polled(where, bytes.data, bytes.size,
                                      tt_folder_poll(data->folder), image, err);
    if (!status && crc) *crc = (uint32_t)crc32_z(0, bytes.data, bytes.size);
    tt_bytes_free(&bytes);
    return status;
}

enum tt_status tt_dataset_picture(const struct tt_dataset *data, size_t i, bool mirrored,
                                  float *out, struct tt_error *err) {
    const struct tt_dataset_options *o = &data->options;
    size_t w = o->width, n = w * o->height;
    struct tt_image image = {0};
    enum tt_status status = read_image(data, data->items[i].name, &image, NULL, err);
    if (status) return status;
    uint8_t *rgb = malloc(3 * n);
    if (!rgb || !fit(o, &image, rgb))
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu x %zu pixels",
                         data->items[i].name, w, o->height);
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
static enum tt_status find_problem(const struct tt_dataset *data, struct item *item,
                                   struct tt_error *why) {
    const struct tt_dataset_options *o = &data->options;
    struct tt_image image = {0};
    char where[512];
    tt_folder_where(data->folder, item->name, where, sizeof where);
    if (o->captions && !item->caption_count)
        return tt_fail(why, TT_BAD_INPUT, "%s: no caption", where);
    enum tt_status status = read_image(data, item->name, &image, &item->crc, why);
    if (status) return status;
    if (image.width < (o->width + 3) / 4 || image.height < (o->height + 3) / 4)
        status = tt_fail(why, TT_BAD_INPUT, "%s: found %zu x %zu pixels, expected at least %zu x "
                         "%zu", where, image.width, image.height, (o->width + 3) / 4,
                         (o->height + 3) / 4);
    tt_image_free(&image);
    return status;
}

// A picture that is no good is left out; a system that fails is not the picture's fault.
static enum tt_status check_pictures(struct tt_dataset *data, struct tt_error *err) {
    enum { AT_ONCE = 64 };
    const struct tt_dataset_options *o = &data->options;
    for (size_t first = 0; first < data->count; first += AT_ONCE) {
        size_t n = data->count - first < AT_ONCE ? data->count - first : AT_ONCE;
        struct tt_error *why = calloc(n, sizeof *why);
        if (!why) return no_memory(err);
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
            if (!data->items[first + i].problem) status = no_memory(err);
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
    const struct item *x = a, *y = b;
    if (!x->problem != !y->problem) return x->problem ? 1 : -1;
    return by_name(a, b);
}

static enum tt_status settle(struct tt_dataset *data, const char *path, struct tt_error *err) {
    if (data->count) qsort(data->items, data->count, sizeof *data->items, usable_first);
    while (data->used < data->count && !data->items[data->used].problem) data->used++;
    const struct item *first = data->used < data->count ? &data->items[data->used] : NULL;
    if (first && data->options.strict)
        return tt_fail(err, TT_BAD_INPUT, "%s (%zu of %zu pictures cannot be used)",
                       first->problem, data->count - data->used, data->count);
    if (!data->used && first)
        return tt_fail(err, TT_BAD_INPUT, "%s: none of %zu pictures can be used; the first: %s",
                       path, data->count, first->problem);
    if (!data->used)
        return tt_fail(err, TT_BAD_INPUT, "%s: found no picture, expected PNG or JPEG files", path);
    return TT_OK;
}

enum tt_status tt_dataset_open(const char *path, const struct tt_dataset_options *options,
                               struct tt_dataset **out, struct tt_error *err) {
    struct tt_dataset *data = calloc(1, sizeof *data);
    if (!data) return no_memory(err);
    data->options = *options;
    enum tt_status status = tt_folder_open_any(path, &data->folder, err);
    if (!status) tt_folder_note_in(data->folder, options->files);
    if (!status && tt_folder_has(data->folder, metadata)) {
        status = read_metadata(data, err);
        if (!status) status = look_for_others(data, path, err);
    } else if (!status) {
        status = read_pictures(data, path, err);
    }
    if (!status) status = check_pictures(data, err);
    if (!status) status = settle(data, path, err);
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
const char *tt_dataset_name(const struct tt_dataset *data, size_t i) { return data->items[i].name; }
size_t tt_dataset_captions(const struct tt_dataset *data, size_t i) {
    return data->items[i].caption_count;
}
const char *tt_dataset_caption(const struct tt_dataset *data, size_t i, size_t k) {
    return data->items[i].captions[k];
}

void tt_caption_drop_words(const char *caption, double p, struct tt_rng *rng, char *out) {
    char *end = out;
    for (const char *word = caption + strspn(caption, " "); *word; word += strspn(word, " ")) {
        size_t length = strcspn(word, " ");
        float chance;
        tt_rng_uniform(rng, &chance, 1);
        if ((double)chance >= p) {
            if (end > out) *end++ = ' ';
            memcpy(end, word, length);
            end += length;
        }
        word += length;
    }
    *end = '\0';
}

const char *tt_dataset_skipped(const struct tt_dataset *data, size_t k) {
    if (data->used + k >= data->count) return NULL;
    return data->items[data->used + k].problem;
}

void tt_dataset_hash(const struct tt_dataset *data, char text[TT_DATASET_HASH_SIZE]) {
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&sha);
    for (size_t i = 0; i < data->used; i++) {
        const struct item *item = &data->items[i];
        char line[64];
        snprintf(line, sizeof line, "%zu %zu %08x\n", i, item->caption_count, (unsigned)item->crc);
        sha256_update(&sha, strlen(line), (const uint8_t *)line);
        sha256_update(&sha, strlen(item->name) + 1, (const uint8_t *)item->name);
        for (size_t k = 0; k < item->caption_count; k++)
            sha256_update(&sha, strlen(item->captions[k]) + 1, (const uint8_t *)item->captions[k]);
    }
    sha256_digest(&sha, sizeof digest, digest);
    for (size_t i = 0; i < TT_DATASET_HASH_SIZE / 2; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

// ---- order ----

static uint64_t mix(uint64_t z) { // the output function of splitmix64
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

// A permutation of 0 to count - 1 without a table: a Feistel network of four rounds on the next
// even number of bits, walked until it lands inside (Black and Rogaway 2002, cycle walking).
size_t tt_dataset_order(const struct tt_dataset *data, uint64_t seed, uint64_t n) {
    uint64_t count = data->used, epoch = n / count, at = n % count;
    int half = 1;
    while (UINT64_C(1) << 2 * half < count) half++;
    uint64_t mask = (UINT64_C(1) << half) - 1;
    do {
        uint64_t left = at >> half, right = at & mask;
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t key = mix(seed + 0x9E3779B97F4A7C15 * (epoch * 4 + round + 1));
            uint64_t next = left ^ (mix(right + key) & mask);
            left = right;
            right = next;
        }
        at = left << half | right;
    } while (at >= count);
    return (size_t)at;
}
