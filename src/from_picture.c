// SPDX-License-Identifier: MIT
#include "from_picture.h"

#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "masking.h"

// ---- what is prepared once ----

static enum tt_status no_memory(struct tt_error *err) {
    return tt_fail(err, TT_SYSTEM, "out of memory for a picture to begin with");
}

// The picture through the encoder. mask (pixels), or NULL: where it is 1 the picture is 0, which is
// grey.
static enum tt_status encode(struct tt_session *session, const struct tt_image *image,
                             const float *mask, float **moments, struct tt_error *err) {
    size_t pixels = image->width * image->height, f = session->model->info.factor;
    size_t n = session->model->info.latent_channels * (image->width / f) * (image->height / f);
    float *input = malloc(3 * pixels * sizeof *input);
    *moments = malloc(2 * n * sizeof **moments);
    enum tt_status status = input && *moments ? TT_OK : no_memory(err);
    if (!status) {
        struct tt_size size = {.n = 1, .height = image->height, .width = image->width};
        tt_pixels_to_input(image->rgb, 3, pixels, input);
        for (size_t i = 0; mask && i < 3 * pixels; i++)
            if (mask[i % pixels] != 0) input[i] *= 0.0f;
        status = tt_session_encode(session, size, input, *moments, err);
    }
    free(input);
    return status;
}

enum tt_status tt_from_new(struct tt_session *session, const struct tt_settings *s,
                           const float *latents, struct tt_from *from, struct tt_error *err) {
    const struct tt_model *model = session->model;
    size_t f = model->info.factor, hw = (s->height / f) * (s->width / f);
    size_t n = model->info.latent_channels * hw;
    *from = (struct tt_from){.model = model, .begins = tt_begins(model, s), .hw = hw, .n = n,
                             .strength = s->strength, .latents = latents};
    if (latents) from->begins = TT_BEGINS_PICTURE;
    if (from->begins == TT_BEGINS_NOISE) return TT_OK;
    bool seen = from->begins == TT_BEGINS_SEEN_MASKED;
    struct tt_masking masking = {0};
    float *memory = calloc(3, n * sizeof *memory);
    enum tt_status status = memory ? TT_OK : no_memory(err);
    from->own = memory;
    if (memory) {
        from->noise = memory + n;
        from->masked = memory + 2 * n;
    }
    if (!status && !latents) status = tt_masking_make(s, &masking, err);
    if (!status && s->mask) {
        from->mask = malloc(hw * sizeof *from->mask);
        if (from->mask) tt_masking_shrink(&masking, f, from->mask);
        else status = no_memory(err);
    }
    // A run that begins with noise has no use for the picture's own latents.
    if (!status && !latents && !(seen && s->strength == 1))
        status = encode(session, &masking.image, NULL, &from->moments, err);
    if (!status && seen)
        status = encode(session, &masking.image, masking.mask, &from->masked_moments, err);
    tt_masking_free(&masking);
    return status;
}

void tt_from_going_on(const struct tt_model *model, const struct tt_settings *s,
                      struct tt_from *from) {
    size_t f = model->info.factor, hw = (s->height / f) * (s->width / f);
    *from = (struct tt_from){.model = model, .begins = TT_BEGINS_LATENTS, .hw = hw,
                             .n = model->info.latent_channels * hw};
}

void tt_from_free(struct tt_from *from) {
    free(from->moments);
    free(from->masked_moments);
    free(from->mask);
    free(from->own);
    free(from->attended);
    *from = (struct tt_from){0};
}

// ---- the beginning of a picture ----

enum tt_status tt_from_schedule(const struct tt_from *from, struct tt_scheduler *scheduler,
                                size_t steps, size_t *first, struct tt_error *err) {
    *first = 0;
    if (from->begins == TT_BEGINS_NOISE || from->begins == TT_BEGINS_INSTRUCTED)
        return tt_scheduler_set_timesteps(scheduler, steps, err);
    bool whole = from->model->whole_strength && from->begins == TT_BEGINS_PICTURE;
    return tt_scheduler_set_strength(scheduler, steps, from->strength, whole, first, err);
}

// A sample of the posterior, which draws as many numbers, also when it is thrown away (moments
// NULL). An encoder without a posterior draws none.
static void sample(const struct tt_from *from, struct tt_rng *rng, const float *moments,
                   float *out) {
    if (from->model->info.posterior) tt_rng_normal(rng, out, from->n);
    if (moments) tt_moments_to_latents(from->model, moments, from->n, out, out);
}

enum tt_status tt_from_begin(struct tt_from *from, const struct tt_scheduler *scheduler,
                             size_t first, struct tt_rng *rng, float *latents,
                             struct tt_error *err) {
    enum tt_begins begins = from->begins;
    if (begins == TT_BEGINS_LATENTS) return TT_OK;
    float sigma = tt_scheduler_init_noise_sigma(scheduler);
    bool masked = begins == TT_BEGINS_MASKED || begins == TT_BEGINS_SEEN_MASKED;
    bool from_noise = begins == TT_BEGINS_NOISE || begins == TT_BEGINS_INSTRUCTED ||
                      (masked && from->strength == 1);
    enum tt_status status = TT_OK;
    if (from->latents) memcpy(from->own, from->latents, from->n * sizeof *from->own);
    else if (begins == TT_BEGINS_INSTRUCTED) // the mean, and without the scaling
        memcpy(from->own, from->moments, from->n * sizeof *from->own);
    else if (from->moments) sample(from, rng, from->moments, from->own);
    float *noise = from->noise ? from->noise : latents;
    tt_rng_normal(rng, noise, from->n);
    for (size_t i = 0; from_noise && i < from->n; i++) latents[i] = noise[i] * sigma;
    if (!from_noise)
        status = tt_scheduler_add_noise(scheduler, first, from->own, noise, latents, err);
    // diffusers draws this for every U-Net, and shows it to those for inpainting.
    if (!status && masked) sample(from, rng, from->masked_moments, from->masked);
    return status;
}

// ---- the steps ----

size_t tt_from_passes(const struct tt_from *from, const struct tt_settings *s,
                      const struct tt_embeddings *embeddings) {
    if (from->begins != TT_BEGINS_INSTRUCTED) return embeddings->n;
    return embeddings->n == 2 && s->image_guidance_scale >= 1 ? 3 : 1;
}

const float *tt_from_attended(struct tt_from *from, const struct tt_embeddings *embeddings,
                              struct tt_error *err) {
    size_t each = embeddings->tokens * from->model->info.text_width, bytes = each * sizeof(float);
    if (from->attended) return from->attended;
    from->attended = malloc(3 * bytes);
    if (!from->attended) {
        no_memory(err);
        return NULL;
    }
    memcpy(from->attended, embeddings->data + each, bytes);
    memcpy(from->attended + each, embeddings->data, bytes);
    memcpy(from->attended + 2 * each, embeddings->data, bytes);
    return from->attended;
}

void tt_from_input(const struct tt_from *from, const float *scaled, size_t passes, float *input) {
    size_t n = from->n, hw = from->hw;
    for (size_t k = 0; k < passes; k++) {
        memcpy(input, scaled, n * sizeof *input);
        input += n;
        if (from->begins == TT_BEGINS_SEEN_MASKED) {
            memcpy(input, from->mask, hw * sizeof *input);
            memcpy(input + hw, from->masked, n * sizeof *input);
            input += hw + n;
        } else if (from->begins == TT_BEGINS_INSTRUCTED) {
            if (k < 2) memcpy(input, from->own, n * sizeof *input);
            else memset(input, 0, n * sizeof *input); // the pass that sees no picture
            input += n;
        }
    }
}

enum tt_status tt_from_put_back(const struct tt_from *from, const struct tt_scheduler *scheduler,
                                size_t call, float *latents, struct tt_error *err) {
    if (from->begins != TT_BEGINS_MASKED) return TT_OK;
    float *left = malloc(from->n * sizeof *left);
    if (!left) return no_memory(err);
    enum tt_status status = TT_OK;
    if (call + 1 < tt_scheduler_calls(scheduler))
        status = tt_scheduler_add_noise(scheduler, call + 1, from->own, from->noise, left, err);
    else memcpy(left, from->own, from->n * sizeof *left);
    for (size_t i = 0; !status && i < from->n; i++)
        if (from->mask[i % from->hw] == 0) latents[i] = left[i];
    free(left);
    return status;
}

// ---- a second pass ----

void tt_latents_enlarge(const float *latents, size_t c, size_t h, size_t w, size_t oh, size_t ow,
                        float *out) {
    float down = (float)h / (float)oh, across = (float)w / (float)ow;
    for (size_t k = 0; k < c; k++)
        for (size_t y = 0; y < oh; y++) {
            float at = down * ((float)y + 0.5f) - 0.5f;
            at = at < 0 ? 0 : at;
            size_t y0 = (size_t)at, y1 = y0 + 1 < h ? y0 + 1 : y0;
            float low = at - (float)y0;
            const float *up = latents + (k * h + y0) * w, *dn = latents + (k * h + y1) * w;
            for (size_t x = 0; x < ow; x++) {
                float to = across * ((float)x + 0.5f) - 0.5f;
                to = to < 0 ? 0 : to;
                size_t x0 = (size_t)to, x1 = x0 + 1 < w ? x0 + 1 : x0;
                float right = to - (float)x0;
                *out++ = (1 - low) * ((1 - right) * up[x0] + right * up[x1]) +
                         low * ((1 - right) * dn[x0] + right * dn[x1]);
            }
        }
}
