// SPDX-License-Identifier: MIT
// tintype info: what a model folder holds.
#include <jansson.h>
#include <stdio.h>

#include "cli/cli.h"

static size_t parameters(const struct tt_weights *weights, size_t *bytes, const char **dtype) {
    size_t count = 0;
    for (size_t i = 0; i < tt_weights_count(weights); i++) {
        const struct tt_view *view = tt_weights_at(weights, i);
        count += tt_shape_count(&view->shape);
        *bytes += view->bytes;
        *dtype = tt_dtype_name(view->dtype);
    }
    return count;
}

static json_t *describe(const struct tt_model *model) {
    json_t *levels = json_array();
    for (size_t i = 0; i < model->unet.level_count; i++)
        json_array_append_new(levels, json_integer((json_int_t)model->unet.level[i].channels));
    size_t factor = tt_model_factor(model);
    return json_pack(
        "{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:o, s:s}", "model",
        tt_folder_name(model->folder), "width", (int)(model->unet.sample_width * factor), "height",
        (int)(model->unet.sample_height * factor), "latent_channels",
        (int)model->vae.latent_channels, "factor", (int)factor, "tokens",
        (int)tt_model_tokens(model), "text_layers", (int)model->clip.layers,
        "text_width", (int)model->clip.hidden_size, "scaling_factor", model->vae.scaling_factor,
        "unet_channels", levels, "scheduler", model->scheduler.file.class_name);
}

enum tt_status cli_info(struct cli *cli, int argc, char **argv) {
    const struct cli_option options[] = {{0}};
    static const char *const modules[] = {"text_encoder", "unet", "vae"};
    const char *path = NULL;
    struct tt_model *model = NULL;
    enum tt_status status = cli_options(cli, options, argc, argv, &path, 1);
    if (status || cli->help) return status;
    status = cli_open_model(cli, path, NULL, &model);
    json_t *info = status ? NULL : describe(model);
    for (size_t i = 0; !status && i < 3; i++) {
        struct tt_weights *weights = NULL;
        size_t bytes = 0;
        const char *dtype = "";
        status = tt_weights_open(model->folder, modules[i], &weights, &cli->error);
        if (status) break;
        size_t count = parameters(weights, &bytes, &dtype);
        json_object_set_new(info, modules[i],
                            json_pack("{s:s, s:I, s:I, s:s}", "file", tt_weights_name(weights),
                                      "parameters", (json_int_t)count, "bytes", (json_int_t)bytes,
                                      "dtype", dtype));
        tt_weights_close(weights);
    }
    const char *key;
    json_t *value;
    if (!status && cli->json) {
        json_dumpf(info, stdout, JSON_INDENT(1));
        putchar('\n');
    } else if (!status) {
        json_object_foreach(info, key, value) {
            char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
            printf("%-16s %s\n", key, json_is_string(value) ? json_string_value(value) : text);
            free(text);
        }
    }
    json_decref(info);
    tt_model_close(model);
    return status;
}
