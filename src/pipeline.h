// SPDX-License-Identifier: MIT
// Text to picture: the whole loop, from a prompt to latents to pixels.
#ifndef TT_PIPELINE_H
#define TT_PIPELINE_H

#include "stages.h"

struct tt_generate {
    const char *prompt, *negative; // negative may be NULL: ""
    uint64_t seed;                 // picture k of count takes seed + k
    size_t steps, width, height;   // pixels
    double guidance_scale;         // 1 or less: one pass, without the negative prompt
    double guidance_rescale;       // arXiv 2305.08891, section 3.4; 0: none
    // Called after every step of every picture; may be NULL. A non-zero return stops the run.
    int (*progress)(void *context, size_t step, size_t steps);
    void *context;
};

// What the U-Net attends to: embeddings (n, tokens, D).
struct tt_context {
    size_t n, tokens;
    float *data;
};

// The prompt's embeddings: n 1, or 2 where guidance needs two passes; then the negative prompt's
// come first, as diffusers orders them. Free with tt_context_free(). TT_BAD_INPUT: text that is no
// UTF-8.
enum tt_status tt_encode_prompt(struct tt_model *model, const struct tt_generate *g,
                                struct tt_context *context, struct tt_error *err);
// Also takes a zero-initialised context.
void tt_context_free(struct tt_context *context);

// One picture's latents (C, height/f, width/f), f the autoencoder's factor: seed's noise, denoised
// by the scheduler along the model's predictions. rng goes on where the steps' own noise ends.
enum tt_status tt_denoise(struct tt_model *model, struct tt_scheduler *scheduler,
                          const struct tt_generate *g, const struct tt_context *context,
                          struct tt_rng *rng, float *latents, struct tt_error *err);

// Latents (C, h, w) with the model's scaling -> height x width RGB pixels.
enum tt_status tt_latents_to_pixels(struct tt_model *model, const float *latents, size_t h,
                                    size_t w, uint8_t *rgb, struct tt_error *err);

// RGB pixels -> latents (C, h, w) with the model's scaling: the mean of the posterior, or a sample
// of it when rng is given.
enum tt_status tt_pixels_to_latents(struct tt_model *model, const uint8_t *rgb, size_t height,
                                    size_t width, struct tt_rng *rng, float *latents,
                                    struct tt_error *err);

// The size must divide by the autoencoder's factor. TT_BAD_INPUT otherwise.
enum tt_status tt_check_size(const struct tt_model *model, size_t width, size_t height,
                             struct tt_error *err);

#endif
