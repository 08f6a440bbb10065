// SPDX-License-Identifier: MIT
// What a tokenizer holds: filled by tokenizer_files.c, used by tokenizer.c.
#ifndef TT_TEXT_TOKENIZER_DATA_H
#define TT_TEXT_TOKENIZER_DATA_H

#include "text/bpe.h"
#include "text/tokenizer.h"

// A token that is recognised as a whole wherever it stands in a text.
struct tt_added_token {
    char *content;
    char *pattern;   // what is looked for: content, normalised if normalized
    bool normalized; // looked for in the normalised text, else in the text as given
    int32_t id;
};

struct tt_tokenizer {
    struct tt_bpe *bpe;
    struct tt_added_token *added;
    size_t added_count;
    int32_t size, start, end, padding;
    size_t max_length;
};

// NFC, runs of white space to one space, lower case: size bytes of valid UTF-8 into *out, which the
// caller frees.
enum tt_status tt_text_normalize(const char *text, size_t size, char **out, struct tt_error *err);

#endif
