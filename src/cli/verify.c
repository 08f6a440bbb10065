// SPDX-License-Identifier: MIT
// tintype verify: a model's networks on recorded inputs, every module beside the recorded one.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "cli/verify.h"

// ---- which calls ----

// "unet" where the recording has one call of it, else "unet call 3, step 3".
static char *name_of(const struct verify *v, const struct tt_recorded_call *call,
                     const char *part) {
    char *name = NULL, step[40] = "";
    size_t same = 0;
    const struct tt_recorded_call *other;
    for (size_t i = 0; (other = tt_recording_call(v->recording, i)); i++)
        same += other->part == call->part;
    if (call->has_step) snprintf(step, sizeof step, ", step %zu", call->step);
    if (same < 2) return strdup(part);
    return asprintf(&name, "%s call %zu%s", part, call->call, step) < 0 ? NULL : name;
}

static enum tt_status add_call(struct verify *v, size_t index) {
    const struct tt_recorded_call *call = tt_recording_call(v->recording, index);
    struct verify_call *c = &v->calls[v->count++];
    v->chosen = v->count;
    *c = (struct verify_call){.of = v, .index = index, .part = call->part, .call = call->call,
                              .step = call->step, .has_step = call->has_step};
    c->name = name_of(v, call, tt_part_name(call->part));
    return c->name ? TT_OK : tt_fail(&v->cli->error, TT_SYSTEM, "out of memory");
}

// Those of the parts that were asked for, or all, in the order of the run; version 1, which knows
// no order, in that of the parts.
static enum tt_status choose(struct verify *v, const struct cli_list *names) {
    size_t calls = tt_recording_calls(v->recording);
    bool wanted[64] = {false}, ordered = tt_recording_info(v->recording)->version > 1;
    int parts = (int)tt_part_count();
    v->calls = calloc(calls + 1, sizeof *v->calls);
    if (!v->calls) return tt_fail(&v->cli->error, TT_SYSTEM, "out of memory");
    for (int i = 0; i < names->count; i++) {
        int part;
        size_t found = 0;
        enum tt_status status = cli_part(v->cli, names->item[i], &part);
        if (status) return status;
        for (size_t k = 0; k < calls; k++)
            found += tt_recording_call(v->recording, k)->part == part;
        if (!found)
            return tt_fail(&v->cli->error, TT_BAD_INPUT,
                           "%s: recording.json: parts: found none of %s, for --part, expected one",
                           v->recording_path, names->item[i]);
        wanted[part] = true;
    }
    enum tt_status status = TT_OK;
    for (int turn = 0; !status && turn < (ordered ? 1 : parts); turn++)
        for (size_t k = 0; !status && k < calls; k++) {
            int part = tt_recording_call(v->recording, k)->part;
            if (part < 0 || (names->count && !wanted[part]) || (!ordered && part != turn)) continue;
            status = add_call(v, k);
        }
    if (!status && !v->count && v->mode != VERIFY_WEIGHTS)
        return tt_fail(&v->cli->error, TT_BAD_INPUT, "%s: recording.json: found no call of a part "
                       "of ours, expected one of %s", v->recording_path, cli_parts());
    return status;
}

// ---- the verdict ----

// What is at fault may lie within what the network as a whole is allowed.
static enum tt_status explain(struct verify *v, enum tt_status *verdict) {
    struct tt_error told = v->cli->error;
    bool found = false;
    v->cli->error = (struct tt_error){0};
    enum tt_status status = verify_explain(v, &found);
    // What cannot be explained, of values that are not finite, is told all the same; but not what
    // was asked for in vain.
    bool asked = v->bisect || v->pipeline || v->repro;
    if (status == TT_BAD_INPUT && !asked) cli_note(v->cli, v->cli->error.message);
    else if (status) return status;
    v->cli->error = told;
    if (!found || *verdict == TT_MISMATCH) return TT_OK;
    v->cli->error = (struct tt_error){0};
    *verdict = tt_fail(&v->cli->error, TT_MISMATCH, "what was recorded is not what its own inputs "
                       "give");
    snprintf(v->verdict_room, sizeof v->verdict_room, "DIFFERS: %s", v->cli->error.message);
    return TT_OK;
}

// ---- running ----

static enum tt_status run(struct verify *v) {
    struct cli_progress progress = {0};
    cli_progress_begin(&progress, v->cli, "verify");
    if (v->mode == VERIFY_ISOLATED && tt_recording_info(v->recording)->statistics)
        return tt_fail(&v->cli->error, TT_BAD_INPUT, "%s: recording.json: values: found statistics "
                       "for --isolated, expected tensors, to feed modules with",
                       v->recording_path);
    enum tt_status status = verify_weights_compare(v, &v->weights);
    for (size_t i = 0; !status && v->mode != VERIFY_WEIGHTS && i < v->count; i++) {
        status = verify_call_run(v, &v->calls[i]);
        cli_progress_step(&progress, i + 1, v->count);
    }
    if (!status && v->mode == VERIFY_END_TO_END) status = verify_drift_draw(v, &v->drift);
    cli_progress_end(&progress);
    if (status) return status;
    if (v->mode == VERIFY_WEIGHTS) v->count = 0;
    status = verify_names_check(v->cli, v->names);
    if (status) return status;
    status = verify_judge_all(v);
    if (v->mode != VERIFY_WEIGHTS) {
        enum tt_status explained = explain(v, &status);
        if (explained) return explained;
    }
    if (!v->cli->json && !v->cli->uses_stdout) verify_print(v);
    enum tt_status told = TT_OK;
    json_t *root = v->cli->json || v->html ? verify_describe(v, !status) : NULL;
    if (v->html) told = report_write(v->cli, v->html, root);
    if (v->cli->json && !told)
        told = cli_print_json(v->cli, json_incref(root), JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(root);
    return told ? told : status;
}

static void free_all(struct verify *v) {
    for (size_t i = 0; i < v->chosen; i++) verify_call_free(&v->calls[i]);
    verify_names_free(v->names);
    json_decref(v->weights.differing);
    json_decref(v->drift.rows);
    json_decref(v->suspects);
    json_decref(v->lines);
    tt_session_free(v->session);
    free(v->calls);
    tt_recording_close(v->recording);
}

// Before the work; the files of calls are mapped one by one while it is done.
static enum tt_status plan_html(const struct verify *v) {
    enum tt_status status = TT_OK;
    for (size_t i = 0; v->html && !status && i < v->count; i++) {
        const struct tt_recorded_call *call = tt_recording_call(v->recording, v->calls[i].index);
        char *path = NULL;
        if (asprintf(&path, "%s/%s", v->recording_path, call->file) < 0)
            return tt_fail(&v->cli->error, TT_SYSTEM, "out of memory");
        status = tt_files_read(v->cli->files, path, &v->cli->error);
        free(path);
    }
    return status ? status : report_plan(v->cli, v->html);
}

// ---- options ----

static enum tt_status check_options(struct verify *v, const char *tolerance, bool isolated,
                                    bool weights_only) {
    struct verify_tolerance *t = &v->tolerance;
    struct tt_error *err = &v->cli->error;
    bool close = !isnan(t->rtol) || !isnan(t->atol);
    if (isolated && weights_only)
        return tt_fail(err, TT_BAD_INPUT, "--isolated: found it with --weights-only, expected one "
                       "of them");
    if (close && (tolerance || !isnan(t->factor)))
        return tt_fail(err, TT_BAD_INPUT, "--rtol, --atol: found them with --%s, expected one of "
                       "them", tolerance ? "tolerance" : "factor");
    if (t->rtol < 0 || t->atol < 0 || v->drift_most < 0)
        return tt_fail(err, TT_BAD_INPUT, "--%s: found less than 0, expected 0 or more",
                       t->rtol < 0 ? "rtol" : t->atol < 0 ? "atol" : "drift");
    if ((v->pipeline || v->repro) && weights_only)
        return tt_fail(err, TT_BAD_INPUT, "--%s: found it with --weights-only, expected calls",
                       v->pipeline ? "pipeline" : "save-repro");
    if (v->pipeline && !v->bisect)
        return tt_fail(err, TT_BAD_INPUT, "--pipeline: found it without --bisect, expected both");
    v->mode = weights_only ? VERIFY_WEIGHTS : isolated ? VERIFY_ISOLATED : VERIFY_END_TO_END;
    if (close) {
        t->by = VERIFY_BY_CLOSE;
        if (isnan(t->rtol)) t->rtol = 0;
        if (isnan(t->atol)) t->atol = 0;
    }
    enum tt_status status = tolerance ? verify_by_of(v->cli, tolerance, &t->by) : TT_OK;
    if (!status && !isnan(t->factor) && (t->by == VERIFY_BY_F16 || t->by == VERIFY_BY_BF16))
        return tt_fail(err, TT_BAD_INPUT, "--factor: found it with --tolerance %s, expected it "
                       "with err32", tolerance);
    if (!isnan(t->factor)) t->by = VERIFY_BY_ERR32;
    return status;
}

// What --perturb draws: a picture of the options, over the recording's settings when there is one.
struct drawn {
    struct cli_list asked, options;
    struct tt_settings with; // as the options say
    double least;            // PSNR
};

static enum tt_status perturb(struct verify *v, struct drawn *d) {
    struct tt_settings defaults, with;
    const struct tt_recording_info *info =
        v->recording ? tt_recording_info(v->recording) : NULL;
    struct tt_error *err = &v->cli->error;
    tt_settings_defaults(&defaults, sizeof defaults);
    with = d->with;
    if (info && !info->has_settings && !with.prompt)
        return tt_fail(err, TT_BAD_INPUT, "%s: recording.json: settings: found none, expected them "
                       "for --perturb, or -p TEXT", v->recording_path);
    if (info && info->has_settings) {
        verify_settings(&info->settings, &with);
        if (d->with.prompt) with.prompt = d->with.prompt;
        if (d->with.negative) with.negative = d->with.negative;
        if (d->with.seed != defaults.seed) with.seed = d->with.seed;
        if (d->with.steps != defaults.steps) with.steps = d->with.steps;
        if (d->with.width) with.width = d->with.width;
        if (d->with.height) with.height = d->with.height;
        if (d->with.guidance_scale < defaults.guidance_scale ||
            d->with.guidance_scale > defaults.guidance_scale)
            with.guidance_scale = d->with.guidance_scale;
        if (d->with.scheduler) with.scheduler = d->with.scheduler;
    }
    if (d->options.count) with.scheduler_options = d->options.item;
    if (!with.prompt && !tt_model_info(v->model)->unconditional)
        return tt_fail(err, TT_BAD_INPUT, "--perturb: found neither -p TEXT nor a RECORDING, "
                       "expected one: what to draw");
    enum tt_status status = tt_model_size(v->model, &with.width, &with.height, err);
    return status ? status : verify_perturb(v, &d->asked, &with, d->least);
}

static enum tt_status verify(struct verify *v, const char *names, const struct cli_list *parts,
                             struct drawn *d) {
    struct cli *cli = v->cli;
    enum tt_status status = TT_OK;
    if (!v->recording_path && !d->asked.count)
        return tt_fail(&cli->error, TT_BAD_INPUT, "usage: tintype %s %s", cli->verb, cli->usage);
    if (v->recording_path)
        status = tt_recording_open(cli->files, v->recording_path, &v->recording, &cli->error);
    if (!status && names) status = verify_names_read(cli, names, &v->names);
    if (!status && !d->asked.count) status = choose(v, parts);
    if (!status) status = cli_open_session(cli, v->model_path, &v->session, &v->model);
    if (!status && !d->asked.count) status = plan_html(v);
    if (!status) status = d->asked.count ? perturb(v, d) : run(v);
    return status;
}

enum tt_status cli_verify(struct cli *cli, int argc, char **argv) {
    struct drawn d = {.least = 40};
    struct verify v = {.cli = cli, .tolerance = {.factor = NAN, .rtol = NAN, .atol = NAN},
                       .drift_most = 1e-4, .suspects = json_array(), .lines = json_array()};
    struct cli_list parts = {0};
    const char *tolerance = NULL, *names = NULL, *with = NULL;
    bool isolated = false, weights_only = false;
    char which[320];
    snprintf(which, sizeof which, "%s; again for more (default: all recorded)", cli_parts());
    const struct cli_option options[] = {
        {"model", 'm', CLI_TEXT, "MODEL", "a folder or a file; default: the built-in one",
         &v.model_path},
        CLI_VARIANT(cli),
        CLI_WEIGHTS(cli),
        CLI_NETWORKS(cli),
        CLI_LORA(cli),
        {"part", 0, CLI_LIST, "PART", which, &parts},
        {"isolated", 0, CLI_FLAG, NULL, "feed each module the recorded inputs", &isolated},
        {"weights-only", 0, CLI_FLAG, NULL, "compare the weights alone", &weights_only},
        {"tolerance", 0, CLI_TEXT, "HOW", "err32, f16 or bf16; default: as the recording was made",
         &tolerance},
        {"factor", 0, CLI_NUMBER, "F",
         "how many times the recorded error to allow; default: 2 to 11, by the part",
         &v.tolerance.factor},
        {"rtol", 0, CLI_NUMBER, "R", "relative limit of each element; default: none",
         &v.tolerance.rtol},
        {"atol", 0, CLI_NUMBER, "A", "absolute limit of each element; default: none",
         &v.tolerance.atol},
        {"drift", 0, CLI_NUMBER, "D", "relative L2 to allow the picture drawn again",
         &v.drift_most},
        {"names", 0, CLI_TEXT, "MAP.json", "what the recorded modules are called here; default: so",
         &names},
        {"all", 0, CLI_FLAG, NULL, "every tensor of every call, with all that can be told", &v.all},
        {"perturb", 0, CLI_LIST, "NODES=HOW",
         "what bf16, f16, int8 or noise:S of these nodes does to a picture; again for more; "
         "default: none", &d.asked},
        {"prompt", 'p', CLI_ONCE, "TEXT", "what --perturb draws; default: the recording's",
         &d.with.prompt},
        {"negative-prompt", 'n', CLI_ONCE, "TEXT", "the same; default: the recording's, or none",
         &d.with.negative},
        {"seed", 's', CLI_SEED, "SEED", "of the first noise", &d.with.seed},
        {"steps", 0, CLI_COUNT, "N", "steps from noise to picture", &d.with.steps},
        {"guidance-scale", 0, CLI_NUMBER, "G", "how closely the text is followed",
         &d.with.guidance_scale},
        {"scheduler", 0, CLI_TEXT, "NAME", "see 'tintype schedulers'; default: the model's",
         &d.with.scheduler},
        {"scheduler-option", 0, CLI_LIST, "K=V", "a setting of it; default: the model's",
         &d.options},
        {"width", 'W', CLI_COUNT, "PX", "width; default: the model's", &d.with.width},
        {"height", 'H', CLI_COUNT, "PX", "height; default: the model's", &d.with.height},
        {"min-psnr", 0, CLI_NUMBER, "DB", "of a picture that --perturb may make", &d.least},
        {"with", 0, CLI_TEXT, "B",
         "compare two files of tensors; also without --with; default: none", &with},
        {"bisect", 0, CLI_FLAG, NULL, "find what is at fault in every call, also where all agrees",
         &v.bisect},
        {"pipeline", 0, CLI_TEXT, "DIR",
         "with --bisect: look inside of what is at fault, by a finer recording of the same run; of "
         "a diffusers folder: tell how to make one; default: none", &v.pipeline},
        {"save-repro", 0, CLI_TEXT, "DIR",
         "what is at fault as a new folder: values, weights, a script for PyTorch; default: none",
         &v.repro},
        CLI_CONV(cli),
        CLI_HTML(&v.html),
        {0},
    };
    cli->every_node = true;
    cli->fewer = 1;
    cli->more_help = verify_help;
    tt_settings_defaults(&d.with, sizeof d.with);
    enum tt_status status = cli_options(cli, options, argc, argv, &v.recording_path, 1);
    if (!status && !cli->help) status = check_options(&v, tolerance, isolated, weights_only);
    const char *path = v.recording_path;
    bool repro = !status && !cli->help && !with && path && tt_is_repro(path);
    if (!status && v.html && (with || repro || d.asked.count))
        status = tt_fail(&cli->error, TT_BAD_INPUT, "--html: found it with %s, expected a "
                         "recording", with ? "two files" :
                         repro ? "what --save-repro wrote" : "--perturb");
    if (!status && !cli->help) {
        if (with) status = verify_two_files(cli, path, with, &v.tolerance);
        else if (repro) status = verify_repro(cli, path);
        else status = verify(&v, names, &parts, &d);
    }
    free_all(&v);
    return status;
}
