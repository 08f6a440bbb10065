// SPDX-License-Identifier: MIT
#include "train/trainer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "train/checkpoint.h"
#include "train/export.h"
#include "train/log.h"
#include "train/optimiser.h"
#include "train/samples.h"
#include "train/task.h"

struct run {
    const struct tt_train_settings *settings;
    const struct tt_train_watch *watch;
    struct tt_model *model;
    struct tt_dataset *data;
    struct tt_task task;
    struct tt_optimiser *optimiser;
    struct tt_train_log *log;
    char *kept, identity[160]; // what a checkpoint must agree with
    size_t *items;             // of a batch
    uint64_t logged;           // the step of the log's last line,
    double losses;             // and the sum of the losses since
    int folder;                // the output folder, locked; -1: not yet
    char checkpoint[PATH_MAX], latents[PATH_MAX], lines[PATH_MAX];
};

static void note(const struct run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(const struct run *run, const char *format, ...) {
    char text[1280];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (run->watch->note) run->watch->note(run->watch->context, text);
}

static int show(const struct run *run, const char *what, const struct tt_train_line *line) {
    return run->watch->progress ? run->watch->progress(run->watch->context, what, line) : 0;
}

static int show_pictures(void *context, size_t done, size_t all) {
    return show(context, "pictures", &(struct tt_train_line){.step = done, .steps = all});
}

static int show_latents(void *context, size_t done, size_t all) {
    return show(context, "latents", &(struct tt_train_line){.step = done, .steps = all});
}

// ---- beginning ----

static enum tt_status check_output(struct run *run, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    struct stat info;
    if (snprintf(run->checkpoint, PATH_MAX, "%s/checkpoint.safetensors", s->output) >= PATH_MAX)
        return tt_fail(err, TT_BAD_INPUT, "%s: the path is too long", s->output);
    snprintf(run->latents, PATH_MAX, "%.*s/latents.safetensors", PATH_MAX - 32, s->output);
    snprintf(run->lines, PATH_MAX, "%.*s/train.jsonl", PATH_MAX - 32, s->output);
    if (!s->resume && !stat(run->checkpoint, &info))
        return tt_fail(err, TT_BAD_INPUT, "%s: found a checkpoint, expected none: go on from it "
                       "with --resume, or write to another folder", run->checkpoint);
    return TT_OK;
}

// What a killed run left half-written.
static void tidy(const char *folder) {
    static const char ending[] = ".part";
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        size_t length = strlen(entry->d_name);
        char path[PATH_MAX];
        if (length < sizeof ending || strcmp(entry->d_name + length - strlen(ending), ending))
            continue;
        if (snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < PATH_MAX) unlink(path);
    }
    if (directory) closedir(directory);
}

// Makes the folder this run's own until it ends.
static enum tt_status take_output(struct run *run, struct tt_error *err) {
    static const char *const inside[] = {"",           "/unet",      "/vae",    "/text_encoder",
                                         "/scheduler", "/tokenizer", "/samples"};
    const char *output = run->settings->output;
    enum tt_status status = tt_make_folder(output, err);
    if (status) return status;
    run->folder = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (run->folder < 0)
        return tt_fail(err, TT_BAD_INPUT, "%s: %s", output, strerror(errno));
    if (flock(run->folder, LOCK_EX | LOCK_NB))
        return tt_fail(err, TT_BAD_INPUT, "%s: another run is training here", output);
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s%s", output, inside[i]) < PATH_MAX) tidy(path);
    }
    return TT_OK;
}

// What is to be trained is there, and a text where one is given.
static enum tt_status check_part(const struct run *run, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    const char *name = tt_model_info(run->model)->name;
    if (run->model->unconditional && s->part != TT_TRAIN_UNET)
        return tt_fail(err, TT_BAD_INPUT, "part: found %s, expected unet: %s is unconditional, a "
                       "U-Net alone", tt_setting_words(TT_SETTING_PART)[s->part], name);
    if (run->model->unconditional && s->sample_prompts)
        return tt_fail(err, TT_BAD_INPUT, "sample_prompts: found %s, expected none: %s is "
                       "unconditional, it draws without a text", s->sample_prompts, name);
    return TT_OK;
}

static enum tt_status open_data(struct run *run, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    size_t width = s->width, height = s->height;
    enum tt_status status = tt_model_size(run->model, &width, &height, err);
    if (status) return status;
    run->task.width = width;
    run->task.height = height;
    struct tt_dataset_options options = {
        .width = width, .height = height, .fit = s->fit, .strict = s->strict,
        .captions = s->part != TT_TRAIN_VAE && !run->model->unconditional,
        .threads = run->model->engine->plan.threads,
        .progress = show_pictures, .context = run,
    };
    status = tt_dataset_open(s->data, &options, &run->data, err);
    if (status) return status;
    size_t skipped = 0;
    for (const char *why; (why = tt_dataset_skipped(run->data, skipped)); skipped++)
        if (skipped < 10) note(run, "left out: %s", why);
    if (skipped > 10) note(run, "left out: %zu more", skipped - 10);
    note(run, "%zu pictures, %zu left out", tt_dataset_count(run->data), skipped);
    run->items = malloc(s->batch * sizeof *run->items);
    return run->items ? TT_OK : tt_fail(err, TT_SYSTEM, "out of memory for a batch");
}

// The networks' configuration, by the shapes of what learns; and the pictures.
static void identify(struct run *run) {
    char data[TT_DATASET_HASH_SIZE];
    uint64_t hash = UINT64_C(0xcbf29ce484222325); // FNV-1a
    for (size_t i = 0; i < run->task.count; i++) {
        const struct tt_params *params = run->task.learns[i].params;
        for (int j = 0; j < params->count; j++) {
            char shape[96], text[640];
            snprintf(text, sizeof text, "%s %s %s\n", run->task.learns[i].module,
                     params->values[j].name,
                     tt_shape_text(&params->values[j].shape, shape, sizeof shape));
            for (const char *c = text; *c; c++)
                hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
        }
    }
    tt_dataset_hash(run->data, data);
    snprintf(run->identity, sizeof run->identity, "networks %016" PRIx64 ", pictures %s %zux%zu",
             hash, data, run->task.width, run->task.height);
}

static enum tt_status open_task(struct run *run, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    struct tt_params *params[2];
    const char *names[2];
    run->task.settings = s;
    run->task.model = run->model;
    run->task.data = run->data;
    run->task.scratch = s->config != NULL;
    enum tt_status status = s->part == TT_TRAIN_VAE ? tt_task_autoencoder(&run->task, err)
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
    identify(run);
    run->kept = tt_train_settings_text(s);
    if (!run->kept) return tt_fail(err, TT_SYSTEM, "out of memory for settings");
    return tt_optimiser_new(params, names, run->task.count, &options, &run->optimiser, err);
}

static struct tt_checkpoint describe(const struct run *run) {
    struct tt_checkpoint c = {.step = tt_optimiser_steps(run->optimiser), .settings = run->kept,
                              .model = run->identity, .logged = run->logged,
                              .losses = run->losses};
    c.states = tt_optimiser_states(run->optimiser, &c.count);
    return c;
}

static enum tt_status resume(struct run *run, struct tt_error *err) {
    struct tt_checkpoint c = describe(run);
    struct stat info;
    if (!run->settings->resume) return TT_OK;
    if (stat(run->checkpoint, &info)) {
        note(run, "no checkpoint yet: this run begins at step 0");
        return TT_OK;
    }
    enum tt_status status = tt_checkpoint_read(run->checkpoint, run->settings, &c, err);
    if (status) return status;
    tt_optimiser_set_steps(run->optimiser, c.step);
    run->logged = c.logged;
    run->losses = c.losses;
    note(run, "goes on after step %" PRIu64, c.step);
    return TT_OK;
}

// ---- the loop ----

// Chance of a batch follows from the seed and the batch's number alone.
static uint64_t mix(uint64_t seed, uint64_t n) {
    uint64_t z = seed + (n + 1) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

// Batch `a` of a step, counted from 0: its loss, and its gradients added.
static enum tt_status run_batch(struct run *run, size_t step, size_t a,
                                const struct tt_observer *observer, double *loss,
                                struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    uint64_t n = (uint64_t)step * s->accumulate + a;
    struct tt_rng rng;
    struct tt_batch batch = {run->items, &rng, 1 / (double)s->accumulate, observer};
    tt_rng_seed(&rng, mix(s->seed, n));
    for (size_t i = 0; i < s->batch; i++)
        run->items[i] = tt_dataset_order(run->data, s->seed, n * s->batch + i);
    return run->task.batch(&run->task, &batch, loss, err);
}

static void look(void *context, const struct tt_step *step) {
    const char **first = context;
    if (!*first && !tt_step_is_finite(step)) *first = tt_step_name(step);
}

// The batches of a step up to number `last` once more, to find where it began: the error's text.
static enum tt_status not_finite(struct run *run, size_t step, size_t last, const char *what,
                                 struct tt_error *err) {
    char names[600] = "";
    const char *node = NULL;
    struct tt_observer observer = {&node, NULL, look};
    for (size_t a = 0; !node && a <= last; a++) {
        double loss;
        enum tt_status status = run_batch(run, step, a, &observer, &loss, err);
        if (status) return status;
    }
    for (size_t i = 0; i < run->settings->batch; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                 tt_dataset_name(run->data, run->items[i]));
    }
    return tt_fail(err, TT_BAD_INPUT, "step %zu: the %s is not finite; first node: %s; pictures: "
                   "%s; a lower learning rate may help", step + 1, what,
                   node ? node : "none, only their sum", names);
}

// One optimiser step: `accumulate` batches, then the move. *loss: their mean.
static enum tt_status train_step(struct run *run, size_t step, struct tt_train_line *line,
                                 double *loss, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    *loss = 0;
    for (size_t a = 0; a < s->accumulate; a++) {
        double one;
        enum tt_status status = run_batch(run, step, a, NULL, &one, err);
        if (status) return status;
        if (!isfinite(one)) return not_finite(run, step, a, "loss", err);
        *loss += one / (double)s->accumulate;
    }
    line->norm = tt_optimiser_norm(run->optimiser);
    if (!isfinite(line->norm)) return not_finite(run, step, s->accumulate - 1, "gradient", err);
    line->learning_rate = tt_learning_rate(s, step);
    tt_optimiser_step(run->optimiser, line->norm, line->learning_rate);
    return TT_OK;
}

static enum tt_status save(struct run *run, struct tt_error *err) {
    struct tt_checkpoint c = describe(run);
    enum tt_status status = tt_train_log_sync(run->log, err); // no line may lag behind it
    return status ? status : tt_checkpoint_write(run->checkpoint, &c, err);
}

// The model so far, or in the end, as a folder.
static enum tt_status export_to(struct run *run, const char *path, double scaling_factor,
                                struct tt_error *err) {
    static const char scheduler[] = "scheduler/scheduler_config.json";
    const struct tt_train_settings *s = run->settings;
    struct tt_export_part parts[2];
    struct tt_export_key keys[3], *key = keys;
    if (scaling_factor > 0) {
        *key = (struct tt_export_key){.file = "vae/config.json", .key = "scaling_factor"};
        snprintf(key->value, sizeof key->value, "%.9g", scaling_factor);
        key++;
    }
    if (s->prediction_type != TT_PREDICTION_OF_MODEL) {
        *key = (struct tt_export_key){.file = scheduler, .key = "prediction_type"};
        snprintf(key->value, sizeof key->value, "\"%s\"",
                 tt_setting_words(TT_SETTING_PREDICTION)[s->prediction_type]);
        key++;
    }
    if (s->zero_snr)
        *key++ = (struct tt_export_key){scheduler, "rescale_betas_zero_snr", "true"};
    struct tt_export with = {.source = run->model->folder, .parts = parts,
                             .count = run->task.count, .keys = keys,
                             .key_count = (size_t)(key - keys), .float16 = s->float16};
    for (size_t i = 0; i < run->task.count; i++)
        parts[i] = (struct tt_export_part){run->task.learns[i].module, run->task.learns[i].params,
                                           tt_optimiser_weights(run->optimiser, i)};
    return tt_export(path, &with, err);
}

static enum tt_status sample(struct run *run, size_t step, struct tt_error *err) {
    enum tt_status status = export_to(run, run->settings->output, 0, err);
    return status ? status : tt_samples_write(run->settings, run->model->engine, run->data, step,
                                              err);
}

static bool due(size_t step, size_t every) {
    return every && step % every == 0;
}

// Somebody stopped the run: what was done up to `step` is kept.
static enum tt_status stop_after(struct run *run, size_t step, size_t saved, struct tt_error *err) {
    if (err) *err = (struct tt_error){TT_OK, ""}; // of the node that did not run any more
    if (!step) return tt_fail(err, TT_CANCELLED, "stopped before the first step was done");
    enum tt_status status = step > saved ? save(run, err) : TT_OK;
    if (status) return status;
    return tt_fail(err, TT_CANCELLED, "stopped after step %zu; --resume goes on", step);
}

static enum tt_status loop(struct run *run, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    size_t begun = (size_t)tt_optimiser_steps(run->optimiser), since = begun, saved = begun;
    double start = tt_seconds(), mark = start; // `since` that step
    enum tt_status status = TT_OK;
    for (size_t step = begun; !status && step < s->steps;) {
        struct tt_train_line line = {.steps = s->steps};
        double loss = 0;
        status = train_step(run, step, &line, &loss, err);
        if (status == TT_CANCELLED) return stop_after(run, step, saved, err);
        if (status) return status;
        step++;
        run->losses += loss;
        double now = tt_seconds();
        line.step = step;
        line.loss = run->losses / (double)(step - run->logged);
        line.seconds = now - start;
        line.images_per_second =
            (double)((step - since) * s->batch * s->accumulate) / (now > mark ? now - mark : 1e-9);
        int stop = show(run, "training", &line);
        if (due(step, s->log_every) || step == s->steps) {
            status = tt_train_log_add(run->log, &line, err);
            run->logged = since = step;
            run->losses = 0;
            mark = now;
        }
        if (!status && (due(step, s->save_every) || step == s->steps)) {
            status = save(run, err);
            saved = step;
        }
        if (!status && !stop && due(step, s->sample_every)) status = sample(run, step, err);
        if (status == TT_CANCELLED || (!status && stop)) return stop_after(run, step, saved, err);
    }
    return status;
}

// ---- the end ----

// One over the standard deviation of what the exported encoder makes of the first pictures: a
// diffusion model expects latents of about unit size (arXiv 2112.10752, appendix G).
static enum tt_status measure_scaling(struct run *run, double *factor, struct tt_error *err) {
    enum { MOST = 256 };
    size_t count = tt_dataset_count(run->data), h = run->task.height, w = run->task.width;
    struct tt_model *model = NULL;
    enum tt_status status =
        tt_model_open(run->settings->output, run->model->engine, &model, err);
    if (status) return status;
    const struct tt_model_info *info = tt_model_info(model);
    size_t each = info->latent_channels * (h / info->factor) * (w / info->factor), n = 0;
    float *picture = malloc((3 * h * w + 2 * each) * sizeof *picture);
    if (!picture) status = tt_fail(err, TT_SYSTEM, "out of memory for a picture");
    double sum = 0, squares = 0;
    for (size_t i = 0; !status && i < count && i < MOST; i++, n += each) {
        float *moments = picture + 3 * h * w;
        status = tt_dataset_picture(run->data, i, false, picture, err);
        if (!status)
            status = tt_model_encode(model, (struct tt_size){.n = 1, .height = h, .width = w},
                                     picture, moments, err);
        for (size_t j = 0; !status && j < each; j++) {
            sum += (double)moments[j];
            squares += (double)moments[j] * moments[j];
        }
    }
    free(picture);
    tt_model_close(model);
    double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
    if (!status && !(variance > 0))
        status = tt_fail(err, TT_BAD_INPUT, "the autoencoder gives every picture the same latents");
    if (!status) *factor = 1 / sqrt(variance);
    return status;
}

// A new autoencoder is written twice: its scaling factor is measured on the exported one.
static enum tt_status finish(struct run *run, struct tt_error *err) {
    double factor = 0;
    enum tt_status status = export_to(run, run->settings->output, 0, err);
    if (status || run->settings->part != TT_TRAIN_VAE || !run->task.scratch) return status;
    status = measure_scaling(run, &factor, err);
    if (status) return status;
    note(run, "scaling_factor %.6g", factor);
    return export_to(run, run->settings->output, factor, err);
}

// ---- the whole ----

static void close_run(struct run *run) {
    tt_train_log_close(run->log);
    tt_optimiser_free(run->optimiser);
    if (run->task.free) run->task.free(&run->task);
    tt_dataset_close(run->data);
    tt_model_close(run->model);
    free(run->kept);
    free(run->items);
    if (run->folder >= 0) close(run->folder); // and with it the lock
}

enum tt_status tt_train(const struct tt_train_settings *settings, const struct tt_engine *engine,
                        const struct tt_train_watch *watch, struct tt_error *err) {
    struct run run = {.settings = settings, .watch = watch, .folder = -1};
    const char *source = settings->config ? settings->config : settings->model;
    enum tt_status status = tt_train_settings_check(settings, err);
    if (!status) status = check_output(&run, err);
    struct tt_model_settings as = {sizeof as, settings->variant};
    if (!status) status = tt_model_open_with(source, engine, &as, &run.model, err);
    if (!status) status = check_part(&run, err);
    if (!status) status = open_data(&run, err);
    if (!status) status = open_task(&run, err);
    if (!status) status = resume(&run, err);
    if (!status) status = take_output(&run, err);
    struct tt_task_cache cache = {run.latents, show_latents, &run};
    if (!status && run.task.prepare) status = run.task.prepare(&run.task, &cache, err);
    if (!status)
        status = tt_train_log_open(run.lines, (size_t)tt_optimiser_steps(run.optimiser), &run.log,
                                   err);
    if (!status) status = loop(&run, err);
    if (!status) status = finish(&run, err);
    close_run(&run);
    return status;
}
