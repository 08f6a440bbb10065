// SPDX-License-Identifier: MIT
#include "text/inversion.h"

#include "base/text.h"
#include "text/tokenizer_data.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// ---- the list ----

static enum tt_status out_of_memory(struct tt_error *err) {
    return tt_fail(err, TT_SYSTEM, "out of memory for embeddings");
}

// The file's name without folders and what is behind its last dot.
static char *stem(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return strndup(name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

static enum tt_status push(struct tt_inversions *list, char *word, const char *path,
                           struct tt_error *err) {
    char *copy = strdup(path);
    if (list->count == list->room && word && copy) {
        size_t room = list->room ? 2 * list->room : 8;
        struct tt_inversion *data = realloc(list->data, room * sizeof *data);
        if (data) list->data = data;
        if (data) list->room = room;
    }
    if (!word || !copy || list->count == list->room) {
        free(word);
        free(copy);
        return out_of_memory(err);
    }
    list->data[list->count++] = (struct tt_inversion){.word = word, .path = copy};
    return TT_OK;
}

void tt_inversions_free(struct tt_inversions *list) {
    for (size_t i = 0; i < list->count; i++) {
        struct tt_inversion *inversion = &list->data[i];
        free(inversion->word);
        free(inversion->path);
        free(inversion->ids);
        for (size_t j = 0; j < TT_ENCODERS; j++) free(inversion->rows[j]);
    }
    free(list->data);
    free(list->order);
    free(list->owners);
    tt_finder_free(list->finder);
    *list = (struct tt_inversions){0};
}

static bool in_vocabulary(const struct tt_tokenizer *tokenizer, const char *word) {
    return tt_bpe_id(tokenizer->bpe, word) >= 0 || json_object_get(tokenizer->places, word);
}

// As texts are searched for it: ASCII letters in lower case, as the tokenizer has them.
static char *lower(const char *text) {
    char *out = strdup(text);
    for (char *c = out; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z') *c += 'a' - 'A';
    return out;
}

static enum tt_status check_word(const struct tt_inversions *list, size_t at,
                                 struct tt_error *err) {
    const struct tt_inversion *inversion = &list->data[at];
    const char *word = inversion->word, *path = inversion->path;
    size_t size = strlen(word);
    if (!size || size > TT_INVERSION_WORD || !tt_text_is_utf8(word, size))
        return tt_fail(err, TT_BAD_INPUT, "%s: its word: found %zu bytes, expected 1 to %d of "
                       "UTF-8", path, size, TT_INVERSION_WORD);
    if (!list->by_tokens && in_vocabulary(list->tokenizer, word))
        return tt_fail(err, TT_BAD_INPUT, "%s: its word: found '%s', which the tokenizer's "
                       "vocabulary has, expected another: FILE:WORD names one", path, word);
    for (size_t i = 0; i < at; i++)
        if (!strcasecmp(list->data[i].word, word))
            return tt_fail(err, TT_BAD_INPUT, "%s: its word: found '%s', which is that of %s, too, "
                           "expected another: FILE:WORD names one", path, word, list->data[i].path);
    return TT_OK;
}

enum tt_status tt_inversions_add(struct tt_inversions *list, const char *path, const char *word,
                                 const char *digest, struct tt_error *err) {
    char *own = NULL;
    enum tt_status status = TT_OK;
    if (word && !(own = strdup(word))) return out_of_memory(err);
    if (!word && !list->by_tokens)
        status = tt_inversion_own_word(list->files, path, &own, err);
    if (!own && !status) own = stem(path);
    if (status) return status;
    status = push(list, own, path, err);
    if (status) return status;
    struct tt_inversion *inversion = &list->data[list->count - 1];
    inversion->asked = true;
    status = check_word(list, list->count - 1, err);
    if (!status) status = tt_inversion_read(list, inversion, err);
    if (!status && digest && strcmp(digest, inversion->digest))
        status = tt_fail(err, TT_BAD_INPUT, "%s: found another file, of digest %s, expected %s",
                         path, inversion->digest, digest);
    return status;
}

// ---- a folder ----

static bool is_embedding(const char *name) {
    return tt_text_ends(name, ".safetensors") || tt_text_ends(name, ".pt") ||
           tt_text_ends(name, ".bin");
}

static enum tt_status list_folder(struct tt_inversions *list, const char *path, size_t depth,
                                  struct tt_error *err) {
    char inside[PATH_MAX];
    DIR *directory = opendir(path);
    if (!directory) return tt_fail(err, TT_BAD_INPUT, "%s: %s", path, strerror(errno));
    enum tt_status status = TT_OK;
    for (struct dirent *entry; !status && (entry = readdir(directory));) {
        struct stat info;
        const char *name = entry->d_name;
        if (name[0] == '.' || snprintf(inside, sizeof inside, "%s/%s", path, name) >= PATH_MAX ||
            stat(inside, &info))
            continue;
        if (S_ISDIR(info.st_mode) && depth < TT_INVERSION_FOLDERS)
            status = list_folder(list, inside, depth + 1, err);
        if (!S_ISREG(info.st_mode) || !is_embedding(name)) continue;
        if (list->count >= TT_INVERSION_FILES)
            status = tt_fail(err, TT_BAD_INPUT, "%s: found more than %d embeddings, expected fewer",
                             path, TT_INVERSION_FILES);
        else status = push(list, stem(name), inside, err);
    }
    closedir(directory);
    return status;
}

static int by_word(const void *a, const void *b) {
    const struct tt_inversion *x = a, *y = b;
    int order = strcasecmp(x->word, y->word);
    return order ? order : strcmp(x->path, y->path);
}

enum tt_status tt_inversions_add_folder(struct tt_inversions *list, const char *path,
                                        struct tt_error *err) {
    size_t asked = list->count, kept = asked;
    enum tt_status status = list_folder(list, path, 0, err);
    if (status) return status;
    qsort(list->data + asked, list->count - asked, sizeof *list->data, by_word);
    // A name that was asked for, is taken, or a word of the vocabulary, is none of the folder's.
    for (size_t i = asked; i < list->count; i++) {
        struct tt_inversion *one = &list->data[i];
        bool taken = !*one->word || strlen(one->word) > TT_INVERSION_WORD ||
                     !tt_text_is_utf8(one->word, strlen(one->word)) ||
                     (!list->by_tokens && in_vocabulary(list->tokenizer, one->word)) ||
                     (kept > asked && !strcasecmp(list->data[kept - 1].word, one->word));
        for (size_t j = 0; j < asked && !taken; j++)
            taken = !strcasecmp(list->data[j].word, one->word);
        if (!taken) {
            list->data[kept++] = *one;
            continue;
        }
        free(one->word);
        free(one->path);
    }
    list->count = kept;
    return TT_OK;
}

// ---- finding ----

// The ids of a text without start and end.
static enum tt_status encode(const struct tt_tokenizer *tokenizer, const char *text,
                             struct tt_ids *ids, struct tt_error *err) {
    int32_t ends[2], *all;
    size_t used = 0;
    enum tt_status status = tt_tokenizer_encode(tokenizer, text, ends, 2, &used, err);
    if (status || used <= 2) return status;
    all = malloc(used * sizeof *all);
    if (!all) return out_of_memory(err);
    status = tt_tokenizer_encode(tokenizer, text, all, used, &used, err);
    for (size_t i = 1; i + 1 < used && !status; i++) status = tt_ids_add(ids, all[i], err);
    free(all);
    return status;
}

static int by_tokens(const void *a, const void *b) {
    const struct tt_inversion *x = *(const struct tt_inversion *const *)a;
    const struct tt_inversion *y = *(const struct tt_inversion *const *)b;
    if (!x->id_count || !y->id_count) return (x->id_count > 0) - (y->id_count > 0);
    if (x->ids[0] != y->ids[0]) return x->ids[0] < y->ids[0] ? -1 : 1;
    if (x->id_count != y->id_count) return x->id_count > y->id_count ? -1 : 1;
    return (x > y) - (x < y);
}

enum tt_status tt_inversions_ready(struct tt_inversions *list, struct tt_error *err) {
    enum tt_status status = TT_OK;
    list->order = malloc((list->count + 1) * sizeof *list->order);
    char **words = calloc(list->count + 1, sizeof *words);
    if (!list->order || !words) status = out_of_memory(err);
    for (size_t i = 0; i < list->count && !status; i++) {
        struct tt_ids ids = {0};
        list->order[i] = &list->data[i];
        words[i] = lower(list->data[i].word);
        if (!words[i]) status = out_of_memory(err);
        if (!status && list->by_tokens)
            status = encode(list->tokenizer, list->data[i].word, &ids, err);
        list->data[i].ids = ids.data;
        list->data[i].id_count = ids.count;
    }
    if (!status) qsort(list->order, list->count, sizeof *list->order, by_tokens);
    if (!status && !list->by_tokens)
        status = tt_finder_new("embeddings", (const char *const *)words, list->count,
                               &list->finder, err);
    for (size_t i = 0; words && i < list->count; i++) free(words[i]);
    free(words);
    return status;
}

static enum tt_status want(struct tt_inversions *list, struct tt_inversion *inversion,
                           struct tt_error *err) {
    enum tt_status status = inversion->read ? TT_OK : tt_inversion_read(list, inversion, err);
    if (!status) inversion->used = true;
    return status;
}

enum tt_status tt_inversions_at(struct tt_inversions *list, const int32_t *ids, size_t count,
                                size_t at, struct tt_inversion **found, struct tt_error *err) {
    *found = NULL;
    size_t low = 0, high = list ? list->count : 0;
    while (low < high) { // the first whose first token is not less
        size_t middle = (low + high) / 2;
        const struct tt_inversion *one = list->order[middle];
        if (!one->id_count || one->ids[0] < ids[at]) low = middle + 1;
        else high = middle;
    }
    for (; list && low < list->count; low++) {
        struct tt_inversion *one = list->order[low];
        if (one->ids[0] != ids[at]) break;
        if (one->id_count > count - at ||
            memcmp(one->ids, ids + at, one->id_count * sizeof *ids)) continue;
        *found = one;
        return want(list, one, err);
    }
    return TT_OK;
}

enum tt_status tt_inversions_encode(struct tt_inversions *list,
                                    const struct tt_tokenizer *tokenizer, const char *text,
                                    struct tt_ids *ids, struct tt_error *err) {
    if (!list || !list->count || list->by_tokens) return encode(tokenizer, text, ids, err);
    size_t size = strlen(text), from = 0;
    if (size > TT_TEXT_BYTES) return encode(tokenizer, text, ids, err); // which says so
    char *folded = lower(text);
    int32_t *found = malloc((size + 1) * sizeof *found);
    enum tt_status status = folded && found ? TT_OK : out_of_memory(err);
    if (!status) tt_finder_run(list->finder, folded, size, found);
    for (size_t at = 0; at <= size && !status;) {
        if (at < size && found[at] < 0) {
            at++;
            continue;
        }
        char *piece = strndup(text + from, at - from);
        status = piece ? encode(tokenizer, piece, ids, err) : out_of_memory(err);
        free(piece);
        if (at == size || status) break;
        struct tt_inversion *one = &list->data[found[at]];
        status = want(list, one, err);
        bool typed = !list->as_typed || !strncmp(text + at, one->word, strlen(one->word));
        if (!typed && one->vectors > 1 && !status)
            tt_note(list->notes, "'%.*s': of '%s', in other capitals, the first of %zu vectors is "
                    "taken, as diffusers does it", (int)strlen(one->word), text + at, one->word,
                    one->vectors);
        for (size_t i = 0; i < (typed ? one->vectors : 1) && !status; i++)
            status = tt_ids_add(ids, TT_INVERSION_ID + (int32_t)(one->first + i), err);
        from = at += strlen(one->word);
    }
    free(folded);
    free(found);
    return status;
}

const float *tt_inversions_row(const struct tt_inversions *list, int32_t id, size_t encoder) {
    size_t number = (size_t)(id - TT_INVERSION_ID);
    const struct tt_inversion *one = &list->data[list->owners[number]];
    return one->rows[encoder] + (number - one->first) * list->widths[encoder];
}
