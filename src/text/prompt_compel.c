// SPDX-License-Identifier: MIT
// compel's grammar (prompt_parser.py, build_parser_syntax) as a parser by hand. There alternatives
// are tried in order and never come back to; here a target (a word, brackets, quotes) is looked at
// once, and then what stands behind it. What was found at a bracket or a quote is kept, so that
// time grows with the text alone, however often it is looked at.
#include "text/prompt.h"

#include "base/text.h"
#include "text/prompt_compel.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

static bool is_blank(char c) { // what is skipped between symbols
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_symbol(char c) {
    return c && strchr("()\",.+-=", c);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t skip(const struct tt_compel_source *s, size_t at) {
    while (at < s->size && is_blank(s->text[at])) at++;
    return at;
}

// Behind `literal`, with white space before it; 0: it is not there.
static size_t behind(const struct tt_compel_source *s, size_t at, const char *literal) {
    size_t length = strlen(literal);
    at = skip(s, at);
    return at + length <= s->size && !memcmp(s->text + at, literal, length) ? at + length : 0;
}

static bool failed(const struct tt_compel_parser *p) {
    return p->error->status;
}

// ---- nodes ----

static struct tt_compel_node *new_node(struct tt_compel_parser *p) {
    struct tt_compel_node *node = failed(p) ? NULL : tt_pool_alloc(&p->pool, sizeof *node);
    if (!node && !failed(p)) tt_fail(p->error, TT_SYSTEM, "out of memory for a prompt");
    return node;
}

struct list {
    struct tt_compel_node *first, **end;
};

static void append(struct list *list, struct tt_compel_node *node) {
    if (!node) return;
    if (!list->end) list->end = &list->first;
    *list->end = node;
    list->end = &node->next;
}

// A fragment of a text.
static struct tt_compel_node *words(struct tt_compel_parser *p, const char *text, size_t size) {
    struct tt_compel_node *node = new_node(p);
    if (node) *node = (struct tt_compel_node){.text = text, .size = size};
    return node;
}

// What stands in brackets or quotes, or with a weight: a node of its own, since lists are kept and
// may be looked at again.
static struct tt_compel_node *group(struct tt_compel_parser *p, struct tt_compel_node *inside,
                                    double weight) {
    struct tt_compel_node *node = new_node(p);
    if (node) *node = (struct tt_compel_node){.inside = inside, .weight = weight, .group = true};
    return node;
}

// ---- words ----

// The end of a word without syntax: characters, escaped symbols, and + or - with more behind it.
static size_t word_end(const struct tt_compel_source *s, size_t at) {
    while (at < s->size && !is_space(s->text[at])) {
        char c = s->text[at], next = at + 1 < s->size ? s->text[at + 1] : 0;
        if (c == '\\' && is_symbol(next)) {
            at += 2;
            continue;
        }
        bool sign = (c == '+' || c == '-') && at + 1 < s->size && !is_blank(next) &&
                    !is_symbol(next);
        if (is_symbol(c) && !sign) break;
        at++;
    }
    return at;
}

// The end of a number: [+-]?digits.digits, .digits, or -?digits; at: there is none.
static size_t number_end(const struct tt_compel_source *s, size_t at) {
    size_t digits = at < s->size && (s->text[at] == '+' || s->text[at] == '-') ? at + 1 : at;
    size_t end = digits;
    while (end < s->size && is_digit(s->text[end])) end++;
    size_t whole = end;
    if (end < s->size && s->text[end] == '.') {
        for (end++; end < s->size && is_digit(s->text[end]);) end++;
        if (whole > digits || end > whole + 1) return end;
    }
    return whole > digits && s->text[at] != '+' ? whole : at;
}

// The weight that an operator has: a run of + or of -, or a number. 0: there is none.
static size_t weight_at(struct tt_compel_parser *p, const struct tt_compel_source *s, size_t at,
                        bool number, double *weight) {
    char sign = at < s->size ? s->text[at] : 0;
    size_t end = at;
    if (sign == '+' || sign == '-') {
        while (end < s->size && s->text[end] == sign) end++;
        *weight = tt_compel_power(sign == '+' ? 1.1 : 0.9, end - at);
        return end;
    }
    end = number ? number_end(s, at) : at;
    if (end == at || failed(p)) return 0;
    tt_prompt_number(p->what, s->text + at, end - at, weight, p->error);
    return end;
}

// ---- targets: words, brackets, quotes ----

static size_t inside_end(struct tt_compel_parser *p, struct tt_compel_source *s, size_t at,
                         struct list *list);

// "(...)", of which the inside may hold commas and full stops.
static struct tt_compel_found brackets(struct tt_compel_parser *p, struct tt_compel_source *s,
                                       size_t at) {
    struct list list = {0};
    size_t end = behind(s, inside_end(p, s, at + 1, &list), ")");
    return (struct tt_compel_found){true, end, list.first};
}

static size_t prompt_end(struct tt_compel_parser *p, struct tt_compel_source *s, size_t at,
                         struct list *list);

// The text in quotes as a source of its own; NULL: the quotes do not end in this line. `\"` inside
// stays as it is: it is a quote that opens nothing; where no other ends the quotes, its last one
// does. Also \t, \n, \f and \r become what they stand for, since pyparsing does that.
static struct tt_compel_source *unquote(struct tt_compel_parser *p,
                                        const struct tt_compel_source *s, size_t at, size_t *end) {
    static const char letters[] = "tnfr", values[] = "\t\n\f\r";
    size_t stop = at + 1, used = 0, escaped = 0;
    for (; stop < s->size && !strchr("\"\n\r", s->text[stop]); stop++)
        if (s->text[stop] == '\\' && stop + 1 < s->size && s->text[stop + 1] == '"')
            escaped = ++stop;
    if (stop >= s->size || s->text[stop] != '"') stop = escaped;
    if (!stop) return NULL;
    *end = stop + 1;
    char *text = tt_pool_alloc(&p->pool, stop - at);
    struct tt_compel_source *made = tt_pool_alloc(&p->pool, sizeof *made);
    if (!text || !made) {
        tt_fail(p->error, TT_SYSTEM, "out of memory for a prompt");
        return NULL;
    }
    for (size_t i = at + 1; i < stop; i++) {
        const char *letter = s->text[i] == '\\' && i + 1 < stop ? strchr(letters, s->text[i + 1])
                                                                : NULL;
        text[used++] = letter ? values[letter - letters] : s->text[i];
        i += letter != NULL;
    }
    *made = (struct tt_compel_source){text, used, NULL, s->depth};
    return made;
}

// Quotes, read as what may stand in brackets (`free`: as a prompt of its own).
static struct tt_compel_found quotes(struct tt_compel_parser *p, struct tt_compel_source *s,
                                     size_t at, bool free) {
    struct list list = {0};
    size_t end = 0;
    struct tt_compel_source *inside = unquote(p, s, at, &end);
    if (!inside || failed(p)) return (struct tt_compel_found){.known = true};
    if (skip(inside, 0) == inside->size) {
        append(&list, words(p, "", 0));
        return (struct tt_compel_found){true, end, list.first};
    }
    if (!tt_compel_source_begin(p, inside)) return (struct tt_compel_found){.known = true};
    size_t used = free ? prompt_end(p, inside, 0, &list) : inside_end(p, inside, 0, &list);
    bool whole = skip(inside, used) == inside->size;
    return (struct tt_compel_found){true, whole ? end : 0, list.first};
}

// A target at `at`, where there is no white space: its end, and what it is; 0: there is none.
static size_t target(struct tt_compel_parser *p, struct tt_compel_source *s, size_t at,
                     struct tt_compel_node **inside) {
    char c = at < s->size ? s->text[at] : 0;
    *inside = NULL;
    if (failed(p) || !c) return 0;
    if (c != '(' && c != '"') {
        size_t end = word_end(s, at);
        if (end == at) return 0;
        *inside = words(p, s->text + at, end - at);
        return end;
    }
    if (!s->found[at].known) {
        if (++s->depth > TT_PROMPT_DEPTH)
            tt_fail(p->error, TT_BAD_INPUT, "%s: found brackets nested deeper than %d", p->what,
                    TT_PROMPT_DEPTH);
        struct tt_compel_found found = {.known = true};
        if (!failed(p)) found = c == '(' ? brackets(p, s, at) : quotes(p, s, at, false);
        s->depth--;
        s->found[at] = found;
    }
    *inside = s->found[at].first;
    return failed(p) ? 0 : s->found[at].end;
}

// ---- what may stand behind a target ----

static void refuse(struct tt_compel_parser *p, const char *found, const char *instead) {
    if (!failed(p))
        tt_fail(p->error, TT_BAD_INPUT, "%s: found %s, expected none: %s", p->what, found, instead);
}

// withLora(name, weight) and useLora(...).
static void refuse_lora(struct tt_compel_parser *p, const struct tt_compel_source *s, size_t at) {
    size_t end = behind(s, at, "withLora");
    if (!end) end = behind(s, at, "useLora");
    if (end && behind(s, end, "("))
        refuse(p, "withLora() or useLora()", "a LoRA is given by --lora FILE:WEIGHT");
}

// One thing of a prompt at `at` (behind white space), added to the list: a target, with its weight.
// bare: words without a weight count, too. Returns where it ends; 0: there is none.
static size_t part_end(struct tt_compel_parser *p, struct tt_compel_source *s, size_t at,
                       bool bare, struct list *list) {
    struct tt_compel_node *inside;
    refuse_lora(p, s, at);
    bool word = at < s->size && s->text[at] != '(' && s->text[at] != '"';
    size_t end = target(p, s, at, &inside), next;
    double weight = 1;
    if (!end || failed(p)) return 0;
    next = behind(s, end, ".swap");
    if (next && behind(s, next, "("))
        refuse(p, ".swap()", "attention maps are not exchanged here");
    next = behind(s, end, ".attend");
    if (next) next = behind(s, next, "(");
    if (next) next = weight_at(p, s, skip(s, next), true, &weight);
    if (next) next = behind(s, next, ")");
    if (!next) next = weight_at(p, s, end, !word, &weight);
    if (failed(p) || (!next && word && !bare)) return 0;
    append(list, next ? group(p, inside, weight) : group(p, inside, 1));
    return next ? next : end;
}

// What may stand in brackets, from `at` on, up to what may not.
static size_t inside_end(struct tt_compel_parser *p, struct tt_compel_source *s, size_t at,
                         struct list *list) {
    for (size_t from = skip(s, at), end; from < s->size && !failed(p); from = skip(s, at = end)) {
        end = part_end(p, s, from, true, list);
        if (!end && (s->text[from] == ',' || s->text[from] == '.')) {
            end = from + 1;
            append(list, words(p, s->text + from, 1));
        }
        if (!end) break;
    }
    return at;
}

// A prompt that stands for itself: what has no meaning is a word.
static size_t prompt_end(struct tt_compel_parser *p, struct tt_compel_source *s, size_t at,
                         struct list *list) {
    for (size_t from = skip(s, at), end; from < s->size && !failed(p); from = skip(s, at = end)) {
        end = part_end(p, s, from, false, list);
        if (!end) {
            for (end = from; end < s->size && !is_space(s->text[end]);) end++;
            if (end == from) break;
            append(list, words(p, s->text + from, end - from));
        }
    }
    return at;
}

// ---- .blend() and .and() ----

// The options in the brackets of an operator: `key = value`, a number, a word. Returns what is
// behind the closing one; 0: they are none.
static size_t options_end(struct tt_compel_parser *p, const struct tt_compel_source *s, size_t at,
                          struct tt_compel_option *options, size_t *count) {
    *count = 0;
    size_t end = behind(s, at, ")");
    while (!end) {
        size_t from = skip(s, at), word = from, next;
        while (word < s->size && (is_digit(s->text[word]) || strchr("_-", s->text[word]) ||
                                  ((s->text[word] | 32) >= 'a' && (s->text[word] | 32) <= 'z')))
            word++;
        struct tt_compel_option option = {s->text + from, word - from, false};
        size_t number = number_end(s, from);
        next = word > from ? behind(s, word, "=") : 0;
        if (next) { // a key, whose value counts for nothing here
            size_t value = skip(s, next);
            for (next = number_end(s, value); next < s->size && s->text[next] != ',' &&
                                              s->text[next] != ')';) next++;
        } else if (number > from) {
            option = (struct tt_compel_option){s->text + from, number - from, true};
            next = number;
        } else {
            next = word;
        }
        if (next == from || *count == TT_PROMPT_TEXTS + 1) return 0;
        options[(*count)++] = option;
        end = behind(s, next, ")");
        if (!end && !(at = behind(s, next, ","))) return 0;
    }
    (void)p;
    return end;
}

// ("one", "another").blend(1, 2) or .and(): the texts, which operator, its options. Returns where
// it ends; 0: there is none.
static size_t combination_end(struct tt_compel_parser *p, struct tt_compel_source *s,
                              struct tt_compel_combination *c) {
    size_t at = behind(s, 0, "("), end = 0;
    while (at) {
        struct tt_compel_node *inside;
        size_t from = skip(s, at);
        end = target(p, s, from, &inside);
        if (!end && !failed(p) && from < s->size && s->text[from] == '"') {
            struct tt_compel_found found = quotes(p, s, from, true);
            end = found.end;
            inside = found.first;
        }
        if (!end || failed(p)) return 0;
        if (c->count == TT_PROMPT_TEXTS) {
            tt_fail(p->error, TT_BAD_INPUT, "%s: found more than %d texts in .and() or .blend()",
                    p->what, TT_PROMPT_TEXTS);
            return 0;
        }
        c->texts[c->count++] = inside;
        at = behind(s, end, ",");
    }
    static const char *const names[] = {".and", ".add", ".blend"};
    end = c->count ? behind(s, end, ")") : 0;
    for (size_t i = 0; end && i < 3; i++) {
        size_t open = behind(s, end, names[i]);
        open = open ? behind(s, open, "(") : 0;
        c->blend = i == 2;
        if (open) return options_end(p, s, open, c->options, &c->option_count);
    }
    return 0;
}

// ---- the whole ----

bool tt_compel_source_begin(struct tt_compel_parser *p, struct tt_compel_source *s) {
    s->found = tt_pool_alloc(&p->pool, (s->size + 1) * sizeof *s->found);
    if (!s->found) tt_fail(p->error, TT_SYSTEM, "out of memory for a prompt");
    return s->found;
}

// White space behind each comma, as compel puts it there before all else.
static char *spaced(struct tt_pool *pool, const char *text) {
    size_t size = strlen(text), used = 0;
    char *out = tt_pool_alloc(pool, 2 * size + 1);
    for (size_t at = 0, step; out && at < size; at += step) {
        int32_t c;
        step = 1;
        out[used++] = text[at];
        size_t next = at + 1 < size ? tt_text_character(text + at + 1, size - at - 1, &c) : 0;
        if (text[at] != ',' || !next || tt_unicode_class(c) == TT_SPACE) continue;
        out[used++] = ' ';
        memcpy(out + used, text + at + 1, next);
        used += next;
        step += next;
    }
    return out;
}

static bool is_empty(const char *text) {
    int32_t c;
    for (size_t at = 0, size = strlen(text), step; at < size; at += step) {
        step = tt_text_character(text + at, size - at, &c);
        if (!step || tt_unicode_class(c) != TT_SPACE) return false;
    }
    return true;
}

enum tt_status tt_prompt_compel(const char *what, const char *text, struct tt_compel *prompt,
                                struct tt_error *err) {
    struct tt_error own = {0};
    *prompt = (struct tt_compel){0};
    enum tt_status status = tt_prompt_check(what, text, err);
    if (status) return status;
    struct tt_compel_parser p = {.what = what, .error = &own};
    struct tt_compel_combination c = {0};
    struct tt_compel_source s = {.text = spaced(&p.pool, text)};
    s.size = s.text ? strlen(s.text) : 0;
    if (!s.text) tt_fail(&own, TT_SYSTEM, "out of memory for a prompt");
    size_t end = 0;
    struct list list = {0};
    if (is_empty(text)) append(&list, words(&p, "", 0));
    else if (!failed(&p) && tt_compel_source_begin(&p, &s)) end = combination_end(&p, &s, &c);
    if (!end && !failed(&p) && !list.first) {
        end = prompt_end(&p, &s, 0, &list);
        c = (struct tt_compel_combination){.alone = true};
    }
    c.alone |= list.first != NULL;
    if (c.alone) {
        c.texts[0] = list.first;
        c.count = 1;
    }
    if (!failed(&p) && skip(&s, end) < s.size && !is_empty(text))
        tt_fail(&own, TT_BAD_INPUT, "%s: found '%.40s' %s", what, s.text + skip(&s, end),
                c.alone ? "where compel expects words" :
                "behind .and() or .blend(), expected nothing there: compel leaves it out");
    if (!failed(&p)) tt_compel_flatten(&p, &c, prompt);
    tt_pool_free(&p.pool);
    return own.status ? tt_fail(err, own.status, "%s", own.message) : TT_OK;
}
