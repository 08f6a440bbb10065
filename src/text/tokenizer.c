// SPDX-License-Identifier: MIT
// Source of the order of steps: transformers, models/clip/tokenization_clip.py, and the
// added-vocabulary rules of the tokenizers library.
#include "text/tokenizer.h"

#include "base/text.h"
#include "text/normalize.h"
#include "text/tokenizer_data.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

static bool begins_with(const char *text, size_t size, const char *prefix) {
    size_t length = strlen(prefix);
    return length <= size && !memcmp(text, prefix, length);
}

static const char *const literals[] = {"<|startoftext|>", "<|endoftext|>", "'s", "'t", "'re",
                                       "'ve", "'m", "'ll", "'d"};

// The length of the piece of the split pattern that begins at text, 0 for white space:
// <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
static size_t piece_length(const char *text, size_t size) {
    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++)
        if (begins_with(text, size, literals[i])) return strlen(literals[i]);
    int32_t character;
    size_t length = tt_text_character(text, size, &character);
    enum tt_class class = tt_unicode_class(character);
    if (class == TT_SPACE) return 0;
    while (class != TT_NUMBER && length < size) {
        size_t step = tt_text_character(text + length, size - length, &character);
        if (tt_unicode_class(character) != class) break;
        length += step;
    }
    return length;
}

// Tokens of a normalised stretch of text that holds no added token.
static enum tt_status encode_words(const struct tt_tokenizer *tokenizer, const char *text,
                                   size_t size, struct tt_ids *ids, struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (size_t at = 0; at < size && !status;) {
        size_t length = piece_length(text + at, size - at);
        // A second pattern parts "<|endoftext|>" into "<|", "endoftext" and "|>"; it leaves other
        // pieces whole.
        bool parted = begins_with(text + at, length, literals[0]) ||
                      begins_with(text + at, length, literals[1]);
        const size_t parts[3] = {parted ? 2 : length, parted ? length - 4 : 0, parted ? 2 : 0};
        for (int i = 0; i < 3 && !status; at += parts[i++])
            if (parts[i])
                status = tt_bpe_encode(tokenizer->bpe, (const unsigned char *)text + at, parts[i],
                                       ids, err);
        at += !length; // white space is one ' ' by now
    }
    return status;
}

// Hands the stretches between added tokens to `between`, and adds the tokens. At each place the
// longest is taken, then what comes after it is looked at.
static enum tt_status split(const struct tt_tokenizer *tokenizer, const char *text, size_t size,
                            bool normalized,
                            enum tt_status (*between)(const struct tt_tokenizer *tokenizer,
                                                      const char *text, size_t size,
                                                      struct tt_ids *ids, struct tt_error *err),
                            struct tt_ids *ids, struct tt_error *err) {
    int32_t *found = malloc((size + 1) * sizeof *found);
    if (!found) return tt_fail(err, TT_SYSTEM, "out of memory for a text of %zu bytes", size);
    tt_finder_run(tokenizer->finders[normalized], text, size, found);
    enum tt_status status = TT_OK;
    for (size_t at = 0, from = 0; at < size && !status; from = at) {
        while (at < size && found[at] < 0) at++;
        if (at > from) status = between(tokenizer, text + from, at - from, ids, err);
        if (at == size || status) break;
        const struct tt_added_token *added = &tokenizer->added[found[at]];
        status = tt_ids_add(ids, added->id, err);
        at += strlen(added->pattern);
    }
    free(found);
    return status;
}

static enum tt_status encode_stretch(const struct tt_tokenizer *tokenizer, const char *text,
                                     size_t size, struct tt_ids *ids, struct tt_error *err) {
    char *normal;
    size_t length;
    enum tt_status status = tt_text_normalize(text, size, &normal, &length, err);
    if (status) return status;
    status = split(tokenizer, normal, length, true, encode_words, ids, err);
    free(normal);
    return status;
}

static enum tt_status check_text(const char *text, struct tt_error *err) {
    size_t size = strlen(text);
    if (size > TT_TEXT_BYTES)
        return tt_fail(err, TT_BAD_INPUT, "text: found %zu bytes, expected at most %d", size,
                       TT_TEXT_BYTES);
    int32_t character;
    for (size_t at = 0, step; at < size; at += step) {
        step = tt_text_character(text + at, size - at, &character);
        if (!step)
            return tt_fail(err, TT_BAD_INPUT, "text: byte %zu (0x%02x) is no valid UTF-8", at,
                           (unsigned)(unsigned char)text[at]);
    }
    return TT_OK;
}

enum tt_status tt_tokenizer_encode(const struct tt_tokenizer *tokenizer, const char *text,
                                   int32_t *ids, size_t max, size_t *used, struct tt_error *err) {
    if (max < 2)
        return tt_fail(err, TT_BAD_INPUT, "text: found room for %zu token ids, expected at least "
                       "2: the first and the last", max);
    struct tt_ids all = {0};
    enum tt_status status = check_text(text, err);
    if (!status) status = split(tokenizer, text, strlen(text), false, encode_stretch, &all, err);
    if (!status) {
        size_t count = all.count < max - 2 ? all.count : max - 2;
        ids[0] = tokenizer->start;
        for (size_t i = 0; i < count; i++) ids[1 + i] = all.data[i];
        ids[1 + count] = tokenizer->end;
        for (size_t i = 2 + count; i < max; i++) ids[i] = tokenizer->padding;
        if (used) *used = all.count + 2;
    }
    free(all.data);
    return status;
}

const char *tt_tokenizer_token(const struct tt_tokenizer *tokenizer, int32_t id) {
    int32_t known = tt_bpe_size(tokenizer->bpe);
    if (id < known || id >= tokenizer->size) return tt_bpe_token(tokenizer->bpe, id);
    return tokenizer->added[tokenizer->fresh[id - known]].content;
}

char *tt_tokenizer_text(const struct tt_tokenizer *tokenizer, int32_t id, char *text,
                        size_t size) {
    const char *token = tt_tokenizer_token(tokenizer, id);
    size_t length = token ? strlen(token) : 0, used = 0, step;
    const char end[] = "</w>";
    bool word_end = length >= 4 && !strcmp(token + length - 4, end);
    for (size_t at = 0; at < length - (word_end ? 4 : 0) && used + 1 < size; at += step) {
        int32_t character;
        step = tt_text_character(token + at, length - at, &character);
        int byte = tt_bpe_byte(character);
        text[used++] = (char)(byte < 0 ? '?' : byte);
    }
    if (word_end && used + 1 < size) text[used++] = ' ';
    if (size) text[used] = 0;
    return text;
}

size_t tt_tokenizer_max_length(const struct tt_tokenizer *tokenizer) {
    return tokenizer->max_length;
}

bool tt_tokenizer_whole(const struct tt_tokenizer *tokenizer) {
    return tokenizer->whole;
}

int32_t tt_tokenizer_size(const struct tt_tokenizer *tokenizer) {
    return tokenizer->size;
}

int32_t tt_tokenizer_start(const struct tt_tokenizer *tokenizer) {
    return tokenizer->start;
}

int32_t tt_tokenizer_end(const struct tt_tokenizer *tokenizer) {
    return tokenizer->end;
}

int32_t tt_tokenizer_padding(const struct tt_tokenizer *tokenizer) {
    return tokenizer->padding;
}
