// SPDX-License-Identifier: MIT
// The tensors of one network of a model's folder, from one safetensors file or from shards.
#ifndef TT_IO_WEIGHTS_H
#define TT_IO_WEIGHTS_H

#include "base/source.h"
#include "io/folder.h"

// Opens the weights of the network in folder/module ("unet"): one file or an index with its shards.
// Where both are there, diffusers takes the shards (U-Net, autoencoder), transformers the single
// file (text encoder), and so do we. The variant that tt_folder_prefer() named goes before plain
// files; without one, float16 ("fp16") is read where nothing else is. What was read for want of
// another, and what is there and was not read, is noted. Files stay mapped until close.
// TT_BAD_INPUT when nothing is there (the message says what was looked for, and what there is), a
// variant that is there as a pickle alone, an index that names what is not there, or a tensor in
// two shards.
enum tt_status tt_weights_open(const struct tt_folder *folder, const char *module,
                               struct tt_weights **out, struct tt_error *err);
// Notes that the file that tt_weights_open() would open will be read; none: nothing.
enum tt_status tt_weights_will_read(const struct tt_folder *folder, const char *module,
                                    struct tt_error *err);
// Whether there is a file that tt_weights_open() would open.
bool tt_weights_present(const struct tt_folder *folder, const char *module);
// Whether the module has weights of that variant ("": plain ones); and the error for a variant that
// no module of the folder has: names the files of one.
bool tt_weights_has_variant(const struct tt_folder *folder, const char *module,
                            const char *variant);
enum tt_status tt_weights_variant_missing(const struct tt_folder *folder, const char *module,
                                          struct tt_error *err);
void tt_weights_close(struct tt_weights *weights);

// The tensors as a source of weights, with tt_weights_find() and tt_weights_release().
struct tt_source tt_weights_source(struct tt_weights *weights);

// The tensor of that name, or NULL; weights is a struct tt_weights. Names that other versions of
// the libraries write are found under today's name: text encoders with and without `text_model.`,
// and the autoencoder's attention as query/key/value/proj_attn.
const struct tt_view *tt_weights_find(void *weights, const char *name);

// The same, and marks it as one that a network asks for.
const struct tt_view *tt_weights_expect(struct tt_weights *weights, const char *name);

// TT_SYSTEM when a file has been cut short since it was mapped.
enum tt_status tt_weights_check_whole(const struct tt_weights *weights, struct tt_error *err);

// Lets go of the memory that holds a large tensor of a mapped file, until it is read again: once it
// has been laid out elsewhere it need not stay beside its copy. weights is a struct tt_weights, the
// view one of its own. Memory that is not mapped here, the built-in model's, is left alone.
void tt_weights_release(void *weights, const struct tt_view *view);

// Notes the tensors that no network asks for (tt_weights_expect), counts and names them; returns
// how many. Those that checkpoints are known to carry for nothing (idle_tensors in weights.c) do
// not count.
size_t tt_weights_note_unused(const struct tt_weights *weights);

#endif
