// SPDX-License-Identifier: MIT
// What a run gives: the model as a folder, so far or in the end, and pictures to look at.
#include <math.h>
#include <stdio.h>

#include "io/writer.h"
#include "train/export.h"
#include "train/run.h"
#include "train/scaling.h"

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

enum tt_status tt_run_sample(struct tt_run *run, size_t step, struct tt_error *err) {
    const char *output = run->settings->output;
    if (is_new_autoencoder(run)) return with_draft(run, step, NULL, err);
    enum tt_status status = export_to(run, output, 0, err);
    return status ? status : tt_samples_write(run->settings, output, run->model->engine,
                                              run->prompts, run->data, step, err);
}

enum tt_status tt_run_finish(struct tt_run *run, struct tt_error *err) {
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
