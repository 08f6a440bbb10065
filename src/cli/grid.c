// SPDX-License-Identifier: MIT
// tintype grid: one sheet of pictures, two settings varied, with the time that each took.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/axis.h"
#include "cli/request.h"

struct job {
    struct request ask;
    struct axis x, y; // y.count 0: none
    struct sheet sheet;
    struct tt_settings cells[SHEET_MOST * SHEET_MOST]; // row by row
    double seconds[SHEET_MOST * SHEET_MOST];
    struct cli *cli;
    struct tt_session *session;
    struct tt_model *model; // the session's
    struct cli_progress line;
    char what[48];
    size_t calls, done, steps; // of the U-Net: in this cell, in those before, in all
    size_t drawn;              // cells
};

static int after_step(void *context, const struct tt_progress *seen) {
    struct job *job = context;
    job->calls = seen->steps;
    cli_progress_step(&job->line, job->done + seen->step, job->steps);
    return 0;
}

// The settings of the cell in column i of row j.
static struct tt_settings cell(const struct job *job, size_t i, size_t j) {
    struct tt_settings with = job->ask.with;
    axis_apply(&job->x, i, &with);
    if (job->y.count) axis_apply(&job->y, j, &with);
    return with;
}

// Whatever a cell would refuse is refused before the first is drawn.
static enum tt_status check_cell(struct job *job, struct tt_settings *with) {
    struct tt_outline of;
    struct tt_inversion_info *used;
    size_t count;
    int32_t ids[2];
    const struct tt_tokenizer *tokenizer = tt_model_tokenizer(job->model);
    enum tt_status status = TT_OK;
    if (with->prompt) status = request_untagged(job->cli, "--x, --y: prompt", with->prompt);
    if (!status && tokenizer)
        status = tt_tokenizer_encode(tokenizer, with->prompt, ids, 2, NULL, &job->cli->error);
    if (!status)
        status = tt_settings_inversions(job->model, with, &used, &count, &job->cli->error);
    if (!status) tt_inversion_info_free(used, count);
    if (!status) status = tt_settings_complete(job->model, with, &of, &job->cli->error);
    if (!status) status = request_guide(&job->ask, of.calls, with, &job->cli->error);
    if (!status) job->steps += of.all_calls;
    return status;
}

static enum tt_status read_axes(struct job *job, const char *x, const char *y) {
    struct tt_error *err = &job->cli->error;
    if (!x) return tt_fail(err, TT_BAD_INPUT, "--x is missing: --x steps=2,5,10,25");
    enum tt_status status = axis_parse("x", x, &job->x, err);
    if (!status && y) status = axis_parse("y", y, &job->y, err);
    if (!status && y && job->x.kind == job->y.kind)
        status = tt_fail(err, TT_BAD_INPUT, "--x, --y: found %s twice, expected two settings",
                         job->x.name);
    const struct axis *prompts = job->x.kind == AXIS_PROMPT   ? &job->x
                               : job->y.count && job->y.kind == AXIS_PROMPT ? &job->y : NULL;
    job->sheet.title = job->ask.with.prompt;
    if (!status && prompts) {
        job->ask.with.prompt = prompts->values[0]; // what -p says is in no cell
        job->sheet.title = NULL;
    }
    job->ask.record.grid[0] = x;
    job->ask.record.grid[1] = y;
    return status;
}

// A model without a text has no use for some axes: its cells would all be alike.
static enum tt_status check_axis(struct job *job, const struct axis *axis) {
    if (!axis->count || !tt_model_info(job->model)->unconditional ||
        (axis->kind != AXIS_PROMPT && axis->kind != AXIS_GUIDANCE_SCALE))
        return TT_OK;
    return tt_fail(&job->cli->error, TT_BAD_INPUT,
                   "--x, --y: found %s, expected steps, scheduler or seed: %s is unconditional",
                   axis->name, tt_model_info(job->model)->name);
}

static enum tt_status check(struct job *job) {
    struct sheet *sheet = &job->sheet;
    enum tt_status status = check_axis(job, &job->x);
    if (!status) status = check_axis(job, &job->y);
    if (!status) status = request_check(job->cli, &job->ask, job->model);
    sheet->columns = job->x.count;
    sheet->rows = job->y.count ? job->y.count : 1;
    sheet->x_name = job->x.name;
    sheet->y_name = job->y.name;
    for (size_t i = 0; i < sheet->columns; i++) sheet->x[i] = job->x.values[i];
    for (size_t j = 0; j < job->y.count; j++) sheet->y[j] = job->y.values[j];
    sheet->width = job->ask.outline.width;
    sheet->height = job->ask.outline.height;
    for (size_t k = 0; !status && k < sheet->rows * sheet->columns; k++) {
        job->cells[k] = cell(job, k % sheet->columns, k / sheet->columns);
        status = check_cell(job, &job->cells[k]);
    }
    if (!status) status = request_note(job->cli, job->model, job->cells,
                                       sheet->rows * sheet->columns);
    if (!status) status = cli_plan_picture(job->cli, job->ask.out);
    return status ? status : sheet_open(sheet, true, &job->cli->error);
}

// Weights are loaded before the clock runs, or the first cell would pay for all.
static enum tt_status warm_up(struct job *job) {
    static const struct {
        const char *part;
        size_t n;
    } used[] = {{"text", 2}, {"text-2", 2}, {"unet", 2}, {"vae-decode", 1}};
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < sizeof used / sizeof *used; i++) {
        struct tt_size size;
        int part = tt_part_find(used[i].part);
        if (!tt_model_has_part(job->model, part)) continue;
        status = tt_part_size_for(job->model, part, used[i].n, job->ask.with.width,
                                  job->ask.with.height, &size, &job->cli->error);
        if (!status) status = tt_session_prepare(job->session, part, size, &job->cli->error);
    }
    return status;
}

static enum tt_status draw(struct job *job) {
    struct sheet *sheet = &job->sheet;
    size_t cells = sheet->columns * sheet->rows;
    enum tt_status status = warm_up(job);
    cli_progress_begin(&job->line, job->cli, job->what);
    for (size_t k = 0; !status && k < cells; k++) {
        struct tt_settings with = job->cells[k];
        with.count = 1;
        with.progress = after_step;
        with.context = job;
        snprintf(job->what, sizeof job->what, "cell %zu/%zu", k + 1, cells);
        double begun = cli_seconds();
        status = tt_generate(job->session, &with, NULL, &sheet->pictures[k], &job->cli->error);
        job->seconds[k] = cli_seconds() - begun;
        if (status) break;
        snprintf(sheet->captions[k], sizeof sheet->captions[k], "%.2f s", job->seconds[k]);
        job->done += job->calls;
        job->drawn++;
    }
    cli_progress_end(&job->line);
    return status;
}

static enum tt_status save(struct job *job) {
    struct tt_image image = {0};
    struct tt_settings with = job->ask.with;
    with.scheduler = job->ask.scheduler;
    with.guidance_start = job->cells[0].guidance_start; // an interval of steps depends on the cell
    with.guidance_stop = job->cells[0].guidance_stop;
    char *text = settings_text(&with, &job->ask.record);
    enum tt_status status = TT_OK;
    if (!text) status = tt_fail(&job->cli->error, TT_SYSTEM, "out of memory");
    if (!status) status = sheet_draw(&job->sheet, &image, &job->cli->error);
    if (!status) status = cli_keep_picture(job->cli, job->ask.out, &image, text);
    if (!status) cli_written(job->cli, job->ask.out);
    tt_image_free(&image);
    free(text);
    return status;
}

static enum tt_status tell(const struct job *job, double seconds) {
    if (job->cli->json) {
        json_t *cells = json_array();
        for (size_t k = 0; k < job->sheet.columns * job->sheet.rows; k++) {
            const char *y = job->y.count ? job->y.values[k / job->x.count] : NULL;
            json_array_append_new(cells, json_pack("{s:o, s:o*, s:f}", "x",
                                                   cli_json_text(job->x.values[k % job->x.count]),
                                                   "y", y ? cli_json_text(y) : NULL,
                                                   "seconds", job->seconds[k]));
        }
        json_t *root = json_pack("{s:[o], s:f, s:o}", "files", cli_json_text(job->ask.out),
                                 "seconds", seconds, "cells", cells);
        return cli_print_json(job->cli, root, JSON_COMPACT | JSON_REAL_PRECISION(6));
    }
    if (!job->cli->quiet) {
        fprintf(stderr, "%.2f s on %zu threads, %s\n", seconds,
                tt_engine_threads(job->cli->engine), tt_engine_cpu(job->cli->engine));
    }
    return TT_OK;
}

enum tt_status cli_grid(struct cli *cli, int argc, char **argv) {
    const char *x = NULL, *y = NULL;
    struct job *job = calloc(1, sizeof *job);
    if (!job) return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    job->cli = cli;
    job->ask.out = "grid.png";
    request_begin(&job->ask);
    struct cli_option options[REQUEST_OPTIONS] = {0};
    const struct cli_option own[] = {
        {"x", 0, CLI_TEXT, "NAME=V,V,...",
         "across: steps, guidance-scale, scheduler, seed, strength or "
         "prompt=\"a, b\",c; must be given",
         &x},
        {"y", 0, CLI_TEXT, "NAME=V,V,...", "down: another of these; default: none", &y},
    };
    size_t count = request_options(&job->ask, cli, options);
    count += request_picture_options(&job->ask, options + count);
    memcpy(options + count, own, sizeof own);
    double begun = cli_seconds();
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (!status && !cli->help) {
        status = read_axes(job, x, y);
        if (!status) status = request_loras(cli, &job->ask);
        if (!status) status = request_wording(cli, &job->ask);
        if (!status)
            status = cli_open_session(cli, job->ask.model, &job->session, &job->model);
        if (!status) status = request_picture(cli, &job->ask, NULL);
        if (!status) status = check(job);
        if (!status) {
            status = draw(job);
            // A run that was stopped keeps the cells that it drew; the others stay empty.
            enum tt_status saved = job->drawn ? save(job) : TT_OK;
            if (status && job->drawn && !cli->quiet)
                fprintf(stderr, "tintype grid: %zu of %zu cells are done and written\n",
                        job->drawn, job->sheet.columns * job->sheet.rows);
            if (!status) status = saved;
        }
        if (!status) status = tell(job, cli_seconds() - begun);
    }
    sheet_close(&job->sheet);
    axis_free(&job->x);
    axis_free(&job->y);
    tt_session_free(job->session);
    request_free(&job->ask);
    free(job);
    return status;
}
