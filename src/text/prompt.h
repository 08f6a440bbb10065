// SPDX-License-Identifier: MIT
// Prompts as other programs write them, taken apart: which words weigh how much.
//
// webui: AUTOMATIC1111's stable-diffusion-webui 1.10, modules/prompt_parser.py,
// parse_prompt_attention.
// compel: compel 2.5, prompt_parser.py (the grammar, flatten).
#ifndef TT_TEXT_PROMPT_H
#define TT_TEXT_PROMPT_H

#include "base/status.h"

#include <stdbool.h>

// Brackets in brackets, at most; the texts of a .blend() or .and().
enum { TT_PROMPT_DEPTH = 64, TT_PROMPT_TEXTS = 64 };

// Some words and what they weigh.
struct tt_fragment {
    char *text; // UTF-8
    double weight;
    bool ends_chunk; // no words: webui's BREAK
};

// A list of them, in the prompt's order. Zero-initialised: empty.
struct tt_fragments {
    struct tt_fragment *data;
    size_t count, room;
};
enum tt_status tt_fragments_add(struct tt_fragments *list, const char *text, size_t size,
                                double weight, struct tt_error *err);
void tt_fragments_free(struct tt_fragments *list);

// TT_BAD_INPUT: the text is longer than TT_TEXT_BYTES, or no valid UTF-8.
enum tt_status tt_prompt_check(const char *what, const char *text, struct tt_error *err);

// A weight as both write it, size bytes: an optional sign, digits, a point. TT_BAD_INPUT: no such
// number, or one that float32 does not hold; what stands before the message.
enum tt_status tt_prompt_number(const char *what, const char *text, size_t size, double *number,
                                struct tt_error *err);

// webui's syntax. Neighbours of one weight are one fragment; none has no text but an empty prompt.
// what is how messages call the prompt. TT_BAD_INPUT: no number where one must be, brackets too
// deep, or what that program knows and this one does not: [from:to:when], [one|another],
// <hypernet:...>, and AND where what is "prompt" (that program reads it there alone).
enum tt_status tt_prompt_webui(const char *what, const char *text, struct tt_fragments *list,
                               struct tt_error *err);

// compel's syntax: a prompt is one part or, with .and(), several, whose embeddings come one behind
// the other. Each is a text or, with .blend(), a weighted sum of several.
struct tt_compel_part {
    struct tt_fragments *texts;
    double *shares;   // of each text
    size_t count;
    bool normalize;   // shares are divided by their sum
    double weight;
};
struct tt_compel {
    struct tt_compel_part *parts;
    size_t count;
};

// TT_BAD_INPUT: what compel does not take (a number of weights that is not that of texts, ...), and
// what it knows and this program does not: .swap(), withLora(). *prompt is to be freed after TT_OK
// alone.
enum tt_status tt_prompt_compel(const char *what, const char *text, struct tt_compel *prompt,
                                struct tt_error *err);
void tt_compel_free(struct tt_compel *prompt);

#endif
