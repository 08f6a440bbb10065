// SPDX-License-Identifier: MIT
#include "encoding.h"

#include <math.h>
#include <sleef.h>
#include <stdlib.h>

#include "base/finite.h"

uint8_t tt_luma(const uint8_t rgb[3]) {
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

void tt_pixels_to_input(const uint8_t *rgb, size_t c, size_t pixels, float *image) {
    for (size_t i = 0; c == 3 && i < 3 * pixels; i++)
        image[i % 3 * pixels + i / 3] = 2.0f * ((float)rgb[i] / 255.0f) - 1.0f;
    for (size_t i = 0; c == 1 && i < pixels; i++)
        image[i] = 2.0f * ((float)tt_luma(rgb + 3 * i) / 255.0f) - 1.0f;
}

void tt_moments_to_latents(const struct tt_model *model, const float *moments, size_t n,
                           const float *noise, float *latents) {
    float scaling = (float)model->info.scaling_factor;
    for (size_t i = 0; i < n; i++) {
        float z = moments[i];
        if (noise && model->info.posterior) {
            float logvar = fminf(fmaxf(moments[n + i], -30.0f), 20.0f);
            z += (float)Sleef_cinz_expd1_u10purec(0.5 * logvar) * noise[i];
        }
        size_t c = i / (n / model->info.latent_channels);
        if (model->info.latents_mean)
            z = (z - model->info.latents_mean[c]) / model->info.latents_std[c];
        latents[i] = z * scaling;
    }
}

enum tt_status tt_pixels_to_latents(struct tt_session *session, const uint8_t *rgb, size_t height,
                                    size_t width, struct tt_rng *rng, float *latents,
                                    struct tt_error *err) {
    const struct tt_model *model = session->model;
    size_t factor = model->info.factor, pixels = height * width;
    size_t n = model->info.latent_channels * (height / factor) * (width / factor);
    struct tt_size size = {.n = 1, .height = height, .width = width};
    enum tt_part part = model->unconditional ? TT_PART_UNET : TT_PART_VAE_ENCODE;
    enum tt_status status = tt_check_size(model, part, &size, err);
    if (status) return status;
    if (model->unconditional) {
        tt_pixels_to_input(rgb, model->info.latent_channels, pixels, latents);
        return TT_OK;
    }
    float *image = malloc((3 * pixels + 3 * n) * sizeof *image);
    if (!image) return tt_fail(err, TT_SYSTEM, "out of memory for %zu pixels", pixels);
    float *moments = image + 3 * pixels, *noise = moments + 2 * n;
    tt_pixels_to_input(rgb, 3, pixels, image);
    if (!model->info.posterior) rng = NULL; // it gives latents, not a posterior to draw from
    status = tt_session_encode(session, size, image, moments, err);
    if (!status && rng) tt_rng_normal(rng, noise, n);
    if (!status) tt_moments_to_latents(model, moments, n, rng ? noise : NULL, latents);
    free(image);
    return status;
}

// ---- and back ----

// image (c, pixels) in [-1, 1], c 3 or 1 (grey) -> rgb (pixels, 3).
static void to_bytes(const float *image, size_t c, size_t pixels, uint8_t *rgb) {
    for (size_t i = 0; i < 3 * pixels; i++) {
        float v = image[i % 3 % c * pixels + i / 3] * 0.5f + 0.5f;
        rgb[i] = (uint8_t)rintf((v < 0 ? 0 : v > 1 ? 1 : v) * 255.0f); // numpy rounds half to even
    }
}

// The autoencoder's scaling of latents (C, each), undone. SDXL's may normalise each channel.
static void unscale(const struct tt_model_info *info, const float *latents, size_t n, size_t each,
                    float *out) {
    float scaling = (float)info->scaling_factor;
    const float *mean = info->latents_mean, *std = info->latents_std;
    for (size_t i = 0; i < n; i++)
        out[i] = mean ? latents[i] * std[i / each] / scaling + mean[i / each]
                      : latents[i] / scaling;
}

enum tt_status tt_latents_to_pixels(struct tt_session *session, const float *latents, size_t h,
                                    size_t w, uint8_t *rgb, struct tt_error *err) {
    const struct tt_model *model = session->model;
    size_t factor = model->info.factor, n = model->info.latent_channels * h * w;
    size_t pixels = h * factor * w * factor, first;
    struct tt_size size = {.n = 1, .height = h, .width = w};
    enum tt_part part = model->unconditional ? TT_PART_UNET : TT_PART_VAE_DECODE;
    enum tt_status status = tt_check_size(model, part, &size, err);
    if (status) return status;
    if (tt_count_not_finite(latents, n, &first))
        return tt_fail(err, TT_BAD_INPUT, "latents: found %g at element %zu, expected finite "
                       "numbers", (double)latents[first], first);
    if (model->unconditional) { // the latents are the picture
        to_bytes(latents, model->info.latent_channels, pixels, rgb);
        return TT_OK;
    }
    float *scaled = malloc((n + 3 * pixels) * sizeof *scaled);
    if (!scaled) return tt_fail(err, TT_SYSTEM, "out of memory for %zu pixels", pixels);
    float *image = scaled + n;
    unscale(&model->info, latents, n, h * w, scaled);
    status = tt_session_decode(session, size, scaled, image, err);
    if (!status) to_bytes(image, 3, pixels, rgb);
    free(scaled);
    return status;
}
