// SPDX-License-Identifier: MIT
// tintype tokenize: the tokens of a text.
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"

static enum tt_status print_tokens(struct cli *cli, const struct tt_tokenizer *tokenizer,
                                   const int32_t *ids, size_t shown, size_t used, size_t most) {
    json_t *list = json_array();
    for (size_t i = 0; i < shown; i++) {
        const char *token = tt_tokenizer_token(tokenizer, ids[i]);
        if (cli->json)
            json_array_append_new(list, json_pack("{s:i, s:o}", "id", (int)ids[i], "token",
                                                  cli_json_text(token)));
        else {
            printf("%6d  ", (int)ids[i]);
            cli_print(stdout, token);
            putchar('\n');
        }
    }
    if (cli->json) {
        json_t *root = json_pack("{s:o, s:I, s:I, s:b}", "tokens", list, "used", (json_int_t)used,
                                 "max", (json_int_t)most, "cut", used > most);
        return cli_print_json(cli, root, JSON_COMPACT);
    }
    json_decref(list);
    if (used > most && !cli->quiet) {
        fprintf(stderr, "cut: the text takes %zu tokens, the model %zu\n", used, most);
    }
    return TT_OK;
}

enum tt_status cli_tokenize(struct cli *cli, int argc, char **argv) {
    const char *path = NULL, *text = NULL, *name = NULL;
    const struct cli_option options[] = {
        {"model", 'm', CLI_TEXT, "MODEL", "a folder or a file; default: the built-in one", &path},
        CLI_VARIANT(cli),
        {"part", 0, CLI_TEXT, "PART", "the text encoder that it is for; default: the first",
         &name},
        {0},
    };
    struct tt_model *model = NULL;
    const struct tt_tokenizer *tokenizer = NULL;
    int part = 0;
    size_t used = 0, most = 0;
    int32_t *ids = NULL;
    enum tt_status status = cli_options(cli, options, argc, argv, &text, 1);
    if (status || cli->help) return status;
    if (name) status = cli_part(cli, name, &part);
    if (!status) status = cli_open_model(cli, path, &model);
    if (!status) tokenizer = name ? tt_part_tokenizer(model, part) : tt_model_tokenizer(model);
    if (!status && !tokenizer && name)
        status = tt_fail(&cli->error, TT_BAD_INPUT, "--part: found %s, expected a text encoder of "
                         "%s", name, tt_model_info(model)->name);
    if (!status && !tokenizer)
        status = tt_fail(&cli->error, TT_BAD_INPUT, "%s: found no tokenizer: it draws without a "
                         "text", tt_model_info(model)->name);
    if (!status) {
        most = tt_model_info(model)->tokens;
        ids = malloc(most * sizeof *ids);
        if (!ids) status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    }
    if (!status)
        status = tt_tokenizer_encode(tokenizer, text, ids, most, &used, &cli->error);
    if (!status)
        status = print_tokens(cli, tokenizer, ids, used < most ? used : most, used, most);
    free(ids);
    tt_model_close(model);
    return status;
}
