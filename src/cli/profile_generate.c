// SPDX-License-Identifier: MIT
// tintype profile generate: where the time of a whole picture goes. `generate` draws as ever, and
// says when a stage begins.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/profile.h"

struct look {
    struct cli *cli;
    struct profile_options how;
    struct profile_report report;
    struct tt_profile *profile;
    struct tt_session *session; // that is watched
    char model[256], scheduler[64];
    double drawing; // when it began
};

// Plans and weights belong to loading, not to the text or the first step.
static enum tt_status load(struct look *look, const struct tt_settings *with) {
    const struct tt_model *model = tt_session_model(look->session);
    const struct tt_model_info *info = tt_model_info(model);
    bool guided = with->guidance_scale > 1 && !info->guidance_width && !info->unconditional;
    size_t h = with->height / info->factor, w = with->width / info->factor;
    size_t texts = guided && (with->negative || !info->force_zeros) ? 2 : 1;
    const struct {
        const char *part;
        struct tt_size size;
    } parts[] = {
        {"text", {texts, 0, 0, info->tokens}},
        {"text-2", {texts, 0, 0, info->tokens}},
        {"unet", {guided ? 2 : 1, h, w, info->tokens}},
        {"vae-decode", {1, h, w, 0}},
    };
    look->report.batch = guided ? 2 : 1;
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < sizeof parts / sizeof *parts; i++) {
        int part = tt_part_find(parts[i].part);
        if (!tt_model_has_part(model, part)) continue;
        status = tt_session_prepare(look->session, part, parts[i].size, &look->cli->error);
        size_t arena = tt_session_activations(look->session, part);
        size_t peak = tt_session_peak(look->session, part);
        if (arena > look->report.arena_bytes) look->report.arena_bytes = arena;
        if (peak > look->report.peak_bytes) look->report.peak_bytes = peak;
    }
    return status;
}

static enum tt_status opened(void *context, struct tt_session *session,
                             const struct tt_settings *with, const char *scheduler) {
    struct look *look = context;
    const struct tt_model *model = tt_session_model(session);
    look->session = session;
    snprintf(look->model, sizeof look->model, "%s", tt_model_info(model)->name);
    snprintf(look->scheduler, sizeof look->scheduler, "%s", scheduler);
    look->report.width = with->width;
    look->report.height = with->height;
    look->report.steps = with->steps;
    look->report.pictures = with->count;
    enum tt_status status = profile_check(look->cli, &look->how);
    if (look->how.trace) tt_profile_keep_events(look->profile);
    if (!status) status = load(look, with);
    if (!status) status = tt_profile_watch(look->profile, session, &look->cli->error);
    profile_machine_before(&look->report.machine);
    return status;
}

static void stage(void *context, const char *name, size_t step) {
    struct look *look = context;
    char text[64];
    if (!name) step = 0;
    if (name && !strcmp(name, "text")) look->drawing = cli_seconds();
    if (step) snprintf(text, sizeof text, "%s %zu", name, step);
    tt_profile_stage(look->profile, step ? text : name, step);
    if (name && !strcmp(name, "text"))
        tt_profile_stage_with(look->profile, tt_part_find("unet"), "step 1", 1);
}

static void closing(void *context) {
    struct look *look = context;
    tt_profile_leave(look->profile, look->session);
}

enum tt_status profile_generate(struct cli *cli, int argc, char **argv) {
    struct look look = {.cli = cli, .drawing = cli_seconds()};
    struct cli_option options[PROFILE_OPTIONS];
    profile_add_options(&look.how, options);
    const struct cli_watcher watcher = {options, &look, opened, stage, closing};
    char cache[PROFILE_PATH];
    cli->verb = "profile generate";
    cli->usage = "TEXT [OPTION]...";
    cli->lone = "prompt";
    enum tt_status status = tt_profile_new_all(&look.profile, &cli->error);
    if (status) return status;
    cli->watcher = &watcher;
    tt_profile_stage(look.profile, "load", 0);
    status = cli_generate(cli, argc, argv);
    cli->watcher = NULL;
    if (!status && !cli->help) {
        double seconds = cli_seconds() - look.drawing;
        profile_machine_after(&look.report.machine, &seconds, 1);
        look.report.cli = cli;
        look.report.profile = look.profile;
        look.report.model = look.model;
        look.report.part = "generate";
        look.report.scheduler = look.scheduler;
        look.report.repeat = 1;
        look.report.seconds = &seconds;
        status = tt_roof_find(cli->engine, profile_cache(cache), false, &look.report.roof,
                              &cli->error);
        if (!status) status = profile_tell(&look.report, &look.how);
    }
    tt_profile_free(look.profile);
    return status;
}
