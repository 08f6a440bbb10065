// SPDX-License-Identifier: MIT
// What is inside a dataset: what reads its folder fills it in, what gives its pictures uses it.
#ifndef TT_TRAIN_DATASET_H
#define TT_TRAIN_DATASET_H

#include "base/memory.h"
#include "io/folder.h"
#include "train/data.h"

struct tt_item {
    const char *name;
    const char **captions;
    size_t caption_count, order; // order: in which it was found
    uint32_t crc;        // of the file
    int orientation;     // the tag that it is turned by; 0: none
    bool held;           // out of training
    struct tt_picture_size own, size; // upright; and as training sees it
    const char *problem; // "FILE: why it is left out", or NULL
};

struct tt_dataset {
    struct tt_dataset_options options;
    struct tt_folder *folder; // NULL: pictures are the caller's own
    const char *name;         // of it, for messages
    struct tt_pool pool;
    struct tt_item *items; // those to train on first, then those held out, then those left out
    size_t count, used, held, room, captions, text; // text: bytes of captions and names
};

// Orders items by name, then as they were found: for qsort().
int tt_dataset_by_name(const void *a, const void *b);

// Holds pictures in use out of training, as the options say, and puts them behind the others.
enum tt_status tt_dataset_hold(struct tt_dataset *data, const char *path, struct tt_error *err);

// Fills in the items of the folder at path and below it, each name once, and captions; pictures
// themselves are not looked at yet.
enum tt_status tt_dataset_read(struct tt_dataset *data, const char *path, struct tt_error *err);

// own.c: fills in the items of pictures that the caller gives, and looks at each; and the picture
// of one once more. TT_BAD_INPUT: it is another than before.
enum tt_status tt_dataset_ask(struct tt_dataset *data, struct tt_error *err);
enum tt_status tt_dataset_again(const struct tt_dataset *data, const struct tt_item *item,
                                struct tt_image *image, struct tt_error *err);

// What both use: another item, which is NULL without memory; a caption of one that has `room`
// captions in all; whether one more is too much; the error for no memory.
struct tt_item *tt_dataset_add(struct tt_dataset *data, const char *name);
bool tt_dataset_add_caption(struct tt_dataset *data, struct tt_item *item, const char *text,
                            size_t room);
enum tt_status tt_dataset_check_limits(const struct tt_dataset *data, struct tt_error *err);
enum tt_status tt_dataset_no_memory(struct tt_error *err);

// Whether a picture whose own size is known can be used, and the size in which it is seen. where
// names it in messages.
enum tt_status tt_dataset_judge(const struct tt_dataset *data, struct tt_item *item,
                                const char *where, struct tt_error *why);

#endif
