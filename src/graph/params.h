// SPDX-License-Identifier: MIT
// The parameters of a network that is being trained: values and gradients, each parameter as the
// checkpoint holds it (PyTorch's shape and order), found by the checkpoint's names. Several tapes
// may share a table: other sizes, the two halves of an autoencoder.
#ifndef TT_GRAPH_PARAMS_H
#define TT_GRAPH_PARAMS_H

#include "graph/bank.h"

struct tt_params {
    struct tt_view *values; // float32 in the block `value`; in the order in which tapes name them
    int count;
    // Values and gradients, laid alike: parameter i begins at the same place of each, 64-byte
    // aligned; the floats between parameters are 0 in both and stay so.
    size_t floats;
    float *value, *gradient; // gradient: NULL where they are frozen
    struct tt_pool names;
    int capacity;
};

// Collects the parameters of the tapes, all zero. trained false: they are frozen, and have no
// gradients. TT_SYSTEM when memory is short.
enum tt_status tt_params_new(const struct tt_tape *const *tapes, int tape_count, bool trained,
                             struct tt_params **params, struct tt_error *err);
// Takes NULL, too.
void tt_params_free(struct tt_params *params);

// Copies every value from stored tensors; source: what messages call their file. TT_BAD_INPUT for
// one that is missing, not float, of another shape, or not finite.
enum tt_status tt_params_load(struct tt_params *params, const struct tt_source *source,
                              struct tt_error *err);

// Index of the parameter with that name, or -1.
int tt_params_find(const struct tt_params *params, const char *name);

// Where it lies; floats as its shape says. A frozen one has no gradient: NULL.
float *tt_params_value(const struct tt_params *params, int index);
float *tt_params_gradient(const struct tt_params *params, int index);

// Parameter `index` of a block that is laid out like `value`: a moving average, say.
struct tt_view tt_params_view_of(const struct tt_params *params, int index, const float *block);

// The values as a source, for a bank of a plan that draws samples while training. A bank copies
// what it packs: make a new one after the values change. name: what messages call it.
struct tt_source tt_params_source(struct tt_params *params, const char *name);

// Sets all gradients to 0: the begin of every optimiser step.
void tt_params_zero_gradients(struct tt_params *params);

#endif
