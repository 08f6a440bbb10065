// SPDX-License-Identifier: MIT
#include "wording.h"

#include <math.h>
#include <sleef.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "wording_encoder.h"
#include "wording_texts.h"

static enum tt_status out_of_memory(struct tt_error *err) {
    return tt_fail(err, TT_SYSTEM, "out of memory for the prompt");
}

// The rows of a text: (chunks, length, width).
struct rows {
    float *data;
    size_t chunks;
};

// One text, and the encoder that it is for.
struct text {
    struct tt_wording_encoder *e;
    const char *what, *text;
    struct tt_chunker chunker;
};

static size_t chunk_size(const struct text *t) {
    return t->e->length * t->e->width;
}

// Room for more chunks behind those that there are; the first of them, or NULL.
static float *more(const struct text *t, struct rows *rows, size_t chunks, struct tt_error *err) {
    size_t each = chunk_size(t);
    float *data = realloc(rows->data, (rows->chunks + chunks) * each * sizeof *data);
    if (!data) {
        out_of_memory(err);
        return NULL;
    }
    rows->data = data;
    rows->chunks += chunks;
    return data + (rows->chunks - chunks) * each;
}

// An empty text.
static enum tt_status encode_empty(const struct text *t, float *z, struct tt_error *err) {
    const struct tt_tokenizer *tokenizer = t->e->tokenizer;
    int32_t *ids = malloc(t->e->length * sizeof *ids);
    if (!ids) return out_of_memory(err);
    enum tt_status status =
        tt_tokenizer_encode(tokenizer, "", ids, t->e->length, NULL, err);
    if (!status) status = tt_wording_encode_chunk(t->e, ids, z, NULL, err);
    free(ids);
    return status;
}

// ---- plain ----

// What is cut off, in words.
static void note_cut(const struct text *t, const struct tt_ids *ids, size_t kept) {
    enum { SHOWN = 160 };
    char lost[SHOWN + 80] = "";
    size_t at = 0;
    for (size_t i = kept; i < ids->count && at < SHOWN; i++) {
        if (ids->data[i] >= TT_INVERSION_ID) continue;
        tt_tokenizer_text(t->e->tokenizer, ids->data[i], lost + at, sizeof lost - at);
        at += strlen(lost + at);
    }
    tt_note(&t->e->session->engine->notes, "%s: cut to %zu of %zu tokens, which is what the model "
            "takes; lost: '%.*s%s'", t->what, kept + 2, ids->count + 2, SHOWN, lost,
            at >= SHOWN ? "..." : "");
}

// The ids of a text as one chunk, cut.
static enum tt_status one_chunk(const struct text *t, bool tell, int32_t *chunk,
                                struct tt_error *err) {
    struct tt_ids ids = {0};
    size_t room = t->e->length - 2;
    const struct tt_tokenizer *tokenizer = t->e->tokenizer;
    enum tt_status status =
        tt_inversions_encode(t->e->inversions, tokenizer, t->text, &ids, err);
    size_t kept = ids.count < room ? ids.count : room;
    if (!status && tell && kept < ids.count) note_cut(t, &ids, kept);
    if (!status) status = tt_tokenizer_encode(tokenizer, "", chunk, t->e->length, NULL, err);
    if (!status && kept) memcpy(chunk + 1, ids.data, kept * sizeof *chunk);
    if (!status) chunk[1 + kept] = tt_tokenizer_end(tokenizer);
    free(ids.data);
    return status;
}

static enum tt_status encode_plain(const struct text *t, struct rows *rows, float *whole,
                                   struct tt_error *err) {
    int32_t *ids = malloc(t->e->length * sizeof *ids);
    float *z = ids ? more(t, rows, 1, err) : NULL;
    enum tt_status status = z ? TT_OK : out_of_memory(err);
    if (!status) status = one_chunk(t, !t->e->slot, ids, err);
    if (!status) status = tt_wording_encode_chunk(t->e, ids, z, whole, err);
    free(ids);
    return status;
}

// ---- webui ----

static double mean(const float *z, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += z[i];
    return sum / (double)n;
}

// sd_emphasis.py, EmphasisOriginal: each row times its weight, then all times what gives the chunk
// its old mean.
static enum tt_status emphasise(const struct text *t, const float *weights, float *z,
                                struct tt_error *err) {
    size_t n = chunk_size(t), bad;
    bool plain = true;
    for (size_t i = 0; i < t->e->length; i++) plain &= !(weights[i] < 1) && !(weights[i] > 1);
    if (plain) return TT_OK;
    double before = mean(z, n);
    for (size_t i = 0; i < n; i++) z[i] *= weights[i / t->e->width];
    float ratio = (float)(before / mean(z, n));
    for (size_t i = 0; i < n; i++) z[i] *= ratio;
    if (!tt_count_not_finite(z, n, &bad)) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: its weights leave embeddings of mean 0, which cannot be "
                   "brought back to that of before, expected others", t->what);
}

static enum tt_status encode_webui(const struct text *t, struct rows *rows, float *whole,
                                   struct tt_error *err) {
    struct tt_fragments list;
    struct tt_chunks chunks = {0};
    enum tt_status status = tt_prompt_webui(t->what, t->text, &list, err);
    if (status) return status;
    status = tt_chunks_webui(&t->chunker, &list, &chunks, err);
    float *z = status ? NULL : more(t, rows, chunks.count, err);
    if (!status && !z) status = TT_SYSTEM;
    for (size_t i = 0; i < chunks.count && !status; i++) {
        float *own = z + i * chunk_size(t);
        status = tt_wording_encode_chunk(t->e, chunks.ids + i * chunks.length, own,
                                       i ? NULL : whole, err); // the first says it for all
        if (!status) status = emphasise(t, chunks.weights + i * chunks.length, own, err);
    }
    tt_chunks_free(&chunks);
    tt_fragments_free(&list);
    return status;
}

// ---- compel ----

// compel 2.5, embeddings_provider.py, build_weighted_embedding_tensor: how far a row is from an
// empty text's, times its weight.
static double weigh(float z, float empty, float weight) {
    return !(weight < 1) && !(weight > 1) ? z : empty + ((double)z - empty) * weight;
}

// Where a weak fragment lies in a chunk, ends left out: compel's mask spares them.
static bool weak_in(const struct tt_chunks *chunks, const struct tt_weak *weak, size_t chunk,
                    size_t *begin, size_t *end) {
    size_t first = chunk * chunks->length + 1, last = first + chunks->length - 2;
    *begin = (weak->begin > first ? weak->begin : first) - first + 1;
    size_t stop = weak->end < last ? weak->end : last;
    *end = stop > first ? stop - first + 1 : 1;
    return *begin < *end;
}

// get_embeddings_for_weighted_prompt_fragments: the share of the text without a fragment.
static double share_without(double weight) {
    const double epsilon = 1e-5, half_turn = 3.14159265358979323846;
    return Sleef_cinz_tand1_u10purec((1 - (weight > epsilon ? weight : epsilon)) * half_turn / 2);
}

// A chunk: the mean of itself and of it without each weak fragment, by their shares, of which all
// chunks have the same sum.
static enum tt_status encode_weighed(const struct text *t, const struct tt_chunks *chunks,
                                     size_t chunk, const float *empty, float *z, double *sum,
                                     struct tt_error *err) {
    size_t n = chunk_size(t), begin, end;
    const int32_t *ids = chunks->ids + chunk * chunks->length;
    const float *weights = chunks->weights + chunk * chunks->length;
    double all = 1, elsewhere = 1;
    for (size_t i = 0; i < n; i++) sum[i] = 0;
    enum tt_status status = TT_OK;
    for (size_t i = 0; i < chunks->weak_count && !status; i++) {
        double share = share_without(chunks->weak[i].weight);
        all += share;
        if (!weak_in(chunks, &chunks->weak[i], chunk, &begin, &end)) {
            elsewhere += share; // without it this chunk is as it is
            continue;
        }
        status = tt_wording_encode_hiding(t->e, ids, begin, end, z, err);
        for (size_t j = 0; j < n && !status; j++)
            sum[j] += share * weigh(z[j], empty[j], weights[j / t->e->width]);
    }
    if (!status) status = tt_wording_encode_chunk(t->e, ids, z, NULL, err);
    for (size_t j = 0; j < n && !status; j++)
        z[j] = (float)((sum[j] + elsewhere * weigh(z[j], empty[j], weights[j / t->e->width])) /
                       all);
    return status;
}

static enum tt_status encode_list(const struct text *t, const struct tt_fragments *list,
                                  const float *empty, struct rows *rows, struct tt_error *err) {
    struct tt_chunks chunks;
    enum tt_status status = tt_chunks_compel(&t->chunker, list, &chunks, err);
    if (status) return status;
    double *sum = malloc(chunk_size(t) * sizeof *sum);
    float *z = sum ? more(t, rows, chunks.count, err) : NULL;
    if (!z) status = out_of_memory(err);
    for (size_t i = 0; i < chunks.count && !status; i++)
        status = encode_weighed(t, &chunks, i, empty, z + i * chunk_size(t), sum, err);
    free(sum);
    tt_chunks_free(&chunks);
    return status;
}

// Empty texts up to so many chunks.
static enum tt_status pad(const struct text *t, const float *empty, size_t chunks,
                          struct rows *rows, struct tt_error *err) {
    while (rows->chunks < chunks) {
        float *z = more(t, rows, 1, err);
        if (!z) return TT_SYSTEM;
        memcpy(z, empty, chunk_size(t) * sizeof *z);
    }
    return TT_OK;
}

// compel.py, _get_conditioning_for_blend: texts times their shares, the shorter ones padded.
static enum tt_status encode_part(const struct text *t, const struct tt_compel_part *part,
                                  const float *empty, struct rows *rows, struct tt_error *err) {
    struct rows *texts = calloc(part->count, sizeof *texts);
    enum tt_status status = texts ? TT_OK : out_of_memory(err);
    size_t chunks = 0, each = chunk_size(t);
    double all = 0;
    for (size_t i = 0; i < part->count && !status; i++) {
        status = encode_list(t, &part->texts[i], empty, &texts[i], err);
        if (texts[i].chunks > chunks) chunks = texts[i].chunks;
        all += part->shares[i];
    }
    if (!part->normalize) all = 1;
    for (size_t i = 0; i < part->count && !status; i++)
        status = pad(t, empty, chunks, &texts[i], err);
    float *z = status ? NULL : more(t, rows, chunks, err);
    for (size_t j = 0; z && j < chunks * each; j++) {
        double sum = 0, from = empty[j % each];
        for (size_t i = 0; i < part->count; i++)
            sum += (double)texts[i].data[j] * (part->shares[i] / all);
        bool plain = !(part->weight < 1) && !(part->weight > 1);
        z[j] = (float)(plain ? sum : from + (sum - from) * part->weight);
    }
    for (size_t i = 0; texts && i < part->count; i++) free(texts[i].data);
    free(texts);
    return status ? status : z ? TT_OK : TT_SYSTEM;
}

static enum tt_status encode_compel(const struct text *t, const float *empty, struct rows *rows,
                                    float *whole, struct tt_error *err) {
    struct tt_compel prompt;
    enum tt_status status = tt_prompt_compel(t->what, t->text, &prompt, err);
    if (status) return status;
    for (size_t i = 0; i < prompt.count && !status; i++)
        status = encode_part(t, &prompt.parts[i], empty, rows, err);
    tt_compel_free(&prompt);
    if (status || !whole) return status;
    // compel says a whole text by what was typed, signs and all, cut.
    int32_t *ids = malloc(t->e->length * sizeof *ids);
    float *unused = malloc(chunk_size(t) * sizeof *unused);
    status = ids && unused ? one_chunk(t, false, ids, err) : out_of_memory(err);
    if (!status) status = tt_wording_encode_chunk(t->e, ids, unused, whole, err);
    free(ids);
    free(unused);
    return status;
}

// ---- all texts, all encoders ----

struct work {
    const struct tt_settings *settings;
    size_t n; // texts: the prompt, or the negative one and the prompt
    bool no_negative;
    struct tt_inversions inversions;
    struct tt_wording_encoder encoders[TT_ENCODERS];
    size_t encoder_count;
    struct rows rows[TT_ENCODERS][2];
    float *whole[2]; // of each text, (pooled_width); or NULL
    float *empty;    // of the encoder that is at work: an empty text
};

static bool is_zeros(const struct work *w, size_t text) {
    return w->no_negative && w->n == 2 && !text;
}

static void note_unused(const struct work *w, const struct tt_notes *notes) {
    for (size_t i = 0; i < w->inversions.count; i++) {
        const struct tt_inversion *one = &w->inversions.data[i];
        if (one->asked && !one->used)
            tt_note(notes, "%s: the embedding is not used: '%s' is in no prompt", one->path,
                    one->word);
    }
}

static enum tt_status encode_text(struct work *w, struct tt_wording_encoder *e, size_t i,
                                  struct tt_error *err) {
    static const char *const what[2] = {"negative prompt", "prompt"};
    const struct tt_settings *s = w->settings;
    bool prompt = i + 1 == w->n;
    const char *negative = s->negative ? s->negative : "";
    struct text t = {.e = e, .what = what[prompt], .text = prompt ? s->prompt : negative};
    t.chunker = tt_wording_chunker(t.what, e->tokenizer, &w->inversions, e->length);
    struct rows *rows = &w->rows[e->slot][i];
    float *whole = e->projection ? w->whole[i] : NULL;
    // diffusers' pipelines leave out layers of the prompt alone.
    bool skips = prompt || s->prompt_syntax != TT_PROMPT_PLAIN;
    tt_wording_encoder_skip(e, skips ? s->clip_skip : 0);
    switch (s->prompt_syntax) {
    case TT_PROMPT_WEBUI: return encode_webui(&t, rows, whole, err);
    case TT_PROMPT_COMPEL: return encode_compel(&t, w->empty, rows, whole, err);
    default: return encode_plain(&t, rows, whole, err);
    }
}

static enum tt_status encode_texts(struct work *w, struct tt_wording_encoder *e, size_t *chunks,
                                   struct tt_error *err) {
    const struct text t = {.e = e};
    w->empty = malloc(chunk_size(&t) * sizeof *w->empty);
    enum tt_status status = w->empty ? TT_OK : out_of_memory(err);
    tt_wording_encoder_skip(e, w->settings->clip_skip);
    if (!status && w->settings->prompt_syntax != TT_PROMPT_PLAIN)
        status = encode_empty(&t, w->empty, err);
    for (size_t i = w->n; i-- > 0 && !status;) { // in plain, the prompt's layers first
        if (!is_zeros(w, i)) status = encode_text(w, e, i, err);
        if (w->rows[e->slot][i].chunks > *chunks) *chunks = w->rows[e->slot][i].chunks;
    }
    for (size_t i = 0; i < w->n && !status; i++)
        if (!is_zeros(w, i)) status = pad(&t, w->empty, *chunks, &w->rows[e->slot][i], err);
    free(w->empty);
    return status;
}

// (n, T, D) from the encoders' rows, side by side.
static void put_together(const struct work *w, size_t tokens, size_t width, float *data) {
    for (size_t i = 0; i < w->n; i++) {
        size_t column = 0;
        for (size_t k = 0; k < w->encoder_count; k++) {
            const struct tt_wording_encoder *e = &w->encoders[k];
            const float *rows = w->rows[e->slot][i].data;
            for (size_t j = 0; rows && j < tokens; j++)
                memcpy(data + (i * tokens + j) * width + column, rows + j * e->width,
                       e->width * sizeof *rows);
            column += e->width;
        }
    }
}

static enum tt_status finish(const struct tt_session *session, const struct work *w,
                             size_t chunks, struct tt_embeddings *embeddings,
                             struct tt_error *err) {
    const struct tt_model_info *info = &session->model->info;
    size_t n = w->n, tokens = chunks * info->tokens, width = info->text_width;
    size_t each = tokens * width, pooled = info->pooled_width, bad;
    for (size_t k = 0; k < w->encoder_count; k++)
        for (size_t i = 0; i < n; i++)
            if (!is_zeros(w, i) && w->rows[w->encoders[k].slot][i].chunks != chunks)
                return tt_fail(err, TT_BAD_INPUT, "prompt: found that the two tokenizers of %s "
                               "need different numbers of chunks, expected tokenizers alike",
                               info->name);
    float *data = calloc(n * (each + pooled), sizeof *data);
    if (!data) return out_of_memory(err);
    put_together(w, tokens, width, data);
    for (size_t i = 0; i < n && pooled; i++)
        if (!is_zeros(w, i))
            memcpy(data + n * each + i * pooled, w->whole[i], pooled * sizeof *data);
    if (tt_count_not_finite(data, n * (each + pooled), &bad)) {
        free(data);
        return tt_fail(err, TT_BAD_INPUT, "prompt: its weights give embeddings that are not "
                       "finite, expected smaller ones");
    }
    note_unused(w, &session->engine->notes);
    *embeddings = (struct tt_embeddings){n, tokens, data};
    return TT_OK;
}

enum tt_status tt_wording_encode(struct tt_session *session, const struct tt_settings *s, size_t n,
                                 bool no_negative, struct tt_embeddings *embeddings,
                                 struct tt_error *err) {
    const struct tt_model *model = session->model;
    struct work w = {.settings = s, .n = n, .no_negative = no_negative};
    // As webui's models of SDXL: an empty negative prompt is none.
    if (s->prompt_syntax == TT_PROMPT_WEBUI && model->force_zeros)
        w.no_negative = !s->negative || !*s->negative;
    size_t pooled = model->info.pooled_width, chunks = 0;
    enum tt_status status = tt_wording_open(model, session->engine, s, &w.inversions, err);
    if (!status)
        status = tt_wording_encoders(session, &w.inversions, s->clip_skip, w.encoders,
                                     &w.encoder_count, err);
    for (size_t i = 0; i < n && pooled && !status; i++) {
        w.whole[i] = calloc(pooled, sizeof *w.whole[i]);
        if (!w.whole[i]) status = out_of_memory(err);
    }
    for (size_t k = 0; k < w.encoder_count && !status; k++)
        status = encode_texts(&w, &w.encoders[k], &chunks, err);
    if (!status) status = finish(session, &w, chunks, embeddings, err);
    for (size_t k = 0; k < w.encoder_count; k++) tt_wording_encoder_free(&w.encoders[k]);
    for (size_t k = 0; k < TT_ENCODERS; k++)
        for (size_t i = 0; i < 2; i++) free(w.rows[k][i].data);
    for (size_t i = 0; i < 2; i++) free(w.whole[i]);
    tt_inversions_free(&w.inversions);
    return status;
}
