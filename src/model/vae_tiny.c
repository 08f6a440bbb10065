// SPDX-License-Identifier: MIT
// AutoencoderTiny, TAESD and its kin (diffusers, models/autoencoders/autoencoder_tiny.py and the
// tiny classes of vae.py): distilled from an AutoencoderKL, whose scaled latents it takes and gives
// as they are, and a small part of its work. A part's file; nothing else knows of it.
#include "model/blocks.h"
#include "model/config.h"
#include "model/part.h"

#include <stdio.h>

enum { LEVELS = 8 };

struct config {
    size_t in_channels, out_channels, latent_channels;
    size_t levels;
    size_t encoder_channels, decoder_channels; // the same on all levels
    size_t encoder_blocks[LEVELS], decoder_blocks[LEVELS];
    enum tt_op_kind activation;
    double scaling_factor;
};

static const size_t around[4] = {1, 1, 1, 1};

// A number as a name, of the layers that stand in a Sequential.
struct name {
    char text[12];
};

static struct name number(size_t i) {
    struct name name;
    snprintf(name.text, sizeof name.text, "%d", (int)i);
    return name;
}

static tt_value conv(struct tt_tape *t, size_t index, tt_value x, size_t out) {
    return tt_same_conv(t, number(index).text, x, out, 3);
}

// AutoencoderTinyBlock: x (N, C, H, W) -> (N, C, H, W). One activation stands twice in its list.
static tt_value block(struct tt_tape *t, size_t index, tt_value x, enum tt_op_kind activation) {
    size_t c = tt_shape_of(t, x).dim[1];
    tt_push_block(t, "%d", (int)index);
    tt_push(t, "conv");
    tt_value y = conv(t, 0, x, c);
    y = tt_nn_activation(t, "1", y, activation);
    y = conv(t, 2, y, c);
    y = tt_nn_activation(t, "1", y, activation);
    y = tt_pop(t, conv(t, 4, y, c));
    x = tt_identity(t, "skip", x);
    y = tt_nn_add(t, "residual", y, x);
    y = tt_nn_activation(t, "fuse", y, TT_OP_relu);
    return tt_pop(t, y);
}

// EncoderTiny: pictures (N, in_channels, H, W) in [-1, 1] -> latents (N, latent_channels, h, w).
static void encoder(struct tt_tape *t, const void *config, const struct tt_size *s) {
    const struct config *c = config;
    struct tt_shape shape = {4, {s->n, c->in_channels, s->height, s->width}};
    tt_value x = tt_nn_input(t, "sample", shape, TT_F32);
    size_t layer = 0;
    tt_push(t, "encoder");
    x = tt_nn_affine(t, "unit", x, 0.5f, 0.5f); // to [0, 1]
    tt_push(t, "layers");
    for (size_t i = 0; i < c->levels; i++) {
        if (!i) x = conv(t, layer, x, c->encoder_channels);
        else
            x = tt_nn_conv2d_unbiased(t, number(layer).text, x, c->encoder_channels, 3, 2, around);
        layer++;
        for (size_t j = 0; j < c->encoder_blocks[i]; j++) x = block(t, layer++, x, c->activation);
    }
    x = tt_pop(t, conv(t, layer, x, c->latent_channels));
    tt_identity(t, "latents", tt_pop(t, x));
}

// DecoderTiny: latents (N, latent_channels, h, w) -> pictures (N, out_channels, H, W).
static void decoder(struct tt_tape *t, const void *config, const struct tt_size *s) {
    const struct config *c = config;
    struct tt_shape shape = {4, {s->n, c->latent_channels, s->height, s->width}};
    tt_value x = tt_nn_input(t, "sample", shape, TT_F32);
    size_t layer = 0;
    tt_push(t, "decoder");
    x = tt_nn_scale(t, "third", x, (float)(1.0 / 3)); // 3 tanh(x / 3): latents beyond 3 are bent
    x = tt_nn_activation(t, "bend", x, TT_OP_tanh);
    x = tt_nn_scale(t, "bent", x, 3);
    tt_push(t, "layers");
    x = conv(t, layer++, x, c->decoder_channels);
    x = tt_nn_activation(t, number(layer++).text, x, c->activation);
    for (size_t i = 0; i < c->levels; i++) {
        for (size_t j = 0; j < c->decoder_blocks[i]; j++) x = block(t, layer++, x, c->activation);
        if (i + 1 == c->levels) break;
        struct tt_shape in = tt_shape_of(t, x);
        x = tt_nn_upsample_nearest(t, number(layer++).text, x, 2 * in.dim[2], 2 * in.dim[3]);
        x = tt_nn_conv2d_unbiased(t, number(layer++).text, x, c->decoder_channels, 3, 1, around);
    }
    x = tt_pop(t, conv(t, layer, x, c->out_channels));
    x = tt_nn_affine(t, "signed", x, 2, -1); // to [-1, 1]
    tt_identity(t, "out", tt_pop(t, x));
}

// ---- the configuration ----

// The channels of a half, which its layers take from level to level unchanged, and how many levels.
static size_t read_channels(struct tt_json *json, const char *key, size_t *channels) {
    long list[LEVELS] = {64, 64, 64, 64};
    size_t levels = 4;
    if (tt_json_value(json, key)) levels = tt_json_ints(json, key, 1, 1 << 20, list, LEVELS);
    for (size_t i = 1; i < levels; i++)
        if (list[i] != list[0])
            tt_json_fail(json, key, "found %ld after %ld, expected the same on all levels: each "
                         "takes what the one before it gives", list[i], list[0]);
    *channels = (size_t)list[0];
    return levels;
}

static void read_blocks(struct tt_json *json, const char *key, const long *usual, size_t levels,
                        size_t *blocks) {
    long list[LEVELS] = {usual[0], usual[1], usual[2], usual[3]};
    size_t count = 4;
    if (tt_json_value(json, key)) count = tt_json_ints(json, key, 0, 16, list, LEVELS);
    if (count != levels)
        tt_json_fail(json, key, "found %zu numbers, expected %zu, one for each level", count,
                     levels);
    for (size_t i = 0; i < levels && i < LEVELS; i++) blocks[i] = (size_t)list[i];
}

static enum tt_op_kind read_activation(struct tt_json *json) {
    static const char *const names[] = {"relu", "silu", "swish", "gelu", NULL};
    static const enum tt_op_kind ops[] = {TT_OP_relu, TT_OP_silu, TT_OP_silu, TT_OP_gelu};
    return ops[tt_json_value(json, "act_fn") ? tt_json_choice(json, "act_fn", names, -1) : 0];
}

static enum tt_status read(struct tt_json *json, void *config, struct tt_error *err) {
    static const char *const ignored[] = {
        "force_upcast", "block_out_channels", // which diffusers writes beside the decoder's
        "latent_magnitude", "latent_shift",   // of latents kept as bytes
    };
    static const long down[4] = {1, 3, 3, 3}, up[4] = {3, 3, 3, 1};
    const long largest = 1 << 20;
    struct config *c = config;
    tt_json_expect(json, "_class_name", "\"AutoencoderTiny\"");
    tt_json_expect(json, "upsample_fn", "\"nearest\"");
    tt_json_expect(json, "upsampling_scaling_factor", "2");
    tt_json_expect(json, "quantization_config", "null");
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) tt_json_ignore(json, ignored[i]);
    tt_json_ignore(json, "shift_factor"); // of pipelines that know one
    c->in_channels = (size_t)tt_config_int(json, "in_channels", 3, 1, largest);
    c->out_channels = (size_t)tt_config_int(json, "out_channels", 3, 1, largest);
    c->latent_channels = (size_t)tt_config_int(json, "latent_channels", 4, 1, largest);
    c->scaling_factor = tt_config_positive(json, "scaling_factor", 1);
    c->activation = read_activation(json);
    c->levels = read_channels(json, "encoder_block_out_channels", &c->encoder_channels);
    size_t levels = read_channels(json, "decoder_block_out_channels", &c->decoder_channels);
    if (levels != c->levels)
        tt_json_fail(json, "decoder_block_out_channels", "found %zu levels, expected %zu, as the "
                     "encoder has", levels, c->levels);
    read_blocks(json, "num_encoder_blocks", down, c->levels, c->encoder_blocks);
    read_blocks(json, "num_decoder_blocks", up, c->levels, c->decoder_blocks);
    return tt_json_finish_noting(json, "AutoencoderTiny", err);
}

static size_t factor(const void *config) {
    return (size_t)1 << (((const struct config *)config)->levels - 1);
}

static void tell(const void *config, struct tt_facts *facts) {
    const struct config *c = config;
    facts->info.factor = factor(c);
    facts->info.scaling_factor = c->scaling_factor;
    facts->info.posterior = false;
    facts->latent_channels = c->latent_channels;
    facts->seen_channels = c->in_channels;
    facts->shown_channels = c->out_channels;
}

const struct tt_part_network tt_network_tiny_encoder = {
    .classes = "\"AutoencoderTiny\"", .config_size = sizeof(struct config), .read = read,
    .tell = tell, .tape = encoder, .multiple = factor, .pixels = true,
    .inputs = {{"sample", TT_F32, "NCHW", TT_ALWAYS}},
    .outputs = {{"latents", TT_F32, "NCHW", TT_ALWAYS}},
};

const struct tt_part_network tt_network_tiny_decoder = {
    .classes = "\"AutoencoderTiny\"", .config_size = sizeof(struct config), .read = read,
    .tape = decoder,
    .inputs = {{"sample", TT_F32, "NCHW", TT_ALWAYS}},
    .outputs = {{"out", TT_F32, "NCHW", TT_ALWAYS}},
};
