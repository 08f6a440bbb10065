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
    bool raw;          // a second file, variant "non_ema", has params->value instead
    bool partly;       // what of the module params do not have is as the source has it
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
    struct tt_files *files; // what must not be written over; may be NULL
};

// Writes the folder at path, which is made if need be: new weights, everything else as the source
// has it; modules that have no weights there get none. The files belong together: whenever this is
// broken off, the folder holds the old ones, the new ones, or no model_index.json, without which
// nobody takes it for a model. TT_SYSTEM: memory, disk. TT_BAD_INPUT: a weight is too large for
// float16.
enum tt_status tt_export(const char *path, const struct tt_export *with, struct tt_error *err);

// The i-th of the files that an export may write, relative to the folder; NULL at the end.
const char *tt_export_name(size_t i);

#endif
