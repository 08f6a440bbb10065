// SPDX-License-Identifier: MIT
// The tensors of a file under diffusers' names, as folder.h has them.
#ifndef TT_SINGLE_RENAMED_H
#define TT_SINGLE_RENAMED_H

#include "io/folder.h"
#include "single/text_form.h"
#include "single/unet_form.h"
#include "single/vae_form.h"

struct tt_single_forms {
    struct tt_unet_form unet;
    struct tt_vae_form vae;
    struct tt_text_form text[2];
};

// The tensors of one part, named.
struct tt_renamed {
    struct tt_view *views; // each owns its name
    size_t count, room;
    void *made; // the data of one that does not lie in the file
};

// Names the part's tensors in renamed[part], for all parts; *left counts those that are known to
// none, and *first is the name of one. TT_SYSTEM: no memory.
enum tt_status tt_renamed_make(const struct tt_tensor_file *file, const struct tt_single *single,
                               const struct tt_single_forms *forms,
                               struct tt_renamed renamed[TT_SINGLE_PARTS], size_t *left,
                               const char **first, struct tt_error *err);
void tt_renamed_free(struct tt_renamed *renamed);

#endif
