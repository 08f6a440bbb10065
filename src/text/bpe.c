// SPDX-License-Identifier: MIT
#include "text/bpe.h"

#include "io/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_IDS = 1 << 22, MAX_MERGES = 1 << 20 };
static const char END_OF_WORD[] = "</w>";

struct merge {
    int32_t left, right, id;
    uint32_t rank;
};

struct tt_bpe {
    char *file;
    json_t *vocab;
    const char **tokens; // by id
    int32_t size;
    int32_t inner[256], final[256]; // id of each byte inside a word, and as its last
    // By rank while they are added; then by left and right, those of each left from first[left] on.
    // No hash: files that make all keys collide are easily made.
    struct merge *merges;
    uint32_t *first;
    size_t merge_count, merge_room;
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

// Bytes that print as one character of Latin-1 stand for themselves; the others, three runs of
// them, for 256, 257, ...
static const struct {
    int first, last, character;
} hidden[] = {{0, ' ', 256}, {0x7F, 0xA0, 289}, {0xAD, 0xAD, 323}};
enum { HIDDEN = sizeof hidden / sizeof *hidden };

static int32_t character_of(int byte) {
    for (int i = 0; i < HIDDEN; i++)
        if (byte >= hidden[i].first && byte <= hidden[i].last)
            return byte - hidden[i].first + hidden[i].character;
    return byte;
}

int tt_bpe_byte(int32_t character) {
    if (character < 0) return -1;
    if (character < 256) return character_of(character) == character ? character : -1;
    for (int i = 0; i < HIDDEN; i++) {
        int byte = character - hidden[i].character + hidden[i].first;
        if (byte >= hidden[i].first && byte <= hidden[i].last) return byte;
    }
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
    free(bpe->first);
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

enum tt_status tt_bpe_add_merge(struct tt_bpe *bpe, const char *left, size_t left_size,
                                const char *right, size_t right_size, struct tt_error *err) {
    char token[1024];
    uint32_t next_rank = (uint32_t)bpe->merge_count;
    if (left_size + right_size >= sizeof token)
        return tt_fail(err, TT_BAD_INPUT, "%s: merge %u: found a token of %zu bytes, expected less "
                       "than %zu", bpe->file, next_rank, left_size + right_size, sizeof token);
    int32_t ids[3];
    for (int i = 0; i < 3; i++) {
        snprintf(token, sizeof token, "%.*s%.*s", i == 1 ? 0 : (int)left_size, left,
                 i == 0 ? 0 : (int)right_size, right);
        ids[i] = tt_bpe_id(bpe, token);
        if (ids[i] < 0)
            return tt_fail(err, TT_BAD_INPUT, "%s: merge %u: token \"%.100s\" is not in the "
                           "vocabulary", bpe->file, next_rank, token);
    }
    if (bpe->merge_count == MAX_MERGES)
        return tt_fail(err, TT_BAD_INPUT, "%s: found more than %d merges, expected no more",
                       bpe->file, MAX_MERGES);
    if (bpe->merge_count == bpe->merge_room) {
        size_t room = bpe->merge_room ? 2 * bpe->merge_room : 1024;
        struct merge *merges = realloc(bpe->merges, room * sizeof *merges);
        if (!merges) return tt_fail(err, TT_SYSTEM, "%s: out of memory for the merges", bpe->file);
        bpe->merges = merges;
        bpe->merge_room = room;
    }
    bpe->merges[bpe->merge_count] = (struct merge){ids[0], ids[1], ids[2], next_rank};
    bpe->merge_count++;
    return TT_OK;
}

static int by_pair(const void *a, const void *b) {
    const struct merge *x = a, *y = b;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    if (x->right != y->right) return x->right < y->right ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

enum tt_status tt_bpe_finish(struct tt_bpe *bpe, struct tt_error *err) {
    bpe->first = calloc((size_t)bpe->size + 1, sizeof *bpe->first);
    if (!bpe->first) return tt_fail(err, TT_SYSTEM, "%s: out of memory for the merges", bpe->file);
    if (bpe->merge_count) qsort(bpe->merges, bpe->merge_count, sizeof *bpe->merges, by_pair);
    size_t kept = 0;
    for (size_t i = 0; i < bpe->merge_count; i++) { // of equal pairs, the last counts
        const struct merge *merge = &bpe->merges[i];
        bool again = kept && bpe->merges[kept - 1].left == merge->left &&
                     bpe->merges[kept - 1].right == merge->right;
        if (!again) bpe->first[merge->left + 1]++;
        bpe->merges[kept - again] = *merge;
        kept += !again;
    }
    bpe->merge_count = kept;
    for (int32_t i = 0; i < bpe->size; i++) bpe->first[i + 1] += bpe->first[i];
    return TT_OK;
}

static const struct merge *find_merge(const struct tt_bpe *bpe, int32_t left, int32_t right) {
    uint32_t low = bpe->first[left], high = bpe->first[left + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct merge *merge = &bpe->merges[middle];
        if (merge->right == right) return merge;
        if (merge->right < right) low = middle + 1;
        else high = middle;
    }
    return NULL;
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
    if (at < 0 || symbols[at].id < 0 || symbols[at].after < 0) return NULL;
    return find_merge(bpe, symbols[at].id, symbols[symbols[at].after].id);
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
