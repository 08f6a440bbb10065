// SPDX-License-Identifier: MIT
// --lora FILE[:WEIGHT].
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

// FILE, or FILE:WEIGHT when what follows the last colon is a number.
static enum tt_status add(struct cli *cli, const char *given) {
    const char *colon = strrchr(given, ':');
    double weight = 1;
    size_t length = strlen(given);
    if (colon && !cli_number("", colon + 1, &weight, NULL)) length = (size_t)(colon - given);
    else if (colon && !strchr(colon, '/') && !strchr(colon, '.'))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--lora: found '%s', expected FILE or "
                       "FILE:WEIGHT, a finite number", given);
    char *path = strndup(given, length);
    if (!path) return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    enum tt_status status = cli_add_lora(cli, path, weight, NULL);
    free(path);
    return status;
}

enum tt_status cli_add_lora(struct cli *cli, const char *path, double weight, const char *sha256) {
    struct cli_loras *loras = &cli->loras;
    if (!*path) return tt_fail(&cli->error, TT_BAD_INPUT, "--lora: found no name of a file");
    if (loras->count == TT_LORAS)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--lora: found more than %d", TT_LORAS);
    char *own = strdup(path), *digest = sha256 ? strdup(sha256) : NULL;
    if (!own || (sha256 && !digest)) {
        free(own);
        free(digest);
        return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    }
    loras->lora[loras->count++] = (struct tt_lora){own, weight, digest};
    return TT_OK;
}

enum tt_status cli_take_loras(struct cli *cli) {
    enum tt_status status = TT_OK;
    for (int i = 0; !status && i < cli->loras.given.count; i++)
        status = add(cli, cli->loras.given.item[i]);
    cli->loras.given.count = 0;
    return status;
}

void cli_free_loras(struct cli *cli) {
    for (size_t i = 0; i < cli->loras.count; i++) {
        free((char *)(uintptr_t)cli->loras.lora[i].path);
        free((char *)(uintptr_t)cli->loras.lora[i].sha256);
    }
    cli->loras.count = 0;
}
