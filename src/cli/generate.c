// SPDX-License-Identifier: MIT
// tintype generate: text to pictures.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "io/image.h"
#include "io/safetensors.h"

struct request {
    const char *model, *out, *scheduler, *latents, *conv, *precision;
    struct cli_list settings;
    size_t count;
    struct tt_generate with;
};

// What the loop fills: latents (count, C, h, w), pixels (count, H, W, 3).
struct pictures {
    float *latents;
    uint8_t *rgb;
    size_t latent_count; // of one picture
    struct tt_shape shape;
};

static int show_step(void *context, size_t step, size_t steps) {
    cli_progress_step(context, step, steps);
    return 0;
}

// "out.png" for one picture; "out-1.png", "out-2.png", ... for several.
static char *file_name(const struct request *r, size_t k) {
    const char *dot = strrchr(r->out, '.'), *slash = strrchr(r->out, '/');
    if (!dot || (slash && dot < slash)) dot = r->out + strlen(r->out);
    char *name = NULL;
    int length = r->count == 1 ? asprintf(&name, "%s", r->out)
                               : asprintf(&name, "%.*s-%zu%s", (int)(dot - r->out), r->out, k + 1,
                                          dot);
    return length < 0 ? NULL : name;
}

// The settings in the layout that web interfaces read back.
static char *settings_text(const struct request *r, const char *hash,
                           const struct tt_scheduler *scheduler, size_t k) {
    char *text = NULL;
    const struct tt_generate *g = &r->with;
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
                           struct tt_scheduler *scheduler, struct pictures *p) {
    struct tt_generate g = r->with;
    struct tt_context context = {0};
    enum tt_status status = tt_encode_prompt(model, &g, &context, &cli->error);
    for (size_t k = 0; !status && k < r->count; k++) {
        struct tt_rng rng;
        struct cli_progress progress;
        char what[48];
        snprintf(what, sizeof what, r->count > 1 ? "picture %zu/%zu" : "drawing", k + 1, r->count);
        cli_progress_begin(&progress, cli, what);
        g.progress = show_step;
        g.context = &progress;
        tt_rng_seed(&rng, g.seed + k);
        status = tt_denoise(model, scheduler, &g, &context, &rng, p->latents + k * p->latent_count,
                            &cli->error);
        cli_progress_end(&progress);
    }
    tt_context_free(&context);
    for (size_t k = 0; !status && k < r->count; k++)
        status = tt_latents_to_pixels(model, p->latents + k * p->latent_count, p->shape.dim[2],
                                      p->shape.dim[3], p->rgb + k * 3 * g.width * g.height,
                                      &cli->error);
    return status;
}

static enum tt_status save(struct cli *cli, const struct request *r, struct tt_model *model,
                           const struct tt_scheduler *scheduler, const struct pictures *p,
                           json_t *files) {
    char hash[TT_MODEL_HASH_SIZE];
    enum tt_status status = tt_model_hash(model, hash, &cli->error);
    if (!status && r->latents) {
        struct tt_view view = {"latents", TT_F32, p->shape, p->latents,
                               r->count * p->latent_count * sizeof(float)};
        status = tt_safetensors_write(r->latents, &view, 1, NULL, &cli->error);
    }
    for (size_t k = 0; !status && k < r->count; k++) {
        char *name = file_name(r, k), *text = settings_text(r, hash, scheduler, k);
        if (!name || !text) status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
        struct tt_image image = {r->with.width, r->with.height,
                                 p->rgb + k * 3 * r->with.width * r->with.height};
        if (!status) status = tt_image_write_png(name, &image, text, &cli->error);
        if (!status) json_array_append_new(files, json_string(name));
        free(name);
        free(text);
    }
    return status;
}

static enum tt_status make_room(struct cli *cli, const struct request *r,
                                const struct tt_model *model, struct pictures *p) {
    size_t factor = tt_model_factor(model), c = model->vae.latent_channels;
    size_t h = r->with.height / factor, w = r->with.width / factor, floats, pixels;
    p->shape = (struct tt_shape){4, {r->count, c, h, w}};
    p->latent_count = c * h * w;
    if (!tt_mul_size(r->count, p->latent_count * sizeof(float), &floats) ||
        !tt_mul_size(r->count, 3 * r->with.width * r->with.height, &pixels))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--count: %zu pictures are too many", r->count);
    p->latents = malloc(floats);
    p->rgb = malloc(pixels);
    if (!p->latents || !p->rgb) return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    return TT_OK;
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
        fprintf(stderr, "%.2f s on %zu threads, %s\n", seconds, cli->threads,
                tt_cpu_name(cli->kernels.mask));
    }
}

static enum tt_status check(struct cli *cli, struct request *r, const struct tt_model *model) {
    if (!r->with.prompt)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--prompt is missing: -p \"a lighthouse\"");
    if (strcmp(r->precision, "f32"))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--precision: found '%s', expected f32",
                       r->precision);
    return cli_size(cli, model, &r->with.width, &r->with.height);
}

enum tt_status cli_generate(struct cli *cli, int argc, char **argv) {
    struct request r = {.out = "out.png", .count = 1, .precision = "f32",
                        .with = {.steps = 20, .guidance_scale = 7.5}};
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
         &r.scheduler},
        {"scheduler-option", 0, CLI_LIST, "K=V", "a setting of scheduler_config.json",
         &r.settings},
        {"width", 'W', CLI_COUNT, "PX", "width; default: the model's", &r.with.width},
        {"height", 'H', CLI_COUNT, "PX", "height; default: the model's", &r.with.height},
        {"count", 0, CLI_COUNT, "N", "pictures; the k-th takes seed + k", &r.count},
        {"save-latents", 0, CLI_TEXT, "F", "also write the latents, as safetensors", &r.latents},
        {"precision", 0, CLI_TEXT, "P", "f32", &r.precision},
        {"conv", 0, CLI_TEXT, "HOW", "convolutions: auto or direct", &r.conv},
        {0},
    };
    struct tt_model *model = NULL;
    struct tt_scheduler *scheduler = NULL;
    struct pictures pictures = {0};
    double begun = tt_seconds();
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    json_t *files = json_array();
    status = cli_open_model(cli, r.model, r.conv, &model);
    if (!status) status = check(cli, &r, model);
    if (!status) status = cli_scheduler(cli, model, r.scheduler, &r.settings, &scheduler);
    if (!status) status = make_room(cli, &r, model, &pictures);
    if (!status) status = draw(cli, &r, model, scheduler, &pictures);
    if (!status) status = save(cli, &r, model, scheduler, &pictures, files);
    if (!status) tell(cli, &r, files, tt_seconds() - begun);
    json_decref(files);
    free(pictures.latents);
    free(pictures.rgb);
    tt_scheduler_free(scheduler);
    tt_model_close(model);
    return status;
}
