// SPDX-License-Identifier: MIT
#include "wording_texts.h"

#include <stdlib.h>
#include <string.h>

#include "generate_settings.h"

// The tokenizer of the first encoder that the model has.
static const struct tt_tokenizer *tokenizer_of(const struct tt_model *model) {
    return model->tokenizer ? model->tokenizer : model->tokenizer_2;
}

enum tt_status tt_wording_open(const struct tt_model *model, const struct tt_engine *engine,
                               const struct tt_settings *s, struct tt_inversions *list,
                               struct tt_error *err) {
    *list = (struct tt_inversions){
        .tokenizer = tokenizer_of(model), .files = engine->files, .notes = &engine->notes,
        .longest = model->info.tokens - 2, .by_tokens = s->prompt_syntax == TT_PROMPT_WEBUI,
        .as_typed = s->prompt_syntax == TT_PROMPT_PLAIN};
    if (tt_tokenizer_whole(list->tokenizer))
        return tt_fail(err, TT_BAD_INPUT, "prompt: found a syntax other than plain, layers to "
                       "leave out or embeddings, expected none: model_max_length of "
                       "tokenizer/tokenizer_config.json is less than 2, so that prompts of %s are "
                       "neither cut nor padded", model->info.name);
    for (enum tt_part part = 0; part < TT_PARTS; part++) {
        const struct tt_clip_config *clip = model->parts[part].config;
        if (tt_tokenizer_of(model, part)) list->widths[part != TT_PART_TEXT] = clip->hidden_size;
    }
    enum tt_status status = TT_OK;
    for (size_t i = 0; i < s->inversion_count && !status; i++) {
        const struct tt_inversion_file *file = &s->inversions[i];
        status = tt_inversions_add(list, file->path, file->word, file->sha256, err);
    }
    if (!status && s->inversion_folder)
        status = tt_inversions_add_folder(list, s->inversion_folder, err);
    return status ? status : tt_inversions_ready(list, err);
}

struct tt_chunker tt_wording_chunker(const char *what, const struct tt_tokenizer *tokenizer,
                                     struct tt_inversions *inversions, size_t length) {
    return (struct tt_chunker){what, tokenizer, inversions, length, TT_IMAGE_SIDE / length};
}

// ---- a look at the prompts ----

static enum tt_status look_webui(const struct tt_chunker *chunker, const char *text,
                                 struct tt_error *err) {
    struct tt_fragments list;
    struct tt_chunks chunks = {0};
    enum tt_status status = tt_prompt_webui(chunker->what, text, &list, err);
    if (status) return status;
    status = tt_chunks_webui(chunker, &list, &chunks, err);
    tt_chunks_free(&chunks);
    tt_fragments_free(&list);
    return status;
}

static enum tt_status look_compel(const struct tt_chunker *chunker, const char *text,
                                  struct tt_error *err) {
    struct tt_compel prompt;
    enum tt_status status = tt_prompt_compel(chunker->what, text, &prompt, err);
    if (status) return status;
    for (size_t i = 0; i < prompt.count && !status; i++)
        for (size_t j = 0; j < prompt.parts[i].count && !status; j++) {
            struct tt_chunks chunks = {0};
            status = tt_chunks_compel(chunker, &prompt.parts[i].texts[j], &chunks, err);
            tt_chunks_free(&chunks);
        }
    tt_compel_free(&prompt);
    return status;
}

static enum tt_status look(const struct tt_chunker *chunker, int syntax, const char *text,
                           struct tt_error *err) {
    struct tt_ids ids = {0};
    if (syntax == TT_PROMPT_WEBUI) return look_webui(chunker, text, err);
    if (syntax == TT_PROMPT_COMPEL) return look_compel(chunker, text, err);
    enum tt_status status =
        tt_inversions_encode(chunker->inversions, chunker->tokenizer, text, &ids, err);
    free(ids.data);
    return status;
}

static int by_first(const void *a, const void *b) {
    const struct tt_inversion *const *x = a, *const *y = b;
    return ((*x)->first > (*y)->first) - ((*x)->first < (*y)->first);
}

static enum tt_status tell(const struct tt_inversions *inversions, struct tt_inversion_info **out,
                           size_t *count, struct tt_error *err) {
    size_t n = 0;
    const struct tt_inversion **used = calloc(inversions->count + 1, sizeof *used);
    struct tt_inversion_info *list = NULL;
    for (size_t i = 0; used && i < inversions->count; i++)
        if (inversions->data[i].used) used[n++] = &inversions->data[i];
    if (used) list = calloc(n + 1, sizeof *list);
    bool good = list != NULL;
    if (good) qsort(used, n, sizeof *used, by_first);
    for (size_t i = 0; good && i < n; i++) {
        list[i].path = strdup(used[i]->path);
        list[i].word = strdup(used[i]->word);
        memcpy(list[i].sha256, used[i]->digest, sizeof list[i].sha256);
        good = list[i].path && list[i].word;
    }
    free(used);
    if (!good) {
        if (list) tt_inversion_info_free(list, n);
        return tt_fail(err, TT_SYSTEM, "out of memory for embeddings");
    }
    *out = list;
    *count = n;
    return TT_OK;
}

enum tt_status tt_settings_inversions(const struct tt_model *model,
                                      const struct tt_settings *settings,
                                      struct tt_inversion_info **out, size_t *count,
                                      struct tt_error *err) {
    struct tt_settings s;
    struct tt_inversions inversions = {0};
    enum tt_status status = tt_settings_check(model, settings, &s, err);
    if (status) return status;
    if (!tt_wording_asked(&s)) return tell(&inversions, out, count, err);
    status = tt_wording_open(model, model->engine, &s, &inversions, err);
    const char *const texts[2] = {s.negative, s.prompt};
    static const char *const what[2] = {"negative prompt", "prompt"};
    for (size_t i = 0; i < 2 && !status; i++) {
        const struct tt_chunker chunker =
            tt_wording_chunker(what[i], inversions.tokenizer, &inversions, model->info.tokens);
        if (texts[i]) status = look(&chunker, s.prompt_syntax, texts[i], err);
    }
    if (!status) status = tell(&inversions, out, count, err);
    tt_inversions_free(&inversions);
    return status;
}

void tt_inversion_info_free(struct tt_inversion_info *list, size_t count) {
    for (size_t i = 0; list && i < count; i++) {
        free(list[i].path);
        free(list[i].word);
    }
    free(list);
}
