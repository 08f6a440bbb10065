// SPDX-License-Identifier: MIT
// What is inside a model: a diffusers folder (or the built-in one) opened, its networks ready to be
// called one by one. The calls are in tintype.h. Two kinds: text encoder, U-Net and autoencoder; or
// a U-Net alone, in pixel space and without a text.
#ifndef TT_STAGES_H
#define TT_STAGES_H

#include "engine.h"
#include "graph/grad.h"
#include "io/folder.h"
#include "io/weights.h"
#include "model/clip.h"
#include "model/unet.h"
#include "model/vae.h"
#include "noise/scheduler.h"
#include "text/tokenizer.h"

#define TT_SCHEDULER_FILE "scheduler/scheduler_config.json"

// A part with its tape and plan for one size.
struct tt_network {
    struct tt_size size;
    struct tt_tape tape;
    struct tt_plan *plan; // NULL: none yet, or one that goes both ways, which is the next
    struct tt_grad *grad;
    struct tt_params *params; // of grad: the weights as floats, and their gradients
    bool ran;                 // grad has gone forward
    union {
        struct tt_clip clip;
        struct tt_unet unet;
        struct tt_vae vae;
    } at; // where inputs and output are
};

struct tt_model {
    const struct tt_engine *engine;
    const struct tt_observer *observers;
    size_t observer_count;
    struct tt_folder *folder;
    bool unconditional; // DDPMPipeline and its like: of the parts only TT_PART_UNET is there
    bool no_scheduler;  // the folder has none: one must be named
    bool widen;         // weights are kept as float32, whatever their files hold
    struct tt_clip_config clip;
    struct tt_unet_config unet;
    struct tt_vae_config vae;
    struct tt_scheduler_config scheduler;
    struct tt_model_info info; // what of the above the public interface tells
    struct tt_tokenizer *tokenizer;
    struct tt_weights *weights[TT_PARTS]; // the two halves of the autoencoder share one
    struct tt_bank *banks[TT_PARTS];
    struct tt_network networks[TT_PARTS];
};

// TT_BAD_INPUT when part is none, or not one that the model has.
enum tt_status tt_check_part(const struct tt_model *model, enum tt_part part,
                             struct tt_error *err);

// Fields that the part does not read become 0; the others must be there, and their product small
// enough for every count that follows from it, else TT_BAD_INPUT.
enum tt_status tt_check_size(const struct tt_model *model, enum tt_part part, struct tt_size *size,
                             struct tt_error *err);

// Whether the activations of a part will find room at a size: for a run that needs it at its end.
// TT_SYSTEM, with both numbers, when the machine has less memory.
enum tt_status tt_model_check_room(const struct tt_model *model, enum tt_part part,
                                   struct tt_size size, struct tt_error *err);

// Lays a part's network out for the size that `network` has; errors stick to its tape.
void tt_write_tape(const struct tt_model *model, enum tt_part part, struct tt_network *network);

// Opens the weights of a part, checked, when they are not open.
enum tt_status tt_open_weights(struct tt_model *model, enum tt_part part, struct tt_error *err);

#endif
