// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

// --cpu before TINTYPE_CPU before all that the machine has.
enum tt_status cli_open_engine(struct cli *cli) {
    struct tt_engine_settings settings;
    tt_engine_defaults(&settings, sizeof settings);
    settings.cpu = cli->cpu ? cli->cpu : getenv("TINTYPE_CPU");
    settings.threads = cli->threads;
    settings.cancelled = cli_cancelled;
    settings.note = cli_note;
    settings.files = cli->files;
    settings.context = cli;
    settings.every_node = cli->every_node;
    settings.conv_direct = cli->conv && !strcmp(cli->conv, "direct");
    if (cli->conv && !settings.conv_direct && strcmp(cli->conv, "auto"))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--conv: found '%s', expected auto or direct",
                       cli->conv);
    enum tt_status status = tt_engine_new(&settings, &cli->engine, &cli->error);
    if (status == TT_BAD_INPUT) { // "cpu: found ...", where a user gave --cpu or TINTYPE_CPU
        char message[sizeof cli->error.message];
        memcpy(message, cli->error.message, sizeof message);
        bool cpu = !strncmp(message, "cpu:", 4), threads = !strncmp(message, "threads:", 8);
        snprintf(cli->error.message, sizeof message, "%s%.1000s",
                 cpu && !cli->cpu ? "TINTYPE_CPU: " : cpu || threads ? "--" : "", message);
    }
    return status;
}

const char *cli_parts(void) {
    static char list[256];
    size_t used = 0, count = tt_part_count();
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                 !i ? "" : i + 1 < count ? ", " : " or ", tt_part_name((int)i));
    return list;
}

enum tt_status cli_part(struct cli *cli, const char *name, int *part) {
    *part = tt_part_find(name);
    if (*part >= 0) return TT_OK;
    return tt_fail(&cli->error, TT_BAD_INPUT, "--part: found '%s', expected %s", name ? name : "",
                   cli_parts());
}

// What the options say of any model that a verb opens.
static enum tt_status begin_settings(struct cli *cli, struct tt_model_settings *settings) {
    tt_model_defaults(settings, sizeof *settings);
    if (cli->weights && !strcmp(cli->weights, "f32")) settings->weights = TT_WEIGHTS_F32;
    else if (cli->weights && strcmp(cli->weights, "stored"))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--weights: found '%s', expected stored or f32",
                       cli->weights);
    return TT_OK;
}

enum tt_status cli_open_model(struct cli *cli, const char *path, struct tt_model **model) {
    struct tt_model_settings settings;
    enum tt_status status = begin_settings(cli, &settings);
    if (!status) status = cli_take_loras(cli);
    if (status) return status;
    settings.variant = cli->variant;
    settings.vae = cli->vae;
    settings.unet = cli->unet;
    settings.config = cli->config;
    settings.prediction_type = cli->prediction;
    settings.loras = cli->loras.lora;
    settings.lora_count = cli->loras.count;
    return tt_model_open_with(path, cli->engine, &settings, model, &cli->error);
}

// A session on a model that is open, which it then holds.
static enum tt_status begin_session(struct cli *cli, struct tt_model *opened,
                                    struct tt_session **session, struct tt_model **model) {
    enum tt_status status = tt_session_new(opened, NULL, session, &cli->error);
    if (!status) *model = opened;
    tt_model_close(opened);
    return status;
}

enum tt_status cli_open_session(struct cli *cli, const char *path, struct tt_session **session,
                                struct tt_model **model) {
    struct tt_model *opened = NULL;
    enum tt_status status = cli_open_model(cli, path, &opened);
    return status ? status : begin_session(cli, opened, session, model);
}

enum tt_status cli_open_beside(struct cli *cli, const char *path, bool alike,
                               struct tt_session **session, struct tt_model **model) {
    struct tt_model_settings settings;
    struct tt_model *opened = NULL;
    enum tt_status status = begin_settings(cli, &settings);
    if (alike) {
        settings.variant = cli->variant;
        settings.vae = cli->vae;
    }
    if (!status) status = tt_model_open_with(path, cli->engine, &settings, &opened, &cli->error);
    return status ? status : begin_session(cli, opened, session, model);
}

enum tt_status cli_options(struct cli *cli, const struct cli_option *options, int argc, char **argv,
                           const char **words, int count) {
    enum tt_status status = cli_parse(cli, options, argc, argv, words, count);
    return status || cli->help ? status : cli_open_engine(cli);
}
