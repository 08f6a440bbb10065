// SPDX-License-Identifier: MIT
// The tensors of one network of a model's folder, from one safetensors file or from shards.
#ifndef TT_IO_WEIGHTS_H
#define TT_IO_WEIGHTS_H

#include "io/folder.h"

// Opens the weights of the network in folder/module ("unet"): diffusion_pytorch_model or model,
// .safetensors or .safetensors.index.json with its shards, else their fp16 variants. Files stay
// mapped until close. TT_BAD_INPUT when nothing is there (the message says what was looked for), or
// when an index and its shards disagree: shard missing, tensor not in its shard, in two, in none.
enum tt_status tt_weights_open(const struct tt_folder *folder, const char *module,
                               struct tt_weights **out, struct tt_error *err);
// Whether there is a file that tt_weights_open() would open.
bool tt_weights_present(const struct tt_folder *folder, const char *module);
void tt_weights_close(struct tt_weights *weights);

// The tensor of that name, or NULL; weights is a struct tt_weights (void, so that it can be handed
// on as a callback with its context). Marks the tensor as asked for. Names that other versions of
// the libraries write are found under today's name: text encoders with and without `text_model.`,
// and the autoencoder's attention as query/key/value/proj_attn.
const struct tt_view *tt_weights_find(void *weights, const char *name);

// Lets go of the memory that holds a large tensor of a mapped file, until it is read again: once it
// has been laid out elsewhere it need not stay beside its copy. weights is a struct tt_weights, the
// view one of its own. Memory that is not mapped here, the built-in model's, is left alone.
void tt_weights_release(void *weights, const struct tt_view *view);

// TT_BAD_INPUT when tensors are left that nobody asked for; the message counts and names them.
// Those that checkpoints are known to carry for nothing (idle_tensors in weights.c) may be there.
enum tt_status tt_weights_check_unused(const struct tt_weights *weights, struct tt_error *err);

#endif
