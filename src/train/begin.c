// SPDX-License-Identifier: MIT
// A run's beginning: its model, pictures and networks; and its end.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "train/identity.h"
#include "train/remarks.h"
#include "train/run.h"

static int show_pictures(void *context, size_t done, size_t all) {
    return tt_run_show_part(context, "pictures", done, all);
}

static int show_captions(void *context, size_t done, size_t all) {
    return tt_run_show_part(context, "captions", done, all);
}

int tt_run_show_latents(void *context, size_t done, size_t all) {
    return tt_run_show_part(context, "latents", done, all);
}

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
    if (run->model->info.pooled_width)
        return tt_fail(err, TT_BAD_INPUT, "%s: found a model of SDXL, expected one of Stable "
                       "Diffusion 1.x or 2.x, or an unconditional one: training knows one text "
                       "encoder", name);
    const struct tt_model_info *info = &run->model->info;
    if (info->input_channels > info->latent_channels && s->part != TT_TRAIN_VAE &&
        s->part != TT_TRAIN_VAE_DECODER)
        return tt_fail(err, TT_BAD_INPUT, "%s: unet/config.json: in_channels: found %zu, expected "
                       "%zu: training knows no U-Net that sees a picture beside the sample", name,
                       info->input_channels, info->latent_channels);
    enum tt_status status = tt_check_part(run->model, TT_PART_UNET, err);
    if (!status && !run->model->unconditional && !run->model->info.posterior)
        status = tt_fail(err, TT_BAD_INPUT, "%s: vae/config.json: found an autoencoder without a "
                         "posterior, expected AutoencoderKL: latents to train on are drawn from "
                         "one", name);
    return status ? status : tt_train_settings_used(s, !run->model->unconditional, err);
}

void tt_run_init(struct tt_run *run, const struct tt_train_settings *settings,
                 const struct tt_engine *engine) {
    *run = (struct tt_run){
        .settings = settings, .notes = engine->notes, .held = NAN,
        .output = {.settings = settings, .files = engine->files, .lock = -1},
    };
}

enum tt_status tt_run_open_model(struct tt_run *run, const struct tt_engine *engine,
                                 struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    struct tt_model_settings as;
    tt_model_defaults(&as, sizeof as);
    as.variant = s->variant;
    enum tt_status status =
        tt_model_open_with(s->config ? s->config : s->model, engine, &as, &run->model, err);
    if (!status) status = tt_session_new(run->model, NULL, &run->session, err);
    return status ? status : check_part(run, err);
}

enum tt_status tt_run_open_data(struct tt_run *run, struct tt_error *err) {
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
        .own = s->picture, .own_context = s->context, .own_count = s->picture_count,
    };
    status = tt_dataset_open(s->picture ? "own pictures" : s->data, &options, &run->data, err);
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

enum tt_status tt_run_open_task(struct tt_run *run, struct tt_error *err) {
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
    status = tt_train_frozen(run->model, s->part, &run->frozen, err);
    if (status) return status;
    return tt_optimiser_new(params, names, run->task.count, &options, &run->optimiser, err);
}

enum tt_status tt_run_open_log(struct tt_run *run, struct tt_error *err) {
    size_t step = (size_t)tt_optimiser_steps(run->optimiser);
    bool changed = run->told && run->changed == step;
    struct tt_log_end end = {step, changed ? (size_t)run->told : 0,
                             changed || step >= run->settings->steps ||
                                 tt_run_validation_due(run, step)};
    return tt_train_log_open(run->output.files, run->output.lines, end, &run->log, err);
}

void tt_run_close(struct tt_run *run) {
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
