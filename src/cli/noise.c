// SPDX-License-Identifier: MIT
// tintype noise: the forward process on a picture of one's own, in closed form.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/sheet.h"

struct job {
    struct cli *cli;
    struct tt_session *session;
    struct tt_model *model; // the session's
    const struct tt_schedule *schedule;
    bool pixels; // noise on the pixels instead of on the latents
    struct tt_image image;
    struct tt_shape shape; // (C, h, w) of what is noised
    size_t n;
    float *x0, *noise, *xt;
};

// Pixels (3, H, W) in [-1, 1], as the textbooks have them.
static void floats_of(const struct tt_image *image, float *x) {
    size_t area = image->width * image->height;
    for (size_t i = 0; i < 3 * area; i++)
        x[i % 3 * area + i / 3] = 2.0f * ((float)image->rgb[i] / 255.0f) - 1.0f;
}

static void pixels_of(const float *x, struct tt_image *image) {
    size_t area = image->width * image->height;
    for (size_t i = 0; i < 3 * area; i++) {
        float v = x[i % 3 * area + i / 3] * 0.5f + 0.5f;
        image->rgb[i] = (uint8_t)rintf((v < 0 ? 0 : v > 1 ? 1 : v) * 255.0f);
    }
}

static enum tt_status begin(struct job *job, uint64_t seed) {
    const struct tt_model_info *info = tt_model_info(job->model);
    struct tt_image *image = &job->image;
    struct tt_error *err = &job->cli->error;
    enum tt_status status = TT_OK;
    size_t f = info->factor;
    job->shape = job->pixels
        ? (struct tt_shape){3, {3, image->height, image->width}}
        : (struct tt_shape){3, {info->latent_channels, image->height / f, image->width / f}};
    job->n = tt_shape_count(&job->shape);
    if (!(job->x0 = malloc(3 * job->n * sizeof *job->x0)))
        return tt_fail(err, TT_SYSTEM, "out of memory");
    job->noise = job->x0 + job->n;
    job->xt = job->noise + job->n;
    if (job->pixels) floats_of(image, job->x0);
    else
        status = tt_pixels_to_latents(job->session, image->rgb, image->height, image->width, NULL,
                                      job->x0, err);
    struct tt_rng rng;
    tt_rng_seed(&rng, seed);
    tt_rng_normal(&rng, job->noise, job->n);
    return status;
}

// A sample as a picture of the size of the image.
static enum tt_status show(struct job *job, const float *x, struct tt_image *out) {
    struct tt_error *err = &job->cli->error;
    *out = (struct tt_image){job->image.width, job->image.height,
                             malloc(3 * job->image.width * job->image.height)};
    if (!out->rgb) return tt_fail(err, TT_SYSTEM, "out of memory");
    if (!job->pixels)
        return tt_latents_to_pixels(job->session, x, job->shape.dim[1], job->shape.dim[2], out->rgb,
                                    err);
    pixels_of(x, out);
    return TT_OK;
}

static enum tt_status write_one(struct job *job, size_t t, const char *out) {
    struct tt_image image = {0};
    tt_add_noise(job->schedule, t, job->x0, job->noise, job->xt, job->n);
    enum tt_status status = show(job, job->xt, &image);
    if (!status) status = cli_write_picture(job->cli, out, &image, NULL);
    tt_image_free(&image);
    return status;
}

// The picture, then columns - 1 timesteps at equal distances, all with the same noise.
static enum tt_status write_strip(struct job *job, size_t columns, const char *out) {
    char labels[SHEET_MOST][24];
    struct tt_image image = {0};
    struct sheet sheet = {.columns = columns, .rows = 1, .width = job->image.width,
                          .height = job->image.height};
    sheet.title = job->pixels ? "xₜ = √ā x₀ + √(1 - ā) noise, on pixels"
                              : "xₜ = √ā x₀ + √(1 - ā) noise, on latents";
    enum tt_status status = sheet_open(&sheet, true, &job->cli->error);
    for (size_t i = 0; !status && i < columns; i++) {
        size_t t = (2 * i * (job->schedule->count - 1) + (columns - 1)) / (2 * (columns - 1));
        const float *x = i ? job->xt : job->x0;
        if (i) tt_add_noise(job->schedule, t, job->x0, job->noise, job->xt, job->n);
        snprintf(labels[i], sizeof labels[i], i ? "t = %zu" : "picture", t);
        snprintf(sheet.captions[i], sizeof sheet.captions[i], "ā = %.3g",
                 i ? (double)job->schedule->alphas_cumprod[t] : 1.0);
        sheet.x[i] = labels[i];
        status = show(job, x, &sheet.pictures[i]);
    }
    if (!status) status = sheet_draw(&sheet, &image, &job->cli->error);
    if (!status) status = cli_write_picture(job->cli, out, &image, NULL);
    tt_image_free(&image);
    sheet_close(&sheet);
    return status;
}

static enum tt_status check(struct cli *cli, const char *out, uint64_t t, size_t strip,
                            const char *space) {
    if (!out) return tt_fail(&cli->error, TT_BAD_INPUT, "--output is missing: -o OUT.png");
    if ((t == UINT64_MAX) == !strip)
        return tt_fail(&cli->error, TT_BAD_INPUT, "found %s, expected -t T or --strip N",
                       strip ? "-t and --strip" : "neither -t nor --strip");
    if (strip == 1 || strip > SHEET_MOST)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--strip: found %zu, expected 2 to %d", strip,
                       SHEET_MOST);
    if (strcmp(space, "latents") && strcmp(space, "pixels"))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--space: found '%s', expected latents or pixels",
                       space);
    return TT_OK;
}

// The picture fits the model, and t the schedule.
static enum tt_status fit(struct job *job, const char *picture, uint64_t t) {
    size_t width = job->image.width, height = job->image.height;
    if (t != UINT64_MAX && t >= job->schedule->count)
        return tt_fail(&job->cli->error, TT_BAD_INPUT, "-t: found %llu, expected 0 to %zu",
                       (unsigned long long)t, job->schedule->count - 1);
    if (!job->pixels && tt_model_size(job->model, &width, &height, &job->cli->error))
        return tt_fail_prefix(&job->cli->error, "%s", picture);
    return TT_OK;
}

enum tt_status cli_noise(struct cli *cli, int argc, char **argv) {
    const char *path = NULL, *out = NULL, *picture = NULL, *space = "latents";
    uint64_t seed = 0, t = UINT64_MAX;
    size_t strip = 0;
    struct cli_list settings = {0};
    const struct cli_option options[] = {
        {"timestep", 't', CLI_WHOLE, "T",
         "training timestep: 0 almost the picture, 999 noise; default: none", &t},
        {"strip", 0, CLI_COUNT, "N",
         "the picture and N - 1 timesteps, side by side; default: none", &strip},
        {"output", 'o', CLI_TEXT, "OUT.png",
         "the noisy picture, or the strip; must be given", &out},
        {"space", 0, CLI_TEXT, "SPACE",
         "latents: encode, add noise, decode; pixels: as textbooks show it", &space},
        {"seed", 's', CLI_SEED, "SEED", "seed of the noise", &seed},
        {"model", 'm', CLI_TEXT, "MODEL", "a folder or a file; default: the built-in one", &path},
        CLI_VARIANT(cli),
        CLI_WEIGHTS(cli),
        CLI_VAE(cli),
        {"scheduler-option", 0, CLI_LIST, "K=V",
         "a setting of the schedule, as beta_schedule; default: the model's",
         &settings},
        CLI_CONV(cli),
        {0},
    };
    struct job job = {.cli = cli};
    struct tt_scheduler *scheduler = NULL;
    enum tt_status status = cli_options(cli, options, argc, argv, &picture, 1);
    if (status || cli->help) return status;
    status = check(cli, out, t, strip, space);
    job.pixels = !strcmp(space, "pixels");
    if (!status) status = cli_open_session(cli, path, &job.session, &job.model);
    if (!status && tt_model_info(job.model)->unconditional) job.pixels = true;
    if (!status)
        status = tt_scheduler_open(&scheduler, NULL, job.model, settings.item, &cli->error);
    if (!status) {
        job.schedule = tt_scheduler_schedule(scheduler);
        status = tt_image_read(cli->files, picture, &job.image, &cli->error);
    }
    if (!status) status = cli_plan_picture(cli, out);
    if (!status) status = fit(&job, picture, t);
    if (!status) status = begin(&job, seed);
    if (!status)
        status = strip ? write_strip(&job, strip, out) : write_one(&job, (size_t)t, out);
    if (!status) cli_written(cli, out);
    if (!status) status = cli_print_written(cli);
    free(job.x0);
    tt_image_free(&job.image);
    tt_scheduler_free(scheduler);
    tt_session_free(job.session);
    return status;
}
