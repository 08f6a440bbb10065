// SPDX-License-Identifier: MIT
#include "encoding.h"

#include <math.h>
#include <sleef.h>
#include <stdlib.h>

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
