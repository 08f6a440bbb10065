// SPDX-License-Identifier: MIT
#include "model/unet.h"

#include "model/config.h"

#include <string.h>

enum {
    LARGEST = 1 << 20, // of any number of channels
    MOST_BLOCKS = 512, // BasicTransformerBlocks in all; SDXL has 70
};

// A list with one name per level, each one of two; the answer is whether it was the second.
static void read_types(struct tt_json *json, const char *key, const char *plain,
                       const char *attending, size_t levels, bool *attends) {
    const char *names[TT_UNET_LEVELS] = {0};
    size_t count = tt_json_strings(json, key, names, TT_UNET_LEVELS);
    if (count != levels) {
        tt_json_fail(json, key, "found %zu blocks, expected %zu, one per block_out_channels", count,
                     levels);
        return;
    }
    for (size_t i = 0; i < levels; i++) {
        attends[i] = !strcmp(names[i], attending);
        if (!attends[i] && strcmp(names[i], plain))
            tt_json_fail(json, key, "found \"%s\", expected \"%s\" or \"%s\"", names[i], plain,
                         attending);
    }
}

// One boolean, or one per level.
static void read_only_cross(struct tt_json *json, struct tt_unet_config *c) {
    const json_t *value = tt_json_value(json, "only_cross_attention");
    size_t length = json_array_size(value);
    bool good = !value || json_is_boolean(value) || length == c->level_count;
    for (size_t i = 0; i < c->level_count && good; i++) {
        const json_t *one = json_is_array(value) ? json_array_get(value, i) : value;
        good = !one || json_is_boolean(one);
        c->level[i].only_cross_attention = json_is_true(one);
    }
    char found[80];
    if (!good)
        tt_json_fail(json, "only_cross_attention", "found %s, expected a boolean or a list of %zu",
                     tt_json_text(value, found, sizeof found), c->level_count);
}

static void read_levels(struct tt_json *json, struct tt_unet_config *c) {
    long channels[TT_UNET_LEVELS] = {320, 640, 1280, 1280}, layers[TT_UNET_LEVELS],
         heads[TT_UNET_LEVELS], transformers[TT_UNET_LEVELS];
    size_t n = 4;
    if (tt_json_has(json, "block_out_channels"))
        n = tt_json_ints(json, "block_out_channels", 1, LARGEST, channels, TT_UNET_LEVELS);
    c->level_count = n;
    tt_config_each(json, "layers_per_block", 2, TT_UNET_LAYERS, layers, n);
    tt_config_each(json, "attention_head_dim", 8, LARGEST, heads, n);
    tt_config_each(json, "transformer_layers_per_block", 1, 16, transformers, n);
    long blocks = 0;
    for (size_t i = 0; i < n; i++) blocks += (2 * layers[i] + 1) * transformers[i];
    if (blocks > MOST_BLOCKS)
        tt_json_fail(json, "transformer_layers_per_block",
                     "found %ld transformer blocks in all, expected at most %d", blocks,
                     MOST_BLOCKS);
    bool down[TT_UNET_LEVELS], up[TT_UNET_LEVELS];
    for (size_t i = 0; i < n; i++) down[i] = i < 3, up[i] = i > 0; // the class's defaults
    if (n != 4 || tt_json_has(json, "down_block_types"))
        read_types(json, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D", n, down);
    if (n != 4 || tt_json_has(json, "up_block_types"))
        read_types(json, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D", n, up);
    for (size_t i = 0; i < n; i++) {
        c->level[i] = (struct tt_unet_level){
            .channels = (size_t)channels[i],
            .layers = (size_t)layers[i],
            .down_attention = down[i],
            .up_attention = up[n - 1 - i],
            .heads = (size_t)heads[i],
            .transformer_layers = (size_t)transformers[i],
        };
        if (channels[i] % (long)c->groups)
            tt_json_fail(json, "block_out_channels",
                         "found %ld, expected a multiple of norm_num_groups (%zu)", channels[i],
                         c->groups);
    }
    read_only_cross(json, c);
}

// One number for all levels: a list must repeat it, since there is one text encoder.
static size_t read_cross_dim(struct tt_json *json, size_t levels) {
    long dim[TT_UNET_LEVELS];
    tt_config_each(json, "cross_attention_dim", 1280, LARGEST, dim, levels);
    for (size_t i = 1; i < levels; i++)
        if (dim[i] != dim[0])
            tt_json_fail(json, "cross_attention_dim",
                         "found %ld and %ld, expected the same on every level", dim[0], dim[i]);
    return (size_t)dim[0];
}

// Keys for networks of other families: the value that switches their part off, or nothing else.
static void refuse_other_families(struct tt_json *json) {
    static const struct tt_config_fixed fixed[] = {
        {"_class_name", "\"UNet2DConditionModel\""},
        {"class_embed_type", "null"},
        {"num_class_embeds", "null"},
        {"class_embeddings_concat", "false"},
        {"encoder_hid_dim", "null"},
        {"encoder_hid_dim_type", "null"},
        {"time_embedding_type", "\"positional\""},
        {"time_embedding_act_fn", "null"},
        {"timestep_post_act", "null"},
        {"mid_block_type", "\"UNetMidBlock2DCrossAttn\""},
        {"center_input_sample", "false"},
        {"dual_cross_attention", "false"},
        {"attention_type", "\"default\""},
        {"cross_attention_norm", "null"},
        {"num_attention_heads", "null"}, // diffusers refuses it, too; see attention_head_dim
        {"reverse_transformer_layers_per_block", "null"},
        {"resnet_time_scale_shift", "\"default\""},
        {"resnet_skip_time_act", "false"},
        {"act_fn", "\"silu\" or \"swish\""},
    };
    char found[80];
    if (tt_json_has(json, "addition_embed_type"))
        tt_json_fail(json, "addition_embed_type",
                     "found %s, expected null: added embeddings, as SDXL has them, are not "
                     "supported yet",
                     tt_json_text(tt_json_value(json, "addition_embed_type"), found, sizeof found));
    tt_json_ignore(json, "addition_embed_type");
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        tt_json_expect(json, fixed[i].key, fixed[i].values);
}

static void ignore_what_changes_nothing(struct tt_json *json) {
    static const char *const keys[] = {
        "dropout",          // only while training
        "upcast_attention", // float32 is what it asks for
        // of parts that are off
        "addition_time_embed_dim", "addition_embed_type_num_heads",
        "projection_class_embeddings_input_dim", "mid_block_only_cross_attention",
        "resnet_out_scale_factor",
        // notes of an averaging trainer
        "decay", "inv_gamma", "min_decay", "optimization_step", "power", "update_after_step",
        "use_ema_warmup",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) tt_json_ignore(json, keys[i]);
}

enum tt_status tt_unet_config_read(struct tt_json *json, struct tt_unet_config *c,
                                   struct tt_error *err) {
    *c = (struct tt_unet_config){0};
    refuse_other_families(json);
    ignore_what_changes_nothing(json);
    c->in_channels = (size_t)tt_config_int(json, "in_channels", 4, 1, LARGEST);
    c->out_channels = (size_t)tt_config_int(json, "out_channels", 4, 1, LARGEST);
    c->groups = (size_t)tt_config_int(json, "norm_num_groups", 32, 1, LARGEST);
    c->eps = (float)tt_config_positive(json, "norm_eps", 1e-5);
    read_levels(json, c);
    c->cross_attention_dim = read_cross_dim(json, c->level_count);
    c->time_embed_dim = (size_t)tt_json_int_or(json, "time_embedding_dim",
                                               4 * (long)c->level[0].channels, 1, 4 * LARGEST);
    c->time_cond_dim = (size_t)tt_json_int_or(json, "time_cond_proj_dim", 0, 4, LARGEST);
    c->flip_sin_to_cos = tt_config_bool(json, "flip_sin_to_cos", true);
    c->freq_shift = (float)tt_json_number_or(json, "freq_shift", 0);
    if (!(c->freq_shift >= 0 && c->freq_shift < (float)(c->level[0].channels / 2)))
        tt_json_fail(json, "freq_shift", "found %g, expected 0 to half of block_out_channels[0]",
                     (double)c->freq_shift);
    c->downsample_padding = (size_t)tt_config_int(json, "downsample_padding", 1, 0, 1);
    tt_json_expect(json, "conv_in_kernel", "1 or 3");
    tt_json_expect(json, "conv_out_kernel", "1 or 3");
    c->conv_in_kernel = (size_t)tt_config_int(json, "conv_in_kernel", 3, 1, 3);
    c->conv_out_kernel = (size_t)tt_config_int(json, "conv_out_kernel", 3, 1, 3);
    c->mid_block_divisor = (float)tt_config_positive(json, "mid_block_scale_factor", 1);
    c->linear_projection = tt_config_bool(json, "use_linear_projection", false);
    tt_config_size(json, "sample_size", &c->sample_height, &c->sample_width);
    return tt_json_finish(json, err);
}
