// SPDX-License-Identifier: MIT
// What the denoising loop does where a run begins with a picture: which call is the first, what the
// latents are before it, what the U-Net sees beside them, and what is put back after a step. As the
// pipelines of diffusers 0.42 do it: StableDiffusionImg2ImgPipeline,
// LatentConsistencyModelImg2ImgPipeline, StableDiffusionInpaintPipeline (with U-Nets of 4 and 9
// channels), StableDiffusionInstructPix2PixPipeline. A run from noise alone goes through here, too.
#ifndef TT_FROM_PICTURE_H
#define TT_FROM_PICTURE_H

#include "generate_picture.h"
#include "session.h"

// Zero-initialise.
struct tt_from {
    const struct tt_model *model;
    enum tt_begins begins;
    double strength;
    size_t n, hw;          // floats of a picture's latents; of one channel
    const float *latents;  // of a first pass, to begin with; borrowed; NULL: none
    float *moments;        // of the picture, as the encoder gives them
    float *masked_moments; // of the picture without what is masked
    float *mask;           // (h, w): 1 where it is drawn anew
    // Of the picture that is being drawn: its latents, the noise on them, the masked ones.
    float *own, *noise, *masked;
    float *attended; // (3, tokens, D): prompt, negative, negative
};

// Prepares picture and mask of the checked settings, and encodes them. latents (NULL: none): begin
// with these of a pass before.
enum tt_status tt_from_new(struct tt_session *session, const struct tt_settings *s,
                           const float *latents, struct tt_from *from, struct tt_error *err);
void tt_from_free(struct tt_from *from);
// Of a model that goes on with the latents of another.
void tt_from_going_on(const struct tt_model *model, const struct tt_settings *s,
                      struct tt_from *from);

// Chooses the scheduler's timesteps; *first: the call that the run begins with.
enum tt_status tt_from_schedule(const struct tt_from *from, struct tt_scheduler *scheduler,
                                size_t steps, size_t *first, struct tt_error *err);

// The latents (C, h, w) before that call. Random numbers are drawn in diffusers' order.
enum tt_status tt_from_begin(struct tt_from *from, const struct tt_scheduler *scheduler,
                             size_t first, struct tt_rng *rng, float *latents,
                             struct tt_error *err);

// Passes of a guided step; and what three of them attend to: (3, tokens, D), in diffusers' order.
// NULL, with an error: no memory.
size_t tt_from_passes(const struct tt_from *from, const struct tt_settings *s,
                      const struct tt_embeddings *embeddings);
const float *tt_from_attended(struct tt_from *from, const struct tt_embeddings *embeddings,
                              struct tt_error *err);

// What the U-Net is given: (passes, input_channels, h, w) of the scaled sample (C, h, w).
void tt_from_input(const struct tt_from *from, const float *scaled, size_t passes, float *input);

// After call `call`: what the mask leaves becomes the picture's again, as noisy as the next call
// expects.
enum tt_status tt_from_put_back(const struct tt_from *from, const struct tt_scheduler *scheduler,
                                size_t call, float *latents, struct tt_error *err);

// latents (c, h, w) -> out (c, oh, ow): torch's bilinear interpolation without align_corners.
void tt_latents_enlarge(const float *latents, size_t c, size_t h, size_t w, size_t oh, size_t ow,
                        float *out);

#endif
