// SPDX-License-Identifier: MIT
// What a model says that it can draw, beside what it is asked for.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli/words.h"

enum tt_status words_read(struct cli *cli, const struct tt_model *model, json_t **words) {
    char *text = NULL;
    *words = NULL;
    enum tt_status status = tt_model_words(model, &text, &cli->error);
    if (text && !(*words = json_loads(text, 0, NULL)))
        status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    free(text);
    return status;
}

static bool is_letter(char c) { return isalnum((unsigned char)c) || (c & 0x80); }

// Whether text has the word, by itself or as a plural, in lower or upper case.
static bool names(const char *text, const char *word) {
    size_t length = strlen(word);
    for (const char *at = text; length && *at; at++) {
        if (at > text && is_letter(at[-1])) continue;
        if (strncasecmp(at, word, length)) continue;
        const char *after = at + length;
        if (tolower((unsigned char)*after) == 's') after++;
        if (!is_letter(*after)) return true;
    }
    return false;
}

// "red, blue, yellow": the caller frees; NULL without memory.
char *words_text(const json_t *list) {
    size_t size = 0, i;
    json_t *word;
    char *text = NULL;
    FILE *to = open_memstream(&text, &size);
    if (!to) return NULL;
    json_array_foreach(list, i, word) fprintf(to, "%s%s", i ? ", " : "", json_string_value(word));
    if (!fclose(to)) return text;
    free(text);
    return NULL;
}

static void note(struct cli *cli, const char *format, const char *text) {
    char *message = NULL;
    if (text && asprintf(&message, format, text) >= 0) cli_note(cli, message);
    free(message);
}

void words_note(struct cli *cli, const json_t *words, const struct tt_settings *with) {
    const json_t *subjects = json_object_get(json_object_get(words, "words"), "subjects");
    const json_t *pixels = json_object_get(words, "pixels");
    bool named = !json_array_size(subjects) || !with->prompt || !*with->prompt;
    size_t i;
    json_t *word;
    json_array_foreach(subjects, i, word)
        named = named || names(with->prompt, json_string_value(word));
    if (!named) {
        char *list = words_text(subjects);
        note(cli, "the prompt names nothing that this model can draw: it knows %s; "
             "'tintype info' tells the rest", list);
        free(list);
    }
    size_t width = (size_t)json_integer_value(json_array_get(pixels, 0));
    size_t height = (size_t)json_integer_value(json_array_get(pixels, 1));
    if (!pixels || (width == with->width && height == with->height)) return;
    char text[64];
    snprintf(text, sizeof text, "%zux%zu, not for %zux%zu", width, height, with->width,
             with->height);
    note(cli, "this model was trained for pictures of %s: what it draws may fall apart", text);
}
