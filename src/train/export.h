// SPDX-License-Identifier: MIT
// A trained model as a diffusers folder.
#ifndef TT_TRAIN_EXPORT_H
#define TT_TRAIN_EXPORT_H

#include "graph/params.h"
#include "io/model_folder.h"

// A module whose weights are new: "unet", "vae", "text_encoder".
struct tt_export_part {
    const char *module;
    const struct tt_params *params;
    const float *data; // laid out like params->value
    bool raw;          // a second file, variant "non_ema", has params->value instead
    bool partly;       // what of the module params do not have is as the source has it
};

struct tt_export {
    const struct tt_folder *source; // configuration, tokenizer, and the weights that are not new
    const struct tt_export_part *parts;
    size_t count;
    const struct tt_model_key *keys; // of configurations, new ones
    size_t key_count;
    bool float16; // new weights, rounded to nearest; else float32
    struct tt_files *files; // what must not be written over; may be NULL
};

// Writes the folder at path, which is made if need be: new weights, everything else as the source
// has it; modules that have no weights there get none. TT_SYSTEM: memory, disk. TT_BAD_INPUT: a
// weight is too large for float16.
enum tt_status tt_export(const char *path, const struct tt_export *with, struct tt_error *err);

#endif
