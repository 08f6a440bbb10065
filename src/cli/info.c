// SPDX-License-Identifier: MIT
// tintype info: what a model folder holds; its configurations alone are something, too.
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

static json_t *describe_weights(const struct tt_weights *weights) {
    size_t bytes = 0;
    const char *dtype = "";
    size_t count = parameters(weights, &bytes, &dtype);
    return json_pack("{s:o, s:I, s:I, s:s}", "file", cli_json_text(tt_weights_name(weights)),
                     "parameters", (json_int_t)count, "bytes", (json_int_t)bytes, "dtype", dtype);
}

static json_t *describe(const struct tt_model_info *info) {
    json_t *levels = json_array();
    for (size_t i = 0; i < info->unet_levels; i++)
        json_array_append_new(levels, json_integer((json_int_t)info->unet_channels[i]));
    return json_pack(
        "{s:o, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:o, s:o}", "model",
        cli_json_text(info->name),
        "unconditional", info->unconditional, "width", (int)info->width, "height",
        (int)info->height, "latent_channels", (int)info->latent_channels, "factor",
        (int)info->factor, "tokens", (int)info->tokens, "text_layers", (int)info->text_layers,
        "text_width", (int)info->text_width, "scaling_factor", info->scaling_factor,
        "unet_channels", levels, "scheduler", cli_json_text(info->scheduler));
}

enum tt_status cli_info(struct cli *cli, int argc, char **argv) {
    const struct cli_option options[] = {CLI_VARIANT(cli), {0}};
    static const struct {
        const char *module;
        enum tt_part part;
    } parts[] = {{"text_encoder", TT_PART_TEXT}, {"unet", TT_PART_UNET},
                 {"vae", TT_PART_VAE_ENCODE}};
    const char *path = NULL;
    struct tt_model *model = NULL;
    enum tt_status status = cli_options(cli, options, argc, argv, &path, 1);
    if (status || cli->help) return status;
    status = cli_open_model(cli, path, &model);
    json_t *info = status ? NULL : describe(tt_model_info(model));
    for (size_t i = 0; !status && i < 3; i++) {
        const struct tt_weights *weights = NULL;
        if (tt_model_info(model)->unconditional && parts[i].part != TT_PART_UNET) continue;
        struct tt_error error = {TT_OK, ""};
        status = tt_model_weights(model, parts[i].part, &weights, &error);
        if (!status)
            json_object_set_new(info, parts[i].module, describe_weights(weights));
        else if (status == TT_BAD_INPUT && !tt_model_has_weights(model, parts[i].part)) {
            cli_note(cli, error.message);
            json_object_set_new(info, parts[i].module, json_null());
            status = TT_OK;
        } else tt_fail(&cli->error, status, "%s", error.message);
    }
    const char *key;
    json_t *value;
    if (!status && cli->json) {
        status = cli_print_json(cli, json_incref(info), JSON_INDENT(1));
    } else if (!status) {
        json_object_foreach(info, key, value) {
            char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
            printf("%-16s ", key);
            cli_print(stdout, json_is_string(value) ? json_string_value(value) : text ? text : "?");
            putchar('\n');
            free(text);
        }
    }
    json_decref(info);
    tt_model_close(model);
    return status;
}
