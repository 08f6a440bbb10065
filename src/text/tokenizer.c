// SPDX-License-Identifier: MIT
// Source of the order of steps: transformers, models/clip/tokenization_clip.py, and the
// added-vocabulary rules of the tokenizers library.
#include "text/tokenizer.h"

#include "text/tokenizer_data.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

// Longer prompts are a mistake, and sizes below stay far from overflowing an int.
enum { MAX_TEXT = 1 << 20 };

// The character at text, of size bytes at most, and how many bytes it takes; 0 when it is no UTF-8.
static size_t next_character(const char *text, size_t size, int32_t *character) {
    utf8proc_ssize_t used =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, character);
    return used > 0 ? (size_t)used : 0;
}

// NFC of size bytes of valid UTF-8 into out, which has room: NFC takes at most three times the
// bytes. Returns the bytes used, or -1 without memory.
static utf8proc_ssize_t compose(const char *text, size_t size, char *out) {
    utf8proc_ssize_t used = 0;
    for (size_t at = 0; at < size;) {
        size_t end = at, step = 0;
        int32_t character;
        for (; end < size; end += step) {
            step = next_character(text + end, size - end, &character);
            if (tt_unicode_is_barrier(character)) break;
        }
        if (end > at) {
            utf8proc_uint8_t *composed = NULL;
            utf8proc_ssize_t length =
                utf8proc_map((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(end - at),
                             &composed, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
            if (length < 0) return -1;
            memcpy(out + used, composed, (size_t)length);
            used += length;
            free(composed);
        }
        if (end == size) break;
        memcpy(out + used, text + end, step);
        used += (utf8proc_ssize_t)step;
        at = end + step;
    }
    return used;
}

enum tt_status tt_text_normalize(const char *text, size_t size, char **out, struct tt_error *err) {
    char *composed = malloc(3 * size + 1);
    utf8proc_ssize_t length = composed ? compose(text, size, composed) : -1;
    // Lower case takes at most 3 bytes for 2 (U+023A, U+0130).
    char *normal = length >= 0 ? malloc(2 * (size_t)length + 1) : NULL;
    if (!normal) {
        free(composed);
        return tt_fail(err, TT_SYSTEM, "out of memory for a text of %zu bytes", size);
    }
    size_t used = 0, step;
    bool after_space = false;
    for (size_t at = 0; at < (size_t)length; at += step) {
        int32_t character, lower[2];
        step = next_character(composed + at, (size_t)length - at, &character);
        bool space = tt_unicode_class(character) == TT_SPACE;
        if (space && !after_space) normal[used++] = ' ';
        after_space = space;
        int count = space ? 0 : tt_unicode_lower(character, lower);
        for (int i = 0; i < count; i++)
            used += (size_t)utf8proc_encode_char(lower[i], (utf8proc_uint8_t *)normal + used);
    }
    normal[used] = 0;
    free(composed);
    *out = normal;
    return TT_OK;
}

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
    size_t length = next_character(text, size, &character);
    enum tt_class class = tt_unicode_class(character);
    if (class == TT_SPACE) return 0;
    while (class != TT_NUMBER && length < size) {
        size_t step = next_character(text + length, size - length, &character);
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

// The first added token in text, the longest of those at the same place; NULL when there is none.
static const struct tt_added_token *find_added(const struct tt_tokenizer *tokenizer,
                                               const char *text, size_t size, bool normalized,
                                               size_t *at) {
    const struct tt_added_token *found = NULL;
    for (*at = 0; *at < size; ++*at) {
        size_t longest = 0;
        for (size_t i = 0; i < tokenizer->added_count; i++) {
            const struct tt_added_token *added = &tokenizer->added[i];
            if (added->normalized != normalized ||
                !begins_with(text + *at, size - *at, added->pattern))
                continue;
            if (strlen(added->pattern) <= longest) continue;
            longest = strlen(added->pattern);
            found = added;
        }
        if (found) break;
    }
    return found;
}

static enum tt_status encode_normalized(const struct tt_tokenizer *tokenizer, const char *text,
                                        struct tt_ids *ids, struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (size_t size = strlen(text), at; size && !status; size = strlen(text)) {
        const struct tt_added_token *added = find_added(tokenizer, text, size, true, &at);
        status = encode_words(tokenizer, text, at, ids, err);
        if (!added) break;
        if (!status) status = tt_ids_add(ids, added->id, err);
        text += at + strlen(added->pattern);
    }
    return status;
}

static enum tt_status encode_raw(const struct tt_tokenizer *tokenizer, const char *text,
                                 struct tt_ids *ids, struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (size_t size = strlen(text), at; size && !status; size = strlen(text)) {
        const struct tt_added_token *added = find_added(tokenizer, text, size, false, &at);
        char *normal;
        status = tt_text_normalize(text, at, &normal, err);
        if (status) break;
        status = encode_normalized(tokenizer, normal, ids, err);
        free(normal);
        if (!added) break;
        if (!status) status = tt_ids_add(ids, added->id, err);
        text += at + strlen(added->pattern);
    }
    return status;
}

static enum tt_status check_text(const char *text, struct tt_error *err) {
    size_t size = strlen(text);
    if (size > MAX_TEXT)
        return tt_fail(err, TT_BAD_INPUT, "text: found %zu bytes, expected at most %d", size,
                       MAX_TEXT);
    int32_t character;
    for (size_t at = 0, step; at < size; at += step) {
        step = next_character(text + at, size - at, &character);
        if (!step)
            return tt_fail(err, TT_BAD_INPUT, "text: byte %zu (0x%02x) is no UTF-8", at,
                           (unsigned)(unsigned char)text[at]);
    }
    return TT_OK;
}

enum tt_status tt_tokenizer_encode(const struct tt_tokenizer *tokenizer, const char *text,
                                   int32_t *ids, size_t max, size_t *used, struct tt_error *err) {
    if (max < 2)
        return tt_fail(err, TT_BAD_INPUT, "tokens: found room for %zu, expected at least 2: the "
                       "start and the end of a text", max);
    struct tt_ids all = {0};
    enum tt_status status = check_text(text, err);
    if (!status) status = encode_raw(tokenizer, text, &all, err);
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
    for (size_t i = 0; i < tokenizer->added_count; i++)
        if (tokenizer->added[i].id == id) return tokenizer->added[i].content;
    return tt_bpe_token(tokenizer->bpe, id);
}

char *tt_tokenizer_text(const struct tt_tokenizer *tokenizer, int32_t id, char *text,
                        size_t size) {
    const char *token = tt_tokenizer_token(tokenizer, id);
    size_t length = token ? strlen(token) : 0, used = 0, step;
    const char end[] = "</w>";
    bool word_end = length >= 4 && !strcmp(token + length - 4, end);
    for (size_t at = 0; at < length - (word_end ? 4 : 0) && used + 1 < size; at += step) {
        int32_t character;
        step = next_character(token + at, length - at, &character);
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
