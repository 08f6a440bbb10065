// SPDX-License-Identifier: MIT
// What tensors of a LoRA's file are called, as peft, diffusers and kohya's scripts have it, and how
// adapters of other kinds are known by their names.
#ifndef TT_LORA_NAMES_H
#define TT_LORA_NAMES_H

#include <stdbool.h>
#include <stddef.h>

enum tt_lora_role {
    TT_LORA_NONE,  // nothing that is known here
    TT_LORA_DOWN,  // A: (R, in) or (R, in, h, w)
    TT_LORA_UP,    // B: (out, R) or (out, R, 1, 1)
    TT_LORA_ALPHA, // one number: the change counts alpha / R times
    TT_LORA_OTHER, // of an adapter that is no plain LoRA
};

// What a tensor is, by its name. *length: so many of its bytes are the module's name, with its
// prefix; *kind: of TT_LORA_OTHER, what has such tensors ("LoHa").
enum tt_lora_role tt_lora_role(const char *name, size_t *length, const char **kind);

// Whether a file that holds a tensor of that name is a LoRA or of its kin (roles but TT_LORA_NONE).
bool tt_lora_is_name(const char *name);

// A module's name as a key to look it up by: its prefix, which says what network it is of, taken
// off, dots as underscores, and what old versions of diffusers put between. *folder: "unet",
// "text_encoder", "text_encoder_2", or NULL when the prefix does not say. False: too long.
enum { TT_LORA_KEY = 256 };
bool tt_lora_key(const char *name, size_t length, char key[TT_LORA_KEY], const char **folder);

// How peft calls the module in its settings: the dotted name without the prefixes that files have
// beside it. Points into name.
const char *tt_lora_bare(const char *name, size_t *length);

#endif
