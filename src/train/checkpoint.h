// SPDX-License-Identifier: MIT
// What a run of training needs to go on as if it had never stopped: one safetensors file, written
// beside its name and renamed, so that the last good one survives whatever happens meanwhile.
// Orders and random numbers need no place in it: they follow from the seed and the step.
#ifndef TT_TRAIN_CHECKPOINT_H
#define TT_TRAIN_CHECKPOINT_H

#include "train/adamw.h"
#include "train/manifest.h"

// Where the order of pictures and the chance of batches go on from: 0 all, until something changes
// that they follow from. Then the step at which it did; the batches run until then; and how many
// pictures were taken, as if all of them had been of what there is now. epoch: how many make one.
// With buckets position and epoch count batches.
struct tt_order {
    uint64_t step, batches, position, epoch;
};

// Tensors go by "<part>/<what>/<parameter>".
struct tt_checkpoint {
    const struct tt_state *states;
    size_t count;
    uint64_t step;        // optimiser steps done
    uint64_t logged;      // of them up to the log's last line; and the sum of losses since,
    double losses;        // of which the next line is the mean
    const char *settings; // the KEPT ones, as JSON
    const char *model;    // what names the model that is trained
    const char *frozen;   // digests of what is used and does not learn, as JSON
    struct tt_manifest pictures; // and captions, borrowed
    struct tt_order order;
    uint64_t changed, changes; // the step of the last changes and how many there were at it
    int threads;          // that make digests
};

// With a digest of all that is in it. TT_SYSTEM: memory, disk.
enum tt_status tt_checkpoint_write(struct tt_files *files, const char *path,
                                   const struct tt_checkpoint *checkpoint, struct tt_error *err);

// Fills the states' data, steps, losses, order and changes. TT_BAD_INPUT: a file that is damaged
// (its digest says so, or a value is not finite), of another model, beside other frozen networks
// than it was trained with, or with other settings or pictures (named), unless the changes, which
// have begun, take them; nothing is filled then. Files of tintype 0.1 hold no digests: *unchecked.
enum tt_status tt_checkpoint_read(const char *path, const struct tt_train_settings *settings,
                                  struct tt_checkpoint *checkpoint, struct tt_changes *changes,
                                  bool *unchecked, struct tt_error *err);

#endif
