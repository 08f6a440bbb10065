// SPDX-License-Identifier: MIT
// One file of weights as a model: what stands in it under its family's own names, as the folder
// that diffusers makes of it. Configurations are made, tensors are views of the mapped file.
#ifndef TT_SINGLE_SINGLE_H
#define TT_SINGLE_SINGLE_H

#include "io/folder.h"
#include "single/family.h"

struct tt_single_options {
    const char *config;     // a folder whose configurations and tokenizers go before; NULL: none
    const char *prediction; // what the U-Net predicts ("v_prediction"); NULL: what the file says
    enum tt_family family;  // of the model that it is a part of; NONE: what the file says
    const struct tt_notes *notes;
    struct tt_files *files; // where what is read is noted
};

// Opens the file at path; *single, unless NULL, is what it was found to be. What was assumed is
// noted. TT_BAD_INPUT: it is no file of tensors (a pickle: says the way out), or of another kind.
// The folder has what the file has: model_index.json where there is a U-Net, and of each network
// its configuration and tensors.
enum tt_status tt_single_open(const char *path, const struct tt_single_options *options,
                              struct tt_folder **out, struct tt_single *single,
                              struct tt_error *err);

// The family of a model's folder, as far as its index tells: NONE without one. Its refiner is XL.
enum tt_family tt_single_family_of(const struct tt_folder *folder);

// Whether the path is that of a file, rather than a folder.
bool tt_single_is_file(const char *path);

#endif
