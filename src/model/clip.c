// SPDX-License-Identifier: MIT
#include "model/clip.h"

#include "model/blocks.h"
#include "model/config.h"
#include "model/part.h"

#include <math.h>
#include <string.h>

// CLIPTextEmbeddings: ids (N, T) -> (N, T, C).
static tt_value embeddings(struct tt_tape *t, const struct tt_clip_config *c, tt_value ids,
                           tt_value positions) {
    tt_push(t, "embeddings");
    tt_value x = tt_nn_embedding(t, "token_embedding", ids, c->vocab_size, c->hidden_size);
    tt_value p = tt_nn_embedding(t, "position_embedding", positions, c->max_positions,
                                 c->hidden_size); // (T, C)
    x = tt_nn_add(t, "add_position", x, p);
    return tt_pop(t, x);
}

// CLIPAttention: x (N, T, C) -> (N, T, C). Causal among its own tokens, whose keys and values go to
// *seen; `behind`: tokens that see those of *seen, all of them, and not one another.
static tt_value self_attention(struct tt_tape *t, const struct tt_clip_config *c, tt_value x,
                               struct tt_clip_seen *seen, bool behind) {
    tt_push(t, "self_attn");
    tt_value q = tt_nn_linear(t, "q_proj", x, c->hidden_size, true);
    if (!behind) {
        seen->k = tt_nn_linear(t, "k_proj", x, c->hidden_size, true);
        seen->v = tt_nn_linear(t, "v_proj", x, c->hidden_size, true);
    }
    float scale = (float)(1.0 / sqrt((double)c->hidden_size / (double)c->heads));
    x = tt_nn_attention(t, "attention", q, seen->k, seen->v, c->heads, scale, !behind);
    x = tt_nn_linear(t, "out_proj", x, c->hidden_size, true);
    return tt_pop(t, x);
}

// CLIPMLP: x (N, T, C) -> (N, T, C).
static tt_value mlp(struct tt_tape *t, const struct tt_clip_config *c, tt_value x) {
    tt_push(t, "mlp");
    x = tt_nn_linear(t, "fc1", x, c->intermediate_size, true);
    x = tt_nn_activation(t, "activation_fn", x, c->activation);
    x = tt_nn_linear(t, "fc2", x, c->hidden_size, true);
    return tt_pop(t, x);
}

tt_value tt_clip_layer(struct tt_tape *t, const struct tt_clip_config *c, size_t index, tt_value x,
                       struct tt_clip_seen *seen, bool behind) {
    tt_push_block(t, "layers.%d", (int)index);
    tt_value y = tt_nn_layer_norm(t, "layer_norm1", x, c->eps);
    y = self_attention(t, c, y, seen, behind);
    x = tt_nn_add(t, "residual", y, x);
    y = tt_nn_layer_norm(t, "layer_norm2", x, c->eps);
    y = mlp(t, c, y);
    x = tt_nn_add(t, "residual", y, x);
    return tt_pop(t, x);
}

// All but `context`. skip: the layers that `hidden` does without; all: it is the embeddings.
static struct tt_clip lay_out(struct tt_tape *t, const struct tt_clip_config *c, size_t n,
                              size_t tokens, size_t skip) {
    struct tt_clip v;
    if (tokens > c->max_positions)
        tt_tape_fail(t, "%zu tokens, but max_position_embeddings is %zu", tokens, c->max_positions);
    v.input_ids = tt_nn_input(t, "input_ids", (struct tt_shape){2, {n, tokens}}, TT_I32);
    v.position_ids = tt_nn_input(t, "position_ids", (struct tt_shape){1, {tokens}}, TT_I32);
    v.eos_index = tt_nn_input(t, "eos_index", (struct tt_shape){1, {n}}, TT_I32);

    tt_value x = embeddings(t, c, v.input_ids, v.position_ids);
    struct tt_clip_seen seen;
    v.hidden = skip == c->layers ? x : TT_NO_VALUE;
    tt_push(t, "encoder");
    for (size_t i = 0; i < c->layers; i++) {
        x = tt_clip_layer(t, c, i, x, &seen, false);
        if (i + 1 + skip == c->layers) v.hidden = x;
    }
    x = tt_pop(t, x);
    x = tt_nn_layer_norm(t, "final_layer_norm", x, c->eps);
    v.last_hidden_state = tt_identity(t, "last_hidden_state", x);
    v.context = TT_NO_VALUE;
    v.pooled = tt_nn_take_row(t, "pooled", v.last_hidden_state, v.eos_index);
    v.text_embeds = TT_NO_VALUE;
    if (c->projection) {
        x = tt_nn_linear(t, "text_projection", v.pooled, c->projection, false);
        v.text_embeds = tt_identity(t, "text_embeds", x);
    }
    tt_set_output(t, v.last_hidden_state);
    tt_set_output(t, v.pooled);
    tt_set_output(t, v.text_embeds);
    tt_set_output(t, v.hidden);
    return v;
}

struct tt_clip tt_clip_tape(struct tt_tape *t, const struct tt_clip_config *c, size_t n,
                            size_t tokens, size_t skip) {
    if (skip >= c->layers)
        tt_tape_fail(t, "cannot skip %zu of %zu layers", skip, c->layers);
    struct tt_clip v = lay_out(t, c, n, tokens, skip);
    v.context = skip ? tt_nn_layer_norm(t, "final_layer_norm", v.hidden, c->eps)
                     : v.last_hidden_state;
    tt_set_output(t, v.context);
    return v;
}

struct tt_clip tt_clip_tape_xl(struct tt_tape *t, const struct tt_clip_config *c, size_t n,
                               size_t tokens, size_t skip) {
    if (skip >= c->layers)
        tt_tape_fail(t, "cannot skip %zu of %zu layers", skip, c->layers);
    struct tt_clip v = lay_out(t, c, n, tokens, 1 + skip);
    v.context = tt_identity(t, "hidden_states", v.hidden);
    return v;
}

size_t tt_clip_end(const struct tt_clip_config *c, const int32_t *ids, size_t tokens) {
    size_t first = tokens, largest = 0;
    for (size_t i = 0; i < tokens; i++) {
        if (ids[i] == c->eos_token && first == tokens) first = i;
        if (ids[i] > ids[largest]) largest = i;
    }
    // A text without its end is pooled at its first row, as argmax over "is the end" does.
    if (first == tokens) first = 0;
    return c->eos_token == 2 ? largest : first;
}

enum tt_status tt_clip_prepare(const struct tt_clip_config *c, const int32_t *input_ids, size_t n,
                               size_t tokens, int32_t *position_ids, int32_t *eos_index,
                               struct tt_error *err) {
    for (size_t i = 0; i < tokens; i++) position_ids[i] = (int32_t)i;
    for (size_t row = 0; row < n; row++) {
        const int32_t *ids = input_ids + row * tokens;
        for (size_t i = 0; i < tokens; i++)
            if (ids[i] < 0 || (size_t)ids[i] >= c->vocab_size)
                return tt_fail(err, TT_BAD_INPUT,
                               "token id: found %d, expected 0 to vocab_size - 1 = %zu",
                               (int)ids[i], c->vocab_size - 1);
        eos_index[row] = (int32_t)tt_clip_end(c, ids, tokens);
    }
    return TT_OK;
}

// "architectures": a list with the name of the class. What names neither is CLIPTextModel's, as the
// library reads any file as what it is asked for.
static bool has_projection(struct tt_json *json) {
    const json_t *names = tt_json_value(json, "architectures");
    const char *name = json_string_value(json_array_get(names, 0));
    return name && !strcmp(name, "CLIPTextModelWithProjection");
}

static void ignore_what_changes_nothing(struct tt_json *json) {
    static const char *const keys[] = {
        "architectures", // of which text_config may have its own
        // only while training
        "initializer_factor", "initializer_range", "gradient_checkpointing",
        // notes of the writer, and what the tokenizer or the caller decides
        "dtype", "torch_dtype", "transformers_version", "bos_token_id", "pad_token_id",
        "return_dict", "output_attentions", "output_hidden_states", "use_cache", "is_decoder",
        "tie_word_embeddings", "torchscript", "use_bfloat16", "chunk_size_feed_forward",
        "is_encoder_decoder", "id2label", "label2id", "problem_type",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) tt_json_ignore(json, keys[i]);
}

// A file of the whole CLIPModel holds the text encoder's keys in "text_config".
static struct tt_json *text_part(struct tt_json *json) {
    struct tt_json *part =
        tt_json_has(json, "text_config") ? tt_json_child(json, "text_config", true) : NULL;
    if (!part) return json;
    tt_json_ignore(json, "model_type");
    return part;
}

enum tt_status tt_clip_config_read(struct tt_json *file, struct tt_clip_config *c,
                                   struct tt_error *err) {
    static const char *const activations[] = {"quick_gelu", "gelu", NULL};
    const long largest = 1 << 20;
    *c = (struct tt_clip_config){0};
    bool projection = has_projection(file);
    struct tt_json *json = text_part(file);
    const char *type = json_string_value(tt_json_value(json, "model_type"));
    if (type && strcmp(type, "clip_text_model"))
        tt_json_note(json, "model_type", "found \"%.60s\", read as clip_text_model", type);
    tt_json_expect(json, "quantization_config", "null");
    tt_config_dropout(json, "attention_dropout");
    tt_config_dropout(json, "dropout");
    ignore_what_changes_nothing(json);
    c->vocab_size = (size_t)tt_config_int(json, "vocab_size", 49408, 1, 1 << 28);
    c->max_positions = (size_t)tt_config_int(json, "max_position_embeddings", 77, 1, largest);
    c->hidden_size = (size_t)tt_config_int(json, "hidden_size", 512, 1, largest);
    c->intermediate_size = (size_t)tt_config_int(json, "intermediate_size", 2048, 1, largest);
    c->layers = (size_t)tt_config_int(json, "num_hidden_layers", 12, 1, 256);
    c->heads = (size_t)tt_config_int(json, "num_attention_heads", 8, 1, largest);
    if (c->hidden_size % c->heads)
        tt_json_fail(json, "num_attention_heads",
                     "found %zu, expected a divisor of hidden_size (%zu)", c->heads,
                     c->hidden_size);
    bool gelu =
        tt_json_value(json, "hidden_act") && tt_json_choice(json, "hidden_act", activations, -1);
    c->activation = gelu ? TT_OP_gelu : TT_OP_quick_gelu;
    c->eps = (float)tt_config_positive(json, "layer_norm_eps", 1e-5);
    c->eos_token = tt_config_int(json, "eos_token_id", 49407, 0, 1 << 28);
    if (projection) c->projection = (size_t)tt_json_int_or(json, "projection_dim", 512, 1, largest);
    else tt_json_ignore(json, "projection_dim");
    enum tt_status status = tt_json_finish_noting(json, "CLIPTextModel", err);
    return json == file || status ? status : tt_json_finish_noting(file, "CLIPTextModel", err);
}

// ---- as a part ----

static enum tt_status read(struct tt_json *json, void *config, struct tt_error *err) {
    return tt_clip_config_read(json, config, err);
}

static void tell(const void *config, struct tt_facts *facts) {
    const struct tt_clip_config *c = config;
    facts->info.tokens = c->max_positions;
    facts->info.text_width = c->hidden_size;
    facts->info.text_layers = c->layers;
}

// Of two encoders: each gives a part of the width, and a text has as many tokens as both take.
static void tell_one_of_two(const void *config, struct tt_facts *facts) {
    const struct tt_clip_config *c = config;
    struct tt_model_info *info = &facts->info;
    if (!info->tokens || c->max_positions < info->tokens) info->tokens = c->max_positions;
    if (!info->text_layers) info->text_layers = c->layers;
    info->text_width += c->hidden_size;
    facts->projection = c->projection; // the second one's, which is read last
}

static void tape(struct tt_tape *t, const void *config, const struct tt_size *s) {
    tt_clip_tape(t, config, s->n, s->tokens, 0);
}

static void tape_xl(struct tt_tape *t, const void *config, const struct tt_size *s) {
    tt_clip_tape_xl(t, config, s->n, s->tokens, 0);
}

static size_t longest(const void *config) {
    return ((const struct tt_clip_config *)config)->max_positions;
}

static enum tt_status derive(const void *config, const struct tt_size *s, const void *const *given,
                             void *const *made, struct tt_error *err) {
    return tt_clip_prepare(config, given[0], s->n, s->tokens, made[0], made[1], err);
}

const struct tt_part_network tt_network_clip = {
    .classes = "\"CLIPTextModel\" or \"CLIPTextModelWithProjection\"", .transformers = true,
    .config_size = sizeof(struct tt_clip_config), .read = read, .tell = tell, .tape = tape,
    .longest = longest,
    .inputs = {{"input_ids", TT_I32, "NT", TT_ALWAYS}},
    .outputs = {{"last_hidden_state", TT_F32, "NTD", TT_ALWAYS},
                {"pooled", TT_F32, "ND", TT_ALWAYS},
                {"text_embeds", TT_F32, "NP", TT_OPTIONAL}},
    .derived = {"position_ids", "eos_index"}, .derive = derive,
};

// SDXL's two: what the U-Net attends to is "hidden_states", both side by side.
const struct tt_part_network tt_network_clip_first = {
    .classes = "\"CLIPTextModel\"", .transformers = true,
    .config_size = sizeof(struct tt_clip_config), .read = read, .tell = tell_one_of_two,
    .tape = tape_xl, .longest = longest,
    .inputs = {{"input_ids", TT_I32, "NT", TT_ALWAYS}},
    .outputs = {{"hidden_states", TT_F32, "NTD", TT_ALWAYS},
                {"last_hidden_state", TT_F32, "NTD", TT_ALWAYS},
                {"pooled", TT_F32, "ND", TT_ALWAYS}},
    .derived = {"position_ids", "eos_index"}, .derive = derive,
};

const struct tt_part_network tt_network_clip_second = {
    .classes = "\"CLIPTextModelWithProjection\"", .transformers = true,
    .config_size = sizeof(struct tt_clip_config), .read = read, .tell = tell_one_of_two,
    .tape = tape_xl, .longest = longest,
    .inputs = {{"input_ids", TT_I32, "NT", TT_ALWAYS}},
    .outputs = {{"hidden_states", TT_F32, "NTD", TT_ALWAYS},
                {"last_hidden_state", TT_F32, "NTD", TT_ALWAYS},
                {"pooled", TT_F32, "ND", TT_ALWAYS}, {"text_embeds", TT_F32, "NP", TT_OPTIONAL}},
    .derived = {"position_ids", "eos_index"}, .derive = derive,
};
