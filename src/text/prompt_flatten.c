// SPDX-License-Identifier: MIT
// compel's PromptParser.flatten, and the classes Fragment, Blend and Conjunction of the same file.
#include "text/prompt_compel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// What a product of two doubles, rounded, lacks (Dekker, 1971).
static double rounded_off(double a, double b, double product) {
    const double splitter = 134217729; // 2^27 + 1
    double x = splitter * a, a_high = x - (x - a), a_low = a - a_high;
    double y = splitter * b, b_high = y - (y - b), b_low = b - b_high;
    return ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
}

double tt_compel_power(double base, size_t n) {
    double high = 1, low = 0;
    for (size_t i = 0; i < n && high < 1e100 && high > 1e-100; i++) {
        double product = high * base, rest = rounded_off(high, base, product) + low * base;
        high = product + rest;
        low = (product - high) + rest;
    }
    return high;
}

// `\(`, `\)` and `\"` become what they stand for, in this order, as Fragment does it. Returns the
// new size.
static size_t unescape(char *text, size_t size) {
    for (const char *mark = "()\""; *mark; mark++) {
        size_t used = 0;
        for (size_t at = 0; at < size; at++) {
            at += text[at] == '\\' && at + 1 < size && text[at + 1] == *mark;
            text[used++] = text[at];
        }
        size = used;
    }
    return size;
}

struct flat {
    struct tt_compel_parser *p;
    struct tt_fragments list; // not yet joined
};

static void add_words(struct flat *f, const struct tt_compel_node *node, double weight) {
    struct tt_error *err = f->p->error;
    if (err->status || tt_fragments_add(&f->list, node->text, node->size, weight, err)) return;
    char *text = f->list.data[f->list.count - 1].text;
    size_t size = unescape(text, node->size); // when it is read,
    size = unescape(text, size);              // and when weights are multiplied
    text[size] = 0;
    if (!isfinite((float)weight))
        tt_fail(err, TT_BAD_INPUT, "%s: weight of '%.40s': found %g, expected a number that a "
                "float32 holds", f->p->what, text, weight);
}

// Not deeper than the parser went: TT_PROMPT_DEPTH, and again that in quotes.
static void walk(struct flat *f, const struct tt_compel_node *node, double weight) {
    for (; node && !f->p->error->status; node = node->next) {
        if (node->group) walk(f, node->inside, weight * node->weight);
        else add_words(f, node, weight);
    }
}

// Neighbours of one weight, with a space between.
static struct tt_fragments joined(struct flat *f) {
    struct tt_fragments out = {0};
    struct tt_error *err = f->p->error;
    for (size_t i = 0, next; i < f->list.count && !err->status; i = next) {
        double weight = f->list.data[i].weight;
        size_t size = 0, used = 0;
        for (next = i; next < f->list.count && f->list.data[next].weight == weight; next++)
            size += strlen(f->list.data[next].text) + 1;
        char *text = malloc(size);
        if (!text) {
            tt_fail(err, TT_SYSTEM, "out of memory for a prompt");
            break;
        }
        for (size_t j = i; j < next; j++) {
            size_t length = strlen(f->list.data[j].text);
            memcpy(text + used, f->list.data[j].text, length);
            used += length;
            if (j + 1 < next) text[used++] = ' ';
        }
        if (next > i + 1) used = unescape(text, used);
        tt_fragments_add(&out, text, used, weight, err);
        free(text);
    }
    tt_fragments_free(&f->list);
    return out;
}

static struct tt_fragments flatten(struct tt_compel_parser *p, const struct tt_compel_node *text) {
    struct flat f = {.p = p};
    walk(&f, text, 1);
    return joined(&f);
}

// ---- shares ----

static bool is_word(const struct tt_compel_option *option, const char *word) {
    return option->size == strlen(word) && !memcmp(option->text, word, option->size);
}

// The weights of .and() or .blend(): none, or one for each text.
static void shares(struct tt_compel_parser *p, const struct tt_compel_combination *c,
                   double *weights, bool *normalize) {
    size_t count = c->option_count;
    const char *name = c->blend ? ".blend()" : ".and()";
    *normalize = true;
    if (c->blend && count && is_word(&c->options[count - 1], "no_normalize")) {
        *normalize = false;
        count--;
    }
    for (size_t i = 0; i < c->count; i++) weights[i] = 1;
    if (count && count != c->count)
        tt_fail(p->error, TT_BAD_INPUT, "%s: %s: found %zu weights, expected %zu, one for each "
                "text", p->what, name, count, c->count);
    for (size_t i = 0; i < count && !p->error->status; i++) {
        const struct tt_compel_option *option = &c->options[i];
        if (!option->number)
            tt_fail(p->error, TT_BAD_INPUT, "%s: %s: found '%.*s', expected a weight%s", p->what,
                    name, option->size > 40 ? 40 : (int)option->size, option->text,
                    c->blend ? " (or no_normalize at the end)" : "");
        else
            tt_prompt_number(p->what, option->text, option->size, &weights[i], p->error);
    }
    double sum = 0;
    for (size_t i = 0; i < c->count; i++) sum += weights[i];
    if (c->blend && *normalize && !((float)sum < 0 || (float)sum > 0) && !p->error->status)
        tt_fail(p->error, TT_BAD_INPUT, "%s: .blend(): found weights that are 0 together, expected "
                "a sum to divide by, or no_normalize", p->what);
}

// ---- parts ----

static bool add_part(struct tt_compel_parser *p, struct tt_compel *prompt, size_t room) {
    struct tt_compel_part *part = &prompt->parts[prompt->count];
    part->texts = calloc(room, sizeof *part->texts);
    part->shares = calloc(room, sizeof *part->shares);
    part->weight = 1;
    prompt->count++;
    if (part->texts && part->shares) return true;
    tt_fail(p->error, TT_SYSTEM, "out of memory for a prompt");
    return false;
}

void tt_compel_flatten(struct tt_compel_parser *p, const struct tt_compel_combination *c,
                       struct tt_compel *prompt) {
    double weights[TT_PROMPT_TEXTS];
    bool normalize;
    shares(p, c, weights, &normalize);
    prompt->parts = calloc(c->count, sizeof *prompt->parts);
    if (!prompt->parts) tt_fail(p->error, TT_SYSTEM, "out of memory for a prompt");
    for (size_t i = 0; i < c->count && !p->error->status; i++) {
        struct tt_fragments list = flatten(p, c->texts[i]);
        // What holds no words at all has no embeddings there either.
        if (!list.count && !p->error->status && (c->blend || c->alone))
            tt_fail(p->error, TT_BAD_INPUT, "%s: found brackets without words, expected some",
                    p->what);
        bool begins = !c->blend || !prompt->count;
        if (!list.count || p->error->status ||
            (begins && !add_part(p, prompt, c->blend ? c->count : 1))) {
            tt_fragments_free(&list);
            continue;
        }
        struct tt_compel_part *part = &prompt->parts[prompt->count - 1];
        part->texts[part->count] = list;
        part->shares[part->count++] = c->blend ? weights[i] : 1;
        part->normalize = c->blend && normalize;
        if (!c->blend) part->weight = weights[i];
    }
    if (!prompt->count && !p->error->status)
        tt_fail(p->error, TT_BAD_INPUT, "%s: found .and() without words, expected some", p->what);
    if (p->error->status) tt_compel_free(prompt);
}

void tt_compel_free(struct tt_compel *prompt) {
    for (size_t i = 0; i < prompt->count; i++) {
        struct tt_compel_part *part = &prompt->parts[i];
        for (size_t j = 0; part->texts && j < part->count; j++) tt_fragments_free(&part->texts[j]);
        free(part->texts);
        free(part->shares);
    }
    free(prompt->parts);
    *prompt = (struct tt_compel){0};
}
