// SPDX-License-Identifier: MIT
#include "pipeline.h"

#include <math.h>
#include <sleef.h>
#include <stdlib.h>
#include <string.h>

// ---- text ----

enum tt_status tt_encode_prompt(struct tt_model *model, const struct tt_generate *g,
                                struct tt_context *context, struct tt_error *err) {
    const char *negative = g->negative ? g->negative : "";
    const char *const both[2] = {negative, g->prompt}, *const *texts = both;
    size_t n = 2, tokens = tt_model_tokens(model);
    if (!(g->guidance_scale > 1)) { // as diffusers: nothing to guide away from
        n = 1;
        texts = &both[1];
    }
    int32_t *ids = malloc(n * tokens * sizeof *ids);
    float *data = malloc(n * tokens * model->clip.hidden_size * sizeof *data);
    enum tt_status status = TT_OK;
    if (!ids || !data) status = tt_fail(err, TT_SYSTEM, "out of memory for the prompt");
    for (size_t i = 0; !status && i < n; i++)
        status = tt_tokenizer_encode(model->tokenizer, texts[i], ids + i * tokens, tokens,
                                     NULL, err);
    if (!status) status = tt_model_text(model, ids, n, tokens, data, err);
    free(ids);
    if (status) {
        free(data);
        return status;
    }
    *context = (struct tt_context){n, tokens, data};
    return TT_OK;
}

void tt_context_free(struct tt_context *context) {
    free(context->data);
    *context = (struct tt_context){0};
}

// ---- guidance ----

// torch.std over all of x: unbiased.
static double deviation(const float *x, size_t n) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    return sqrt(squares / (double)(n - 1));
}

// predicted (2, n): without the prompt, then with it; the guided prediction goes over the first.
// Classifier-free guidance, arXiv 2207.12598; the rescaling is of arXiv 2305.08891, section 3.4.
static void guide(float *predicted, size_t n, const struct tt_generate *g) {
    const float *with = predicted + n;
    float scale = (float)g->guidance_scale, mix = (float)g->guidance_rescale;
    for (size_t i = 0; i < n; i++) predicted[i] += scale * (with[i] - predicted[i]);
    if (!(g->guidance_rescale > 0)) return;
    float ratio = (float)deviation(with, n) / (float)deviation(predicted, n);
    float rest = (float)(1 - g->guidance_rescale);
    for (size_t i = 0; i < n; i++)
        predicted[i] = mix * (predicted[i] * ratio) + rest * predicted[i];
}

// ---- the loop ----

// The loop of the article: start from noise; at every timestep ask the U-Net what of the sample is
// noise, once for the prompt and once for the negative one; go a little further from the second
// answer than the first one says; let the scheduler take the step.
enum tt_status tt_denoise(struct tt_model *model, struct tt_scheduler *scheduler,
                          const struct tt_generate *g, const struct tt_context *context,
                          struct tt_rng *rng, float *latents, struct tt_error *err) {
    size_t factor = tt_model_factor(model), h = g->height / factor, w = g->width / factor;
    size_t n = model->vae.latent_channels * h * w, passes = context->n;
    struct tt_size size = {passes, h, w, context->tokens};
    float *input = malloc(2 * passes * n * sizeof *input), *predicted = input + passes * n;
    if (!input) return tt_fail(err, TT_SYSTEM, "out of memory for %zu latents", n);
    enum tt_status status = tt_scheduler_set_timesteps(scheduler, g->steps, err);
    if (!status) status = tt_scheduler_start(scheduler, 1, n, err);

    if (!status) {
        tt_rng_normal(rng, latents, n);
        float sigma = tt_scheduler_init_noise_sigma(scheduler);
        for (size_t i = 0; i < n; i++) latents[i] *= sigma;
    }
    size_t calls = status ? 0 : tt_scheduler_calls(scheduler);
    for (size_t call = 0; !status && call < calls; call++) {
        float t = tt_scheduler_timesteps(scheduler)[call], timesteps[2] = {t, t};
        tt_scheduler_scale_input(scheduler, call, latents, input);
        if (passes == 2) memcpy(input + n, input, n * sizeof *input);
        status = tt_model_unet(model, size, input, timesteps, context->data, predicted, err);
        if (!status && passes == 2) guide(predicted, n, g);
        if (!status)
            status = tt_scheduler_step(scheduler, call, predicted, latents, &rng, 1, latents, err);
        if (!status && g->progress && g->progress(g->context, call + 1, calls))
            status = tt_fail(err, TT_SYSTEM, "cancelled after step %zu of %zu", call + 1, calls);
    }
    free(input);
    return status;
}

// ---- pixels ----

enum tt_status tt_check_size(const struct tt_model *model, size_t width, size_t height,
                             struct tt_error *err) {
    size_t factor = tt_model_factor(model);
    if (width % factor || height % factor || !width || !height)
        return tt_fail(err, TT_BAD_INPUT,
                       "size: found %zu x %zu pixels, expected multiples of %zu, the autoencoder's "
                       "factor", width, height, factor);
    return TT_OK;
}

enum tt_status tt_latents_to_pixels(struct tt_model *model, const float *latents, size_t h,
                                    size_t w, uint8_t *rgb, struct tt_error *err) {
    size_t factor = tt_model_factor(model), n = model->vae.latent_channels * h * w;
    size_t pixels = h * factor * w * factor;
    float *scaled = malloc((n + 3 * pixels) * sizeof *scaled), *image = scaled + n;
    if (!scaled) return tt_fail(err, TT_SYSTEM, "out of memory for %zu pixels", pixels);
    float scaling = (float)model->vae.scaling_factor, shift = (float)model->vae.shift_factor;
    for (size_t i = 0; i < n; i++) scaled[i] = latents[i] / scaling + shift;
    enum tt_status status =
        tt_model_decode(model, (struct tt_size){.n = 1, .height = h, .width = w}, scaled, image,
                        err);
    for (size_t i = 0; !status && i < 3 * pixels; i++) {
        float v = image[i % 3 * pixels + i / 3] * 0.5f + 0.5f;
        rgb[i] = (uint8_t)rintf((v < 0 ? 0 : v > 1 ? 1 : v) * 255.0f); // numpy rounds half to even
    }
    free(scaled);
    return status;
}

enum tt_status tt_pixels_to_latents(struct tt_model *model, const uint8_t *rgb, size_t height,
                                    size_t width, struct tt_rng *rng, float *latents,
                                    struct tt_error *err) {
    size_t factor = tt_model_factor(model), pixels = height * width;
    size_t n = model->vae.latent_channels * (height / factor) * (width / factor);
    float *image = malloc((3 * pixels + 3 * n) * sizeof *image);
    if (!image) return tt_fail(err, TT_SYSTEM, "out of memory for %zu pixels", pixels);
    float *mean = image + 3 * pixels, *variance = mean + n, *noise = variance + n;
    for (size_t i = 0; i < 3 * pixels; i++)
        image[i % 3 * pixels + i / 3] = 2.0f * ((float)rgb[i] / 255.0f) - 1.0f;
    struct tt_size size = {.n = 1, .height = height, .width = width};
    enum tt_status status = tt_model_encode(model, size, image, mean, err);
    if (!status && rng) tt_rng_normal(rng, noise, n);
    float scaling = (float)model->vae.scaling_factor, shift = (float)model->vae.shift_factor;
    for (size_t i = 0; !status && i < n; i++) {
        float z = mean[i];
        if (rng) {
            float logvar = fminf(fmaxf(variance[i], -30.0f), 20.0f);
            z += (float)Sleef_cinz_expd1_u10purec(0.5 * logvar) * noise[i];
        }
        latents[i] = (z - shift) * scaling;
    }
    free(image);
    return status;
}
