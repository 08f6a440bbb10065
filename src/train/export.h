// SPDX-License-Identifier: MIT
// A trained model as a diffusers folder.
#ifndef TT_TRAIN_EXPORT_H
#define TT_TRAIN_EXPORT_H

#include "graph/params.h"
#include "io/folder.h"

// A module whose weights are new: "unet", "vae", "text_encoder".
struct tt_export_part {
    const char *module;
    const struct tt_params *params;
    const float *data; // laid out like params->value
};

// A key of a configuration file that is new: file relative to the folder, value as JSON text.
struct tt_export_key {
    const char *file, *key;
    char value[32];
};

struct tt_export {
    const struct tt_folder *source; // configuration, tokenizer, and the weights that are not new
    const struct tt_export_part *parts;
    size_t count;
    const struct tt_export_key *keys;
    size_t key_count;
    bool float16; // new weights, rounded to nearest; else float32
};

// Writes the folder at path, which is made if need be: new weights, everything else as the source
// has it; modules that have no weights there get none. Each file is written beside its
// name and renamed, model_index.json comes last. TT_SYSTEM: memory, disk. TT_BAD_INPUT: a weight is
// too large for float16.
enum tt_status tt_export(const char *path, const struct tt_export *with, struct tt_error *err);

// Makes the folder and those above it. TT_BAD_INPUT when it cannot be.
enum tt_status tt_make_folder(const char *path, struct tt_error *err);

#endif
