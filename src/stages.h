// SPDX-License-Identifier: MIT
// The stages of a loaded model: a diffusers folder (or the built-in one) opened, its networks ready
// to be called one by one. Tensors go in and out in PyTorch order, float32.
#ifndef TT_STAGES_H
#define TT_STAGES_H

#include "graph/plan.h"
#include "io/folder.h"
#include "io/weights.h"
#include "model/clip.h"
#include "model/unet.h"
#include "model/vae.h"
#include "noise/scheduler.h"
#include "text/tokenizer.h"

// What networks run on, the same for all of them.
struct tt_engine {
    const struct tt_kernels *kernels;
    struct tt_plan_options plan;
    const struct tt_observer *observers;
    int observer_count;
};

enum tt_part { TT_PART_TEXT, TT_PART_UNET, TT_PART_VAE_ENCODE, TT_PART_VAE_DECODE, TT_PARTS };

// "text", "unet", "vae-encode", "vae-decode".
extern const char *const tt_part_names[TT_PARTS];

// The sizes that a plan is made for: batch; height and width of the network's own input; tokens.
struct tt_size {
    size_t n, height, width, tokens;
};

// A part with its tape and plan for one size.
struct tt_network {
    struct tt_size size;
    struct tt_tape tape;
    struct tt_plan *plan; // NULL: none yet
    union {
        struct tt_clip clip;
        struct tt_unet unet;
        struct tt_vae vae;
    } at; // where inputs and output are
};

struct tt_model {
    struct tt_engine engine;
    struct tt_folder *folder;
    struct tt_clip_config clip;
    struct tt_unet_config unet;
    struct tt_vae_config vae;
    struct tt_scheduler_config scheduler;
    struct tt_tokenizer *tokenizer;
    struct tt_weights *weights[TT_PARTS]; // the two halves of the autoencoder share one
    struct tt_bank *banks[TT_PARTS];
    struct tt_network networks[TT_PARTS];
};

// Opens the folder at path, or the built-in model when path is NULL, and reads its configuration;
// weights are mapped when a part is first used. The engine's tables must outlive the model.
enum tt_status tt_model_open(const char *path, const struct tt_engine *engine,
                             struct tt_model **model, struct tt_error *err);
void tt_model_close(struct tt_model *model);

// Pixels a latent stands for in each direction: 8 for Stable Diffusion.
size_t tt_model_factor(const struct tt_model *model);

// Tokens the text encoder is given: every prompt is cut or padded to this length.
size_t tt_model_tokens(const struct tt_model *model);

// A name for the weights of all parts: 10 hexadecimal digits.
enum { TT_MODEL_HASH_SIZE = 11 };
enum tt_status tt_model_hash(struct tt_model *model, char text[TT_MODEL_HASH_SIZE],
                             struct tt_error *err);

// Makes the plan of a part for a size, unless that is the one it has. The plans of other parts are
// dropped, so that their buffers never add up.
enum tt_status tt_model_prepare(struct tt_model *model, enum tt_part part, struct tt_size size,
                                struct tt_error *err);

// ids (n, tokens) -> hidden (n, tokens, D), the embeddings that the U-Net attends to.
enum tt_status tt_model_text(struct tt_model *model, const int32_t *ids, size_t n, size_t tokens,
                             float *hidden, struct tt_error *err);

// sample (n, C, height, width), timesteps (n), context (n, tokens, D) -> out like sample.
enum tt_status tt_model_unet(struct tt_model *model, struct tt_size size, const float *sample,
                             const float *timesteps, const float *context, float *out,
                             struct tt_error *err);

// image (n, 3, height, width) in [-1, 1] -> moments (n, 2C, h, w): mean, then log variance.
enum tt_status tt_model_encode(struct tt_model *model, struct tt_size size, const float *image,
                               float *moments, struct tt_error *err);

// latents (n, C, height, width), with the scaling undone -> image (n, 3, H, W), about [-1, 1].
enum tt_status tt_model_decode(struct tt_model *model, struct tt_size size, const float *latents,
                               float *image, struct tt_error *err);

#endif
