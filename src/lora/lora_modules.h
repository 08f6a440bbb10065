// SPDX-License-Identifier: MIT
// The modules of a model that a LoRA may change, linear layers and convolutions, and all the names
// that files have for them.
#ifndef TT_LORA_MODULES_H
#define TT_LORA_MODULES_H

#include "graph/tape.h"
#include "lora/lora_names.h"

// A module; its weight is (out, in) or (out, in, h, w).
struct tt_lora_module {
    const char *folder; // of its network: "unet"
    const char *weight; // "down_blocks.0...to_q.weight", as the tape has it
    struct tt_shape shape;
};

struct tt_lora_modules {
    struct tt_lora_module *modules;
    size_t count, room;
    // Keys as tt_lora_key() makes them, in the order of their texts, and what they stand for.
    struct tt_lora_alias {
        const char *key;
        size_t module;
        bool original; // a name of the original U-Net, before diffusers (input_blocks, ...)
    } *aliases;
    size_t alias_count, alias_room;
    struct tt_pool pool;
};

// Appends those of a tape, each once; folder is borrowed. TT_SYSTEM: no memory.
enum tt_status tt_lora_modules_add(struct tt_lora_modules *modules, const char *folder,
                                   const struct tt_tape *tape, struct tt_error *err);
// After the last of them: makes the aliases.
enum tt_status tt_lora_modules_end(struct tt_lora_modules *modules, struct tt_error *err);
void tt_lora_modules_free(struct tt_lora_modules *modules);

// The alias of a key, of that folder, or (NULL) of any; *several: others are called so, too, in
// other folders. NULL: there is none.
const struct tt_lora_alias *tt_lora_modules_find(const struct tt_lora_modules *modules,
                                                 const char *key, const char *folder,
                                                 bool *several);

// What the U-Net attends to: the width of its text embeddings; 0: it has none.
size_t tt_lora_modules_context(const struct tt_lora_modules *modules);

#endif
