// SPDX-License-Identifier: MIT
// AutoencoderKL (diffusers, models/autoencoders/autoencoder_kl.py): its configuration file, and the
// tapes of its two halves.
#ifndef TT_MODEL_VAE_H
#define TT_MODEL_VAE_H

#include "graph/tape.h"
#include "io/json.h"

enum { TT_VAE_LEVELS = 8, TT_VAE_NORMALISED = 64 };

struct tt_vae_config {
    size_t in_channels, out_channels, latent_channels;
    size_t level_count;
    size_t channels[TT_VAE_LEVELS]; // from the finest to the coarsest
    size_t layers;                  // ResNet blocks of an encoder level; the decoder has one more
    size_t groups;
    bool quant_conv, post_quant_conv, mid_attention;
    // latent = (what the encoder says - shift) * scaling; a file without shift_factor means 0.
    double scaling_factor, shift_factor;
    // "latents_mean" and "latents_std" of each channel, which SDXL's pipelines apply, too.
    bool normalised;
    float mean[TT_VAE_NORMALISED], deviation[TT_VAE_NORMALISED];
    size_t sample_height, sample_width; // of the pictures it was trained on
};

// Reads the whole object. TT_BAD_INPUT names file, key, found and expected.
enum tt_status tt_vae_config_read(struct tt_json *json, struct tt_vae_config *config,
                                  struct tt_error *err);

// Pixels per latent pixel along each side: 8 for Stable Diffusion.
size_t tt_vae_factor(const struct tt_vae_config *config);

// Input and output of one half.
struct tt_vae {
    tt_value sample, out;
};

// Pictures sample (N, in_channels, H, W) in [-1, 1] -> the moments (N, 2 latent_channels, h, w):
// mean, then logarithm of the variance, not yet clamped.
struct tt_vae tt_vae_encoder_tape(struct tt_tape *t, const struct tt_vae_config *config, size_t n,
                                  size_t height, size_t width);

// Latents sample (N, latent_channels, h, w), scale and shift undone -> pictures (N, out_channels,
// H, W), not yet clamped.
struct tt_vae tt_vae_decoder_tape(struct tt_tape *t, const struct tt_vae_config *config, size_t n,
                                  size_t height, size_t width);

#endif
