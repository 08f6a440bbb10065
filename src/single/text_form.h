// SPDX-License-Identifier: MIT
// The form of CLIP's text encoder as its tensors show it, and transformers' names of them.
#ifndef TT_SINGLE_TEXT_FORM_H
#define TT_SINGLE_TEXT_FORM_H

#include "single/family.h"

enum { TT_TEXT_FORM_LAYERS = 256 };

struct tt_text_form {
    size_t vocabulary, positions, width, inner, layers, projection;
    bool projects; // of a CLIPTextModelWithProjection
};

// part: TT_SINGLE_TEXT or TT_SINGLE_TEXT_2. TT_BAD_INPUT names the file and what does not make a
// text encoder.
enum tt_status tt_text_form_read(const struct tt_tensor_file *file, const struct tt_single *single,
                                 int part, struct tt_text_form *form, struct tt_error *err);

// What becomes of a tensor.
struct tt_text_name {
    char text[160];  // its name; "%s" in it stands for each of q, k and v
    bool thirds;     // three of equal size under each other
    bool transposed; // rows are to become columns
    bool idle;       // it is the text encoder's, but takes no part
};

// Of the tensor whose name without the prefix is given; false: it has no name there.
bool tt_text_form_name(const struct tt_text_form *form, enum tt_layout layout, const char *name,
                       struct tt_text_name *out);

#endif
