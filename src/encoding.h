// SPDX-License-Identifier: MIT
// Pictures to latents and back: the autoencoder, what it is given and gives.
#ifndef TT_ENCODING_H
#define TT_ENCODING_H

#include "session.h"

// PIL's luma of a pixel, which is the pixel's value where it is grey.
uint8_t tt_luma(const uint8_t rgb[3]);

// rgb (pixels, 3) -> image (c, pixels) in [-1, 1], c 3 or 1 (luma).
void tt_pixels_to_input(const uint8_t *rgb, size_t c, size_t pixels, float *image);

// What the encoder gives for one picture (C, h, w; with a posterior twice as many channels) ->
// n latents with the scaling on them: the mean, or with noise (n) a sample of the posterior.
void tt_moments_to_latents(const struct tt_model *model, const float *moments, size_t n,
                           const float *noise, float *latents);

#endif
