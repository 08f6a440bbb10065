// SPDX-License-Identifier: MIT
// A folder of pictures with captions, to train on, and the folders in it. Two conventions: a text
// file of the same name beside each picture ("cat.png", "cat.txt"), or the imagefolder's
// metadata.jsonl, one line each: {"file_name": "cat.png", "text": "a cat"}; a list under "text"
// holds several captions of one picture; file_name is relative to the metadata.jsonl's folder.
// Pictures are PNG, JPEG or WebP, upright by their orientation tags.
#ifndef TT_TRAIN_DATA_H
#define TT_TRAIN_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/note.h"
#include "base/status.h"
#include "io/image_read.h"
#include "train/bucket_sizes.h"

struct tt_dataset_options {
    size_t width, height; // pixels that training sees
    // Or several sizes, of which each picture takes that of the nearest ratio; NULL: the one above.
    // Not needed any more once the dataset is open.
    const struct tt_picture_size *sizes;
    size_t size_count;
    enum tt_fit fit;
    enum tt_background background; // what shows through transparent pixels
    bool captions; // each picture must have one
    bool strict;   // what cannot be used is an error, not left out
    double hold;   // the share of the pictures that is held out of training, 0 to below 1;
    uint64_t seed; // which of them follows from this and their names
    int threads;
    const char *apart; // a folder that is not looked into, where training writes; may be NULL
    const struct tt_notes *notes; // who is told of what is counted once; may be NULL
    struct tt_files *files; // where what is read is noted; may be NULL
    // Called as pictures are looked at; may be NULL. A non-zero answer stops.
    int (*progress)(void *context, size_t done, size_t all);
    void *context;
    // Pictures of the caller's own, as struct tt_train_settings has them; NULL: a folder's.
    enum tt_status (*own)(void *context, size_t i, struct tt_train_picture *picture,
                          struct tt_error *err);
    void *own_context;
    size_t own_count;
};

// What is taken of a folder at most: bytes of metadata.jsonl; pictures; captions, and bytes of all
// of them with the names.
enum {
    TT_DATASET_LIST = 1 << 29,
    TT_DATASET_ITEMS = 1000000,
    TT_DATASET_CAPTIONS = 2000000,
    TT_DATASET_TEXT = 1 << 29,
};

struct tt_dataset;

// Reads the list and looks at every picture once. A picture that is missing, damaged, of a format
// that is not read, or smaller than a quarter of the size in a direction, or that has no caption,
// and a caption without a picture, are left out (name and why are kept), or are the error with
// `strict`. path is that of a folder, or, where pictures are the caller's own, what messages call
// them. TT_BAD_INPUT: no such folder, no picture left, both conventions at once, a damaged
// metadata.jsonl; fewer than two pictures where some are to be held out.
enum tt_status tt_dataset_open(const char *path, const struct tt_dataset_options *options,
                               struct tt_dataset **out, struct tt_error *err);
void tt_dataset_close(struct tt_dataset *data);

// Pictures to train on, ordered by name, and those held out, which are the items behind them.
size_t tt_dataset_count(const struct tt_dataset *data);
size_t tt_dataset_held(const struct tt_dataset *data);
// Item i's path within the folder, or its name.
const char *tt_dataset_name(const struct tt_dataset *data, size_t i);
// How many captions item i has, and its k-th.
size_t tt_dataset_captions(const struct tt_dataset *data, size_t i);
const char *tt_dataset_caption(const struct tt_dataset *data, size_t i, size_t k);

// "FILE: why" of the k-th of those left out; NULL at the end.
const char *tt_dataset_skipped(const struct tt_dataset *data, size_t k);

// A name for everything training sees of the folder: names, captions and files of the pictures in
// use, 16 hexadecimal digits.
enum { TT_DATASET_HASH_SIZE = 17 };
void tt_dataset_hash(const struct tt_dataset *data, char text[TT_DATASET_HASH_SIZE]);

// A number that follows from the seed and item i's name alone.
uint64_t tt_dataset_chance(const struct tt_dataset *data, uint64_t seed, size_t i);

// The size in which training sees item i; and the picture's own, upright.
struct tt_picture_size tt_dataset_size(const struct tt_dataset *data, size_t i);
struct tt_picture_size tt_dataset_own_size(const struct tt_dataset *data, size_t i);
// Whether pictures are stretched to their size, not cut.
bool tt_dataset_stretches(const struct tt_dataset *data);

// Item i as (3, height, width), of the size that it is seen in, in [-1, 1], mirrored left to right
// when asked.
enum tt_status tt_dataset_picture(const struct tt_dataset *data, size_t i, bool mirrored,
                                  float *out, struct tt_error *err);

// Which item comes at position n of training: every item once an epoch, each epoch in another order
// that follows from the seed alone, so that training can go on from any position.
size_t tt_dataset_order(const struct tt_dataset *data, uint64_t seed, uint64_t n);

// Which of 0 to count - 1 comes at position `at` (below count) of an epoch: each once.
size_t tt_shuffled(uint64_t count, uint64_t seed, uint64_t epoch, uint64_t at);

#endif
