// SPDX-License-Identifier: MIT
#include "text/prompt.h"

#include "base/text.h"
#include "text/tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum tt_status tt_fragments_add(struct tt_fragments *list, const char *text, size_t size,
                                double weight, struct tt_error *err) {
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 8;
        struct tt_fragment *data = realloc(list->data, room * sizeof *data);
        if (!data) return tt_fail(err, TT_SYSTEM, "out of memory for a prompt");
        list->data = data;
        list->room = room;
    }
    char *copy = malloc(size + 1);
    if (!copy) return tt_fail(err, TT_SYSTEM, "out of memory for a prompt");
    memcpy(copy, text, size);
    copy[size] = 0;
    list->data[list->count++] = (struct tt_fragment){copy, weight, false};
    return TT_OK;
}

void tt_fragments_free(struct tt_fragments *list) {
    for (size_t i = 0; i < list->count; i++) free(list->data[i].text);
    free(list->data);
    *list = (struct tt_fragments){0};
}

enum tt_status tt_prompt_check(const char *what, const char *text, struct tt_error *err) {
    size_t size = strlen(text);
    if (size > TT_TEXT_BYTES)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu bytes, expected at most %d", what, size,
                       TT_TEXT_BYTES);
    if (tt_text_is_utf8(text, size)) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: found a text that is no valid UTF-8", what);
}

enum tt_status tt_prompt_number(const char *what, const char *text, size_t size, double *number,
                                struct tt_error *err) {
    char copy[48], *end = copy;
    size_t digits = 0;
    for (size_t i = 0; i < size; i++) digits += text[i] >= '0' && text[i] <= '9';
    if (digits && size < sizeof copy) {
        memcpy(copy, text, size);
        copy[size] = 0;
        *number = strtod(copy, &end);
        if (end == copy + size && isfinite((float)*number)) return TT_OK;
    }
    return tt_fail(err, TT_BAD_INPUT, "%s: weight: found '%.*s', expected a number that a float32 "
                   "holds", what, size > 40 ? 40 : (int)size, text);
}
