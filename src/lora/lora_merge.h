// SPDX-License-Identifier: MIT
// Weights with LoRAs in them: a source around the source of a network's weights. What no LoRA
// touches is passed on as it is; what one does is made when it is asked for, in float32:
//
//     W + s1 (B1 A1) + s2 (B2 A2) + ...,   s = (float)(weight * alpha / rank)
//
// a product by our own kernels, then scaled, then added, LoRA by LoRA in the order in which they
// were given: as peft merges them (tuners/lora/layer.py). The bits depend on neither threads nor
// instruction set.
#ifndef TT_LORA_MERGE_H
#define TT_LORA_MERGE_H

#include "base/source.h"
#include "kernels.h"
#include "lora/lora_file.h"

// A LoRA that counts `weight` times.
struct tt_lora_use {
    const struct tt_lora_file *file;
    double weight;
};

struct tt_lora_merge;

// For the network in `folder`; all but base, which is copied, is borrowed: the modules, the files,
// what the base points to, the kernels. *out is NULL when no LoRA touches the network: the base
// then serves. TT_SYSTEM: no memory.
enum tt_status tt_lora_merge_new(const struct tt_source *base,
                                 const struct tt_lora_modules *modules, const char *folder,
                                 const struct tt_lora_use *uses, size_t count,
                                 const struct tt_kernels *kernels, int threads,
                                 struct tt_lora_merge **out, struct tt_error *err);
void tt_lora_merge_free(struct tt_lora_merge *merge);
struct tt_source tt_lora_merge_source(struct tt_lora_merge *merge);

#endif
