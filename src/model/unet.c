// SPDX-License-Identifier: MIT
#include "model/unet.h"

#include "model/blocks.h"
#include "model/part.h"

#include <sleef.h>

// What the way down leaves for the way up.
struct skips {
    tt_value value[1 + TT_UNET_LEVELS * (TT_UNET_LAYERS + 1)];
    size_t count;
};

static struct tt_resnets resnets_of(const struct tt_unet_config *c) {
    return (struct tt_resnets){c->groups, c->eps, 1};
}

static struct tt_transformer transformer_of(const struct tt_unet_config *c,
                                            const struct tt_unet_level *level, size_t layers) {
    return (struct tt_transformer){
        .heads = level->heads,
        .layers = layers,
        .groups = c->groups,
        .linear_projection = c->linear_projection,
        .only_cross_attention = level->only_cross_attention,
    };
}

void tt_guidance_embedding(double scale, size_t dim, float *out) {
    float w = (float)(scale - 1.0) * 1000.0f;
    size_t half = dim / 2;
    double step = -Sleef_cinz_logd1_u10purec(10000.0) / (double)(half - 1);
    for (size_t i = 0; i < half; i++) {
        double phase = (double)w * Sleef_cinz_expd1_u10purec((double)i * step);
        out[i] = (float)Sleef_cinz_sind1_u10purec(phase);
        out[half + i] = (float)Sleef_cinz_cosd1_u10purec(phase);
    }
    if (dim % 2) out[dim - 1] = 0.0f;
}

// timestep (N), condition (N, time_cond_dim) or none -> temb (N, E)
static tt_value time_embedding(struct tt_tape *t, const struct tt_unet_config *c, tt_value timestep,
                               tt_value condition) {
    tt_value e = tt_nn_sinusoidal(t, "time_proj", timestep, c->level[0].channels,
                                  c->flip_sin_to_cos, c->freq_shift); // (N, C0)
    tt_push(t, "time_embedding");
    if (condition != TT_NO_VALUE) {
        condition = tt_nn_linear(t, "cond_proj", condition, c->level[0].channels, false);
        e = tt_nn_add(t, "conditioned", e, condition);
    }
    e = tt_nn_linear(t, "linear_1", e, c->time_embed_dim, true); // (N, E)
    e = tt_nn_activation(t, "act", e, TT_OP_silu);
    e = tt_nn_linear(t, "linear_2", e, c->time_embed_dim, true);
    return tt_pop(t, e);
}

bool tt_unet_config_fit(struct tt_unet_config *c, size_t text_embeds) {
    if (!c->added_dim || text_embeds >= c->added_dim) return false;
    if ((c->added_dim - text_embeds) % c->added_time_dim) return false;
    c->time_ids = (c->added_dim - text_embeds) / c->added_time_dim;
    return true;
}

size_t tt_unet_text_embeds(const struct tt_unet_config *c) {
    return c->added_dim ? c->added_dim - c->time_ids * c->added_time_dim : 0;
}

// text_embeds (N, P), time_ids (N, I) -> what is added to temb (N, E): "text_time".
static tt_value added_embedding(struct tt_tape *t, const struct tt_unet_config *c,
                                tt_value text_embeds, tt_value time_ids) {
    size_t n = tt_shape_of(t, time_ids).dim[0], text = tt_unet_text_embeds(c);
    tt_value e = tt_nn_reshape(t, time_ids, (struct tt_shape){1, {n * c->time_ids}});
    e = tt_nn_sinusoidal(t, "add_time_proj", e, c->added_time_dim, c->flip_sin_to_cos,
                         c->freq_shift); // (N I, A)
    // Side by side as channels of one pixel.
    e = tt_nn_reshape(t, e, (struct tt_shape){4, {n, c->added_dim - text, 1, 1}});
    text_embeds = tt_nn_reshape(t, text_embeds, (struct tt_shape){4, {n, text, 1, 1}});
    tt_push(t, "add_embedding");
    e = tt_nn_concat(t, "cat", text_embeds, e); // (N, P + I A, 1, 1)
    e = tt_nn_reshape(t, e, (struct tt_shape){2, {n, c->added_dim}});
    e = tt_nn_linear(t, "linear_1", e, c->time_embed_dim, true); // (N, E)
    e = tt_nn_activation(t, "act", e, TT_OP_silu);
    e = tt_nn_linear(t, "linear_2", e, c->time_embed_dim, true);
    return tt_pop(t, e);
}

// The attention of a level, to the text or over pixels: x (N, C, H, W) -> (N, C, H, W).
static tt_value attention(struct tt_tape *t, const struct tt_unet_config *c,
                          const struct tt_unet_level *level, size_t j, size_t layers, tt_value x,
                          tt_value context) {
    struct tt_transformer transformer = transformer_of(c, level, layers);
    return c->unconditional ? tt_pixel_attention(t, (int)j, x, level->head_dim, resnets_of(c))
                            : tt_transformer_2d(t, (int)j, x, context, &transformer);
}

// DownBlock2D, CrossAttnDownBlock2D and AttnDownBlock2D: x (N, C, H, W) -> (N, level's channels,
// H/2, W/2), the last one without halving.
static tt_value down_block(struct tt_tape *t, const struct tt_unet_config *c, size_t i, tt_value x,
                           tt_value temb, tt_value context, struct skips *skips) {
    const struct tt_unet_level *level = &c->level[i];
    tt_push(t, "down_blocks.%d", (int)i);
    for (size_t j = 0; j < level->layers; j++) {
        x = tt_resnet_block(t, (int)j, x, temb, level->channels, resnets_of(c));
        if (level->down_attention)
            x = attention(t, c, level, j, level->down_transformers[j], x, context);
        skips->value[skips->count++] = x;
    }
    if (i + 1 < c->level_count) {
        x = tt_downsample(t, x, c->downsample_padding);
        skips->value[skips->count++] = x;
    }
    return tt_pop(t, x);
}

// UNetMidBlock2DCrossAttn, which never skips self-attention, and UNetMidBlock2D, which
// UNet2DConditionModel makes of no layers: x (N, C, H, W) -> (N, C, H, W).
static tt_value mid_block(struct tt_tape *t, const struct tt_unet_config *c, tt_value x,
                          tt_value temb, tt_value context) {
    const struct tt_unet_level *level = &c->level[c->level_count - 1];
    struct tt_transformer transformer = transformer_of(c, level, c->mid_transformers);
    struct tt_resnets resnets = resnets_of(c);
    transformer.only_cross_attention = false;
    resnets.divisor = c->mid_block_divisor;
    struct tt_resnets attends = resnets;
    attends.groups = c->mid_attention_groups;
    tt_push(t, "mid_block");
    x = tt_resnet_block(t, 0, x, temb, level->channels, resnets);
    if (c->mid_block == TT_MID_ONE) return tt_pop(t, x);
    if (!c->unconditional) x = tt_transformer_2d(t, 0, x, context, &transformer);
    else if (c->mid_attention) x = tt_pixel_attention(t, 0, x, level->head_dim, attends);
    x = tt_resnet_block(t, 1, x, temb, level->channels, resnets);
    return tt_pop(t, x);
}

// UpBlock2D, CrossAttnUpBlock2D and AttnUpBlock2D: x (N, C, H, W) -> (N, level's channels, 2H, 2W),
// the last one without doubling. Twice the size may be one too many; the size of what was left on
// the way down is always right.
static tt_value up_block(struct tt_tape *t, const struct tt_unet_config *c, size_t i, tt_value x,
                         tt_value temb, tt_value context, struct skips *skips) {
    const struct tt_unet_level *level = &c->level[c->level_count - 1 - i];
    tt_push(t, "up_blocks.%d", (int)i);
    for (size_t j = 0; j <= level->layers; j++) {
        x = tt_nn_concat(t, "cat", x, skips->value[--skips->count]); // (N, C + skip's, H, W)
        x = tt_resnet_block(t, (int)j, x, temb, level->channels, resnets_of(c));
        if (level->up_attention)
            x = attention(t, c, level, j, level->up_transformers[j], x, context);
    }
    if (i + 1 < c->level_count) {
        struct tt_shape size = tt_shape_of(t, skips->value[skips->count - 1]);
        x = tt_upsample(t, x, size.dim[2], size.dim[3]);
    }
    return tt_pop(t, x);
}

size_t tt_unet_multiple(const struct tt_unet_config *c) {
    return c->unconditional ? (size_t)1 << (c->level_count - 1) : 1;
}

struct tt_unet tt_unet_tape(struct tt_tape *t, const struct tt_unet_config *c, size_t n,
                            size_t height, size_t width, size_t tokens) {
    struct tt_unet u;
    size_t multiple = tt_unet_multiple(c);
    if (height % multiple || width % multiple)
        tt_tape_fail(t, "a %zux%zu sample does not halve evenly %zu times", height, width,
                     c->level_count - 1);
    u.sample = tt_nn_input(t, "sample", (struct tt_shape){4, {n, c->in_channels, height, width}},
                           TT_F32);
    u.timestep = tt_nn_input(t, "timestep", (struct tt_shape){1, {n}}, TT_F32);
    u.timestep_cond =
        c->time_cond_dim
            ? tt_nn_input(t, "timestep_cond", (struct tt_shape){2, {n, c->time_cond_dim}}, TT_F32)
            : TT_NO_VALUE;
    struct tt_shape text = {3, {n, tokens, c->cross_attention_dim}};
    u.encoder_hidden_states =
        c->unconditional ? TT_NO_VALUE : tt_nn_input(t, "encoder_hidden_states", text, TT_F32);
    u.text_embeds = u.time_ids = TT_NO_VALUE;
    tt_value temb = time_embedding(t, c, u.timestep, u.timestep_cond);
    if (c->added_dim) {
        struct tt_shape whole = {2, {n, tt_unet_text_embeds(c)}}, ids = {2, {n, c->time_ids}};
        u.text_embeds = tt_nn_input(t, "text_embeds", whole, TT_F32);
        u.time_ids = tt_nn_input(t, "time_ids", ids, TT_F32);
        temb = tt_nn_add(t, "augmented", temb, added_embedding(t, c, u.text_embeds, u.time_ids));
    }
    tt_value context = u.encoder_hidden_states;

    tt_value x = tt_same_conv(t, "conv_in", u.sample, c->level[0].channels, c->conv_in_kernel);
    struct skips skips = {.value = {x}, .count = 1};
    for (size_t i = 0; i < c->level_count; i++)
        x = down_block(t, c, i, x, temb, context, &skips);
    if (c->mid_block != TT_MID_NONE) x = mid_block(t, c, x, temb, context);
    for (size_t i = 0; i < c->level_count; i++)
        x = up_block(t, c, i, x, temb, context, &skips);

    x = tt_nn_group_norm(t, "conv_norm_out", x, c->groups, c->eps);
    x = tt_nn_activation(t, "conv_act", x, TT_OP_silu);
    x = tt_same_conv(t, "conv_out", x, c->out_channels, c->conv_out_kernel);
    u.out = tt_identity(t, "out", x);
    tt_set_output(t, u.out);
    return u;
}

// ---- as a part ----

static enum tt_status read(struct tt_json *json, void *config, struct tt_error *err) {
    return tt_unet_config_read(json, config, err);
}

static enum tt_status read_alone(struct tt_json *json, void *config, struct tt_error *err) {
    tt_json_put(json, "_class_name", "UNet2DModel", false); // also where nothing says it
    return tt_unet_config_read(json, config, err);
}

static void tell(const void *config, struct tt_facts *facts) {
    const struct tt_unet_config *c = config;
    facts->info.width = c->sample_width;
    facts->info.height = c->sample_height;
    facts->info.latent_channels = c->in_channels;
    facts->info.unet_levels = c->level_count;
    for (size_t i = 0; i < c->level_count; i++)
        facts->info.unet_channels[i] = c->level[i].channels;
    facts->info.guidance_width = c->time_cond_dim;
    facts->info.pooled_width = tt_unet_text_embeds(c);
    facts->info.time_ids = c->added_dim ? c->time_ids : 0;
    facts->context_width = c->cross_attention_dim;
    facts->predicted_channels = c->out_channels;
}

static void tape(struct tt_tape *t, const void *config, const struct tt_size *s) {
    tt_unet_tape(t, config, s->n, s->height, s->width, s->tokens);
}

static size_t multiple(const void *config) {
    return tt_unet_multiple(config);
}

const struct tt_part_network tt_network_unet = {
    .classes = "\"UNet2DConditionModel\"", .config_size = sizeof(struct tt_unet_config),
    .read = read, .tell = tell, .tape = tape, .multiple = multiple,
    .inputs = {{"sample", TT_F32, "NCHW", TT_ALWAYS}, {"timestep", TT_F32, "N", TT_ALWAYS},
               {"encoder_hidden_states", TT_F32, "NTD", TT_ALWAYS},
               {"timestep_cond", TT_F32, "NG", TT_OPTIONAL},
               {"text_embeds", TT_F32, "NP", TT_WHERE_READ},
               {"time_ids", TT_F32, "NI", TT_WHERE_READ}},
    .outputs = {{"out", TT_F32, "NCHW", TT_ALWAYS}},
};

const struct tt_part_network tt_network_unet_alone = {
    .classes = "\"UNet2DModel\"", .config_size = sizeof(struct tt_unet_config),
    .read = read_alone, .tell = tell, .tape = tape, .multiple = multiple,
    .inputs = {{"sample", TT_F32, "NCHW", TT_ALWAYS}, {"timestep", TT_F32, "N", TT_ALWAYS}},
    .outputs = {{"out", TT_F32, "NCHW", TT_ALWAYS}},
};
