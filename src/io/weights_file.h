// SPDX-License-Identifier: MIT
// Which of a folder's files a network's weights are read from; weights.h says by which rules.
#ifndef TT_IO_WEIGHTS_FILE_H
#define TT_IO_WEIGHTS_FILE_H

#include "io/folder.h"
#include "io/tensor_file.h"

// What was opened: the path of the file or index, and of tensors each file.
struct tt_weights_opened {
    const char *name;
    struct tt_tensor_file *const *files;
    size_t count;
};

// "text_encoder" and "text_encoder_2" are of another library than the other modules, which names
// its files otherwise.
bool tt_weights_of_text(const char *module);

// The path within the folder of the file to read for a module ("unet"), or of the index; false:
// there is none.
bool tt_weights_file_find(const struct tt_folder *folder, const char *module, char *relative,
                          size_t size);
// The error for that: what was looked for, and what there is.
enum tt_status tt_weights_file_missing(const struct tt_folder *folder, const char *module,
                                       struct tt_error *err);
// TT_BAD_INPUT: the variant that was asked for is there as a pickle alone.
enum tt_status tt_weights_file_check(const struct tt_folder *folder, const char *module,
                                     struct tt_error *err);
// Notes what was decided, where there was a choice; file is the name of what was opened.
void tt_weights_file_note(const struct tt_folder *folder, const char *module, const char *file,
                          const struct tt_weights_opened *opened);

#endif
