// SPDX-License-Identifier: MIT
// A dataset of pictures that a program gives itself, by a function, instead of a folder's.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "text/tokenizer.h"
#include "train/dataset.h"

static uint32_t checksum(const struct tt_image *image) {
    char size[64];
    int length = snprintf(size, sizeof size, "%zu x %zu\n", image->width, image->height);
    uLong crc = crc32_z(0, (const Bytef *)size, (size_t)length);
    return (uint32_t)crc32_z(crc, image->rgb, 3 * image->width * image->height);
}

// Picture i as the program gives it; after an error nothing is left to free.
static enum tt_status ask(const struct tt_dataset *data, size_t i, struct tt_train_picture *picture,
                          struct tt_error *err) {
    const struct tt_dataset_options *o = &data->options;
    const struct tt_image *image = &picture->image;
    struct tt_error why = {TT_OK, ""};
    *picture = (struct tt_train_picture){0};
    enum tt_status status = o->own(o->own_context, i, picture, &why);
    if (status) tt_fail(err, status, "%s", *why.message ? why.message : "picture() has failed");
    else if (!image->rgb || !image->width || !image->height || image->width > TT_IMAGE_SIDE ||
             image->height > TT_IMAGE_SIDE || image->width > TT_IMAGE_PIXELS / image->height)
        status = tt_fail(err, TT_BAD_INPUT, "found %zu x %zu pixels%s, expected sides of 1 to %d "
                         "and at most %d pixels", image->width, image->height,
                         image->rgb ? "" : ", none of them there", TT_IMAGE_SIDE, TT_IMAGE_PIXELS);
    for (size_t k = 0; !status && k < picture->caption_count; k++)
        if (!picture->captions[k])
            status = tt_fail(err, TT_BAD_INPUT, "caption %zu: found NULL, expected a text", k);
        else if (strlen(picture->captions[k]) > TT_TEXT_BYTES)
            status = tt_fail(err, TT_BAD_INPUT, "caption %zu: found %zu bytes, expected at most %d",
                             k, strlen(picture->captions[k]), TT_TEXT_BYTES);
    if (!status) return TT_OK;
    tt_fail_prefix(err, "picture %zu", i);
    tt_image_free(&picture->image);
    return status;
}

// Adds picture i, or why it cannot be used.
static enum tt_status take(struct tt_dataset *data, size_t i, struct tt_error *err) {
    struct tt_train_picture picture;
    struct tt_error why = {TT_OK, ""};
    char number[32];
    snprintf(number, sizeof number, "%06zu", i);
    enum tt_status status = tt_dataset_check_limits(data, err);
    if (status) return status;
    enum tt_status asked = ask(data, i, &picture, &why);
    if (asked && asked != TT_BAD_INPUT) return tt_fail(err, asked, "%s", why.message);
    struct tt_item *item = tt_dataset_add(data, !asked && picture.name ? picture.name : number);
    if (!item) status = tt_dataset_no_memory(err);
    for (size_t k = 0; !status && !asked && k < picture.caption_count; k++) {
        status = tt_dataset_check_limits(data, err);
        if (!status && !tt_dataset_add_caption(data, item, picture.captions[k],
                                               picture.caption_count))
            status = tt_dataset_no_memory(err);
    }
    if (!status && !asked) {
        item->crc = checksum(&picture.image);
        item->own = (struct tt_picture_size){picture.image.width, picture.image.height};
        asked = tt_dataset_judge(data, item, item->name, &why);
    }
    if (!status && asked && !(item->problem = tt_pool_format(&data->pool, "%s", why.message)))
        status = tt_dataset_no_memory(err);
    tt_image_free(&picture.image);
    return status;
}

enum tt_status tt_dataset_ask(struct tt_dataset *data, struct tt_error *err) {
    const struct tt_dataset_options *o = &data->options;
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < o->own_count; i++) {
        status = take(data, i, err);
        if (!status && i % 64 == 63 && o->progress && o->progress(o->context, i + 1, o->own_count))
            status = tt_fail(err, TT_CANCELLED, "cancelled while looking at pictures");
    }
    if (!status && data->count)
        qsort(data->items, data->count, sizeof *data->items, tt_dataset_by_name);
    for (size_t i = 1; !status && i < data->count; i++)
        if (!strcmp(data->items[i - 1].name, data->items[i].name))
            status = tt_fail(err, TT_BAD_INPUT, "picture %zu: name: found %s, which is that of "
                             "picture %zu", data->items[i].order, data->items[i].name,
                             data->items[i - 1].order);
    return status;
}

enum tt_status tt_dataset_again(const struct tt_dataset *data, const struct tt_item *item,
                                struct tt_image *image, struct tt_error *err) {
    struct tt_train_picture picture;
    enum tt_status status = ask(data, item->order, &picture, err);
    if (status) return status;
    if (checksum(&picture.image) != item->crc) {
        tt_image_free(&picture.image);
        return tt_fail(err, TT_BAD_INPUT, "picture %zu (%s): found other pixels than before, "
                       "expected the same each time", item->order, item->name);
    }
    *image = picture.image;
    return TT_OK;
}
