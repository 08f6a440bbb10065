// SPDX-License-Identifier: MIT
#include "model/vae.h"

#include "model/blocks.h"
#include "model/config.h"
#include "model/part.h"

#include <math.h>

static struct tt_resnets resnets_of(const struct tt_vae_config *c) {
    return (struct tt_resnets){c->groups, 1e-6f, 1};
}

size_t tt_vae_factor(const struct tt_vae_config *c) {
    return (size_t)1 << (c->level_count - 1);
}

// UNetMidBlock2D: x (N, C, H, W) -> (N, C, H, W).
static tt_value mid_block(struct tt_tape *t, const struct tt_vae_config *c, tt_value x) {
    size_t channels = c->channels[c->level_count - 1];
    tt_push(t, "mid_block");
    x = tt_resnet_block(t, 0, x, TT_NO_VALUE, channels, resnets_of(c));
    if (c->mid_attention) x = tt_pixel_attention(t, 0, x, channels, resnets_of(c));
    x = tt_resnet_block(t, 1, x, TT_NO_VALUE, channels, resnets_of(c));
    return tt_pop(t, x);
}

static tt_value norm_act_conv(struct tt_tape *t, const struct tt_vae_config *c, tt_value x,
                              size_t out) {
    x = tt_nn_group_norm(t, "conv_norm_out", x, c->groups, resnets_of(c).eps);
    x = tt_nn_activation(t, "conv_act", x, TT_OP_silu);
    return tt_same_conv(t, "conv_out", x, out, 3);
}

// Encoder: x (N, in_channels, H, W) -> (N, 2 latent_channels, h, w).
static tt_value encoder(struct tt_tape *t, const struct tt_vae_config *c, tt_value x) {
    tt_push(t, "encoder");
    x = tt_same_conv(t, "conv_in", x, c->channels[0], 3);
    for (size_t i = 0; i < c->level_count; i++) { // DownEncoderBlock2D
        tt_push(t, "down_blocks.%d", (int)i);
        for (size_t j = 0; j < c->layers; j++)
            x = tt_resnet_block(t, (int)j, x, TT_NO_VALUE, c->channels[i], resnets_of(c));
        if (i + 1 < c->level_count) x = tt_downsample(t, x, 0);
        x = tt_pop(t, x);
    }
    x = mid_block(t, c, x);
    x = norm_act_conv(t, c, x, 2 * c->latent_channels);
    return tt_pop(t, x);
}

// Decoder: x (N, latent_channels, h, w) -> (N, out_channels, H, W).
static tt_value decoder(struct tt_tape *t, const struct tt_vae_config *c, tt_value x) {
    tt_push(t, "decoder");
    x = tt_same_conv(t, "conv_in", x, c->channels[c->level_count - 1], 3);
    x = mid_block(t, c, x);
    for (size_t i = 0; i < c->level_count; i++) { // UpDecoderBlock2D
        size_t channels = c->channels[c->level_count - 1 - i];
        tt_push(t, "up_blocks.%d", (int)i);
        for (size_t j = 0; j <= c->layers; j++)
            x = tt_resnet_block(t, (int)j, x, TT_NO_VALUE, channels, resnets_of(c));
        struct tt_shape s = tt_shape_of(t, x);
        if (i + 1 < c->level_count) x = tt_upsample(t, x, 2 * s.dim[2], 2 * s.dim[3]);
        x = tt_pop(t, x);
    }
    x = norm_act_conv(t, c, x, c->out_channels);
    return tt_pop(t, x);
}

struct tt_vae tt_vae_encoder_tape(struct tt_tape *t, const struct tt_vae_config *c, size_t n,
                                  size_t height, size_t width) {
    struct tt_vae v;
    v.sample = tt_nn_input(t, "sample", (struct tt_shape){4, {n, c->in_channels, height, width}},
                           TT_F32);
    tt_value x = encoder(t, c, v.sample);
    if (c->quant_conv) x = tt_same_conv(t, "quant_conv", x, 2 * c->latent_channels, 1);
    v.out = tt_identity(t, "moments", x);
    tt_set_output(t, v.out);
    return v;
}

struct tt_vae tt_vae_decoder_tape(struct tt_tape *t, const struct tt_vae_config *c, size_t n,
                                  size_t height, size_t width) {
    struct tt_vae v;
    v.sample = tt_nn_input(t, "sample",
                           (struct tt_shape){4, {n, c->latent_channels, height, width}}, TT_F32);
    tt_value x = v.sample;
    if (c->post_quant_conv) x = tt_same_conv(t, "post_quant_conv", x, c->latent_channels, 1);
    v.out = tt_identity(t, "out", decoder(t, c, x));
    tt_set_output(t, v.out);
    return v;
}

// Playground 2.5 normalises each channel by a mean and a deviation of its own.
static void read_normalisation(struct tt_json *json, struct tt_vae_config *c) {
    static const char *const keys[2] = {"latents_mean", "latents_std"};
    double number[2][TT_VAE_NORMALISED] = {{0}};
    bool has[2];
    for (size_t k = 0; k < 2; k++) {
        has[k] = tt_json_has(json, keys[k]);
        tt_json_ignore(json, keys[k]);
        if (!has[k]) continue;
        size_t count = tt_json_numbers(json, keys[k], number[k], TT_VAE_NORMALISED);
        if (count != c->latent_channels)
            tt_json_fail(json, keys[k], "found %zu numbers, expected %zu, one per latent_channels",
                         count, c->latent_channels);
        for (size_t i = 0; i < count; i++)
            if (!(fabs(number[k][i]) <= 1e30) || (k == 1 && !(number[k][i] >= 1e-30)))
                tt_json_fail(json, keys[k], "found %g, expected %s", number[k][i],
                             k ? "numbers above 0 (from 1e-30 to 1e30)" : "numbers up to 1e30");
    }
    c->normalised = has[0] && has[1]; // diffusers takes neither where one is missing
    if (has[0] != has[1])
        tt_json_note(json, keys[has[1]], "found it without %s: neither is applied", keys[has[0]]);
    for (size_t i = 0; c->normalised && i < c->latent_channels && i < TT_VAE_NORMALISED; i++) {
        c->mean[i] = (float)number[0][i];
        c->deviation[i] = (float)number[1][i];
    }
}

enum tt_status tt_vae_config_read(struct tt_json *json, struct tt_vae_config *c,
                                  struct tt_error *err) {
    const long largest = 1 << 20;
    *c = (struct tt_vae_config){0};
    tt_json_expect(json, "_class_name", "\"AutoencoderKL\"");
    tt_json_expect(json, "act_fn", "\"silu\" or \"swish\"");
    tt_json_expect(json, "quantization_config", "null");
    tt_json_ignore(json, "force_upcast"); // float32 is what it asks for
    c->in_channels = (size_t)tt_config_int(json, "in_channels", 3, 1, largest);
    c->out_channels = (size_t)tt_config_int(json, "out_channels", 3, 1, largest);
    c->latent_channels = (size_t)tt_config_int(json, "latent_channels", 4, 1, largest);
    c->layers = (size_t)tt_config_int(json, "layers_per_block", 1, 1, 16);
    c->groups = (size_t)tt_config_int(json, "norm_num_groups", 32, 1, largest);
    c->quant_conv = tt_config_bool(json, "use_quant_conv", true);
    c->post_quant_conv = tt_config_bool(json, "use_post_quant_conv", true);
    c->mid_attention = tt_config_bool(json, "mid_block_add_attention", true);
    c->scaling_factor = tt_config_positive(json, "scaling_factor", 0.18215);
    c->shift_factor = tt_json_number_or(json, "shift_factor", 0);
    read_normalisation(json, c);
    if (!isfinite(c->shift_factor))
        tt_json_fail(json, "shift_factor", "found %g, expected a finite number", c->shift_factor);
    tt_config_size(json, "sample_size", &c->sample_height, &c->sample_width);

    long channels[TT_VAE_LEVELS] = {64};
    size_t levels = 1;
    if (tt_json_has(json, "block_out_channels"))
        levels = tt_json_ints(json, "block_out_channels", 1, largest, channels, TT_VAE_LEVELS);
    c->level_count = levels;
    for (size_t i = 0; i < levels; i++) {
        c->channels[i] = (size_t)channels[i];
        if (c->channels[i] % c->groups)
            tt_json_fail(json, "block_out_channels",
                         "found %ld, expected a multiple of norm_num_groups (%zu)", channels[i],
                         c->groups);
    }
    if (levels != 1 || tt_json_has(json, "down_block_types"))
        tt_config_same_types(json, "down_block_types", "DownEncoderBlock2D", levels);
    if (levels != 1 || tt_json_has(json, "up_block_types"))
        tt_config_same_types(json, "up_block_types", "UpDecoderBlock2D", levels);
    return tt_json_finish_noting(json, "AutoencoderKL", err);
}

// ---- as parts ----

static enum tt_status read(struct tt_json *json, void *config, struct tt_error *err) {
    return tt_vae_config_read(json, config, err);
}

static void tell(const void *config, struct tt_facts *facts) {
    const struct tt_vae_config *c = config;
    facts->info.factor = tt_vae_factor(c);
    facts->info.scaling_factor = c->scaling_factor;
    facts->info.posterior = true;
    facts->normalised = c->normalised;
    facts->latent_channels = c->latent_channels;
    facts->seen_channels = c->in_channels;
    facts->shown_channels = c->out_channels;
}

static void encoder_tape(struct tt_tape *t, const void *config, const struct tt_size *s) {
    tt_vae_encoder_tape(t, config, s->n, s->height, s->width);
}

static void decoder_tape(struct tt_tape *t, const void *config, const struct tt_size *s) {
    tt_vae_decoder_tape(t, config, s->n, s->height, s->width);
}

static size_t multiple(const void *config) {
    return tt_vae_factor(config);
}

const struct tt_part_network tt_network_vae_encoder = {
    .classes = "\"AutoencoderKL\"", .config_size = sizeof(struct tt_vae_config), .read = read,
    .tell = tell, .tape = encoder_tape, .multiple = multiple, .pixels = true,
    .inputs = {{"sample", TT_F32, "NCHW", TT_ALWAYS}},
    .outputs = {{"moments", TT_F32, "NCHW", TT_ALWAYS}},
};

const struct tt_part_network tt_network_vae_decoder = {
    .classes = "\"AutoencoderKL\"", .config_size = sizeof(struct tt_vae_config), .read = read,
    .tape = decoder_tape,
    .inputs = {{"sample", TT_F32, "NCHW", TT_ALWAYS}},
    .outputs = {{"out", TT_F32, "NCHW", TT_ALWAYS}},
};
