// SPDX-License-Identifier: MIT
#include "text/bpe.h"

#include "io/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_IDS = 1 << 22 };
static const char END_OF_WORD[] = "</w>";

// A slot of the hash table of merges, keyed by the two ids; empty where key is EMPTY.
struct merge {
    uint64_t key;
    uint32_t rank;
    int32_t id;
};
static const uint64_t EMPTY = UINT64_MAX;

struct tt_bpe {
    char *file;
    json_t *vocab;
    const char **tokens; // by id
    int32_t size;
    int32_t inner[256], final[256]; // id of each byte inside a word, and as its last
    struct merge *merges;
    size_t merge_count, merge_room; // room is a power of two
    uint32_t next_rank;
};

enum tt_status tt_ids_add(struct tt_ids *ids, int32_t id, struct tt_error *err) {
    if (ids->count == ids->room) {
        size_t room = ids->room ? 2 * ids->room : 128;
        int32_t *data = realloc(ids->data, room * sizeof *data);
        if (!data) return tt_fail(err, TT_SYSTEM, "out of memory for %zu token ids", room);
        ids->data = data;
        ids->room = room;
    }
    ids->data[ids->count++] = id;
    return TT_OK;
}

// Bytes that print as one character of Latin-1 stand for themselves, the others for 256, 257, ...
static bool prints(int byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
}

static int32_t character_of(int byte) {
    if (prints(byte)) return byte;
    int32_t character = 256;
    for (int b = 0; b < byte; b++) character += !prints(b);
    return character;
}

int tt_bpe_byte(int32_t character) {
    for (int byte = 0; byte < 256; byte++)
        if (character_of(byte) == character) return byte;
    return -1;
}

static enum tt_status list_tokens(struct tt_bpe *bpe, struct tt_error *err) {
    const char *token;
    json_t *value;
    char text[80];
    json_int_t most = -1;
    json_object_foreach(bpe->vocab, token, value) {
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id >= MAX_IDS)
            return tt_fail(err, TT_BAD_INPUT, "%s: token \"%s\": found %s, expected an id from 0 "
                           "to %d", bpe->file, token, tt_json_text(value, text, sizeof text),
                           MAX_IDS - 1);
        if (id > most) most = id;
    }
    bpe->size = (int32_t)most + 1;
    bpe->tokens = calloc((size_t)bpe->size + 1, sizeof *bpe->tokens);
    if (!bpe->tokens) return tt_fail(err, TT_SYSTEM, "%s: out of memory", bpe->file);
    json_object_foreach(bpe->vocab, token, value) {
        const char **slot = &bpe->tokens[json_integer_value(value)];
        if (*slot)
            return tt_fail(err, TT_BAD_INPUT, "%s: tokens \"%s\" and \"%s\" have the same id %d",
                           bpe->file, *slot, token, (int)json_integer_value(value));
        *slot = token;
    }
    return TT_OK;
}

enum tt_status tt_bpe_open(const char *file, json_t *vocab, const char *unknown,
                           struct tt_bpe **out, struct tt_error *err) {
    *out = NULL;
    struct tt_bpe *bpe = calloc(1, sizeof *bpe);
    if (bpe) bpe->file = strdup(file);
    if (!bpe || !bpe->file) {
        free(bpe);
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", file);
    }
    bpe->vocab = json_incref(vocab);
    enum tt_status status = list_tokens(bpe, err);
    int32_t none = tt_bpe_id(bpe, unknown);
    if (!status && none < 0)
        status = tt_fail(err, TT_BAD_INPUT, "%s: the unknown token \"%s\" is not in the vocabulary",
                         file, unknown);
    for (int byte = 0; byte < 256; byte++) {
        char token[16];
        utf8proc_ssize_t used =
            utf8proc_encode_char(character_of(byte), (utf8proc_uint8_t *)token);
        token[used] = 0;
        int32_t id = tt_bpe_id(bpe, token);
        bpe->inner[byte] = id < 0 ? none : id;
        strcpy(token + used, END_OF_WORD);
        id = tt_bpe_id(bpe, token);
        bpe->final[byte] = id < 0 ? none : id;
    }
    if (status)
        tt_bpe_close(bpe);
    else
        *out = bpe;
    return status;
}

void tt_bpe_close(struct tt_bpe *bpe) {
    if (!bpe) return;
    free(bpe->merges);
    free(bpe->tokens);
    json_decref(bpe->vocab);
    free(bpe->file);
    free(bpe);
}

int32_t tt_bpe_id(const struct tt_bpe *bpe, const char *token) {
    const json_t *id = json_object_get(bpe->vocab, token);
    return id ? (int32_t)json_integer_value(id) : -1;
}

const char *tt_bpe_token(const struct tt_bpe *bpe, int32_t id) {
    return id >= 0 && id < bpe->size ? bpe->tokens[id] : NULL;
}

int32_t tt_bpe_size(const struct tt_bpe *bpe) {
    return bpe->size;
}

static uint64_t pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

// The slot that holds key, or the empty one where it belongs.
static struct merge *find_slot(struct merge *merges, size_t room, uint64_t key) {
    size_t at = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & (room - 1);
    while (merges[at].key != EMPTY && merges[at].key != key) at = (at + 1) & (room - 1);
    return &merges[at];
}

static bool grow(struct tt_bpe *bpe) {
    size_t room = bpe->merge_room ? 2 * bpe->merge_room : 1024;
    struct merge *merges = malloc(room * sizeof *merges);
    if (!merges) return false;
    for (size_t i = 0; i < room; i++) merges[i].key = EMPTY;
    for (size_t i = 0; i < bpe->merge_room; i++)
        if (bpe->merges[i].key != EMPTY)
            *find_slot(merges, room, bpe->merges[i].key) = bpe->merges[i];
    free(bpe->merges);
    bpe->merges = merges;
    bpe->merge_room = room;
    return true;
}

enum tt_status tt_bpe_add_merge(struct tt_bpe *bpe, const char *left, size_t left_size,
                                const char *right, size_t right_size, struct tt_error *err) {
    char token[1024];
    if (left_size + right_size >= sizeof token)
        return tt_fail(err, TT_BAD_INPUT, "%s: merge %u: found a token of %zu bytes, expected less "
                       "than %zu", bpe->file, bpe->next_rank, left_size + right_size, sizeof token);
    int32_t ids[3];
    for (int i = 0; i < 3; i++) {
        snprintf(token, sizeof token, "%.*s%.*s", i == 1 ? 0 : (int)left_size, left,
                 i == 0 ? 0 : (int)right_size, right);
        ids[i] = tt_bpe_id(bpe, token);
        if (ids[i] < 0)
            return tt_fail(err, TT_BAD_INPUT, "%s: merge %u: token \"%.100s\" is not in the "
                           "vocabulary", bpe->file, bpe->next_rank, token);
    }
    if (2 * (bpe->merge_count + 1) > bpe->merge_room && !grow(bpe))
        return tt_fail(err, TT_SYSTEM, "%s: out of memory for the merges", bpe->file);
    uint64_t key = pair_key(ids[0], ids[1]);
    struct merge *slot = find_slot(bpe->merges, bpe->merge_room, key);
    bpe->merge_count += slot->key == EMPTY;
    *slot = (struct merge){key, bpe->next_rank++, ids[2]};
    return TT_OK;
}

// The word as a linked list of symbols; a merged one lives on at the place of its left part, the
// right part's id becomes -1.
struct symbol {
    int32_t id, before, after;
};

// A heap of possible merges, least rank first, then leftmost.
struct candidate {
    uint32_t rank;
    int32_t at, id;
};

static bool less(struct candidate a, struct candidate b) {
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static void push(struct candidate *heap, size_t *count, struct candidate new) {
    size_t at = (*count)++;
    for (; at && less(new, heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = new;
}

static struct candidate pop(struct candidate *heap, size_t *count) {
    struct candidate top = heap[0], last = heap[--*count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < *count; at = child) {
        if (child + 1 < *count && less(heap[child + 1], heap[child])) child++;
        if (!less(heap[child], last)) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

static const struct merge *merge_at(const struct tt_bpe *bpe, const struct symbol *symbols,
                                    int32_t at) {
    if (at < 0 || symbols[at].id < 0 || symbols[at].after < 0 || !bpe->merge_room) return NULL;
    uint64_t key = pair_key(symbols[at].id, symbols[symbols[at].after].id);
    const struct merge *slot = find_slot(bpe->merges, bpe->merge_room, key);
    return slot->key == EMPTY ? NULL : slot;
}

enum tt_status tt_bpe_encode(const struct tt_bpe *bpe, const unsigned char *word, size_t size,
                             struct tt_ids *ids, struct tt_error *err) {
    // Each merge leaves one symbol less and offers at most two candidates.
    struct symbol *symbols = malloc((size + 1) * sizeof *symbols);
    struct candidate *heap = malloc((3 * size + 1) * sizeof *heap);
    enum tt_status status = TT_OK;
    size_t waiting = 0;
    int32_t count = (int32_t)size;
    if (!symbols || !heap) {
        status = tt_fail(err, TT_SYSTEM, "out of memory for a word of %zu bytes", size);
        goto done;
    }
    for (int32_t i = 0; i < count; i++)
        symbols[i] = (struct symbol){i + 1 < count ? bpe->inner[word[i]] : bpe->final[word[i]],
                                     i - 1, i + 1 < count ? i + 1 : -1};
    for (int32_t i = 0; i < count; i++) {
        const struct merge *merge = merge_at(bpe, symbols, i);
        if (merge) push(heap, &waiting, (struct candidate){merge->rank, i, merge->id});
    }
    while (waiting) {
        struct candidate best = pop(heap, &waiting);
        const struct merge *merge = merge_at(bpe, symbols, best.at);
        if (!merge || merge->rank != best.rank) continue; // its symbols have changed since
        struct symbol *left = &symbols[best.at], *right = &symbols[left->after];
        left->id = best.id;
        left->after = right->after;
        right->id = -1;
        if (left->after >= 0) symbols[left->after].before = best.at;
        const int32_t places[2] = {left->before, best.at};
        for (int k = 0; k < 2; k++) {
            merge = merge_at(bpe, symbols, places[k]);
            if (merge) push(heap, &waiting, (struct candidate){merge->rank, places[k], merge->id});
        }
    }
    for (int32_t i = 0; i < count && !status; i++)
        if (symbols[i].id >= 0) status = tt_ids_add(ids, symbols[i].id, err);
done:
    free(heap);
    free(symbols);
    return status;
}
