// SPDX-License-Identifier: MIT
// What a verb tells: notes, what it has written, JSON.
#include "cli/cli.h"

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
