// SPDX-License-Identifier: MIT
// The pictures and captions of a run as a checkpoint keeps them, to tell later which of them are
// others: for each picture, ended by 0 each, its name; its file's checksum, orientation, whether it
// is held out, and how many captions it has; and the captions.
#ifndef TT_TRAIN_MANIFEST_H
#define TT_TRAIN_MANIFEST_H

#include "train/change.h"
#include "train/data.h"

struct tt_manifest {
    char *bytes; // malloc'd
    size_t size;
};

// That of a dataset. TT_SYSTEM: memory.
enum tt_status tt_manifest_make(const struct tt_dataset *data, struct tt_manifest *manifest,
                                struct tt_error *err);

// Adds what differs between both, picture by picture, and whether others are trained on. Changes
// must be allowed. TT_BAD_INPUT: `then` is no such list.
enum tt_status tt_manifest_compare(const struct tt_manifest *now, const struct tt_manifest *then,
                                   struct tt_changes *changes, struct tt_error *err);

#endif
