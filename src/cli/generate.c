// SPDX-License-Identifier: MIT
// tintype generate: text to pictures, or to strips that show how they came about.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/request.h"
#include "cli/sheet.h"

struct job {
    struct request ask;
    const char *latents_file, *precision, *replay;
    size_t strip, preview; // 0: none
    struct settings_read replayed;
    // What the run fills: latents (count, C, h, w) and count images, of pictures or of strips.
    float *latents;
    struct tt_shape shape;
    size_t each; // floats of one picture's latents
    struct tt_image *images;
    float *moments;      // (count, strip, C, h, w)
    struct sheet sheet;  // the strip that is being made
    char (*when)[2][24]; // (count, strip): step and timestep in words
    // The state of progress.
    struct cli *cli;
    struct tt_model *model;
    struct cli_progress line;
    char what[48];
    enum tt_status status; // of what the progress function did
};

// ---- during the run ----

static void show_line(struct job *job, const struct tt_progress *seen) {
    if (seen->step == 1) {
        double begun = seen->picture ? cli_seconds() : job->line.started;
        snprintf(job->what, sizeof job->what, seen->pictures > 1 ? "picture %zu/%zu" : "drawing",
                 seen->picture + 1, seen->pictures);
        cli_progress_begin(&job->line, job->cli, job->what);
        job->line.started = begun;
    }
    cli_progress_step(&job->line, seen->step, seen->steps);
}

// The sample before call `call`, as the model is given it: of variance about 1 whatever the
// scheduler, so that the decoder can show it.
static void as_shown(const struct tt_progress *seen, size_t call, const float *sample, size_t n,
                     float *out) {
    if (call < seen->steps) tt_scheduler_scale_input(seen->scheduler, call, sample, out);
    else memcpy(out, sample, n * sizeof *out);
}

static void keep_moment(struct job *job, const struct tt_progress *seen, size_t moment,
                        size_t call, const float *sample) {
    size_t at = seen->picture * job->strip + moment;
    as_shown(seen, call, sample, job->each, job->moments + at * job->each);
    snprintf(job->when[at][0], sizeof job->when[at][0], "step %zu", call);
    if (call < seen->steps)
        snprintf(job->when[at][1], sizeof job->when[at][1], "t = %.0f",
                 tt_scheduler_timesteps(seen->scheduler)[call]);
    else strcpy(job->when[at][1], "picture");
}

// Moment m of N lies after so many of the calls: from none to all.
static size_t moment_call(size_t m, size_t moments, size_t calls) {
    return (2 * m * calls + (moments - 1)) / (2 * (moments - 1));
}

static enum tt_status keep_moments(struct job *job, const struct tt_progress *seen) {
    if (seen->step == 1) {
        struct tt_rng rng;
        float *noise = malloc(job->each * sizeof *noise);
        if (!noise) return tt_fail(&job->cli->error, TT_SYSTEM, "out of memory");
        tt_rng_seed(&rng, job->ask.with.seed + seen->picture);
        tt_rng_normal(&rng, noise, job->each);
        float sigma = tt_scheduler_init_noise_sigma(seen->scheduler);
        for (size_t i = 0; i < job->each; i++) noise[i] *= sigma;
        keep_moment(job, seen, 0, 0, noise);
        free(noise);
    }
    for (size_t m = 1; m < job->strip; m++)
        if (moment_call(m, job->strip, seen->steps) == seen->step)
            keep_moment(job, seen, m, seen->step, seen->latents);
    return TT_OK;
}

static enum tt_status write_preview(struct job *job, const struct tt_progress *seen) {
    const struct tt_settings *s = &job->ask.with;
    struct tt_image image = {s->width, s->height, malloc(3 * s->width * s->height)};
    float *sample = malloc(job->each * sizeof *sample);
    char *name = request_file(&job->ask, seen->picture, "-preview");
    enum tt_status status = TT_OK;
    if (!image.rgb || !sample || !name)
        status = tt_fail(&job->cli->error, TT_SYSTEM, "out of memory for a preview");
    if (!status) {
        as_shown(seen, seen->step, seen->latents, job->each, sample);
        status = tt_latents_to_pixels(job->model, sample, job->shape.dim[2], job->shape.dim[3],
                                      image.rgb, &job->cli->error);
    }
    if (!status) status = tt_image_write_png(name, &image, NULL, &job->cli->error);
    free(name);
    free(sample);
    tt_image_free(&image);
    return status;
}

static int after_step(void *context, const struct tt_progress *seen) {
    struct job *job = context;
    show_line(job, seen);
    if (job->strip) job->status = keep_moments(job, seen);
    if (!job->status && job->preview && seen->step % job->preview == 0 && seen->step < seen->steps)
        job->status = write_preview(job, seen);
    return job->status;
}

// ---- the run ----

static enum tt_status make_room(struct job *job) {
    const struct tt_model_info *info = tt_model_info(job->model);
    const struct tt_settings *s = &job->ask.with;
    size_t h = s->height / info->factor, w = s->width / info->factor;
    job->shape = (struct tt_shape){4, {s->count, info->latent_channels, h, w}};
    job->each = info->latent_channels * h * w;
    job->latents = calloc(s->count, job->each * sizeof *job->latents);
    job->images = calloc(s->count, sizeof *job->images);
    if (job->strip) {
        job->moments = calloc(s->count * job->strip, job->each * sizeof *job->moments);
        job->when = calloc(s->count * job->strip, sizeof *job->when);
    }
    if (!job->latents || !job->images || (job->strip && (!job->moments || !job->when)))
        return tt_fail(&job->cli->error, TT_SYSTEM, "out of memory for %zu pictures", s->count);
    return TT_OK;
}

// The strip of picture k: all its moments, decoded.
static enum tt_status make_strip(struct job *job, size_t k) {
    const struct tt_settings *s = &job->ask.with;
    struct sheet *sheet = &job->sheet;
    *sheet = (struct sheet){.title = s->prompt, .columns = job->strip, .rows = 1,
                            .width = s->width, .height = s->height};
    enum tt_status status = sheet_open(sheet, true, &job->cli->error);
    for (size_t m = 0; !status && m < job->strip; m++) {
        size_t at = k * job->strip + m;
        sheet->x[m] = job->when[at][0];
        strcpy(sheet->captions[m], job->when[at][1]);
        sheet->pictures[m] =
            (struct tt_image){s->width, s->height, malloc(3 * s->width * s->height)};
        if (!sheet->pictures[m].rgb)
            status = tt_fail(&job->cli->error, TT_SYSTEM, "out of memory for a strip");
        else
            status = tt_latents_to_pixels(job->model, job->moments + at * job->each,
                                          job->shape.dim[2], job->shape.dim[3],
                                          sheet->pictures[m].rgb, &job->cli->error);
    }
    if (!status) status = sheet_draw(sheet, &job->images[k], &job->cli->error);
    sheet_close(sheet);
    return status;
}

static enum tt_status draw(struct job *job) {
    struct tt_settings with = job->ask.with;
    with.progress = after_step;
    with.context = job;
    cli_progress_begin(&job->line, job->cli, "drawing");
    enum tt_status status = tt_generate(job->model, &with, job->latents,
                                        job->strip ? NULL : job->images, &job->cli->error);
    cli_progress_end(&job->line);
    if (job->status) status = job->status;
    for (size_t k = 0; !status && job->strip && k < with.count; k++) status = make_strip(job, k);
    return status;
}

static enum tt_status save(struct job *job, json_t *files) {
    struct cli *cli = job->cli;
    struct tt_settings with = job->ask.with;
    with.scheduler = job->ask.scheduler;
    enum tt_status status = cli_go_on(cli);
    if (!status && job->latents_file) {
        struct tt_view view = {"latents", TT_F32, job->shape, job->latents,
                               tt_shape_count(&job->shape) * sizeof *job->latents};
        status = tt_safetensors_write(job->latents_file, &view, 1, NULL, &cli->error);
    }
    for (size_t k = 0; !status && k < with.count; k++, with.seed++) {
        char *name = request_file(&job->ask, k, ""), *text = settings_text(&with, &job->ask.record);
        if (!name || !text) status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
        if (!status) status = cli_go_on(cli);
        if (!status) status = tt_image_write_png(name, &job->images[k], text, &cli->error);
        if (!status) json_array_append_new(files, cli_json_text(name));
        free(name);
        free(text);
    }
    return status;
}

// The previews have served, whatever became of the pictures.
static void remove_previews(const struct job *job) {
    for (size_t k = 0; job->preview && k < job->ask.with.count; k++) {
        char *name = request_file(&job->ask, k, "-preview");
        if (name) unlink(name);
        free(name);
    }
}

static enum tt_status tell(const struct job *job, json_t *files, double seconds) {
    struct cli *cli = job->cli;
    if (cli->json) {
        json_t *root = json_pack("{s:O, s:I, s:f}", "files", files, "seed",
                                 (json_int_t)job->ask.with.seed, "seconds", seconds);
        return cli_print_json(cli, root, JSON_COMPACT | JSON_REAL_PRECISION(6));
    }
    if (!cli->quiet) {
        for (size_t i = 0; i < json_array_size(files); i++)
            fprintf(stderr, "%s\n", json_string_value(json_array_get(files, i)));
        fprintf(stderr, "%.2f s on %zu threads, %s\n", seconds,
                tt_engine_threads(cli->engine), tt_engine_cpu(cli->engine));
    }
    return TT_OK;
}

// ---- what is asked for ----

// With --replay the options are read twice: first to find the picture, then over its settings.
static enum tt_status read_options(struct job *job, int argc, char **argv) {
    struct cli *cli = job->cli;
    struct cli_option options[REQUEST_OPTIONS] = {0};
    const struct cli_option own[] = {
        {"count", 0, CLI_COUNT, "N", "pictures; the k-th takes seed + k", &job->ask.with.count},
        {"strip", 0, CLI_COUNT, "N", "write N moments, from noise to picture, side by side",
         &job->strip},
        {"preview", 0, CLI_COUNT, "N",
         "every N steps write the picture so far to OUT-preview.png; removed at the end",
         &job->preview},
        {"replay", 0, CLI_TEXT, "FILE.png",
         "make a picture again from the settings inside it; other options change some",
         &job->replay},
        {"save-latents", 0, CLI_TEXT, "F", "also write the latents, as safetensors",
         &job->latents_file},
        {"precision", 0, CLI_TEXT, "P", "f32", &job->precision},
    };
    size_t count = request_options(&job->ask, cli, options);
    memcpy(options + count, own, sizeof own);
    enum tt_status status = cli_parse(cli, options, argc, argv, NULL, 0);
    if (status || cli->help || !job->replay) return status;
    char *text = NULL;
    struct settings_read *read = &job->replayed;
    status = tt_image_read_settings(job->replay, &text, &cli->error);
    if (!status) status = settings_parse(job->replay, text, read, &cli->error);
    free(text);
    if (status) return status;
    job->ask.with = read->with;
    job->ask.options = (struct cli_list){0};
    job->strip = read->record.strip;
    cli->conv = read->record.direct ? "direct" : NULL;
    status = cli_parse(cli, options, argc, argv, NULL, 0);
    // Another scheduler may not know the settings of this one.
    if (job->ask.with.scheduler != read->with.scheduler) job->ask.with.scheduler_options = NULL;
    if (!cli->quiet && strcmp(read->version, tt_version()))
        fprintf(stderr, "%s is of version %s, this is %s: the picture may differ\n", job->replay,
                read->version, tt_version());
    return status;
}

static enum tt_status check(struct job *job) {
    struct cli *cli = job->cli;
    char hash[TT_MODEL_HASH_SIZE];
    if (strcmp(job->precision, "f32"))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--precision: found '%s', expected f32",
                       job->precision);
    enum tt_status status = tt_model_hash(job->model, hash, &cli->error);
    if (!status && job->replay && strcmp(hash, job->replayed.record.hash))
        status = tt_fail(&cli->error, TT_BAD_INPUT,
                         "%s: model hash: found %s (%s), expected %s: give the picture's own model "
                         "with -m", job->replay, hash, tt_model_info(job->model)->name,
                         job->replayed.record.hash);
    if (!status) status = request_check(cli, &job->ask, job->model);
    if (!status) status = request_guide(&job->ask, job->ask.calls, &job->ask.with, &cli->error);
    size_t most = job->ask.calls + 1 < SHEET_MOST ? job->ask.calls + 1 : SHEET_MOST;
    if (!status && (job->strip == 1 || job->strip > most))
        status = tt_fail(&cli->error, TT_BAD_INPUT, "--strip: found %zu, expected 2 to %zu: the "
                         "noise, then at most one moment a step", job->strip, most);
    job->ask.record.strip = job->strip;
    return status;
}

static void job_free(struct job *job) {
    free(job->latents);
    free(job->moments);
    free(job->when);
    for (size_t k = 0; job->images && k < job->ask.with.count; k++) tt_image_free(&job->images[k]);
    free(job->images);
    settings_free(&job->replayed);
    tt_model_close(job->model);
}

enum tt_status cli_generate(struct cli *cli, int argc, char **argv) {
    struct job job = {.ask = {.out = "out.png"}, .precision = "f32", .cli = cli};
    tt_settings_defaults(&job.ask.with, sizeof job.ask.with);
    double begun = cli_seconds();
    enum tt_status status = read_options(&job, argc, argv);
    if (!status && cli->help) return status;
    json_t *files = json_array();
    if (!status) status = cli_open_engine(cli);
    if (!status) status = cli_open_model(cli, job.ask.model, &job.model);
    if (!status) status = check(&job);
    if (!status) status = make_room(&job);
    if (!status) status = draw(&job);
    if (!status) status = save(&job, files);
    remove_previews(&job);
    if (!status) status = tell(&job, files, cli_seconds() - begun);
    json_decref(files);
    job_free(&job);
    return status;
}
