// SPDX-License-Identifier: MIT
// What a tokenizer holds: filled by tokenizer_files.c, used by tokenizer.c.
#ifndef TT_TEXT_TOKENIZER_DATA_H
#define TT_TEXT_TOKENIZER_DATA_H

#include "text/bpe.h"
#include "text/finder.h"
#include "text/tokenizer.h"

// What is taken of added tokens; beyond it a file is an error. Their patterns have a bound in all,
// TT_FINDER_BYTES.
enum { TT_ADDED_TOKENS = 100000, TT_ADDED_BYTES = 1024 };

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
    size_t added_count, added_room;
    json_t *places;               // content -> index of an added token
    int32_t *fresh;               // the added tokens that the vocabulary lacks, by id less its size
    struct tt_finder *finders[2]; // [normalized], of patterns by their indices
    int32_t size, start, end, padding;
    size_t max_length;
    bool whole; // the files' length leaves no room for a token: texts are neither cut nor padded
};

#endif
