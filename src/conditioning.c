// SPDX-License-Identifier: MIT
#include "conditioning.h"

#include <stdlib.h>
#include <string.h>

#include "generate_settings.h"
#include "wording.h"

// ---- tokens ----

// Says what of a text the model is not given: the bytes of what is behind the last of its `tokens`
// places but one, which has the end of text. As a whole the text takes `used` places.
static enum tt_status note_cut(const struct tt_session *session,
                               const struct tt_tokenizer *tokenizer, const char *what,
                               const char *text, size_t tokens, size_t used,
                               struct tt_error *err) {
    enum { SHOWN = 160 };
    size_t at = 0;
    char lost[SHOWN + 80] = "";
    int32_t *ids = malloc(used * sizeof *ids);
    if (!ids) return tt_fail(err, TT_SYSTEM, "out of memory for the prompt");
    enum tt_status status = tt_tokenizer_encode(tokenizer, text, ids, used, NULL, err);
    for (size_t i = tokens - 1; !status && i + 1 < used && at < SHOWN; i++) {
        tt_tokenizer_text(tokenizer, ids[i], lost + at, sizeof lost - at);
        at += strlen(lost + at);
    }
    if (!status)
        tt_note(&session->engine->notes, "%s: cut to %zu of %zu tokens, which is what the model "
                "takes; lost: '%.*s%s'", what, tokens, used, SHOWN, lost,
                at >= SHOWN ? "..." : "");
    free(ids);
    return status;
}

// *cut is how many tokens the text had before, where it was cut (and told) already.
static enum tt_status encode_text(const struct tt_session *session, enum tt_part part,
                                  const char *what, const char *text, int32_t *ids, size_t tokens,
                                  size_t *cut, struct tt_error *err) {
    const struct tt_tokenizer *tokenizer = tt_tokenizer_of(session->model, part);
    size_t used = 0;
    enum tt_status status = tt_tokenizer_encode(tokenizer, text, ids, tokens, &used, err);
    if (status || used <= tokens || used == *cut || !session->engine->notes.tell) return status;
    *cut = used;
    return note_cut(session, tokenizer, what, text, tokens, used, err);
}

// How many places a prompt takes: the model's, or its own tokens when they are neither cut nor
// padded; the negative prompt then takes as many, as in diffusers.
static enum tt_status count_tokens(const struct tt_session *session, const char *prompt,
                                   size_t *tokens, struct tt_error *err) {
    const struct tt_model *model = session->model;
    int32_t ends[2];
    size_t most = *tokens = model->info.tokens;
    if (!model->tokenizer || !tt_tokenizer_whole(model->tokenizer)) return TT_OK;
    enum tt_status status = tt_tokenizer_encode(model->tokenizer, prompt, ends, 2, tokens, err);
    if (!status && *tokens > most)
        return tt_fail(err, TT_BAD_INPUT, "prompt: found %zu tokens, expected at most %zu: "
                       "model_max_length of tokenizer/tokenizer_config.json is less than 2, so "
                       "that prompts are not cut", *tokens, most);
    return status;
}

// ---- text encoders ----

// Several texts for one encoder. hidden: (n, tokens, D); whole (n, P), of an encoder with a
// projection: what a whole text says, or NULL.
static enum tt_status call_encoder(struct tt_session *session, enum tt_part part, size_t n,
                                   size_t tokens, const int32_t *ids, float *hidden, float *whole,
                                   struct tt_error *err) {
    const struct tt_part_network *network = session->model->parts[part].network;
    struct tt_arrays arrays = {{ids}, {hidden}};
    for (size_t i = 1; network->outputs[i].name; i++)
        if (!strcmp(network->outputs[i].name, "text_embeds")) arrays.out[i] = whole;
    return tt_session_call(session, part, (struct tt_size){.n = n, .tokens = tokens}, &arrays, err);
}

// The rows of one encoder into those of all, which are `width` wide, beginning at column `at`.
static void put_beside(const float *rows, size_t count, size_t own, float *all, size_t width,
                       size_t at) {
    for (size_t i = 0; i < count; i++)
        memcpy(all + i * width + at, rows + i * own, own * sizeof *rows);
}

static size_t width_of(const struct tt_model *model, enum tt_part part) {
    return ((const struct tt_clip_config *)model->parts[part].config)->hidden_size;
}

// n texts by every encoder that the model has, side by side: data (n, tokens, D), whole (n, P).
static enum tt_status encode_all(struct tt_session *session, const char *const *texts, size_t n,
                                 size_t tokens, float *data, float *whole, struct tt_error *err) {
    static const char *const what[2] = {"negative prompt", "prompt"};
    const struct tt_model *model = session->model;
    size_t width = model->info.text_width, cut[2] = {0}, at = 0;
    int32_t *ids = malloc(n * tokens * sizeof *ids);
    float *rows = malloc(n * tokens * width * sizeof *rows);
    enum tt_status status = TT_OK;
    if (!ids || !rows) status = tt_fail(err, TT_SYSTEM, "out of memory for the prompt");
    for (enum tt_part part = 0; !status && part < TT_PARTS; part++) {
        if (!tt_tokenizer_of(model, part)) continue;
        size_t own = width_of(model, part);
        for (size_t i = 0; !status && i < n; i++)
            status = encode_text(session, part, what[2 - n + i], texts[i], ids + i * tokens, tokens,
                                 &cut[i], err);
        if (!status) status = call_encoder(session, part, n, tokens, ids, rows, whole, err);
        if (!status) put_beside(rows, n * tokens, own, data, width, at);
        at += own;
    }
    free(ids);
    free(rows);
    return status;
}

enum tt_status tt_encode(struct tt_session *session, const struct tt_settings *s,
                         struct tt_embeddings *embeddings, struct tt_error *err) {
    const struct tt_model *model = session->model;
    if (model->unconditional) {
        *embeddings = (struct tt_embeddings){.n = 1};
        return TT_OK;
    }
    if (!s->prompt) return tt_fail(err, TT_BAD_INPUT, "prompt: found none, expected a text");
    const char *const both[2] = {s->negative ? s->negative : "", s->prompt};
    size_t tokens;
    enum tt_status status = count_tokens(session, s->prompt, &tokens, err);
    if (status) return status;
    // As diffusers: nothing to guide away from, or a model that was taught the scale.
    size_t n = s->guidance_scale > 1 && !model->info.guidance_width ? 2 : 1;
    size_t zeros = n == 2 && !s->negative && model->force_zeros ? 1 : 0; // rows that are no text
    if (tt_wording_asked(s)) return tt_wording_encode(session, s, n, zeros, embeddings, err);
    size_t each = tokens * model->info.text_width, pooled = model->info.pooled_width;
    float *data = calloc(n * (each + pooled), sizeof *data);
    if (!data) return tt_fail(err, TT_SYSTEM, "out of memory for the prompt");
    status = encode_all(session, both + 2 - n + zeros, n - zeros, tokens, data + zeros * each,
                        pooled ? data + n * each + zeros * pooled : NULL, err);
    if (!status) *embeddings = (struct tt_embeddings){n, tokens, data};
    else free(data);
    return status;
}

enum tt_status tt_encode_prompt(struct tt_session *session, const struct tt_settings *settings,
                                struct tt_embeddings *embeddings, struct tt_error *err) {
    struct tt_settings s;
    enum tt_status status =
        session->model->second_stage
            ? tt_settings_check_refiner(session->model, settings, 0, 0, &s, err)
            : tt_settings_check(session->model, settings, &s, err);
    return status ? status : tt_encode(session, &s, embeddings, err);
}

void tt_embeddings_free(struct tt_embeddings *embeddings) {
    free(embeddings->data);
    *embeddings = (struct tt_embeddings){0};
}

// ---- what a call is told ----

void tt_condition(const struct tt_model *model, const struct tt_settings *s,
                  const struct tt_embeddings *embeddings, struct tt_conditions *c) {
    const struct tt_model_info *info = &model->info;
    *c = (struct tt_conditions){.embeddings = embeddings, .text_width = info->text_width,
                                .pooled_width = info->pooled_width, .time_ids = info->time_ids};
    const float towards[TT_TIME_IDS] = {
        (float)s->original_height, (float)s->original_width, (float)s->crop_top,
        (float)s->crop_left, (float)s->target_height, (float)s->target_width,
    }, away[TT_TIME_IDS] = {
        (float)s->negative_original_height, (float)s->negative_original_width,
        (float)s->negative_crop_top, (float)s->negative_crop_left,
        (float)s->negative_target_height, (float)s->negative_target_width,
    };
    memcpy(c->ids[0], away, sizeof away);
    memcpy(c->ids[1], towards, sizeof towards);
    if (info->time_ids >= TT_TIME_IDS) return;
    c->ids[0][4] = (float)s->negative_aesthetic_score; // in the target's place
    c->ids[1][4] = (float)s->aesthetic_score;
}

struct tt_told tt_conditions_of(const struct tt_conditions *c, size_t passes) {
    const struct tt_embeddings *e = c->embeddings;
    size_t each = e->tokens * c->text_width, skipped = e->n - passes;
    struct tt_told told = {.embeddings = each ? e->data + skipped * each : NULL}; // unconditional
    if (!c->pooled_width) return told;
    told.text_embeds = e->data + e->n * each + skipped * c->pooled_width;
    for (size_t i = 0; i < passes; i++)
        memcpy(told.time_ids + i * c->time_ids, c->ids[2 - passes + i],
               c->time_ids * sizeof *told.time_ids);
    return told;
}
