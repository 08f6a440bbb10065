// SPDX-License-Identifier: MIT
#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/writer.h"
#include "train/export.h"
#include "train/identity.h"
#include "train/loss.h"
#include "train/remarks.h"
#include "train/run.h"
#include "train/scaling.h"

static int show_pictures(void *context, size_t done, size_t all) {
    return tt_run_show(context, "pictures", &(struct tt_train_line){.step = done, .steps = all});
}

static int show_captions(void *context, size_t done, size_t all) {
    return tt_run_show(context, "captions", &(struct tt_train_line){.step = done, .steps = all});
}

static int show_latents(void *context, size_t done, size_t all) {
    return tt_run_show(context, "latents", &(struct tt_train_line){.step = done, .steps = all});
}

// ---- beginning ----

// What is to be trained is there, and a text where one is given.
static enum tt_status check_part(const struct tt_run *run, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    const char *name = tt_model_info(run->model)->name;
    if (run->model->unconditional && s->part != TT_TRAIN_UNET)
        return tt_fail(err, TT_BAD_INPUT, "part: found %s, expected unet: %s is unconditional, a "
                       "U-Net alone", tt_setting_words(TT_SETTING_PART)[s->part], name);
    if (run->model->unconditional && s->sample_prompts)
        return tt_fail(err, TT_BAD_INPUT, "sample_prompts: found %s, expected none: %s is "
                       "unconditional, it draws without a text", s->sample_prompts, name);
    enum tt_status status = tt_check_part(run->model, TT_PART_UNET, err);
    if (!status && !run->model->unconditional && !run->model->info.posterior)
        status = tt_fail(err, TT_BAD_INPUT, "%s: vae/config.json: found an autoencoder without a "
                         "posterior, expected AutoencoderKL: latents to train on are drawn from "
                         "one", name);
    return status ? status : tt_train_settings_used(s, !run->model->unconditional, err);
}

static enum tt_status open_data(struct tt_run *run, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    size_t width = s->width, height = s->height;
    enum tt_status status = tt_model_size(run->model, &width, &height, err);
    if (status) return status;
    run->task.width = width;
    run->task.height = height;
    struct tt_picture_size *sizes = NULL;
    size_t size_count, step = 0;
    size_t unit = tt_model_info(run->model)->factor * tt_unet_multiple(tt_unet_of(run->model));
    status = tt_buckets_asked(s, width, height, unit, &step, &sizes, &size_count, err);
    if (status) return status;
    struct tt_dataset_options options = {
        .width = width, .height = height, .sizes = sizes, .size_count = size_count,
        .fit = (enum tt_fit)s->fit, .strict = s->strict,
        .background = (enum tt_background)s->background, .apart = s->output, .notes = &run->notes,
        .hold = s->validate, .seed = s->seed,
        .captions = !tt_trains_vae(s->part) && !run->model->unconditional,
        .threads = run->model->engine->plan.threads, .files = run->model->engine->files,
        .progress = show_pictures, .context = run,
    };
    status = tt_dataset_open(s->data, &options, &run->data, err);
    free(sizes);
    if (!status && s->buckets)
        status = tt_buckets_new(run->data, step, s->batch, &run->buckets, err);
    if (status) return status;
    run->task.buckets = run->buckets;
    size_t skipped = 0;
    for (const char *why; (why = tt_dataset_skipped(run->data, skipped)); skipped++)
        if (skipped < 10) tt_note(&run->notes, "left out: %s", why);
    if (skipped > 10) tt_note(&run->notes, "left out: %zu more", skipped - 10);
    size_t held = tt_dataset_held(run->data), used = tt_dataset_count(run->data);
    char apart[80] = "";
    if (held)
        snprintf(apart, sizeof apart, "; %zu of them are held out, not trained on", held);
    tt_note(&run->notes, "%zu pictures, %zu left out%s", used + held, skipped, apart);
    if (run->buckets) tt_buckets_tell(run->buckets, run->data, width, height, unit, &run->notes);
    if (options.captions)
        status = tt_remark_captions(run->model, run->data, &run->notes, show_captions, run, err);
    if (status) return status;
    run->order.epoch = run->buckets ? run->buckets->batches : used;
    run->items = malloc(s->batch * sizeof *run->items);
    return run->items ? TT_OK : tt_fail(err, TT_SYSTEM, "out of memory for a batch");
}

static enum tt_status open_task(struct tt_run *run, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    struct tt_params *params[2];
    const char *names[2];
    run->task.settings = s;
    run->task.model = run->model;
    run->task.session = run->session;
    run->task.data = run->data;
    run->task.scratch = s->config != NULL;
    enum tt_status status = tt_trains_vae(s->part) ? tt_task_autoencoder(&run->task, err)
                                                   : tt_task_denoise(&run->task, err);
    if (status) return status;
    for (size_t i = 0; i < run->task.count; i++) {
        params[i] = run->task.learns[i].params;
        names[i] = run->task.learns[i].module;
    }
    struct tt_optimiser_options options = {
        s->beta1,     s->beta2,     s->epsilon, s->weight_decay,
        s->clip_norm, s->ema_decay, &run->model->engine->kernels, run->model->engine->plan.threads,
    };
    tt_train_identity(&run->task, run->identity, sizeof run->identity);
    run->kept = tt_train_settings_text(s);
    status = tt_manifest_make(run->data, &run->pictures, err);
    if (status) return status;
    if (!run->kept) return tt_fail(err, TT_SYSTEM, "out of memory for settings");
    return tt_optimiser_new(params, names, run->task.count, &options, &run->optimiser, err);
}

// ---- the loop ----

// Chance of a batch follows from the seed and the batch's number alone.
static uint64_t mix(uint64_t seed, uint64_t n) {
    uint64_t z = seed + (n + 1) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

// The pictures of batch `a` of a step into run->items; returns how many.
static size_t take_items(struct tt_run *run, size_t step, size_t a) {
    const struct tt_train_settings *s = run->settings;
    uint64_t position = tt_run_position(run, step, a);
    if (run->buckets) return tt_buckets_batch(run->buckets, s->seed, position, run->items);
    for (size_t i = 0; i < s->batch; i++)
        run->items[i] = tt_dataset_order(run->data, s->seed, position + i);
    return s->batch;
}

// How many pictures a step sees: its gradient is the mean of theirs.
static size_t pictures_of(struct tt_run *run, size_t step) {
    size_t all = 0;
    for (size_t a = 0; a < run->settings->accumulate; a++) all += take_items(run, step, a);
    return all;
}

// Batch `a` of a step, counted from 0: its loss, and its gradients added. all: the step's pictures.
static enum tt_status run_batch(struct tt_run *run, size_t step, size_t a, size_t all,
                                const struct tt_observer *observer, double *loss,
                                struct tt_error *err) {
    struct tt_rng rng;
    run->taken = take_items(run, step, a);
    struct tt_batch batch = {.items = run->items, .count = run->taken, .rng = &rng,
                             .scale = (double)run->taken / (double)all, .observer = observer};
    tt_rng_seed(&rng, mix(run->settings->seed, tt_run_batch(run, step, a)));
    return run->task.batch(&run->task, &batch, loss, err);
}

void tt_run_look(void *context, const struct tt_step *step) {
    const char **first = context;
    if (!*first && !tt_step_is_finite(step)) *first = tt_step_name(step);
}

// The batches of a step up to number `last` once more, to find where it began: the error's text.
static enum tt_status not_finite(struct tt_run *run, size_t step, size_t last, const char *what,
                                 struct tt_error *err) {
    char names[600] = "";
    const char *node = NULL;
    struct tt_observer observer = {&node, NULL, tt_run_look};
    size_t all = pictures_of(run, step);
    for (size_t a = 0; !node && a <= last; a++) {
        double loss;
        enum tt_status status = run_batch(run, step, a, all, &observer, &loss, err);
        if (status) return status;
    }
    for (size_t i = 0; i < run->taken; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                 tt_dataset_name(run->data, run->items[i]));
    }
    return tt_fail(err, TT_BAD_INPUT, "step %zu: the %s is not finite; first node: %s; pictures: "
                   "%s; a lower learning rate may help", step + 1, what,
                   node ? node : "none, only their sum", names);
}

// One optimiser step: `accumulate` batches, then the move. *loss: their mean.
static enum tt_status train_step(struct tt_run *run, size_t step, struct tt_train_line *line,
                                 double *loss, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    size_t all = pictures_of(run, step);
    *loss = 0;
    for (size_t a = 0; a < s->accumulate; a++) {
        double one;
        enum tt_status status = run_batch(run, step, a, all, NULL, &one, err);
        if (status) return status;
        run->wild = !isfinite(one);
        if (run->wild) return not_finite(run, step, a, "loss", err);
        *loss += one / ((double)all / (double)run->taken); // without buckets: s->accumulate
    }
    run->seen += all;
    line->norm = tt_optimiser_norm(run->optimiser);
    run->wild = !isfinite(line->norm);
    if (run->wild) return not_finite(run, step, s->accumulate - 1, "gradient", err);
    line->learning_rate = tt_learning_rate(s, step);
    tt_optimiser_step(run->optimiser, line->norm, line->learning_rate);
    return TT_OK;
}

// The model so far, or in the end, as a folder.
static enum tt_status export_to(struct tt_run *run, const char *path, double scaling_factor,
                                struct tt_error *err) {
    static const char scheduler[] = "scheduler/scheduler_config.json";
    const struct tt_train_settings *s = run->settings;
    struct tt_export_part parts[2];
    struct tt_model_key keys[4], *key = keys;
    if (scaling_factor > 0) {
        *key = (struct tt_model_key){.file = "vae/config.json", .key = "scaling_factor"};
        snprintf(key->value, sizeof key->value, "%.9g", scaling_factor);
        key++;
    }
    if (s->prediction_type != TT_PREDICTION_OF_MODEL) {
        *key = (struct tt_model_key){.file = scheduler, .key = "prediction_type"};
        snprintf(key->value, sizeof key->value, "\"%s\"",
                 tt_setting_words(TT_SETTING_PREDICTION)[s->prediction_type]);
        key++;
    }
    if (s->zero_snr)
        *key++ = (struct tt_model_key){scheduler, "rescale_betas_zero_snr", "true"};
    // Steps have to begin at the pure noise that was trained on (arXiv 2305.08891, section 3.3).
    if (s->zero_snr && run->task.spaced)
        *key++ = (struct tt_model_key){scheduler, "timestep_spacing", "\"trailing\""};
    struct tt_export with = {.source = run->model->folder, .parts = parts,
                             .count = run->task.count, .keys = keys,
                             .key_count = (size_t)(key - keys), .float16 = s->float16,
                             .files = run->output.files};
    for (size_t i = 0; i < run->task.count; i++)
        parts[i] = (struct tt_export_part){run->task.learns[i].module, run->task.learns[i].params,
                                           tt_optimiser_weights(run->optimiser, i),
                                           s->raw_weights, s->part == TT_TRAIN_VAE_DECODER};
    return tt_export(path, &with, err);
}

// A new autoencoder whose scale has not been measured is no model yet: it is written where nobody
// takes it for one, and removed again.
static enum tt_status with_draft(struct tt_run *run, size_t step, double *factor,
                                 struct tt_error *err) {
    struct tt_new_folder *folder = NULL;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.*s/draft", PATH_MAX - 16, run->settings->output);
    enum tt_status status = tt_new_folder_begin(path, &folder, err);
    if (status) return status;
    const char *draft = tt_new_folder_path(folder);
    status = export_to(run, draft, 0, err);
    if (!status && factor) status = tt_measure_scaling(&run->task, draft, factor, err);
    else if (!status)
        status = tt_samples_write(run->settings, draft, run->model->engine, run->prompts,
                                  run->data, step, err);
    enum tt_status ended = tt_new_folder_end(folder, false, err);
    return status ? status : ended;
}

static bool is_new_autoencoder(const struct tt_run *run) {
    return run->settings->part == TT_TRAIN_VAE && run->task.scratch;
}

static enum tt_status sample(struct tt_run *run, size_t step, struct tt_error *err) {
    const char *output = run->settings->output;
    if (is_new_autoencoder(run)) return with_draft(run, step, NULL, err);
    enum tt_status status = export_to(run, output, 0, err);
    return status ? status : tt_samples_write(run->settings, output, run->model->engine,
                                              run->prompts, run->data, step, err);
}

static bool due(size_t step, size_t every) {
    return every && step % every == 0;
}

// Whatever ends the run early, the steps that were done up to `step` are kept; but not what a loss
// that is not finite has led to: the last checkpoint is from before.
static enum tt_status stop_after(struct tt_run *run, size_t step, size_t saved, enum tt_status why,
                                 struct tt_error *err) {
    struct tt_error failed = {0};
    if (run->wild) return why;
    enum tt_status status = step > saved ? tt_run_save(run, &failed) : TT_OK;
    if (why == TT_CANCELLED) {
        if (err) *err = (struct tt_error){TT_OK, ""}; // of the node that did not run any more
        if (status) return tt_fail(err, status, "%s", failed.message);
        if (!step) return tt_fail(err, TT_CANCELLED, "stopped before the first step was done");
        return tt_fail(err, TT_CANCELLED, "stopped after step %zu; --resume goes on", step);
    }
    if (status)
        tt_fail_prefix(err, "after step %zu, which could not be saved (%s)", step, failed.message);
    else if (step) tt_fail_prefix(err, "after step %zu, which is saved: --resume goes on", step);
    return why;
}

static enum tt_status loop(struct tt_run *run, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    size_t begun = (size_t)tt_optimiser_steps(run->optimiser), saved = begun;
    double start = tt_seconds(), mark = start; // of the log's last line
    enum tt_status status = TT_OK;
    // A run that ended between a checkpoint and the last of its samples draws them now.
    if (begun && due(begun, s->sample_every) &&
        !tt_samples_there(s, run->model, run->prompts, run->data, begun))
        status = sample(run, begun, err);
    // The same of the held-out pictures; and a new run begins with them.
    if (!status && tt_run_validation_due(run, begun) && !tt_train_log_has_held(run->log, begun) &&
        !tt_changes_count(&run->changes))
        status = tt_run_validate(run, begun, err);
    if (status) return stop_after(run, begun, saved, status, err);
    for (size_t step = begun; !status && step < s->steps;) {
        struct tt_train_line line = {.steps = s->steps, .held = run->held};
        double loss = 0;
        status = train_step(run, step, &line, &loss, err);
        if (status) return stop_after(run, step, saved, status, err);
        step++;
        run->losses += loss;
        double now = tt_seconds();
        line.step = step;
        line.loss = run->losses / (double)(step - run->logged);
        line.seconds = now - start;
        line.images_per_second =
            (double)run->seen / (now > mark ? now - mark : 1e-9);
        int stop = tt_run_show(run, "training", &line);
        if (due(step, s->log_every) || step == s->steps) {
            run->line = line;
            status = tt_run_write_line(run, err);
            run->seen = 0;
            mark = now;
        }
        if (!status && !stop && tt_run_validation_due(run, step))
            status = tt_run_validate(run, step, err);
        if (!status && (due(step, s->save_every) || step == s->steps)) {
            status = tt_run_save(run, err);
            if (status) return status; // the one before is still there
            saved = step;
        }
        if (!status && !stop && due(step, s->sample_every)) status = sample(run, step, err);
        if (!status && stop) status = TT_CANCELLED;
        if (status) return stop_after(run, step, saved, status, err);
    }
    return status;
}

static enum tt_status open_log(struct tt_run *run, struct tt_error *err) {
    size_t step = (size_t)tt_optimiser_steps(run->optimiser);
    bool changed = run->told && run->changed == step;
    struct tt_log_end end = {step, changed ? (size_t)run->told : 0,
                             changed || step >= run->settings->steps ||
                                 tt_run_validation_due(run, step)};
    return tt_train_log_open(run->output.files, run->output.lines, end, &run->log, err);
}

// ---- the end ----

static enum tt_status finish(struct tt_run *run, struct tt_error *err) {
    double factor = 0;
    enum tt_status status = TT_OK;
    if (!isnan(run->held))
        tt_note(&run->notes, "loss of the %zu held-out pictures after step %zu: %.4g",
                tt_dataset_held(run->data), run->held_step, run->held);
    if (is_new_autoencoder(run)) {
        status = with_draft(run, 0, &factor, err);
        if (!status) tt_note(&run->notes, "scaling_factor %.6g", factor);
    }
    return status ? status : export_to(run, run->settings->output, factor, err);
}

// ---- the whole ----

static void close_run(struct tt_run *run) {
    tt_train_log_close(run->log);
    tt_optimiser_free(run->optimiser);
    if (run->task.free) run->task.free(&run->task);
    tt_buckets_free(run->buckets);
    tt_dataset_close(run->data);
    tt_session_free(run->session);
    tt_model_close(run->model);
    tt_sample_prompts_free(run->prompts);
    tt_changes_free(&run->changes);
    free(run->pictures.bytes);
    free(run->kept);
    free(run->frozen);
    free(run->items);
    tt_train_output_close(&run->output);
}

enum tt_status tt_train(const struct tt_train_settings *settings, const struct tt_engine *engine,
                        const struct tt_train_watch *watch, struct tt_error *err) {
    struct tt_run run = {.settings = settings, .watch = watch,
                         .notes = {watch->note, watch->context},
                         .output = {.settings = settings, .files = engine->files, .lock = -1},
                         .held = NAN};
    const char *source = settings->config ? settings->config : settings->model;
    enum tt_status status = tt_train_settings_check(settings, err);
    if (!status) status = tt_train_output_check(&run.output, err);
    struct tt_model_settings as = {.size = sizeof as, .variant = settings->variant};
    if (!status) status = tt_model_open_with(source, engine, &as, &run.model, err);
    if (!status) status = tt_session_new(run.model, NULL, &run.session, err);
    if (!status) status = check_part(&run, err);
    if (!status) status = open_data(&run, err);
    if (!status && settings->sample_every)
        status = tt_sample_prompts_new(settings, run.model, run.data, &run.notes,
                                       &run.prompts, err);
    if (!status) status = open_task(&run, err);
    if (!status) status = tt_train_frozen(run.model, settings->part, &run.frozen, err);
    if (!status) status = tt_run_resume(&run, err);
    if (!status) status = tt_train_output_take(&run.output, &run.notes, err);
    struct tt_task_cache cache = {run.output.latents, engine->files, run.notes, show_latents, &run};
    if (!status && run.task.prepare) status = run.task.prepare(&run.task, &cache, err);
    if (!status)
        status = open_log(&run, err);
    if (!status) status = tt_run_changed(&run, err);
    if (!status) status = loop(&run, err);
    if (!status) status = finish(&run, err);
    close_run(&run);
    return status;
}

enum tt_status tt_train_look(const struct tt_train_settings *settings,
                             const struct tt_engine *engine, const struct tt_train_watch *watch,
                             enum tt_status (*see)(void *context, const struct tt_dataset *data,
                                                   const struct tt_buckets *buckets,
                                                   struct tt_error *err),
                             void *context, struct tt_error *err) {
    struct tt_train_settings with = *settings;
    struct tt_run run = {.settings = &with, .watch = watch, .notes = {watch->note, watch->context},
                      .output = {.lock = -1}};
    if (!with.output) with.output = ""; // is no folder, and not needed
    enum tt_status status = tt_train_settings_check(&with, err);
    if (!status)
        status = tt_model_open(settings->config ? settings->config : settings->model, engine,
                               &run.model, err);
    if (!status) status = check_part(&run, err);
    if (!status) status = open_data(&run, err);
    if (!status) status = see(context, run.data, run.buckets, err);
    close_run(&run);
    return status;
}
