// SPDX-License-Identifier: MIT
// tintype generate: text to pictures.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

struct request {
    const char *model, *out, *latents, *precision;
    struct cli_list options; // of the scheduler
    struct tt_settings with;
};

// latents (count, C, h, w), and count images.
struct pictures {
    float *latents;
    struct tt_shape shape;
    struct tt_image *images;
};

// The progress line of the picture that is being drawn.
struct drawing {
    const struct cli *cli;
    struct cli_progress line;
    char what[48];
};

static int show_step(void *context, const struct tt_progress *seen) {
    struct drawing *d = context;
    if (seen->step == 1) {
        double begun = seen->picture ? cli_seconds() : d->line.started;
        snprintf(d->what, sizeof d->what, seen->pictures > 1 ? "picture %zu/%zu" : "drawing",
                 seen->picture + 1, seen->pictures);
        cli_progress_begin(&d->line, d->cli, d->what);
        d->line.started = begun;
    }
    cli_progress_step(&d->line, seen->step, seen->steps);
    return 0;
}

// "out.png" for one picture; "out-1.png", "out-2.png", ... for several.
static char *file_name(const struct request *r, size_t k) {
    const char *dot = strrchr(r->out, '.'), *slash = strrchr(r->out, '/');
    if (!dot || (slash && dot < slash)) dot = r->out + strlen(r->out);
    char *name = NULL;
    int length = r->with.count == 1 ? asprintf(&name, "%s", r->out)
                               : asprintf(&name, "%.*s-%zu%s", (int)(dot - r->out), r->out, k + 1,
                                          dot);
    return length < 0 ? NULL : name;
}

// The settings in the layout that web interfaces read back.
static char *settings_text(const struct request *r, const char *hash,
                           const struct tt_scheduler *scheduler, size_t k) {
    char *text = NULL;
    const struct tt_settings *g = &r->with;
    bool negative = g->negative && *g->negative;
    int length = asprintf(
        &text, "%s\n%s%s%sSteps: %zu, Sampler: %s, CFG scale: %.9g, Seed: %llu, Size: %zux%zu, "
        "Model hash: %s, Version: tintype %s", g->prompt, negative ? "Negative prompt: " : "",
        negative ? g->negative : "", negative ? "\n" : "", g->steps, tt_scheduler_name(scheduler),
        g->guidance_scale, (unsigned long long)(g->seed + k), g->width, g->height,
        hash, TT_VERSION);
    return length < 0 ? NULL : text;
}

static enum tt_status draw(struct cli *cli, const struct request *r, struct tt_model *model,
                           struct pictures *p) {
    const struct tt_model_info *info = tt_model_info(model);
    size_t h = r->with.height / info->factor, w = r->with.width / info->factor;
    p->shape = (struct tt_shape){4, {r->with.count, info->latent_channels, h, w}};
    p->latents = calloc(r->with.count, info->latent_channels * h * w * sizeof *p->latents);
    p->images = calloc(r->with.count, sizeof *p->images);
    if (!p->latents || !p->images)
        return tt_fail(&cli->error, TT_SYSTEM, "out of memory for %zu pictures", r->with.count);
    struct tt_settings with = r->with;
    struct drawing drawing = {.cli = cli};
    with.progress = show_step;
    with.context = &drawing;
    cli_progress_begin(&drawing.line, cli, "drawing");
    enum tt_status status = tt_generate(model, &with, p->latents, p->images, &cli->error);
    cli_progress_end(&drawing.line);
    return status;
}

static enum tt_status save(struct cli *cli, const struct request *r, struct tt_model *model,
                           const struct tt_scheduler *scheduler, const struct pictures *p,
                           json_t *files) {
    char hash[TT_MODEL_HASH_SIZE];
    enum tt_status status = tt_model_hash(model, hash, &cli->error);
    if (!status) status = cli_go_on(cli);
    if (!status && r->latents) {
        struct tt_view view = {"latents", TT_F32, p->shape, p->latents,
                               tt_shape_count(&p->shape) * sizeof *p->latents};
        status = tt_safetensors_write(r->latents, &view, 1, NULL, &cli->error);
    }
    for (size_t k = 0; !status && k < r->with.count; k++) {
        char *name = file_name(r, k), *text = settings_text(r, hash, scheduler, k);
        if (!name || !text) status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
        if (!status) status = cli_go_on(cli);
        if (!status) status = tt_image_write_png(name, &p->images[k], text, &cli->error);
        if (!status) json_array_append_new(files, json_string(name));
        free(name);
        free(text);
    }
    return status;
}

static void tell(const struct cli *cli, const struct request *r, json_t *files, double seconds) {
    if (cli->json) {
        json_t *root = json_pack("{s:O, s:I, s:f}", "files", files, "seed",
                                 (json_int_t)r->with.seed, "seconds", seconds);
        json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(root);
    } else if (!cli->quiet) {
        for (size_t i = 0; i < json_array_size(files); i++)
            fprintf(stderr, "%s\n", json_string_value(json_array_get(files, i)));
        fprintf(stderr, "%.2f s on %zu threads, %s\n", seconds,
                tt_engine_threads(cli->engine), tt_engine_cpu(cli->engine));
    }
}

static enum tt_status check(struct cli *cli, struct request *r, const struct tt_model *model) {
    if (!r->with.prompt)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--prompt is missing: -p \"a lighthouse\"");
    if (strcmp(r->precision, "f32"))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--precision: found '%s', expected f32",
                       r->precision);
    return tt_model_size(model, &r->with.width, &r->with.height, &cli->error);
}

enum tt_status cli_generate(struct cli *cli, int argc, char **argv) {
    struct request r = {.out = "out.png", .precision = "f32"};
    tt_settings_defaults(&r.with, sizeof r.with);
    const struct cli_option options[] = {
        {"prompt", 'p', CLI_TEXT, "TEXT", "what to draw", &r.with.prompt},
        {"negative-prompt", 'n', CLI_TEXT, "TEXT", "what to stay away from", &r.with.negative},
        {"model", 'm', CLI_TEXT, "MODEL", "model folder; default: the built-in model", &r.model},
        {"output", 'o', CLI_TEXT, "OUT.png", "the picture (default out.png)", &r.out},
        {"seed", 's', CLI_SEED, "SEED", "seed of the first noise (default 0)", &r.with.seed},
        {"steps", 0, CLI_COUNT, "N", "steps (default 20)", &r.with.steps},
        {"guidance-scale", 0, CLI_NUMBER, "G", "guidance (default 7.5; 1: none, half the time)",
         &r.with.guidance_scale},
        {"guidance-rescale", 0, CLI_NUMBER, "R", "0 to 1: against overexposure (default 0)",
         &r.with.guidance_rescale},
        {"scheduler", 0, CLI_TEXT, "NAME", "see 'tintype schedulers'; default: the model's",
         &r.with.scheduler},
        {"scheduler-option", 0, CLI_LIST, "K=V", "a setting of scheduler_config.json",
         &r.options},
        {"width", 'W', CLI_COUNT, "PX", "width; default: the model's", &r.with.width},
        {"height", 'H', CLI_COUNT, "PX", "height; default: the model's", &r.with.height},
        {"count", 0, CLI_COUNT, "N", "pictures; the k-th takes seed + k", &r.with.count},
        {"save-latents", 0, CLI_TEXT, "F", "also write the latents, as safetensors", &r.latents},
        {"precision", 0, CLI_TEXT, "P", "f32", &r.precision},
        CLI_CONV(cli),
        {0},
    };
    struct tt_model *model = NULL;
    struct tt_scheduler *scheduler = NULL;
    struct pictures pictures = {0};
    double begun = cli_seconds();
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    json_t *files = json_array();
    r.with.scheduler_options = r.options.item;
    status = cli_open_model(cli, r.model, &model);
    if (!status) status = check(cli, &r, model);
    if (!status)
        status = tt_scheduler_open(&scheduler, r.with.scheduler, model, r.options.item,
                                   &cli->error);
    if (!status) status = draw(cli, &r, model, &pictures);
    if (!status) status = save(cli, &r, model, scheduler, &pictures, files);
    if (!status) tell(cli, &r, files, cli_seconds() - begun);
    json_decref(files);
    free(pictures.latents);
    for (size_t k = 0; pictures.images && k < r.with.count; k++) tt_image_free(&pictures.images[k]);
    free(pictures.images);
    tt_scheduler_free(scheduler);
    tt_model_close(model);
    return status;
}
