// SPDX-License-Identifier: MIT
// --lora FILE[:WEIGHT], and <lora:NAME:WEIGHT> in a prompt with --lora-folder.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/request.h"

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
    enum tt_status status = cli_add_lora(cli, &(struct tt_lora){path, weight, NULL}, NULL);
    free(path);
    return status;
}

enum tt_status cli_add_lora(struct cli *cli, const struct tt_lora *lora, const char *shown) {
    struct cli_loras *loras = &cli->loras;
    if (!*lora->path) return tt_fail(&cli->error, TT_BAD_INPUT, "--lora: found no name of a file");
    if (loras->count == TT_LORAS)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--lora: found more than %d", TT_LORAS);
    char *path = strdup(lora->path), *digest = lora->sha256 ? strdup(lora->sha256) : NULL;
    char *name = shown ? strdup(shown) : NULL;
    if (!path || (lora->sha256 && !digest) || (shown && !name)) {
        free(path);
        free(digest);
        free(name);
        return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    }
    loras->shown[loras->count] = name;
    loras->lora[loras->count++] = (struct tt_lora){path, lora->weight, digest};
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
        free(cli->loras.shown[i]);
    }
    cli->loras.count = 0;
}

// ---- tags ----

enum tt_status request_untagged(struct cli *cli, const char *what, const char *prompt) {
    struct tt_lora_prompt tags;
    enum tt_status status = tt_lora_prompt_read(prompt, &tags, &cli->error);
    if (status) return tt_fail_prefix(&cli->error, "%s", what);
    if (tags.count)
        status = tt_fail(&cli->error, TT_BAD_INPUT, "%s: found <lora:%.100s>, expected it in "
                         "--prompt, or --lora FILE", what, tags.name[0]);
    tt_lora_prompt_free(&tags);
    return status;
}

enum tt_status request_loras(struct cli *cli, struct request *r) {
    enum tt_status status = cli_take_loras(cli);
    if (!status && r->with.negative)
        status = request_untagged(cli, "--negative-prompt", r->with.negative);
    if (!status && r->with.prompt)
        status = tt_lora_prompt_read(r->with.prompt, &r->tags, &cli->error);
    if (!status && r->tags.count && !r->lora_folder && !r->lora_count)
        status = tt_fail(&cli->error, TT_BAD_INPUT, "prompt: found <lora:%.100s> without "
                         "--lora-folder, expected --lora-folder DIR", r->tags.name[0]);
    for (size_t i = 0; !status && i < r->tags.count; i++) {
        const struct tt_lora *made = i < r->lora_count ? &r->loras[i] : NULL;
        char *path = NULL;
        if (r->lora_folder)
            status = tt_lora_find(r->lora_folder, r->tags.name[i], &path, &cli->error);
        const struct tt_lora lora = {path ? path : made ? made->path : "", r->tags.weight[i],
                                     made ? made->sha256 : NULL};
        if (!status) status = cli_add_lora(cli, &lora, made ? made->path : NULL);
        free(path);
    }
    for (size_t i = 0; !status && i < cli->loras.count; i++) {
        json_t *text = json_string(cli->loras.lora[i].path);
        if (!text)
            status = tt_fail(&cli->error, TT_BAD_INPUT, "--lora: %s: found a name that is no valid "
                             "UTF-8, expected one that pictures can carry",
                             cli->loras.lora[i].path);
        json_decref(text);
    }
    if (status || !r->tags.count) return status;
    r->record.prompt = r->with.prompt;
    r->with.prompt = r->tags.text;
    return TT_OK;
}

void request_free(struct request *r) {
    tt_image_free(&r->picture);
    tt_image_free(&r->mask_picture);
    tt_lora_prompt_free(&r->tags);
    request_wording_free(&r->wording);
}

// ---- pictures that are made again ----

// The file of that name in the folder, whatever folder it was in; NULL: it is not there.
static char *again(const char *folder, const char *path) {
    const char *slash = strrchr(path, '/');
    char *found = NULL;
    struct stat info;
    if (asprintf(&found, "%s/%s", folder, slash ? slash + 1 : path) < 0) return NULL;
    if (!stat(found, &info) && S_ISREG(info.st_mode)) return found;
    free(found);
    return NULL;
}

enum tt_status request_replay(struct cli *cli, struct request *r, const char *file,
                              const struct settings_read *read) {
    struct tt_lora_prompt tags = {0};
    size_t count = read->record.lora_count;
    enum tt_status status =
        read->with.prompt ? tt_lora_prompt_read(read->with.prompt, &tags, &cli->error) : TT_OK;
    if (!status && tags.count > count)
        status = tt_fail(&cli->error, TT_BAD_INPUT, "%s: settings: found %zu LoRAs, expected at "
                         "least %zu, as the prompt has tags", file, count, tags.count);
    size_t given = count - tags.count;
    for (size_t i = 0; !status && !cli->loras.given.count && i < given; i++) {
        struct tt_lora lora = read->loras[i];
        char *path = NULL;
        if (r->lora_folder) path = again(r->lora_folder, lora.path);
        if (path) lora.path = path;
        status = cli_add_lora(cli, &lora, read->loras[i].path);
        free(path);
    }
    if (!status && r->with.prompt == read->with.prompt) {
        r->loras = read->loras + given;
        r->lora_count = tags.count;
    }
    tt_lora_prompt_free(&tags);
    return status;
}
