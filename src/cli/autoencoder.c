// SPDX-License-Identifier: MIT
// tintype encode and decode: the autoencoder alone.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static enum tt_status write_latents(struct cli *cli, struct tt_session *session,
                                    const struct tt_image *image, uint64_t *seed,
                                    const char *out) {
    const struct tt_model_info *info = tt_model_info(tt_session_model(session));
    struct tt_shape shape = {4, {1, info->latent_channels, image->height / info->factor,
                                 image->width / info->factor}};
    float *latents = malloc(tt_shape_count(&shape) * sizeof *latents);
    struct tt_rng rng;
    if (!latents) return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    if (seed) tt_rng_seed(&rng, *seed);
    enum tt_status status = tt_pixels_to_latents(session, image->rgb, image->height, image->width,
                                                 seed ? &rng : NULL, latents, &cli->error);
    if (!status) status = cli_go_on(cli);
    if (!status) status = cli_keep_latents(cli, out, latents, &shape);
    free(latents);
    return status;
}

enum tt_status cli_encode(struct cli *cli, int argc, char **argv) {
    const char *path = NULL, *out = NULL, *picture = NULL, *drawn = NULL;
    uint64_t seed;
    const struct cli_option options[] = {
        {"output", 'o', CLI_TEXT, "Z", "the latents, as safetensors; must be given", &out},
        {"model", 'm', CLI_TEXT, "MODEL", "a folder or a file; default: the built-in one", &path},
        CLI_VARIANT(cli),
        CLI_WEIGHTS(cli),
        CLI_VAE(cli),
        {"seed", 's', CLI_TEXT, "SEED", "draw from the posterior; default: its mean", &drawn},
        CLI_CONV(cli),
        {0},
    };
    struct tt_session *session = NULL;
    struct tt_model *model = NULL;
    struct tt_image image = {0};
    enum tt_status status = cli_options(cli, options, argc, argv, &picture, 1);
    if (status || cli->help) return status;
    if (!out) return tt_fail(&cli->error, TT_BAD_INPUT, "--output is missing: -o Z.safetensors");
    if (drawn && (status = cli_seed("seed", drawn, &seed, &cli->error))) return status;
    status = cli_open_session(cli, path, &session, &model);
    if (!status) status = tt_image_read(cli->files, picture, &image, &cli->error);
    if (!status) status = cli_plan_latents(cli, out);
    if (!status && (status = tt_model_size(model, &image.width, &image.height, &cli->error)))
        tt_fail_prefix(&cli->error, "%s", picture);
    if (!status)
        status = write_latents(cli, session, &image, drawn ? &seed : NULL, out);
    if (!status) cli_written(cli, out);
    if (!status) status = cli_print_written(cli);
    tt_image_free(&image);
    tt_session_free(session);
    return status;
}

static enum tt_status find_latents(struct cli *cli, const struct tt_safetensors *file,
                                   const struct tt_model *model, const struct tt_view **view) {
    char found[64] = "none";
    const struct tt_view *v = tt_safetensors_find(file, "latents");
    size_t c = tt_model_info(model)->latent_channels;
    if (v) tt_shape_text(&v->shape, found, sizeof found);
    if (!v || v->shape.rank != 4 || v->shape.dim[0] != 1 || v->shape.dim[1] != c ||
        !v->shape.dim[2] || !v->shape.dim[3] || v->dtype > TT_BF16 || v->dtype == TT_F64)
        return tt_fail(&cli->error, TT_BAD_INPUT,
                       "%s: tensor 'latents': found shape %s, dtype %s, expected (1, %zu, h, w), "
                       "F32, F16 or BF16", tt_safetensors_name(file), found,
                       v ? tt_dtype_name(v->dtype) : "none", c);
    *view = v;
    return TT_OK;
}

static enum tt_status write_picture(struct cli *cli, struct tt_session *session,
                                    const struct tt_view *view, const char *out) {
    size_t factor = tt_model_info(tt_session_model(session))->factor;
    size_t n = tt_shape_count(&view->shape);
    size_t h = view->shape.dim[2], w = view->shape.dim[3];
    float *latents = malloc(n * sizeof *latents);
    struct tt_image image = {w * factor, h * factor, malloc(3 * h * factor * w * factor)};
    enum tt_status status = TT_OK;
    if (!latents || !image.rgb) status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    if (!status) tt_view_floats(view, 0, n, latents);
    if (!status) status = tt_latents_to_pixels(session, latents, h, w, image.rgb, &cli->error);
    if (!status) status = cli_write_picture(cli, out, &image, NULL);
    free(latents);
    free(image.rgb);
    return status;
}

enum tt_status cli_decode(struct cli *cli, int argc, char **argv) {
    const char *path = NULL, *out = NULL, *name = NULL;
    const struct cli_option options[] = {
        {"output", 'o', CLI_TEXT, "OUT.png", "the picture, PNG or JPEG; must be given", &out},
        {"model", 'm', CLI_TEXT, "MODEL", "a folder or a file; default: the built-in one", &path},
        CLI_VARIANT(cli),
        CLI_WEIGHTS(cli),
        CLI_VAE(cli),
        CLI_CONV(cli),
        {0},
    };
    struct tt_session *session = NULL;
    struct tt_model *model = NULL;
    struct tt_safetensors *file = NULL;
    const struct tt_view *view = NULL;
    enum tt_status status = cli_options(cli, options, argc, argv, &name, 1);
    if (status || cli->help) return status;
    if (!out) return tt_fail(&cli->error, TT_BAD_INPUT, "--output is missing: -o OUT.png");
    status = cli_open_session(cli, path, &session, &model);
    if (!status) status = tt_safetensors_open(cli->files, name, &file, &cli->error);
    if (!status) status = cli_plan_picture(cli, out);
    if (!status) status = find_latents(cli, file, model, &view);
    if (!status) status = write_picture(cli, session, view, out);
    if (!status) cli_written(cli, out);
    if (!status) status = cli_print_written(cli);
    if (status && !strncmp(cli->error.message, "latents:", 8))
        tt_fail_prefix(&cli->error, "%s", name);
    tt_safetensors_close(file);
    tt_session_free(session);
    return status;
}
