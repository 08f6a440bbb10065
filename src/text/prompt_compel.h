// SPDX-License-Identifier: MIT
// What parsing a prompt of compel's syntax leaves, and how its lists of weighted words are made
// from that. For prompt_compel*.c alone.
#ifndef TT_TEXT_PROMPT_COMPEL_H
#define TT_TEXT_PROMPT_COMPEL_H

#include "base/memory.h"
#include "text/prompt.h"

// Words, or a list of nodes that weigh `weight` times what they would.
struct tt_compel_node {
    struct tt_compel_node *next, *inside;
    const char *text;
    size_t size;
    double weight;
    bool group;
};

// What was found at a bracket or quote: where it ends (0: it does not), and what is inside.
struct tt_compel_found {
    bool known;
    size_t end;
    struct tt_compel_node *first;
};

// A text that is being read: the prompt, or what stands in quotes.
struct tt_compel_source {
    const char *text;
    size_t size;
    struct tt_compel_found *found; // by place
    size_t depth;
};

struct tt_compel_parser {
    const char *what;
    struct tt_pool pool;
    struct tt_error *error; // the first one ends it
};

// An option of .and() or .blend().
struct tt_compel_option {
    const char *text;
    size_t size;
    bool number;
};

// Texts, and how they are put together; alone: one text, as it is.
struct tt_compel_combination {
    struct tt_compel_node *texts[TT_PROMPT_TEXTS];
    size_t count, option_count;
    struct tt_compel_option options[TT_PROMPT_TEXTS + 1];
    bool blend, alone;
};

// Room for what is found in s; false: an error.
bool tt_compel_source_begin(struct tt_compel_parser *p, struct tt_compel_source *s);

// base to the power of n, rounded once.
double tt_compel_power(double base, size_t n);

// Weights multiplied out, neighbours of one weight made one: compel's flatten. Errors go to
// p->error.
void tt_compel_flatten(struct tt_compel_parser *p, const struct tt_compel_combination *c,
                       struct tt_compel *prompt);

#endif
