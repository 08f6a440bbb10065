// SPDX-License-Identifier: MIT
// What is inside a model: a diffusers folder (or the built-in one) opened, and its parts, ready to
// be called one by one. The calls are in tintype.h.
#ifndef TT_PARTS_H
#define TT_PARTS_H

#include <pthread.h>

#include "io/folder.h"
#include "io/weights.h"
#include "lora/lora_merge.h"
#include "model/clip.h"
#include "model/unet.h"
#include "model/vae.h"
#include "network.h"
#include "noise/scheduler.h"
#include "text/tokenizer.h"

#define TT_SCHEDULER_FILE "scheduler/scheduler_config.json"

// A part as its folder has it: no call changes that, but that weights are opened when they are
// first used. Parts of one folder share all but `network`.
struct tt_held {
    const struct tt_part_network *network; // NULL: the model has no such part
    struct tt_folder *folder;              // that holds its folder; borrowed
    void *config;                          // as the network says
    struct tt_weights *weights;            // NULL: not open yet
    struct tt_lora_merge *merge;           // NULL: no LoRA touches it
    struct tt_source source;               // the weights, with LoRAs
    struct tt_bank *bank;
};

struct tt_model {
    const struct tt_engine *engine; // it was opened on
    pthread_mutex_t lock; // of holders, and of weights that are being opened
    size_t holders;
    struct tt_folder *folder, *vae_folder, *unet_folder; // the latter: of other networks, or NULL
    const char *prediction; // what the U-Net is to predict, whatever the folder says; or NULL
    const char *family, *prediction_from; // as in info, as far as a file tells; or NULL
    bool force_zeros;   // no negative prompt is none, rather than an empty text
    bool second_stage;  // SDXL's refiner, which goes on with what another model has begun
    bool unconditional; // DDPMPipeline and its like: of the parts only TT_PART_UNET is there
    bool whole_strength; // its pipeline has strength as tt_scheduler_set_strength()'s `whole`
    bool no_scheduler;  // the folder has none: one must be named
    bool widen;         // weights are kept as float32, whatever their files hold
    struct tt_held parts[TT_PARTS];
    struct tt_scheduler_config scheduler;
    struct tt_model_info info; // what the public interface tells
    struct tt_tokenizer *tokenizer, *tokenizer_2; // of TT_PART_TEXT, TT_PART_TEXT_2; or NULL
    struct tt_model_loras *loras;                 // NULL: none
};

// The tokenizer of a text encoder; NULL: the part is none, or the model does not have it.
static inline const struct tt_tokenizer *tt_tokenizer_of(const struct tt_model *model,
                                                         enum tt_part part) {
    return part == TT_PART_TEXT     ? model->tokenizer
           : part == TT_PART_TEXT_2 ? model->tokenizer_2
                                    : NULL;
}

// The configurations of the networks that training lays out itself.
static inline const struct tt_clip_config *tt_clip_of(const struct tt_model *model) {
    return model->parts[TT_PART_TEXT].config;
}
static inline const struct tt_unet_config *tt_unet_of(const struct tt_model *model) {
    return model->parts[TT_PART_UNET].config;
}
static inline const struct tt_vae_config *tt_vae_of(const struct tt_model *model) {
    return model->parts[TT_PART_VAE_ENCODE].config;
}

// TT_BAD_INPUT when part is none, or not one that the model has.
enum tt_status tt_check_part(const struct tt_model *model, int part, struct tt_error *err);

// What the parts of a model of this kind say of themselves must fit; TT_BAD_INPUT names the file.
enum tt_status tt_check_fit(const struct tt_model *model, unsigned kind,
                            const struct tt_facts *facts, struct tt_error *err);

// Says in the info of a model whether it was distilled to few steps, as far as its scheduler tells.
void tt_suggest_few_steps(struct tt_model *model);

// Fields that the part does not read become 0; the others must be there, and their product small
// enough for every count that follows from it, else TT_BAD_INPUT.
enum tt_status tt_check_size(const struct tt_model *model, enum tt_part part, struct tt_size *size,
                             struct tt_error *err);

// Lays out a part of the model; the size has been checked.
enum tt_status tt_part_lay_out(const struct tt_model *model, enum tt_part part,
                               const struct tt_size *size, struct tt_network *network,
                               struct tt_error *err);

// Opens the weights of a part, checked, when they are not open.
enum tt_status tt_open_weights(struct tt_model *model, enum tt_part part, struct tt_error *err);

// The LoRAs that the settings name, read and checked; tt_model_close() ends them.
enum tt_status tt_model_open_loras(struct tt_model *model, const struct tt_lora *loras,
                                   size_t count, struct tt_error *err);
void tt_model_close_loras(struct tt_model *model);
// The weights of a part as a source, with its LoRAs where it has some: then *merge, to be freed
// before the weights, is what makes them; else it is NULL.
enum tt_status tt_model_source(const struct tt_model *model, enum tt_part part,
                               struct tt_weights *weights, struct tt_lora_merge **merge,
                               struct tt_source *source, struct tt_error *err);
// TT_SYSTEM when a LoRA's file has been cut short since it was mapped.
enum tt_status tt_model_check_loras(const struct tt_model *model, struct tt_error *err);

#endif
