// SPDX-License-Identifier: MIT
#include "text/chunks.h"

#include "base/text.h"
#include "text/tokenizer_data.h"

#include <stdlib.h>
#include <string.h>

void tt_chunks_free(struct tt_chunks *chunks) {
    free(chunks->ids);
    free(chunks->weights);
    free(chunks->weak);
    *chunks = (struct tt_chunks){0};
}

static enum tt_status out_of_memory(struct tt_error *err) {
    return tt_fail(err, TT_SYSTEM, "out of memory for a prompt");
}

// What a chunk is made from, tokens and weights side by side.
struct words {
    int32_t *ids;
    float *weights;
    size_t count, room;
};

static void free_words(struct words *words) {
    free(words->ids);
    free(words->weights);
}

static enum tt_status add(struct words *words, int32_t id, double weight, struct tt_error *err) {
    if (words->count == words->room) {
        size_t room = words->room ? 2 * words->room : 128;
        int32_t *ids = realloc(words->ids, room * sizeof *ids);
        if (ids) words->ids = ids;
        float *weights = realloc(words->weights, room * sizeof *weights);
        if (weights) words->weights = weights;
        if (!ids || !weights) return out_of_memory(err);
        words->room = room;
    }
    words->ids[words->count] = id;
    words->weights[words->count++] = (float)weight;
    return TT_OK;
}

// One more chunk, of so many words; fill is what is behind them.
static enum tt_status add_chunk(const struct tt_chunker *c, struct tt_chunks *chunks,
                                const int32_t *ids, const float *weights, size_t count,
                                struct tt_error *err) {
    size_t length = chunks->length = c->length, n = (chunks->count + 1) * length;
    if (chunks->count == c->most)
        return tt_fail(err, TT_BAD_INPUT, "%s: found more than %zu chunks of %zu tokens, expected "
                       "at most as many", c->what, c->most, length);
    int32_t *all = realloc(chunks->ids, n * sizeof *all);
    if (all) chunks->ids = all;
    float *weigh = realloc(chunks->weights, n * sizeof *weigh);
    if (weigh) chunks->weights = weigh;
    if (!all || !weigh) return out_of_memory(err);
    all += n - length;
    weigh += n - length;
    for (size_t i = 0; i < length; i++) {
        bool word = i && i <= count;
        all[i] = word ? ids[i - 1] : !i ? c->tokenizer->start :
                 i == count + 1 ? c->tokenizer->end : c->tokenizer->padding;
        weigh[i] = word ? weights[i - 1] : 1;
    }
    chunks->count++;
    return TT_OK;
}

// ---- webui ----

struct webui {
    const struct tt_chunker *c;
    struct tt_chunks *chunks;
    struct words chunk; // that is being filled
    int32_t comma;      // the token, or -1
    size_t last_comma;  // of this chunk, counted from 1; 0: it has none
};

// The first `count` words of the chunk end it; the others begin the next.
static enum tt_status next_chunk(struct webui *w, size_t count, struct tt_error *err) {
    struct words *words = &w->chunk;
    enum tt_status status = add_chunk(w->c, w->chunks, words->ids, words->weights, count, err);
    if (status) return status;
    // Where padding is another token, all behind the first end of text is padding, words as well.
    int32_t *ids = w->chunks->ids + (w->chunks->count - 1) * w->c->length;
    bool ended = false;
    for (size_t i = 0; i < w->c->length && w->c->tokenizer->padding != w->c->tokenizer->end; i++) {
        if (ended) ids[i] = w->c->tokenizer->padding;
        ended |= ids[i] == w->c->tokenizer->end;
    }
    words->count -= count;
    if (words->count) {
        memmove(words->ids, words->ids + count, words->count * sizeof *words->ids);
        memmove(words->weights, words->weights + count, words->count * sizeof *words->weights);
    }
    w->last_comma = 0;
    return TT_OK;
}

static enum tt_status add_fragment(struct webui *w, const struct tt_fragment *fragment,
                                   const struct tt_ids *ids, struct tt_error *err) {
    size_t room = w->c->length - 2;
    enum tt_status status = TT_OK;
    for (size_t at = 0; at < ids->count && !status;) {
        struct tt_inversion *found;
        if (ids->data[at] == w->comma) w->last_comma = w->chunk.count + 1;
        else if (w->chunk.count == room && w->last_comma &&
                 room - (w->last_comma - 1) <= TT_CHUNK_BACKTRACK)
            status = next_chunk(w, w->last_comma, err);
        if (!status && w->chunk.count == room) status = next_chunk(w, room, err);
        if (!status)
            status = tt_inversions_at(w->c->inversions, ids->data, ids->count, at, &found, err);
        if (!status && !found) status = add(&w->chunk, ids->data[at++], fragment->weight, err);
        if (status || !found) continue;
        if (w->chunk.count + found->vectors > room) status = next_chunk(w, w->chunk.count, err);
        for (size_t i = 0; i < found->vectors && !status; i++)
            status = add(&w->chunk, TT_INVERSION_ID + (int32_t)(found->first + i),
                         fragment->weight, err);
        at += found->id_count;
    }
    return status;
}

enum tt_status tt_chunks_webui(const struct tt_chunker *chunker, const struct tt_fragments *list,
                               struct tt_chunks *chunks, struct tt_error *err) {
    struct webui w = {.c = chunker, .chunks = chunks};
    w.comma = tt_bpe_id(chunker->tokenizer->bpe, ",</w>");
    *chunks = (struct tt_chunks){0};
    enum tt_status status = TT_OK;
    for (size_t i = 0; i < list->count && !status; i++) {
        struct tt_ids ids = {0};
        if (list->data[i].ends_chunk) {
            status = next_chunk(&w, w.chunk.count, err);
            continue;
        }
        status = tt_inversions_encode(chunker->inversions, chunker->tokenizer, list->data[i].text,
                                      &ids, err);
        if (!status) status = add_fragment(&w, &list->data[i], &ids, err);
        free(ids.data);
    }
    if (!status && (w.chunk.count || !chunks->count)) status = next_chunk(&w, w.chunk.count, err);
    free_words(&w.chunk);
    if (status) tt_chunks_free(chunks);
    return status;
}

// ---- compel ----

static const char *token(const struct tt_chunker *c, int32_t id) {
    const char *text = id < TT_INVERSION_ID ? tt_tokenizer_token(c->tokenizer, id) : NULL;
    return text ? text : "";
}

// How many of the next words a chunk takes, which has room for `room`: up to the last full stop,
// else the last comma and its like, else the last whole word.
static size_t split_at(const struct tt_chunker *c, const int32_t *ids, size_t count, size_t room) {
    static const char *const stops[] = {".</w>", ",</w>", ";</w>", ":</w>"};
    if (count <= room) return count;
    for (size_t kind = 0; kind < 3; kind++)
        for (size_t at = room; at-- > 0;) {
            const char *text = token(c, ids[at]);
            bool stop = kind == 2 && tt_text_ends(text, "</w>");
            for (size_t i = 0; kind < 2 && i < (kind ? 4 : 1); i++) stop |= !strcmp(text, stops[i]);
            if (stop) return at + 1;
        }
    return room;
}

// Where a fragment's tokens stand in the chunks, from *from on; compel's
// _get_token_ranges_for_fragments looks for them again, and so they may be missed.
static enum tt_status find_again(const struct tt_chunker *c, const struct tt_chunks *chunks,
                                 const struct tt_fragment *fragment, const struct tt_ids *ids,
                                 size_t *from, size_t *begin, struct tt_error *err) {
    size_t last = chunks->count * chunks->length - 1, at = *from, found = 0;
    while (at < last && chunks->ids[at] != ids->data[0]) at++;
    *begin = at;
    for (; at < last; at++) {
        int32_t id = chunks->ids[at];
        if (id == ids->data[found]) {
            if (++found == ids->count) {
                *from = at + 1;
                return TT_OK;
            }
        } else if (id != c->tokenizer->end && id != c->tokenizer->padding &&
                   id != c->tokenizer->start) {
            break;
        }
    }
    return tt_fail(err, TT_BAD_INPUT, "%s: found '%.60s', whose tokens are mixed up with those of "
                   "padding, expected other words: compel fails here, too", c->what,
                   fragment->text);
}

static enum tt_status find_weak(const struct tt_chunker *c, struct tt_chunks *chunks,
                                const struct tt_fragments *list, const struct tt_ids *ids,
                                struct tt_error *err) {
    size_t from = 0, begin;
    chunks->weak = calloc(list->count + 1, sizeof *chunks->weak);
    if (!chunks->weak) return out_of_memory(err);
    for (size_t i = 0; i < list->count; i++) {
        if (!ids[i].count) continue;
        enum tt_status status =
            find_again(c, chunks, &list->data[i], &ids[i], &from, &begin, err);
        if (status) return status;
        if (list->data[i].weight < 1)
            chunks->weak[chunks->weak_count++] =
                (struct tt_weak){begin, from, list->data[i].weight};
    }
    return TT_OK;
}

enum tt_status tt_chunks_compel(const struct tt_chunker *chunker, const struct tt_fragments *list,
                                struct tt_chunks *chunks, struct tt_error *err) {
    struct words words = {0};
    struct tt_ids *ids = calloc(list->count + 1, sizeof *ids);
    enum tt_status status = ids ? TT_OK : out_of_memory(err);
    *chunks = (struct tt_chunks){0};
    for (size_t i = 0; i < list->count && !status; i++) {
        status = tt_inversions_encode(chunker->inversions, chunker->tokenizer, list->data[i].text,
                                      &ids[i], err);
        for (size_t j = 0; j < ids[i].count && !status; j++)
            status = add(&words, ids[i].data[j], list->data[i].weight, err);
    }
    if (!status && !words.count) status = add_chunk(chunker, chunks, NULL, NULL, 0, err);
    for (size_t at = 0; !status && at < words.count;) {
        size_t n = split_at(chunker, words.ids + at, words.count - at, chunker->length - 2);
        status = add_chunk(chunker, chunks, words.ids + at, words.weights + at, n, err);
        at += n;
    }
    if (!status) status = find_weak(chunker, chunks, list, ids, err);
    for (size_t i = 0; ids && i < list->count; i++) free(ids[i].data);
    free(ids);
    free_words(&words);
    if (status) tt_chunks_free(chunks);
    return status;
}
