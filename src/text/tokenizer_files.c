// SPDX-License-Identifier: MIT
// The tokenizer's files, in the forms that transformers has written them over the years.
#include "base/poll.h"
#include "io/json.h"
#include "text/normalize.h"
#include "text/tokenizer_data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The files of one folder while they are read; paths hold "FOLDER/NAME" for messages.
struct files {
    const struct tt_folder *folder;
    const char *module;
    const struct tt_poll *poll;
    struct tt_json *tokenizer, *config, *map, *added;
    json_t *vocab;
};

// One special token: its text and how it is looked for.
struct special {
    const char *content;
    bool normalized;
};

static const char *const roles[] = {"bos_token", "eos_token",  "unk_token", "sep_token",
                                    "pad_token", "cls_token", "mask_token"};
enum { BOS, EOS, UNK, PAD = 4, ROLES = 7 };

static char *relative_path(const struct files *files, const char *name, char *text, size_t size) {
    if (snprintf(text, size, "%s/%s", files->module, name) < 0) text[0] = 0;
    return text;
}

// *out is NULL when the file is not there.
static enum tt_status open_json(const struct files *files, const char *name, struct tt_json **out,
                                struct tt_error *err) {
    char relative[256], where[1024];
    *out = NULL;
    relative_path(files, name, relative, sizeof relative);
    if (!tt_folder_has(files->folder, relative)) return TT_OK;
    struct tt_bytes bytes;
    enum tt_status status = tt_folder_read(files->folder, relative, &bytes, err);
    if (status) return status;
    tt_folder_where(files->folder, relative, where, sizeof where);
    status = tt_json_open(where, bytes.data, bytes.size, out, err);
    tt_bytes_free(&bytes);
    return status;
}

// Two spellings of the same pattern: with the special tokens (transformers 5), and without.
static const char *const patterns[] = {
    "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|"
    "[^\\s\\p{L}\\p{N}]+",
    "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
    NULL,
};

// Everything in tokenizer.json that would make it another tokenizer than CLIP's.
static void check_kind(struct tt_json *json) {
    static const char *const sequence[] = {"Sequence", NULL}, *const roberta[] = {
        "RobertaProcessing", NULL};
    tt_json_expect(json, "version", "\"1.0\"");
    struct tt_json *part = tt_json_child(json, "normalizer", true);
    if (part) {
        tt_json_choice(part, "type", sequence, -1);
        tt_json_expect(part, "normalizers",
                       "[{\"type\":\"NFC\"},{\"type\":\"Replace\",\"pattern\":"
                       "{\"Regex\":\"\\\\s+\"},\"content\":\" \"},{\"type\":\"Lowercase\"}]");
    }
    part = tt_json_child(json, "pre_tokenizer", true);
    if (part) {
        tt_json_choice(part, "type", sequence, -1);
        const json_t *split = json_array_get(tt_json_value(part, "pretokenizers"), 0);
        const char *found =
            json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
        if (!found || (strcmp(found, patterns[0]) && strcmp(found, patterns[1])))
            tt_json_fail(part, "pretokenizers[0].pattern.Regex", "found %s, expected CLIP's %s",
                         found ? found : "nothing", patterns[1]);
    }
    part = tt_json_child(json, "post_processor", true);
    if (part) tt_json_choice(part, "type", roberta, -1);
}

// tokenizer.json: vocabulary and merges; the kind of tokenizer is checked.
static enum tt_status read_tokenizer_json(struct tt_tokenizer *tokenizer, struct files *files,
                                          const char *unknown, struct tt_error *err) {
    static const char *const kinds[] = {"BPE", NULL};
    struct tt_json *json = files->tokenizer;
    check_kind(json);
    struct tt_json *model = tt_json_child(json, "model", true);
    if (!model) return tt_json_status(json, err);
    tt_json_choice(model, "type", kinds, 0);
    tt_json_expect(model, "dropout", "null");
    tt_json_expect(model, "continuing_subword_prefix", "\"\" or null");
    tt_json_expect(model, "end_of_word_suffix", "\"</w>\"");
    tt_json_expect(model, "fuse_unk", "false");
    tt_json_expect(model, "byte_fallback", "false");
    tt_json_expect(model, "ignore_merges", "false");
    const json_t *vocab = tt_json_value(model, "vocab"), *merges = tt_json_value(model, "merges");
    if (!json_object_size(vocab)) tt_json_fail(model, "vocab", "expected an object: token -> id");
    if (!json_is_array(merges)) tt_json_fail(model, "merges", "expected a list");
    enum tt_status status = tt_json_status(json, err);
    if (!status)
        status = tt_bpe_open(tt_json_file(json), (json_t *)vocab, unknown, &tokenizer->bpe, err);
    for (size_t i = 0; !status && i < json_array_size(merges); i++) {
        // ["l", "ow"], or "l ow" before transformers 4.45.
        const json_t *merge = json_array_get(merges, i);
        const char *left = json_string_value(json_array_get(merge, 0));
        const char *right = json_string_value(json_array_get(merge, 1));
        size_t left_size = left ? strlen(left) : 0;
        if (json_is_string(merge)) {
            left = json_string_value(merge);
            right = strchr(left, ' ');
            if (right) left_size = (size_t)(right++ - left);
        }
        if (!left || !right || (json_is_array(merge) && json_array_size(merge) != 2))
            return tt_fail(err, TT_BAD_INPUT, "%s: model.merges[%zu]: expected two tokens",
                           tt_json_file(json), i);
        status = i % 4096 ? TT_OK : tt_poll_ask(files->poll, tt_json_file(json), err);
        if (!status)
            status = tt_bpe_add_merge(tokenizer->bpe, left, left_size, right, strlen(right), err);
    }
    return status;
}

// merges.txt: one "left right" on a line, a line that begins with #version aside.
static enum tt_status read_merges(struct tt_tokenizer *tokenizer, const struct files *files,
                                  struct tt_error *err) {
    char relative[256], where[1024];
    struct tt_bytes bytes;
    relative_path(files, "merges.txt", relative, sizeof relative);
    tt_folder_where(files->folder, relative, where, sizeof where);
    enum tt_status status = tt_folder_read(files->folder, relative, &bytes, err);
    if (status) return status;
    if (bytes.size > TT_JSON_BYTES)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found %zu bytes, expected at most %d", where,
                         bytes.size, TT_JSON_BYTES);
    const char *at = (const char *)bytes.data, *end = at + bytes.size;
    for (size_t number = 1; at < end && !status; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop ? stop : end) - at);
        const char *line = at;
        at += size + 1;
        if (size && line[size - 1] == '\r') size--;
        if (size >= 8 && !memcmp(line, "#version", 8)) continue;
        const char *space = memchr(line, ' ', size);
        size_t left = space ? (size_t)(space - line) : 0;
        if (!left || left + 1 == size || memchr(space + 1, ' ', size - left - 1))
            status = tt_fail(err, TT_BAD_INPUT, "expected two tokens with a space between");
        else
            status = tt_bpe_add_merge(tokenizer->bpe, line, left, space + 1, size - left - 1, err);
        if (!status && number % 4096 == 0 && tt_poll_cancelled(files->poll))
            status = tt_fail(err, TT_CANCELLED, "cancelled");
        if (status) tt_fail_prefix(err, "%s: line %zu", where, number);
    }
    tt_bytes_free(&bytes);
    return status;
}

static enum tt_status read_vocab_and_merges(struct tt_tokenizer *tokenizer, struct files *files,
                                            const char *unknown, struct tt_error *err) {
    char relative[256], where[1024];
    struct tt_bytes bytes;
    relative_path(files, "vocab.json", relative, sizeof relative);
    tt_folder_where(files->folder, relative, where, sizeof where);
    if (!tt_folder_has(files->folder, relative))
        return tt_fail(err, TT_BAD_INPUT, "%s/%s: found neither tokenizer.json nor vocab.json and "
                       "merges.txt", tt_folder_name(files->folder), files->module);
    enum tt_status status = tt_folder_read(files->folder, relative, &bytes, err);
    if (status) return status;
    status = tt_json_parse(where, bytes.data, bytes.size, &files->vocab, err);
    tt_bytes_free(&bytes);
    if (!status && !json_object_size(files->vocab))
        status = tt_fail(err, TT_BAD_INPUT, "%s: expected an object: token -> id", where);
    if (!status) status = tt_bpe_open(where, files->vocab, unknown, &tokenizer->bpe, err);
    return status ? status : read_merges(tokenizer, files, err);
}

// A token as a string or as an object of flags; fails for flags that change what it matches.
static struct special read_special(struct tt_json *json, const char *key) {
    struct special special = {0};
    const json_t *value = tt_json_value(json, key);
    if (!value || json_is_null(value)) return special;
    if (json_is_string(value)) {
        special.content = json_string_value(value);
        return special;
    }
    struct tt_json *token = tt_json_child(json, key, true);
    if (!token) return special;
    special.content = tt_json_string(token, "content");
    // An added token is looked for in the normalised text, unless it is special or says otherwise.
    bool is_special = tt_json_bool_or(token, "special", true);
    special.normalized = tt_json_bool_or(token, "normalized", !is_special);
    tt_json_expect(token, "single_word", "false");
    return special;
}

// The index of an added token, or -1.
static json_int_t find_added(const struct tt_tokenizer *tokenizer, const char *content) {
    const json_t *place = json_object_get(tokenizer->places, content);
    return place ? json_integer_value(place) : -1;
}

static int32_t added_id(const struct tt_tokenizer *tokenizer, const char *content) {
    json_int_t place = content ? find_added(tokenizer, content) : -1;
    return place < 0 ? 0 : tokenizer->added[place].id;
}

static bool make_room(struct tt_tokenizer *tokenizer) {
    if (tokenizer->added_count < tokenizer->added_room) return true;
    size_t room = tokenizer->added_room ? 2 * tokenizer->added_room : 16;
    struct tt_added_token *added = realloc(tokenizer->added, room * sizeof *added);
    if (added) tokenizer->added = added;
    int32_t *fresh = realloc(tokenizer->fresh, room * sizeof *fresh);
    if (fresh) tokenizer->fresh = fresh;
    if (!added || !fresh) return false;
    tokenizer->added_room = room;
    return true;
}

// A token that is not there yet, without a pattern; NULL without memory.
static struct tt_added_token *new_added(struct tt_tokenizer *tokenizer, const char *content) {
    if (!make_room(tokenizer)) return NULL;
    size_t count = tokenizer->added_count;
    struct tt_added_token *added = &tokenizer->added[count];
    *added = (struct tt_added_token){.content = strdup(content)};
    if (!added->content) return NULL;
    tokenizer->added_count++;
    if (json_object_set_new(tokenizer->places, content, json_integer((json_int_t)count)))
        return NULL;
    added->id = tt_bpe_id(tokenizer->bpe, content);
    if (added->id < 0) {
        added->id = tokenizer->size++;
        tokenizer->fresh[added->id - tt_bpe_size(tokenizer->bpe)] = (int32_t)count;
    }
    return added;
}

static enum tt_status add_token(struct tt_tokenizer *tokenizer, const char *file,
                                struct special special, struct tt_error *err) {
    if (!special.content || !*special.content) return TT_OK;
    size_t bytes = strlen(special.content);
    if (bytes > TT_ADDED_BYTES)
        return tt_fail(err, TT_BAD_INPUT, "%s: found an added token of %zu bytes, expected at most "
                       "%d", file, bytes, TT_ADDED_BYTES);
    json_int_t place = find_added(tokenizer, special.content);
    if (place < 0 && tokenizer->added_count == TT_ADDED_TOKENS)
        return tt_fail(err, TT_BAD_INPUT, "%s: found more than %d added tokens, expected no more",
                       file, TT_ADDED_TOKENS);
    struct tt_added_token *added = place < 0 ? new_added(tokenizer, special.content)
                                             : &tokenizer->added[place];
    if (!added) return tt_fail(err, TT_SYSTEM, "%s: out of memory for an added token", file);
    added->normalized = special.normalized;
    free(added->pattern);
    added->pattern = NULL;
    if (special.normalized)
        return tt_text_normalize(special.content, bytes, &added->pattern, &bytes, err);
    added->pattern = strdup(special.content);
    return added->pattern ? TT_OK
                          : tt_fail(err, TT_SYSTEM, "%s: out of memory for an added token", file);
}

// What is looked for in texts as given, and in the normalised ones.
static enum tt_status make_finders(struct tt_tokenizer *tokenizer, const struct files *files,
                                   struct tt_error *err) {
    char what[1100], folder[1024];
    tt_folder_where(files->folder, files->module, folder, sizeof folder);
    snprintf(what, sizeof what, "%s: added tokens", folder);
    const char **sought = calloc(tokenizer->added_count + 1, sizeof *sought);
    enum tt_status status = sought ? TT_OK : tt_fail(err, TT_SYSTEM, "%s: out of memory", what);
    for (int normalized = 0; normalized < 2 && !status; normalized++) {
        for (size_t i = 0; i < tokenizer->added_count; i++) {
            const struct tt_added_token *added = &tokenizer->added[i];
            sought[i] = added->normalized == (normalized != 0) ? added->pattern : NULL;
        }
        status = tt_finder_new(what, sought, tokenizer->added_count,
                               &tokenizer->finders[normalized], err);
    }
    free(sought);
    return status;
}

static int by_number(const void *a, const void *b) {
    const json_int_t x = *(const json_int_t *)a, y = *(const json_int_t *)b;
    return x < y ? -1 : x > y;
}

// "added_tokens_decoder": {"49407": {"content": ...}, ...}, in the order of the ids.
static enum tt_status add_decoder(struct tt_tokenizer *tokenizer, struct tt_json *config,
                                  struct tt_error *err) {
    struct tt_json *decoder = tt_json_child(config, "added_tokens_decoder", true);
    if (!decoder) return tt_json_status(config, err);
    const json_t *object = tt_json_value(config, "added_tokens_decoder");
    size_t count = 0;
    json_int_t *ids = calloc(json_object_size(object) + 1, sizeof *ids);
    if (!ids) return tt_fail(err, TT_SYSTEM, "%s: out of memory", tt_json_file(config));
    const char *key;
    json_t *value;
    char text[32];
    json_object_foreach((json_t *)object, key, value) {
        ids[count++] = atol(key);
        snprintf(text, sizeof text, "%lld", (long long)ids[count - 1]);
        if (strcmp(text, key)) tt_json_fail(decoder, key, "expected an id as the key");
    }
    qsort(ids, count, sizeof *ids, by_number);
    enum tt_status status = tt_json_status(config, err);
    for (size_t i = 0; i < count && !status; i++) {
        snprintf(text, sizeof text, "%lld", (long long)ids[i]);
        struct special special = read_special(decoder, text);
        status = tt_json_status(config, err);
        if (!status) status = add_token(tokenizer, tt_json_file(config), special, err);
    }
    free(ids);
    return status;
}

// "added_tokens" of tokenizer.json: [{"id": ..., "content": ..., "normalized": ...}, ...].
static enum tt_status add_listed(struct tt_tokenizer *tokenizer, struct tt_json *json,
                                 struct tt_error *err) {
    const json_t *list = tt_json_value(json, "added_tokens");
    enum tt_status status = TT_OK;
    for (size_t i = 0; i < json_array_size(list) && !status; i++) {
        const json_t *item = json_array_get(list, i);
        struct special special = {json_string_value(json_object_get(item, "content")),
                                  json_is_true(json_object_get(item, "normalized"))};
        if (!special.content || json_is_true(json_object_get(item, "single_word")))
            return tt_fail(err, TT_BAD_INPUT, "%s: added_tokens[%zu]: expected an object with "
                           "content, and with single_word false", tt_json_file(json), i);
        status = add_token(tokenizer, tt_json_file(json), special, err);
    }
    return status;
}

// added_tokens.json: {"<token>": id, ...}; a token that has no role is looked for in the normalised
// text.
static enum tt_status add_extra(struct tt_tokenizer *tokenizer, struct tt_json *json,
                                const struct special *special, struct tt_error *err) {
    const char *content;
    json_t *value;
    enum tt_status status = TT_OK;
    json_object_foreach((json_t *)tt_json_object(json), content, value) {
        bool has_role = false;
        for (int role = 0; role < ROLES; role++)
            has_role |= special[role].content && !strcmp(special[role].content, content);
        status = add_token(tokenizer, tt_json_file(json), (struct special){content, !has_role},
                           err);
        if (status) break;
        int32_t id = added_id(tokenizer, content);
        if (!json_is_integer(value) || json_integer_value(value) != id)
            tt_json_fail(json, content, "found another id than %d, the next one", id);
    }
    return status ? status : tt_json_status(json, err);
}

// Special tokens without a role, as strings: they are in the list of added tokens, too, where there
// is one.
static enum tt_status add_without_role(struct tt_tokenizer *tokenizer, struct tt_json *config,
                                       struct tt_error *err) {
    static const char *const keys[] = {"additional_special_tokens", "extra_special_tokens"};
    enum tt_status status = TT_OK;
    for (int k = 0; k < 2; k++) {
        const json_t *list = tt_json_value(config, keys[k]);
        for (size_t i = 0; i < json_array_size(list) && !status; i++) {
            const char *content = json_string_value(json_array_get(list, i));
            if (!content) tt_json_fail(config, keys[k], "expected a list of strings");
            status = content ? add_token(tokenizer, tt_json_file(config),
                                         (struct special){content, false}, err)
                             : tt_json_status(config, err);
        }
    }
    return status;
}

// The roles' tokens: special_tokens_map.json goes before tokenizer_config.json, unless the latter
// holds the newer added_tokens_decoder.
static enum tt_status read_roles(const struct files *files, struct special *special,
                                 struct tt_error *err) {
    static const char *const defaults[ROLES] = {"<|startoftext|>", "<|endoftext|>", "<|endoftext|>",
                                                NULL, "<|endoftext|>", NULL, NULL};
    bool newer = files->config && tt_json_has(files->config, "added_tokens_decoder");
    struct tt_json *const sources[2] = {newer ? NULL : files->map, files->config};
    for (int role = 0; role < ROLES; role++) {
        for (int i = 0; i < 2 && !special[role].content; i++)
            if (sources[i]) special[role] = read_special(sources[i], roles[role]);
        if (!special[role].content) special[role] = (struct special){defaults[role], false};
    }
    enum tt_status status = files->map ? tt_json_status(files->map, err) : TT_OK;
    if (!status && files->config) status = tt_json_status(files->config, err);
    return status;
}

static enum tt_status read_config(struct tt_tokenizer *tokenizer, struct tt_json *config,
                                  struct tt_error *err) {
    static const char *const classes[] = {"CLIPTokenizer", "CLIPTokenizerFast", NULL};
    static const char *const right[] = {"right", NULL};
    tt_json_choice(config, "tokenizer_class", classes, 0);
    tt_json_choice(config, "padding_side", right, 0);
    tt_json_choice(config, "truncation_side", right, 0);
    // Python writes "no limit" as a whole number of 31 digits. Less than 2 leave no room for a
    // token, and the library then neither cuts nor pads.
    double length = tt_json_number_or(config, "model_max_length", 1e30);
    if (!(length >= 0 && length == floor(length)))
        tt_json_fail(config, "model_max_length", "found %g, expected a whole number >= 0", length);
    tokenizer->max_length = length >= 2 && length < 1 << 20 ? (size_t)length : 0;
    tokenizer->whole = length < 2;
    return tt_json_status(config, err);
}

// All added tokens, in the order and with the precedence of the library: the last to name a token
// decides how it is looked for, but a role does not change one that a file has added.
static enum tt_status add_tokens(struct tt_tokenizer *tokenizer, const struct files *files,
                                 const struct special *special, struct tt_error *err) {
    enum tt_status status = TT_OK;
    if (files->config && tt_json_has(files->config, "added_tokens_decoder")) {
        status = add_decoder(tokenizer, files->config, err);
    } else {
        if (files->added) status = add_extra(tokenizer, files->added, special, err);
        if (!status && files->tokenizer) status = add_listed(tokenizer, files->tokenizer, err);
    }
    char folder[1024];
    tt_folder_where(files->folder, files->module, folder, sizeof folder);
    json_int_t from_files = (json_int_t)tokenizer->added_count;
    for (int role = 0; role < ROLES && !status; role++) {
        const char *content = special[role].content;
        json_int_t place = content ? find_added(tokenizer, content) : -1;
        if (place < 0 || place >= from_files)
            status = add_token(tokenizer, folder, special[role], err);
    }
    if (!status && files->config) status = add_without_role(tokenizer, files->config, err);
    return status;
}

static enum tt_status read_files(struct tt_tokenizer *tokenizer, struct files *files,
                                 struct tt_error *err) {
    enum tt_status status = open_json(files, "tokenizer.json", &files->tokenizer, err);
    if (!status) status = open_json(files, "tokenizer_config.json", &files->config, err);
    if (!status) status = open_json(files, "special_tokens_map.json", &files->map, err);
    if (!status) status = open_json(files, "added_tokens.json", &files->added, err);
    if (!status && files->config) status = read_config(tokenizer, files->config, err);
    struct special special[ROLES] = {0};
    if (!status) status = read_roles(files, special, err);
    if (status) return status;
    const char *unknown = special[UNK].content;
    status = files->tokenizer ? read_tokenizer_json(tokenizer, files, unknown, err)
                              : read_vocab_and_merges(tokenizer, files, unknown, err);
    if (!status) status = tt_bpe_finish(tokenizer->bpe, err);
    if (status) return status;
    tokenizer->size = tt_bpe_size(tokenizer->bpe);
    status = add_tokens(tokenizer, files, special, err);
    if (!status) status = make_finders(tokenizer, files, err);
    if (status) return status;
    tokenizer->start = added_id(tokenizer, special[BOS].content);
    tokenizer->end = added_id(tokenizer, special[EOS].content);
    tokenizer->padding = added_id(tokenizer, special[PAD].content);
    return TT_OK;
}

enum tt_status tt_tokenizer_open(const struct tt_folder *folder, const char *module,
                                 struct tt_tokenizer **out, struct tt_error *err) {
    *out = NULL;
    struct tt_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer) return tt_fail(err, TT_SYSTEM, "%s: out of memory", module);
    struct files files = {.folder = folder, .module = module, .poll = tt_folder_poll(folder)};
    tokenizer->places = json_object();
    enum tt_status status = tokenizer->places
                                ? read_files(tokenizer, &files, err)
                                : tt_fail(err, TT_SYSTEM, "%s: out of memory", module);
    tt_json_free(files.tokenizer);
    tt_json_free(files.config);
    tt_json_free(files.map);
    tt_json_free(files.added);
    json_decref(files.vocab);
    if (status)
        tt_tokenizer_close(tokenizer);
    else
        *out = tokenizer;
    return status;
}

void tt_tokenizer_close(struct tt_tokenizer *tokenizer) {
    if (!tokenizer) return;
    tt_bpe_close(tokenizer->bpe);
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        free(tokenizer->added[i].content);
        free(tokenizer->added[i].pattern);
    }
    free(tokenizer->added);
    free(tokenizer->fresh);
    json_decref(tokenizer->places);
    for (int i = 0; i < 2; i++) tt_finder_free(tokenizer->finders[i]);
    free(tokenizer);
}
