// SPDX-License-Identifier: MIT
// The rules of stable-diffusion-webui's modules/prompt_parser.py: of brackets in
// parse_prompt_attention, of what is refused in schedule_parser and re_AND.
#include "text/prompt.h"

#include "base/text.h"
#include "text/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// A bracket that is open.
struct bracket {
    size_t from;          // the first fragment inside
    size_t colons, bars;  // straight inside, in no other bracket
    size_t last_colon;    // where it stands in the text
};

struct parser {
    const char *what, *text;
    size_t size;
    struct tt_fragments *list;
    struct bracket round[TT_PROMPT_DEPTH], square[TT_PROMPT_DEPTH];
    size_t rounds, squares;
    bool last_is_square[2 * TT_PROMPT_DEPTH]; // kinds of what is open, outermost first
    size_t depth;
};

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// ---- words that stand alone ----

static bool is_word(int32_t c) {
    enum tt_class class = tt_unicode_class(c);
    return c == '_' || class == TT_LETTER || class == TT_NUMBER;
}

static bool word_before(const char *text, size_t at) {
    size_t from = at;
    while (from > 0 && ((unsigned char)text[--from] & 0xC0) == 0x80) continue;
    int32_t c;
    return from < at && tt_text_character(text + from, at - from, &c) && is_word(c);
}

static bool word_at(const char *text, size_t size, size_t at) {
    int32_t c;
    return at < size && tt_text_character(text + at, size - at, &c) && is_word(c);
}

// Where `word` stands as a word of its own, from `at` on; size: nowhere.
static size_t find_word(const char *text, size_t size, size_t at, const char *word) {
    size_t length = strlen(word);
    for (; at + length <= size; at++)
        if (text[at] == word[0] && !memcmp(text + at, word, length) && !word_before(text, at) &&
            !word_at(text, size, at + length))
            return at;
    return size;
}

// ---- brackets ----

static enum tt_status open_bracket(struct parser *p, bool square, struct tt_error *err) {
    size_t *count = square ? &p->squares : &p->rounds;
    if (*count == TT_PROMPT_DEPTH)
        return tt_fail(err, TT_BAD_INPUT, "%s: found brackets nested deeper than %d", p->what,
                       TT_PROMPT_DEPTH);
    (square ? p->square : p->round)[(*count)++] = (struct bracket){.from = p->list->count};
    p->last_is_square[p->depth++] = square;
    return TT_OK;
}

static void multiply(struct parser *p, size_t from, double by) {
    for (size_t i = from; i < p->list->count; i++) p->list->data[i].weight *= by;
}

// Ends the last open one of a kind.
static struct bracket close_bracket(struct parser *p, bool square) {
    for (size_t i = p->depth; i-- > 0;) {
        if (p->last_is_square[i] != square) continue;
        memmove(p->last_is_square + i, p->last_is_square + i + 1, p->depth - i - 1);
        break;
    }
    p->depth--;
    return square ? p->square[--p->squares] : p->round[--p->rounds];
}

// The innermost open bracket.
static struct bracket *innermost(struct parser *p) {
    if (!p->depth) return NULL;
    return p->last_is_square[p->depth - 1] ? &p->square[p->squares - 1] : &p->round[p->rounds - 1];
}

// The number, between white space, that all of text is; its digits are 0 where it is none.
static const char *number_in(const char *text, size_t size, size_t *digits) {
    while (size && is_space(*text)) text++, size--;
    while (size && is_space(text[size - 1])) size--;
    *digits = 0;
    for (size_t i = 0; i < size; i++) {
        bool sign = !i && (text[i] == '+' || text[i] == '-');
        if (!sign && text[i] != '.' && (text[i] < '0' || text[i] > '9')) {
            *digits = 0;
            return text;
        }
        *digits += !sign;
    }
    if (*digits) *digits = size;
    return text;
}

// What a pair of square brackets says that draws differently from step to step: [from:to:when],
// [to:when], [from::when], [one|another].
static enum tt_status refuse_schedule(const struct parser *p, const struct bracket *b, size_t end,
                                      struct tt_error *err) {
    size_t digits = 0;
    if (b->colons && b->colons <= 2)
        number_in(p->text + b->last_colon + 1, end - b->last_colon - 1, &digits);
    if (digits && !b->bars)
        return tt_fail(err, TT_BAD_INPUT, "%s: found [from:to:when] ending with '%.*s', expected "
                       "none: prompts that change on the way are not supported (write \\[ for the "
                       "bracket itself)", p->what, (int)(end + 1 - b->last_colon),
                       p->text + b->last_colon);
    if (b->bars && !b->colons)
        return tt_fail(err, TT_BAD_INPUT, "%s: found [one|another], expected none: prompts that "
                       "alternate are not supported (write \\[ for the bracket itself)", p->what);
    return TT_OK;
}

// ---- text ----

// Text without brackets; BREAK in it, with the white space around it, ends a chunk.
static enum tt_status add_text(struct parser *p, size_t from, size_t to, struct tt_error *err) {
    enum tt_status status = TT_OK;
    while (!status) {
        size_t at = find_word(p->text, to, from, "BREAK"), end = at;
        if (at < to)
            while (end > from && is_space(p->text[end - 1])) end--;
        status = tt_fragments_add(p->list, p->text + from, end - from, 1, err);
        if (status || at == to) return status;
        status = tt_fragments_add(p->list, "BREAK", 5, -1, err);
        for (from = at + 5; from < to && is_space(p->text[from]);) from++;
    }
    return status;
}

static enum tt_status refuse_others(const struct parser *p, struct tt_error *err) {
    static const char *const kinds[] = {"<hypernet:", "<lyco:"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strstr(p->text, kinds[i]))
            return tt_fail(err, TT_BAD_INPUT, "%s: found '%s...>', expected none: such networks "
                           "are not supported", p->what, kinds[i]);
    if (!strcmp(p->what, "prompt") && find_word(p->text, p->size, 0, "AND") < p->size)
        return tt_fail(err, TT_BAD_INPUT, "%s: found AND, expected none: prompts that are drawn "
                       "beside one another are not supported", p->what);
    return TT_OK;
}

static void note_inside(struct parser *p, size_t at) {
    struct bracket *inside = innermost(p);
    if (!inside || (at && p->text[at - 1] == '\\')) return;
    if (p->text[at] == ':') {
        inside->colons++;
        inside->last_colon = at;
    } else {
        inside->bars++;
    }
}

// The weight that `:` at `at` begins, up to its `)`: (...:1.2). *end is behind it; at: it is none.
static const char *weight_at(const struct parser *p, size_t at, size_t *digits, size_t *end) {
    size_t stop = at + 1;
    while (stop < p->size && p->text[stop] && !strchr("\\()[]:", p->text[stop])) stop++;
    *end = at;
    if (stop == p->size || p->text[stop] != ')') return NULL;
    const char *number = number_in(p->text + at + 1, stop - at - 1, digits);
    if (*digits) *end = stop + 1;
    return number;
}

// What stands at `at`: one bracket, escape, weight, colon or stretch of text. *next: where it ends.
static enum tt_status step(struct parser *p, size_t at, size_t *next, struct tt_error *err) {
    char c = p->text[at];
    double by = 1.1;
    *next = at + 1;
    if (c == '\\') {
        *next += at + 1 < p->size && strchr("\\()[]", p->text[at + 1]);
        return tt_fragments_add(p->list, p->text + at + 1, *next - at - 1, 1, err);
    }
    if (c == '(' || c == '[') return open_bracket(p, c == '[', err);
    if (c == ')' && p->rounds) {
        multiply(p, close_bracket(p, false).from, by);
        return TT_OK;
    }
    if (c == ']' && p->squares) {
        struct bracket b = close_bracket(p, true);
        multiply(p, b.from, 1 / by);
        return refuse_schedule(p, &b, at, err);
    }
    if (c == ':') {
        size_t digits, end;
        const char *number = weight_at(p, at, &digits, &end);
        if (end > at && p->rounds) {
            enum tt_status status = tt_prompt_number(p->what, number, digits, &by, err);
            if (!status) multiply(p, close_bracket(p, false).from, by);
            *next = end;
            return status;
        }
        note_inside(p, at);
        if (end > at) *next = end;
        return add_text(p, at, *next, err);
    }
    if (c == ')' || c == ']') return add_text(p, at, at + 1, err);
    for (*next = at; *next < p->size && !strchr("\\()[]:", p->text[*next]); ++*next)
        if (p->text[*next] == '|') note_inside(p, *next);
    return add_text(p, at, *next, err);
}

// ---- the list ----

// Neighbours of one weight become one, as the program does it; what is left of BREAK is no words.
static enum tt_status join(struct tt_fragments *list, size_t bytes, struct tt_error *err) {
    char *joined = malloc(bytes + 1);
    if (!joined) return tt_fail(err, TT_SYSTEM, "out of memory for a prompt");
    struct tt_fragments out = {0};
    enum tt_status status = TT_OK;
    for (size_t i = 0, next; i < list->count && !status; i = next) {
        size_t size = 0;
        double weight = list->data[i].weight;
        for (next = i; next < list->count && list->data[next].weight == weight; next++) {
            size_t length = strlen(list->data[next].text);
            memcpy(joined + size, list->data[next].text, length);
            size += length;
        }
        joined[size] = 0;
        bool ends = weight == -1 && !strcmp(joined, "BREAK");
        if (!size && list->count > 1) continue;
        status = tt_fragments_add(&out, joined, ends ? 0 : size, ends ? 1 : weight, err);
        if (!status) out.data[out.count - 1].ends_chunk = ends;
    }
    free(joined);
    if (!status && !out.count) status = tt_fragments_add(&out, "", 0, 1, err);
    tt_fragments_free(list);
    *list = out;
    return status;
}

static enum tt_status check_weights(const char *what, const struct tt_fragments *list,
                                    struct tt_error *err) {
    for (size_t i = 0; i < list->count; i++)
        if (!isfinite((float)list->data[i].weight))
            return tt_fail(err, TT_BAD_INPUT, "%s: weight of '%.40s': found %g, expected a number "
                           "that a float32 holds", what, list->data[i].text, list->data[i].weight);
    return TT_OK;
}

enum tt_status tt_prompt_webui(const char *what, const char *text, struct tt_fragments *list,
                               struct tt_error *err) {
    struct parser p = {.what = what, .text = text, .size = strlen(text), .list = list};
    *list = (struct tt_fragments){0};
    enum tt_status status = tt_prompt_check(what, text, err);
    if (!status) status = refuse_others(&p, err);
    for (size_t at = 0; at < p.size && !status;) status = step(&p, at, &at, err);
    for (size_t i = 0; i < p.rounds; i++) multiply(&p, p.round[i].from, 1.1);
    for (size_t i = 0; i < p.squares; i++) multiply(&p, p.square[i].from, 1 / 1.1);
    // BREAK in brackets has no longer the weight of -1, and is a word.
    if (!status) status = join(list, p.size + 5, err);
    if (!status) status = check_weights(what, list, err);
    if (status) tt_fragments_free(list);
    return status;
}
