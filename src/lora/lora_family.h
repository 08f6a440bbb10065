// SPDX-License-Identifier: MIT
// What models a LoRA is for, told from the names and shapes of its tensors, and whether that is the
// one at hand.
#ifndef TT_LORA_FAMILY_H
#define TT_LORA_FAMILY_H

#include "lora/lora_modules.h"

enum {
    TT_LORA_NAMED = 3,   // tensors that are named of those without a module
    TT_LORA_FOLDERS = 4, // U-Net, two text encoders, and names that do not say
};

// What was seen of a file. Zero-initialise.
struct tt_lora_family {
    struct tt_lora_seen {
        const char *folder; // that the names say; NULL: none
        size_t tensors, matched;
        const char *first; // one of its names
    } seen[TT_LORA_FOLDERS];
    size_t roles;      // tensors that are of a LoRA at all
    size_t context;    // inputs of attn2.to_k: the width of the text embeddings; 0: not seen
    const char *cross; // the tensor that says so
    bool transformer;  // names of FLUX, SD 3 and their like
    const char *first; // a tensor of no known role
    size_t unmatched;
    char names[512]; // the first of them
};

// One tensor; matched: the model has its module.
void tt_lora_family_see(struct tt_lora_family *f, const struct tt_view *view,
                        enum tt_lora_role role, const char *folder, bool matched);

// TT_BAD_INPUT when the file is no LoRA, or one for another family: none of what it has for a
// network is there, or its text embeddings are of another width. model: its name in messages.
enum tt_status tt_lora_family_check(const struct tt_lora_family *f, const char *path,
                                    const struct tt_lora_modules *modules, const char *model,
                                    struct tt_error *err);

#endif
