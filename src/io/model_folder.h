// SPDX-License-Identifier: MIT
// A model's folder, written: in diffusers' layout, as another folder has it but for what is new.
#ifndef TT_IO_MODEL_FOLDER_H
#define TT_IO_MODEL_FOLDER_H

#include "io/files.h"
#include "io/folder.h"

// A folder that is being written. Its files belong together: whenever that is broken off, it holds
// the old ones, the new ones, or no model_index.json, without which nobody takes it for a model.
struct tt_model_folder;

// A key of a configuration file that is new: file relative to the folder, value as JSON text.
struct tt_model_key {
    const char *file, *key;
    char value[32];
};

// Begins the folder at path, which is made if need be; nothing in it changes before
// tt_model_folder_commit(). source, borrowed, has what is not new; files, what must not be written
// over (may be NULL).
enum tt_status tt_model_folder_begin(const char *path, const struct tt_folder *source,
                                     struct tt_files *files, struct tt_model_folder **out,
                                     struct tt_error *err);
// Lets go of it, and of what was not committed; takes NULL, too.
void tt_model_folder_free(struct tt_model_folder *out);

// The weights of a module ("unet") are these, in a file of its usual name; variant: NULL, or the
// name that it has besides ("non_ema"). Each module is given once, and once a variant. TT_SYSTEM:
// memory, disk.
enum tt_status tt_model_folder_weights(struct tt_model_folder *out, const char *module,
                                       const char *variant, const struct tt_view *views,
                                       size_t count, struct tt_error *err);

// All the rest is as the source has it: weights of modules that were not given (those it has),
// configurations, with the keys that are new, and the tokenizer. Then the files take their places.
enum tt_status tt_model_folder_commit(struct tt_model_folder *out, const struct tt_model_key *keys,
                                      size_t count, struct tt_error *err);

// The i-th of the files that may be written, relative to the folder; NULL at the end.
const char *tt_model_folder_name(size_t i);

#endif
