// SPDX-License-Identifier: MIT
#include "model/unet.h"

#include "model/config.h"

#include <string.h>

enum {
    LARGEST = 1 << 20, // of any number of channels
    MOST_BLOCKS = 512, // BasicTransformerBlocks in all; SDXL has 70
    MOST_DEPTH = 16,   // of one transformer; SDXL has 10
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

// How many BasicTransformerBlocks each of `count` transformers has: one number for all (NULL: 1),
// or a list. false: it is neither.
static bool read_depths(const json_t *value, size_t count, size_t *depths) {
    for (size_t j = 0; j < count; j++) {
        const json_t *one = json_is_array(value) ? json_array_get(value, j) : value;
        json_int_t depth = !value ? 1 : json_is_integer(one) ? json_integer_value(one) : -1;
        if (depth < 0 || depth > MOST_DEPTH) return false;
        depths[j] = (size_t)depth;
    }
    return !json_is_array(value) || json_array_size(value) == count;
}

// transformer_layers_per_block: one number, or one for each level, or for each transformer of a
// level; then the way up has a list of its own, from the coarsest level on, which others may have.
static void read_transformers(struct tt_json *json, struct tt_unet_config *c) {
    static const char down[] = "transformer_layers_per_block",
                      up[] = "reverse_transformer_layers_per_block";
    const json_t *ways[2] = {tt_json_value(json, down), tt_json_value(json, up)};
    size_t n = c->level_count, blocks = 0;
    bool reversed = tt_json_has(json, up), one = json_is_integer(ways[0]) || !ways[0];
    char found[80];
    if (!one && json_array_size(ways[0]) != n)
        tt_json_fail(json, down, "found %s, expected an integer from 0 to %d or a list of %zu",
                     tt_json_text(ways[0], found, sizeof found), MOST_DEPTH, n);
    if (reversed && json_array_size(ways[1]) != n)
        tt_json_fail(json, up, "found %s, expected null or a list of %zu",
                     tt_json_text(ways[1], found, sizeof found), n);
    for (size_t i = 0; i < n; i++) {
        struct tt_unet_level *level = &c->level[i];
        const json_t *of = one ? ways[0] : json_array_get(ways[0], i);
        const json_t *back = reversed ? json_array_get(ways[1], n - 1 - i) : of;
        if (!read_depths(of, level->layers, level->down_transformers))
            tt_json_fail(json, down, "found %s for level %zu, expected an integer from 0 to %d or "
                         "a list of %zu", tt_json_text(of, found, sizeof found), i, MOST_DEPTH,
                         level->layers);
        else if (json_is_array(back) && !reversed)
            tt_json_fail(json, down, "found %s for level %zu, expected an integer: a list needs "
                         "%s", tt_json_text(of, found, sizeof found), i, up);
        else if (!read_depths(back, level->layers + 1, level->up_transformers))
            tt_json_fail(json, up, "found %s for level %zu, expected an integer from 0 to %d or a "
                         "list of %zu", tt_json_text(back, found, sizeof found), i, MOST_DEPTH,
                         level->layers + 1);
        for (size_t j = 0; j < level->layers; j++) blocks += level->down_transformers[j];
        for (size_t j = 0; j <= level->layers; j++) blocks += level->up_transformers[j];
        c->mid_transformers = level->down_transformers[0]; // the last level's first
    }
    if (blocks > MOST_BLOCKS)
        tt_json_fail(json, down, "found %zu transformer blocks in all, expected at most %d", blocks,
                     MOST_BLOCKS);
}

// attention_head_dim of every level, and what only a text's transformers have.
static void read_attention(struct tt_json *json, struct tt_unet_config *c) {
    long heads[TT_UNET_LEVELS];
    size_t n = c->level_count;
    if (c->unconditional) {
        bool whole = tt_json_value(json, "attention_head_dim") &&
                     !tt_json_has(json, "attention_head_dim"); // null: one head of all channels
        long width = tt_json_int_or(json, "attention_head_dim", 8, 1, LARGEST);
        for (size_t i = 0; i < n; i++)
            c->level[i].head_dim = whole ? c->level[i].channels : (size_t)width;
        return;
    }
    tt_config_each(json, "attention_head_dim", 8, LARGEST, heads, n);
    for (size_t i = 0; i < n; i++) c->level[i].heads = (size_t)heads[i];
    read_transformers(json, c);
    read_only_cross(json, c);
}

static void read_levels(struct tt_json *json, struct tt_unet_config *c) {
    static const long of_text[TT_UNET_LEVELS] = {320, 640, 1280, 1280}, // the classes' defaults
        of_none[TT_UNET_LEVELS] = {224, 448, 672, 896};
    long channels[TT_UNET_LEVELS], layers[TT_UNET_LEVELS];
    size_t n = 4;
    bool down[TT_UNET_LEVELS], up[TT_UNET_LEVELS], plain = c->unconditional;
    memcpy(channels, plain ? of_none : of_text, sizeof channels);
    if (tt_json_has(json, "block_out_channels"))
        n = tt_json_ints(json, "block_out_channels", 1, LARGEST, channels, TT_UNET_LEVELS);
    c->level_count = n;
    if (plain) {
        layers[0] = tt_config_int(json, "layers_per_block", 2, 1, TT_UNET_LAYERS);
        for (size_t i = 1; i < n; i++) layers[i] = layers[0];
    } else {
        tt_config_each(json, "layers_per_block", 2, TT_UNET_LAYERS, layers, n);
    }
    for (size_t i = 0; i < n; i++) down[i] = plain ? i > 0 : i < 3, up[i] = plain ? i < 3 : i > 0;
    if (n != 4 || tt_json_has(json, "down_block_types"))
        read_types(json, "down_block_types", "DownBlock2D",
                   plain ? "AttnDownBlock2D" : "CrossAttnDownBlock2D", n, down);
    if (n != 4 || tt_json_has(json, "up_block_types"))
        read_types(json, "up_block_types", "UpBlock2D",
                   plain ? "AttnUpBlock2D" : "CrossAttnUpBlock2D", n, up);
    for (size_t i = 0; i < n; i++) {
        c->level[i] = (struct tt_unet_level){
            .channels = (size_t)channels[i],
            .layers = (size_t)layers[i],
            .down_attention = down[i],
            .up_attention = up[n - 1 - i],
        };
        if (channels[i] % (long)c->groups)
            tt_json_fail(json, "block_out_channels",
                         "found %ld, expected a multiple of norm_num_groups (%zu)", channels[i],
                         c->groups);
    }
    read_attention(json, c);
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
static void refuse_other_families(struct tt_json *json, bool unconditional) {
    static const struct tt_config_fixed both[] = {
        {"class_embed_type", "null"},
        {"num_class_embeds", "null"},
        {"time_embedding_type", "\"positional\""},
        {"center_input_sample", "false or null or 0"},
        {"resnet_time_scale_shift", "\"default\""},
        {"act_fn", "\"silu\" or \"swish\""},
        {"quantization_config", "null"},
    }, of_none[] = {
        {"mid_block_type", "\"UNetMidBlock2D\" or null"},
        {"downsample_type", "\"conv\" or null"},
        {"upsample_type", "\"conv\" or null"},
    }, of_text[] = {
        {"class_embeddings_concat", "false or null or 0"},
        {"encoder_hid_dim", "null"},
        {"encoder_hid_dim_type", "null"},
        {"time_embedding_act_fn", "null"},
        {"timestep_post_act", "null"},
        {"mid_block_type", "\"UNetMidBlock2DCrossAttn\" or \"UNetMidBlock2D\" or null"},
        {"dual_cross_attention", "false or null or 0"},
        {"attention_type", "\"default\" or null"},
        {"cross_attention_norm", "null"},
        {"num_attention_heads", "null"}, // diffusers refuses it, too; see attention_head_dim
        {"conv_in_kernel", "1 or 3"},
        {"conv_out_kernel", "1 or 3"},
    };
    for (size_t i = 0; i < sizeof both / sizeof *both; i++)
        tt_json_expect(json, both[i].key, both[i].values);
    for (size_t i = 0; unconditional && i < sizeof of_none / sizeof *of_none; i++)
        tt_json_expect(json, of_none[i].key, of_none[i].values);
    for (size_t i = 0; !unconditional && i < sizeof of_text / sizeof *of_text; i++)
        tt_json_expect(json, of_text[i].key, of_text[i].values);
}

// "text_time": the file says the width of all that is added, and of each number's part. 6 numbers
// are SDXL's (5 its refiner's), so that the rest is the text's.
static void read_added_embedding(struct tt_json *json, struct tt_unet_config *c) {
    static const char whole[] = "projection_class_embeddings_input_dim",
                      each[] = "addition_time_embed_dim";
    tt_json_expect(json, "addition_embed_type", "null or \"text_time\"");
    if (!tt_json_has(json, "addition_embed_type")) {
        tt_json_ignore(json, whole);
        tt_json_ignore(json, each);
        return;
    }
    c->added_time_dim = (size_t)tt_json_int(json, each, 2, LARGEST);
    c->added_dim = (size_t)tt_json_int(json, whole, 1, LARGEST);
    c->time_ids = 6 * c->added_time_dim < c->added_dim ? 6 : 5;
    if (c->time_ids * c->added_time_dim >= c->added_dim) {
        tt_json_fail(json, whole, "found %zu, expected more than 5 times %s (%zu)", c->added_dim,
                     each, c->added_time_dim);
        c->added_dim = 0;
    }
    if (!(c->freq_shift < (float)(c->added_time_dim / 2)))
        tt_json_fail(json, "freq_shift", "found %g, expected 0 to half of %s",
                     (double)c->freq_shift, each);
}

static void ignore_what_changes_nothing(struct tt_json *json, bool unconditional) {
    static const char *const of_text[] = {
        "upcast_attention", // float32 is what it asks for
        // of parts that are off, and of blocks of other types
        "addition_embed_type_num_heads", "mid_block_only_cross_attention",
        "resnet_out_scale_factor", "resnet_skip_time_act",
    };
    tt_config_dropout(json, "dropout");
    for (size_t i = 0; !unconditional && i < sizeof of_text / sizeof *of_text; i++)
        tt_json_ignore(json, of_text[i]);
    if (unconditional) tt_json_ignore(json, "num_train_timesteps"); // of a learned embedding
}

// plain: what "UNetMidBlock2D" is.
static int read_mid_block(struct tt_json *json, int plain) {
    const json_t *type = tt_json_value(json, "mid_block_type");
    if (!type) return TT_MID_WHOLE;
    if (json_is_null(type)) return TT_MID_NONE;
    const char *name = json_string_value(type);
    return name && !strcmp(name, "UNetMidBlock2D") ? plain : TT_MID_WHOLE;
}

// The keys of UNet2DConditionModel alone.
static void read_of_text(struct tt_json *json, struct tt_unet_config *c) {
    c->cross_attention_dim = read_cross_dim(json, c->level_count);
    c->time_cond_dim = (size_t)tt_json_int_or(json, "time_cond_proj_dim", 0, 4, LARGEST);
    c->conv_in_kernel = (size_t)tt_config_int(json, "conv_in_kernel", 3, 1, 3);
    c->conv_out_kernel = (size_t)tt_config_int(json, "conv_out_kernel", 3, 1, 3);
    c->linear_projection = tt_config_bool(json, "use_linear_projection", false);
    c->mid_block = read_mid_block(json, TT_MID_ONE);
    c->mid_attention = true;
}

// The keys of UNet2DModel alone.
static void read_of_none(struct tt_json *json, struct tt_unet_config *c) {
    size_t channels = c->level_count ? c->level[c->level_count - 1].channels : 0;
    c->conv_in_kernel = c->conv_out_kernel = 3;
    c->mid_block = read_mid_block(json, TT_MID_WHOLE);
    c->mid_attention = tt_config_bool(json, "add_attention", true);
    c->mid_attention_groups =
        (size_t)tt_json_int_or(json, "attn_norm_num_groups", (long)c->groups, 1, LARGEST);
    if (channels % c->mid_attention_groups)
        tt_json_fail(json, "attn_norm_num_groups",
                     "found %zu, expected a divisor of the last block_out_channels (%zu)",
                     c->mid_attention_groups, channels);
}

enum tt_status tt_unet_config_read(struct tt_json *json, struct tt_unet_config *c,
                                   struct tt_error *err) {
    static const char of_text[] = "UNet2DConditionModel", of_none[] = "UNet2DModel";
    *c = (struct tt_unet_config){0};
    tt_json_expect(json, "_class_name", "\"UNet2DConditionModel\" or \"UNet2DModel\"");
    c->unconditional = !strcmp(tt_json_string_or(json, "_class_name", of_text), of_none);
    long channels = c->unconditional ? 3 : 4;
    refuse_other_families(json, c->unconditional);
    ignore_what_changes_nothing(json, c->unconditional);
    c->in_channels = (size_t)tt_config_int(json, "in_channels", channels, 1, LARGEST);
    c->out_channels = (size_t)tt_config_int(json, "out_channels", channels, 1, LARGEST);
    c->groups = (size_t)tt_config_int(json, "norm_num_groups", 32, 1, LARGEST);
    c->eps = (float)tt_config_positive(json, "norm_eps", 1e-5);
    read_levels(json, c);
    if (c->unconditional) read_of_none(json, c);
    else read_of_text(json, c);
    c->time_embed_dim = (size_t)tt_json_int_or(json, "time_embedding_dim",
                                               4 * (long)c->level[0].channels, 1, 4 * LARGEST);
    c->flip_sin_to_cos = tt_config_bool(json, "flip_sin_to_cos", true);
    c->freq_shift = (float)tt_json_number_or(json, "freq_shift", 0);
    if (!(c->freq_shift >= 0 && c->freq_shift < (float)(c->level[0].channels / 2)))
        tt_json_fail(json, "freq_shift", "found %g, expected 0 to half of block_out_channels[0]",
                     (double)c->freq_shift);
    if (!c->unconditional) read_added_embedding(json, c);
    c->downsample_padding = (size_t)tt_config_int(json, "downsample_padding", 1, 0, 1);
    c->mid_block_divisor = (float)tt_config_positive(json, "mid_block_scale_factor", 1);
    tt_config_size(json, "sample_size", &c->sample_height, &c->sample_width);
    return tt_json_finish_noting(json, c->unconditional ? of_none : of_text, err);
}
