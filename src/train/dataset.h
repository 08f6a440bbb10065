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
    struct tt_folder *folder;
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

#endif
