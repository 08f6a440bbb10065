// SPDX-License-Identifier: MIT
#include "model/clip_words.h"

#include "model/blocks.h"

// Vectors in the place of token embeddings, and their positions.
static tt_value embed(struct tt_tape *t, const struct tt_clip_config *c, tt_value x,
                      tt_value positions) {
    tt_push(t, "embeddings");
    tt_value p = tt_nn_embedding(t, "position_embedding", positions, c->max_positions,
                                 c->hidden_size); // (T, C)
    x = tt_nn_add(t, "add_position", x, p);
    return tt_pop(t, x);
}

static tt_value vectors(struct tt_tape *t, const struct tt_clip_config *c, const char *name,
                        size_t n, size_t tokens) {
    return tt_nn_input(t, name, (struct tt_shape){3, {n, tokens, c->hidden_size}}, TT_F32);
}

static tt_value numbers(struct tt_tape *t, const char *name, size_t count) {
    return tt_nn_input(t, name, (struct tt_shape){1, {count}}, TT_I32);
}

// After so many layers is what is asked for.
static size_t layers_of(struct tt_tape *t, const struct tt_clip_words *w) {
    if (w->skip < w->clip.layers) return w->clip.layers - w->skip - w->xl;
    tt_tape_fail(t, "cannot skip %zu of %zu layers", w->skip, w->clip.layers);
    return 0;
}

static void lookup(struct tt_tape *t, const void *config, const struct tt_size *s) {
    const struct tt_clip_config *c = &((const struct tt_clip_words *)config)->clip;
    tt_value ids = tt_nn_input(t, "input_ids", (struct tt_shape){2, {s->n, s->tokens}}, TT_I32);
    tt_push(t, "embeddings");
    tt_value x = tt_nn_embedding(t, "token_embedding", ids, c->vocab_size, c->hidden_size);
    tt_identity(t, "inputs_embeds", tt_pop(t, x));
}

static void whole(struct tt_tape *t, const void *config, const struct tt_size *s) {
    const struct tt_clip_words *w = config;
    const struct tt_clip_config *c = &w->clip;
    size_t count = layers_of(t, w);
    struct tt_clip_seen seen;
    tt_value x = vectors(t, c, "inputs_embeds", s->n, s->tokens), hidden;
    tt_value positions = numbers(t, "position_ids", s->tokens);
    tt_value end = numbers(t, "eos_index", s->n);
    hidden = x = embed(t, c, x, positions);
    tt_push(t, "encoder");
    for (size_t i = 0; i < c->layers; i++) {
        x = tt_clip_layer(t, c, i, x, &seen, false);
        if (i + 1 == count) hidden = x;
    }
    x = tt_pop(t, x);
    x = tt_nn_layer_norm(t, "final_layer_norm", x, c->eps);
    if (!w->xl)
        hidden = count == c->layers ? x : tt_nn_layer_norm(t, "final_layer_norm", hidden, c->eps);
    tt_identity(t, "context", hidden);
    x = tt_nn_take_row(t, "pooled", x, end);
    if (c->projection)
        tt_identity(t, "text_embeds",
                    tt_nn_linear(t, "text_projection", x, c->projection, false));
}

static void behind(struct tt_tape *t, const void *config, const struct tt_size *s) {
    const struct tt_clip_words *w = config;
    const struct tt_clip_config *c = &w->clip;
    size_t count = layers_of(t, w);
    struct tt_clip_seen seen;
    tt_value x = vectors(t, c, "inputs_embeds", s->n, w->seen);
    tt_value positions = numbers(t, "position_ids", w->seen);
    tt_value y = vectors(t, c, "hidden_embeds", s->n, s->tokens);
    tt_value hidden_positions = numbers(t, "hidden_ids", s->tokens);
    x = embed(t, c, x, positions);
    y = embed(t, c, y, hidden_positions);
    tt_push(t, "encoder");
    for (size_t i = 0; i < count; i++) {
        x = tt_clip_layer(t, c, i, x, &seen, false);
        y = tt_clip_layer(t, c, i, y, &seen, true);
    }
    y = tt_pop(t, y);
    if (!w->xl) y = tt_nn_layer_norm(t, "final_layer_norm", y, c->eps);
    tt_identity(t, "context", y);
}

const struct tt_part_network tt_network_clip_lookup = {
    .config_size = sizeof(struct tt_clip_words), .tape = lookup,
    .inputs = {{"input_ids", TT_I32, "NT", TT_ALWAYS}},
    .outputs = {{"inputs_embeds", TT_F32, "NTD", TT_ALWAYS}},
};

const struct tt_part_network tt_network_clip_vectors = {
    .config_size = sizeof(struct tt_clip_words), .tape = whole,
    .inputs = {{"inputs_embeds", TT_F32, "NTD", TT_ALWAYS},
               {"position_ids", TT_I32, "T", TT_ALWAYS}, {"eos_index", TT_I32, "N", TT_ALWAYS}},
    .outputs = {{"context", TT_F32, "NTD", TT_ALWAYS}, {"pooled", TT_F32, "ND", TT_ALWAYS},
                {"text_embeds", TT_F32, "NP", TT_OPTIONAL}},
};

const struct tt_part_network tt_network_clip_behind = {
    .config_size = sizeof(struct tt_clip_words), .tape = behind,
    .inputs = {{"inputs_embeds", TT_F32, "NSD", TT_ALWAYS},
               {"position_ids", TT_I32, "S", TT_ALWAYS},
               {"hidden_embeds", TT_F32, "NTD", TT_ALWAYS},
               {"hidden_ids", TT_I32, "T", TT_ALWAYS}},
    .outputs = {{"context", TT_F32, "NTD", TT_ALWAYS}},
};
