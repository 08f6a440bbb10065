// SPDX-License-Identifier: MIT
// tintype record: a whole run with every module's outputs in files, for verify.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/request.h"

static const char help[] =
"A RECORDING is a folder: what every module of the model was given and gave in a whole run, in\n"
"the order of execution, with the scheduler's steps, the noise, the latents, the picture and\n"
"digests of the weights. 'tintype verify -m MODEL RECORDING' compares with it: another machine,\n"
"precision or version of tintype, or a port of yours. PyTorch writes the same:\n"
"    python3 reference/record.py --pipeline MODEL --prompt TEXT -o RECORDING\n"
"reference/RECORDINGS.md describes the format.\n"
"\n"
"Each call is written while it runs, so that memory holds no more than the run and twice its\n"
"largest tensor. A recording that was stopped goes on when the same command is given again: calls\n"
"that are complete are computed, but not written again. It never writes over anything else.\n"
"\n"
"--json prints: recording, calls, tensors, kept (calls that were there), bytes (written, about),\n"
"flop (of the run), seconds. Exit status: 0 done, 2 bad usage or input, 3 the system failed (the\n"
"disk is full).\n";

struct record {
    struct cli *cli;
    struct request ask;
    struct tt_recorder_settings settings;
    struct tt_session *session;
    struct tt_recorder *recorder;
    struct cli_progress line;
    double seconds;
};

static int after_step(void *context, const struct tt_progress *seen) {
    struct record *record = context;
    cli_progress_step(&record->line, seen->step, seen->steps);
    return cli_signal() != 0;
}

static enum tt_status tell(struct record *record) {
    const struct tt_recorder_cost *cost = tt_recorder_cost(record->recorder);
    double seconds;
    if (record->cli->quiet) return TT_OK;
    fprintf(stderr, "tintype record: %zu calls, %zu tensors", cost->calls, cost->tensors);
    if (cost->kept) fprintf(stderr, ", %zu calls are there already", cost->kept);
    fprintf(stderr, "; about %.1f MB on the disk", cost->bytes / 1e6);
    enum tt_status status =
        tt_recorder_estimate(record->recorder, &seconds, &record->cli->error);
    if (!status) fprintf(stderr, " and %.3g s", seconds);
    fputc('\n', stderr);
    return status;
}

static enum tt_status run(struct record *record, struct tt_model *model) {
    struct cli *cli = record->cli;
    enum tt_status status = request_check(cli, &record->ask, model);
    if (!status) status = request_note(cli, model, &record->ask.with, 1);
    if (!status) status = request_guide(&record->ask, record->ask.outline.calls, &record->ask.with,
                                        &cli->error);
    record->ask.with.progress = after_step;
    record->ask.with.context = record;
    if (!status)
        status = tt_recorder_new(record->session, cli->files, record->ask.out, &record->settings,
                                 &record->ask.with, &record->recorder, &cli->error);
    if (!status) status = tell(record);
    if (status) return status;
    cli_progress_begin(&record->line, cli, "recording");
    double begun = cli_seconds();
    status = tt_recorder_run(record->recorder, &cli->error);
    record->seconds = cli_seconds() - begun;
    cli_progress_end(&record->line);
    return status;
}

static enum tt_status print(struct record *record) {
    const struct tt_recorder_cost *cost = tt_recorder_cost(record->recorder);
    cli_written(record->cli, record->ask.out);
    if (!record->cli->json) return TT_OK;
    return cli_print_json(record->cli,
                          json_pack("{s:o, s:I, s:I, s:I, s:f, s:f, s:f}", "recording",
                                    cli_json_text(record->ask.out), "calls",
                                    (json_int_t)cost->calls, "tensors", (json_int_t)cost->tensors,
                                    "kept", (json_int_t)cost->kept, "bytes", cost->bytes, "flop",
                                    cost->flops, "seconds", record->seconds),
                          JSON_COMPACT);
}

enum tt_status cli_record(struct cli *cli, int argc, char **argv) {
    struct record record = {.cli = cli};
    struct tt_model *model = NULL;
    struct cli_option options[REQUEST_OPTIONS] = {{0}};
    request_begin(&record.ask);
    tt_recorder_defaults(&record.settings, sizeof record.settings);
    size_t n = request_options(&record.ask, cli, options);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(options[i].name, "output")) {
            options[i].argument = "RECORDING";
            options[i].help = "the folder to record to; must be given";
        }
    const struct cli_option own[] = {
        {"modules", 0, CLI_TEXT, "REGEX",
         "only modules in whose path this is found, as 'attn2|conv_in'; default: all",
         &record.settings.modules},
        {"every", 0, CLI_COUNT, "K", "of so many sampling steps only the first",
         &record.settings.every},
        {"statistics", 0, CLI_FLAG, NULL,
         "statistics and a sample of large tensors instead of all their elements",
         &record.settings.statistics},
    };
    memcpy(options + n, own, sizeof own);
    cli->every_node = true;
    cli->more_help = help;
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    if (!record.ask.out)
        status = tt_fail(&cli->error, TT_BAD_INPUT, "--output is missing: name the folder to "
                         "record to with -o");
    if (!status) status = request_loras(cli, &record.ask);
    if (!status) status = request_wording(cli, &record.ask);
    if (!status) status = request_plain(cli, &record.ask);
    if (!status) status = cli_open_session(cli, record.ask.model, &record.session, &model);
    if (!status) status = run(&record, model);
    if (!status) status = print(&record);
    request_free(&record.ask);
    tt_recorder_free(record.recorder);
    tt_session_free(record.session);
    return status;
}
