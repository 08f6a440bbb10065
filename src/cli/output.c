// SPDX-License-Identifier: MIT
// What goes to standard output and standard error: notes, texts of unknown origin, JSON.
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "cli/cli.h"

// Letters, marks, digits and the like, and the space: what a terminal shows and does not obey.
static bool is_shown(utf8proc_int32_t c) {
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP: return false;
    case UTF8PROC_CATEGORY_CF: // of the invisible ones, those that change the direction
        return !(c >= 0x202a && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069) && c != 0x200e &&
               c != 0x200f && c != 0x61c;
    default: return true;
    }
}

// The character at text and its bytes; false, and one byte, when it is no UTF-8.
static bool next(const char *text, utf8proc_int32_t *c, size_t *bytes) {
    utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)text, -1, c);
    *bytes = used > 0 ? (size_t)used : 1;
    return used > 0;
}

bool cli_is_shown(const char *text, size_t *bytes) {
    utf8proc_int32_t c;
    return next(text, &c, bytes) && is_shown(c);
}

void cli_print(FILE *to, const char *text) {
    for (size_t bytes; *text; text += bytes) {
        if (cli_is_shown(text, &bytes)) fwrite(text, 1, bytes, to);
        else fputc('?', to);
    }
}

json_t *cli_json_text(const char *text) {
    static const char replacement[] = "\xef\xbf\xbd";
    char *good = malloc(3 * strlen(text) + 1), *end = good;
    utf8proc_int32_t c;
    if (!good) return NULL;
    for (size_t bytes; *text; text += bytes) {
        bool valid = next(text, &c, &bytes);
        memcpy(end, valid ? text : replacement, valid ? bytes : 3);
        end += valid ? bytes : 3;
    }
    *end = 0;
    json_t *string = json_string(good);
    free(good);
    return string;
}

static bool keep_note(struct cli *cli, const char *text) {
    json_t *note = cli_json_text(text), *said;
    size_t i;
    if (!cli->notes) cli->notes = json_array();
    json_array_foreach(cli->notes, i, said) {
        if (!json_equal(said, note)) continue;
        json_decref(note);
        return false;
    }
    json_array_append_new(cli->notes, note);
    return true;
}

void cli_note(void *context, const char *text) {
    struct cli *cli = context;
    if (!keep_note(cli, text) || cli->quiet) return;
    if (cli->bar) cli_progress_end(cli->bar);
    fprintf(stderr, "tintype %s: note: ", cli->verb);
    cli_print(stderr, text);
    fputc('\n', stderr);
}

void cli_written(struct cli *cli, const char *path) {
    if (cli_is_standard_output(path)) return;
    if (!cli->written) cli->written = json_array();
    json_array_append_new(cli->written, cli_json_text(path));
    if (cli->json || cli->quiet) return;
    FILE *to = cli->uses_stdout ? stderr : stdout;
    cli_print(to, path);
    fputc('\n', to);
    fflush(to); // whoever reads them may begin
}

enum tt_status cli_print_written(struct cli *cli) {
    if (!cli->json) return TT_OK;
    json_t *files = cli->written ? json_incref(cli->written) : json_array();
    return cli_print_json(cli, json_pack("{s:o}", "files", files), JSON_COMPACT);
}

enum tt_status cli_print_json(struct cli *cli, json_t *root, size_t flags) {
    bool good = root && (!cli->notes || !json_object_set(root, "notes", cli->notes)) &&
                !json_dumpf(root, stdout, flags);
    if (good) putchar('\n');
    json_decref(root);
    if (good || ferror(stdout)) return TT_OK; // main() asks standard output how it went
    return tt_fail(&cli->error, TT_SYSTEM, "--json: out of memory");
}
