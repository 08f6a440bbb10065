// SPDX-License-Identifier: MIT
// tintype generate: text to pictures, or to strips that show how they came about.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/moments.h"
#include "cli/request.h"

struct job {
    struct request ask;
    const char *latents_file, *precision, *replay, *preview_vae;
    size_t strip, preview; // 0: none
    struct settings_read replayed;
    // What the run fills: latents (count, C, h, w) where they are kept, and of the picture that is
    // being drawn the moments of its strip.
    float *latents;
    struct tt_shape shape;
    size_t each; // floats of one picture's latents
    struct moments moments; // of the strip that is being made
    json_t *files, *seeds; // written so far
    // The state of progress.
    struct cli *cli;
    struct tt_session *session;
    struct tt_model *model; // the session's
    struct tt_session *previewer; // whose autoencoder draws previews, or NULL
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

// Who has the last word has the autoencoder, too.
static struct tt_session *decoder_of(const struct job *job) {
    return job->ask.with.refiner ? job->ask.with.refiner : job->session;
}

// Previews say so inside: what a killed run left may be replaced and removed, what somebody else
// has put under that name may not.
static const char preview_mark[] = "a preview of tintype: removed when the picture is done";

static enum tt_status write_preview(struct job *job, const struct tt_progress *seen) {
    struct tt_session *session = job->previewer ? job->previewer : decoder_of(job);
    size_t factor = tt_model_info(tt_session_model(session))->factor;
    size_t width = factor * seen->shape.dim[3], height = factor * seen->shape.dim[2];
    struct tt_image image = {width, height, malloc(3 * width * height)};
    float *sample = malloc(tt_shape_count(&seen->shape) * sizeof *sample);
    char *name = request_preview(&job->ask, seen->picture);
    enum tt_status status = TT_OK;
    if (!image.rgb || !sample || !name)
        status = tt_fail(&job->cli->error, TT_SYSTEM, "out of memory for a preview");
    if (!status) {
        moments_shown(seen, sample);
        status = tt_latents_to_pixels(session, sample, seen->shape.dim[2], seen->shape.dim[3],
                                      image.rgb, &job->cli->error);
    }
    if (!status) status = cli_write_picture(job->cli, name, &image, preview_mark);
    free(name);
    free(sample);
    tt_image_free(&image);
    return status;
}

// Whoever looks on is told what begins.
static void stage(const struct job *job, const char *name, size_t step) {
    const struct cli_watcher *watcher = job->cli->watcher;
    if (watcher) watcher->stage(watcher->context, name, step);
}

static int after_step(void *context, const struct tt_progress *seen) {
    struct job *job = context;
    stage(job, seen->step < seen->steps ? job->preview ? "preview" : "step" : NULL,
          job->preview ? 0 : seen->step + 1);
    show_line(job, seen);
    if (job->strip) job->status = moments_keep(&job->moments, seen, &job->cli->error);
    if (!job->status && job->preview && seen->step % job->preview == 0 && seen->step < seen->steps)
        job->status = write_preview(job, seen);
    if (job->preview && seen->step < seen->steps) stage(job, "step", seen->step + 1);
    return job->status;
}

// ---- the run ----

static enum tt_status make_room(struct job *job) {
    const struct tt_model_info *info = tt_model_info(job->model);
    const struct tt_settings *s = &job->ask.with;
    const struct tt_outline *of = &job->ask.outline;
    job->shape = (struct tt_shape){4, {s->count, info->latent_channels, of->h, of->w}};
    job->each = info->latent_channels * of->h * of->w;
    if (job->latents_file) job->latents = calloc(s->count, job->each * sizeof *job->latents);
    if (job->latents_file && !job->latents)
        return tt_fail(&job->cli->error, TT_SYSTEM, "out of memory for %zu pictures", s->count);
    return moments_begin(&job->moments, job->strip, &job->cli->error);
}

static enum tt_status remove_preview(const struct job *job, size_t k) {
    char *name = job->preview ? request_preview(&job->ask, k) : NULL;
    enum tt_status status =
        name ? tt_files_remove(job->cli->files, name, &job->cli->error) : TT_OK;
    free(name);
    return status;
}

// Work is saved as it is done: a picture is in its file before the next one is begun.
static enum tt_status save(struct job *job, size_t k, const float *latents) {
    struct cli *cli = job->cli;
    struct tt_settings with = job->ask.with;
    struct tt_image image = {0};
    with.scheduler = job->ask.scheduler;
    with.seed += k;
    char *name = request_file(&job->ask, k), *text = settings_text(&with, &job->ask.record);
    enum tt_status status = TT_OK;
    if (!name || !text) status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    stage(job, "decode", 0);
    if (!status && job->strip)
        status = moments_draw(&job->moments, decoder_of(job), with.prompt, &job->ask.outline,
                              &image, &cli->error);
    else if (!status)
        status = tt_develop(job->session, &job->ask.with, latents, &image, &cli->error);
    stage(job, "png", 0);
    if (!status) status = cli_write_picture(cli, name, &image, text);
    stage(job, k + 1 < with.count ? "step" : NULL, k + 1 < with.count ? 1 : 0);
    if (!status) {
        json_array_append_new(job->files, cli_json_text(name));
        json_array_append_new(job->seeds, json_integer((json_int_t)with.seed));
        cli_progress_end(&job->line);
        cli_written(cli, name);
        if (with.count > 1 && !cli->quiet && !cli->json) {
            cli_print(stderr, name);
            fprintf(stderr, ": seed %llu\n", (unsigned long long)with.seed);
        }
        if (job->latents)
            memcpy(job->latents + k * job->each, latents, job->each * sizeof *latents);
        status = remove_preview(job, k);
    }
    tt_image_free(&image);
    free(name);
    free(text);
    return status;
}

static int after_picture(void *context, size_t picture, const float *latents) {
    struct job *job = context;
    job->status = save(job, picture, latents);
    return job->status;
}

// The latents of the pictures that were written, whether or not there are more to come.
static enum tt_status save_latents(struct job *job) {
    struct tt_shape shape = job->shape;
    shape.dim[0] = json_array_size(job->files);
    if (!job->latents || !shape.dim[0]) return TT_OK;
    enum tt_status status =
        cli_keep_latents(job->cli, job->latents_file, job->latents, &shape);
    if (!status) cli_written(job->cli, job->latents_file);
    return status;
}

static enum tt_status draw(struct job *job) {
    struct cli *cli = job->cli;
    struct tt_settings with = job->ask.with;
    with.progress = after_step;
    with.finished = after_picture;
    with.context = job;
    stage(job, "text", 0);
    cli_progress_begin(&job->line, cli, "drawing");
    enum tt_status status = tt_generate(job->session, &with, NULL, NULL, &cli->error);
    cli_progress_end(&job->line);
    if (job->status) status = job->status;
    size_t done = json_array_size(job->files);
    if (done < with.count) remove_preview(job, done);
    enum tt_status saved = save_latents(job);
    if (status && done && !cli->quiet)
        fprintf(stderr, "tintype %s: %zu of %zu pictures are done and written\n", cli->verb, done,
                with.count);
    return status ? status : saved;
}

static enum tt_status tell(const struct job *job, double seconds) {
    struct cli *cli = job->cli;
    if (cli->watcher) return TT_OK;
    if (cli->json) {
        json_t *root = json_pack("{s:O, s:I, s:O, s:o*, s:f}", "files", job->files, "seed",
                                 (json_int_t)job->ask.with.seed, "seeds", job->seeds, "latents",
                                 job->latents ? cli_json_text(job->latents_file) : NULL, "seconds",
                                 seconds);
        return cli_print_json(cli, root, JSON_COMPACT | JSON_REAL_PRECISION(6));
    }
    if (cli->quiet) return TT_OK;
    if (job->ask.with.count == 1)
        fprintf(stderr, "seed %llu, ", (unsigned long long)job->ask.with.seed);
    fprintf(stderr, "%zux%zu, %zu steps of %s, %.2f s on %zu threads, %s\n",
            job->ask.outline.width, job->ask.outline.height, job->ask.with.steps,
            job->ask.scheduler, seconds,
            tt_engine_threads(cli->engine), tt_engine_cpu(cli->engine));
    return TT_OK;
}

// ---- what is asked for ----

// With --replay the options are read twice: first to find the picture, then over its settings.
static enum tt_status read_options(struct job *job, int argc, char **argv) {
    struct cli *cli = job->cli;
    struct cli_option options[REQUEST_OPTIONS] = {0};
    const struct cli_option own[] = {
        {"count", 0, CLI_COUNT, "N", "pictures; the k-th takes seed + k", &job->ask.with.count},
        {"strip", 0, CLI_COUNT, "N",
         "write N moments, from noise to picture, side by side; default: none",
         &job->strip},
        {"preview", 0, CLI_COUNT, "N",
         "every N steps write the picture so far to OUT-preview.png; removed at the end; "
         "default: none",
         &job->preview},
        {"preview-vae", 0, CLI_TEXT, "FOLDER",
         "the autoencoder of previews alone, say a small quick one; default: that of the picture",
         &job->preview_vae},
        {"replay", 0, CLI_TEXT, "FILE.png",
         "make a picture again from the settings inside it; other options change some; "
         "default: none",
         &job->replay},
        {"refiner", 0, CLI_TEXT, "MODEL",
         "SDXL: a second model, which draws the last part; default: none", &job->ask.refiner},
        {"refine-from", 0, CLI_NUMBER, "F", "the part of the run where it goes on",
         &job->ask.with.refine_from},
        {"aesthetic-score", 0, CLI_NUMBER, "S", "what it is told to draw towards",
         &job->ask.with.aesthetic_score},
        {"negative-aesthetic-score", 0, CLI_NUMBER, "S", "and away from",
         &job->ask.with.negative_aesthetic_score},
        {"save-latents", 0, CLI_TEXT, "F", "also write the latents, as safetensors; default: none",
         &job->latents_file},
        {"precision", 0, CLI_TEXT, "P", "of the arithmetic: f32", &job->precision},
    };
    size_t count = request_options(&job->ask, cli, options);
    count += request_picture_options(&job->ask, options + count);
    memcpy(options + count, own, sizeof own);
    enum tt_status status = cli_parse(cli, options, argc, argv, NULL, 0);
    if (status || cli->help || !job->replay) return status;
    char *text = NULL;
    struct settings_read *read = &job->replayed;
    status = tt_image_read_settings(cli->files, job->replay, &text, &cli->error);
    if (!status) status = settings_parse(job->replay, text, read, &cli->error);
    free(text);
    if (status) return status;
    job->ask.with = read->with;
    job->ask.options = (struct cli_list){0};
    request_picture_again(&job->ask, &read->record);
    cli->loras.given = job->ask.wording.given = (struct cli_list){0};
    job->strip = read->record.strip;
    cli->conv = read->record.direct ? "direct" : NULL;
    status = cli_parse(cli, options, argc, argv, NULL, 0);
    // Another scheduler may not know the settings of this one.
    if (job->ask.with.scheduler != read->with.scheduler) job->ask.with.scheduler_options = NULL;
    if (!status && !cli->help) status = request_replay(cli, &job->ask, job->replay, read);
    if (!status && !cli->help) status = request_replay_wording(cli, &job->ask, read);
    if (!cli->quiet && strcmp(read->version, tt_version()))
        fprintf(stderr, "%s is of version %s, this is %s: the picture may differ\n", job->replay,
                read->version, tt_version());
    return status;
}

// A model beside the one that draws, of which the autoencoder alone is used.
static enum tt_status open_previewer(struct job *job) {
    struct cli *cli = job->cli;
    struct tt_model *model = NULL;
    if (!job->preview_vae) return TT_OK;
    if (!job->preview)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--preview-vae: found it without --preview, "
                       "expected --preview N");
    enum tt_status status =
        cli_open_beside(cli, job->preview_vae, false, &job->previewer, &model);
    if (status) return tt_fail_prefix(&cli->error, "--preview-vae");
    size_t found = tt_model_info(model)->latent_channels;
    size_t expected = tt_model_info(job->model)->latent_channels;
    int decoder = tt_part_find("vae-decode");
    if (!tt_model_has_part(job->model, decoder) || !tt_model_has_part(model, decoder))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--preview-vae: found %s without an autoencoder, "
                       "expected one on both sides",
                       tt_model_has_part(job->model, decoder) ? job->preview_vae
                                                              : tt_model_info(job->model)->name);
    if (found != expected)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--preview-vae: %s: latent_channels: found %zu, "
                       "expected %zu, as %s has", job->preview_vae, found, expected,
                       tt_model_info(job->model)->name);
    // Now, not after the first steps: its weights are there, and there is room.
    const struct tt_settings *s = &job->ask.with;
    size_t factor = tt_model_info(job->model)->factor;
    struct tt_size size = {1, s->height / factor, s->width / factor, 0};
    return tt_session_prepare(job->previewer, decoder, size, &cli->error);
}

// A killed run may have left its preview; anything else under that name is the user's.
static enum tt_status check_preview(struct job *job, size_t k) {
    struct cli *cli = job->cli;
    struct stat info;
    char *name = request_preview(&job->ask, k), *text = NULL;
    if (!name) return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    enum tt_status status = TT_OK;
    bool there = !lstat(name, &info);
    if (there && S_ISREG(info.st_mode) && !tt_image_read_settings(NULL, name, &text, NULL) &&
        !strcmp(text, preview_mark)) {
        status = tt_files_adopt(cli->files, name, &cli->error);
        if (!status) status = tt_files_remove(cli->files, name, &cli->error);
    } else if (there && job->preview) {
        status = tt_fail(&cli->error, TT_BAD_INPUT, "%s: found %s, expected none: --preview writes "
                         "and removes a file of that name", name,
                         S_ISDIR(info.st_mode) ? "a directory" : "a file that is no preview");
    }
    if (!status && job->preview) status = cli_plan_picture(cli, name);
    free(text);
    free(name);
    return status;
}

// Whether all that will be written can be: before anything is drawn.
static enum tt_status plan(struct job *job) {
    struct cli *cli = job->cli;
    bool piped = !strcmp(job->ask.out, "-");
    if (piped && (job->ask.with.count > 1 || job->preview))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--output: found '-' with %s, expected a name",
                       job->preview ? "--preview" : "--count");
    enum tt_status status = job->latents_file ? cli_plan_latents(cli, job->latents_file) : TT_OK;
    for (size_t k = 0; !status && k < job->ask.with.count; k++) {
        char *name = request_file(&job->ask, k);
        if (!name) return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
        status = cli_plan_picture(cli, name);
        if (!status && !piped) status = check_preview(job, k);
        free(name);
    }
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
                         "with -m, and its --vae where it had one", job->replay, hash,
                         tt_model_info(job->model)->name, job->replayed.record.hash);
    if (!status && job->replay && !job->ask.refiner != !*job->replayed.record.refiner)
        status = tt_fail(&cli->error, TT_BAD_INPUT, "%s: refiner: found %s, expected %s%s",
                         job->replay, job->ask.refiner ? job->ask.refiner : "none",
                         job->ask.refiner ? "none" : "the picture's own with --refiner, of hash ",
                         job->replayed.record.refiner);
    if (!status) status = request_refiner(cli, &job->ask);
    if (!status && job->replay && strcmp(job->ask.record.refiner, job->replayed.record.refiner))
        status = tt_fail(&cli->error, TT_BAD_INPUT, "%s: refiner hash: found %s (%s), expected %s",
                         job->replay, job->ask.record.refiner, job->ask.refiner,
                         job->replayed.record.refiner);
    if (!status)
        status = request_picture(cli, &job->ask, job->replay ? &job->replayed.record : NULL);
    if (!status) status = request_check(cli, &job->ask, job->model);
    if (!status)
        status = request_guide(&job->ask, job->ask.outline.calls, &job->ask.with, &cli->error);
    if (!status) status = request_note(cli, job->model, &job->ask.with, 1);
    size_t most = job->ask.outline.all_calls + 1;
    if (most > SHEET_MOST) most = SHEET_MOST;
    if (!status && (job->strip == 1 || job->strip > most))
        status = tt_fail(&cli->error, TT_BAD_INPUT, "--strip: found %zu, expected 2 to %zu: the "
                         "noise, then at most one moment a step", job->strip, most);
    job->ask.record.strip = job->strip;
    return status;
}

static void job_free(struct job *job) {
    if (job->session && job->cli->watcher) job->cli->watcher->closing(job->cli->watcher->context);
    free(job->latents);
    moments_free(&job->moments);
    json_decref(job->files);
    json_decref(job->seeds);
    request_free(&job->ask);
    settings_free(&job->replayed);
    tt_session_free(job->previewer);
    tt_session_free(job->ask.with.refiner);
    tt_session_free(job->session);
}

enum tt_status cli_generate(struct cli *cli, int argc, char **argv) {
    struct job job = {.ask = {.out = "out.png"}, .precision = "f32", .cli = cli};
    request_begin(&job.ask);
    double begun = cli_seconds();
    enum tt_status status = read_options(&job, argc, argv);
    if (!status && cli->help) return status;
    job.files = json_array();
    job.seeds = json_array();
    if (!status) status = request_loras(cli, &job.ask);
    if (!status) status = request_wording(cli, &job.ask);
    if (!status) status = cli_open_engine(cli);
    if (!status) status = cli_open_session(cli, job.ask.model, &job.session, &job.model);
    if (!status) status = check(&job);
    if (!status) status = open_previewer(&job);
    if (!status) status = plan(&job);
    if (!status) status = make_room(&job);
    if (!status && cli->watcher)
        status = cli->watcher->opened(cli->watcher->context, job.session, &job.ask.with,
                                      job.ask.scheduler);
    if (!status) status = draw(&job);
    if (!status) status = tell(&job, cli_seconds() - begun);
    job_free(&job);
    return status;
}
