// SPDX-License-Identifier: MIT
// tintype info: what a model folder holds; its configurations alone are something, too.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/info_check.h"
#include "cli/words.h"

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
    json_t *all = json_pack(
        "{s:o, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:o, s:o}", "model",
        cli_json_text(info->name),
        "unconditional", info->unconditional, "width", (int)info->width, "height",
        (int)info->height, "latent_channels", (int)info->latent_channels, "factor",
        (int)info->factor, "tokens", (int)info->tokens, "text_layers", (int)info->text_layers,
        "text_width", (int)info->text_width, "scaling_factor", info->scaling_factor,
        "unet_channels", levels, "scheduler", cli_json_text(info->scheduler));
    if (info->pooled_width) json_object_set_new(all, "refiner", json_boolean(info->second_stage));
    if (info->unet_levels && !info->unconditional) {
        json_object_set_new(all, "steps", json_integer((json_int_t)info->steps));
        json_object_set_new(all, "guidance_scale", json_real(info->guidance_scale));
        if (info->few_steps) json_object_set_new(all, "few_steps", json_string(info->few_steps));
    }
    if (info->family) json_object_set_new(all, "family", json_string(info->family));
    if (info->prediction_type) {
        json_object_set_new(all, "prediction_type", json_string(info->prediction_type));
        json_object_set_new(all, "said_by", json_string(info->prediction_from));
    }
    return all;
}

// What the networks' files hold.
static enum tt_status add_parts(struct cli *cli, struct tt_model *model, json_t *info) {
    for (int part = 0; part < (int)tt_part_count(); part++) {
        const struct tt_weights *weights = NULL;
        const char *folder = tt_part_folder(part);
        if (!tt_model_has_part(model, part) || json_object_get(info, folder)) continue;
        struct tt_error error = {TT_OK, ""};
        enum tt_status status = tt_model_weights(model, part, &weights, &error);
        if (!status)
            json_object_set_new(info, folder, describe_weights(weights));
        else if (status == TT_BAD_INPUT && !tt_model_has_weights(model, part)) {
            cli_note(cli, error.message);
            json_object_set_new(info, folder, json_null());
        } else return tt_fail(&cli->error, status, "%s", error.message);
    }
    return TT_OK;
}

static void add_loras(const struct tt_model *model, json_t *info) {
    struct tt_lora_info lora;
    json_t *list = json_array();
    for (size_t i = 0; tt_model_lora(model, i, &lora); i++)
        json_array_append_new(
            list, json_pack("{s:o, s:f, s:I, s:I, s:[I, I], s:s}", "file", cli_json_text(lora.path),
                            "weight", lora.weight, "modules", (json_int_t)lora.modules, "ignored",
                            (json_int_t)lora.ignored, "ranks", (json_int_t)lora.least_rank,
                            (json_int_t)lora.most_rank, "sha256", lora.sha256));
    if (json_array_size(list)) json_object_set(info, "loras", list);
    json_decref(list);
}

// A line for each key, in words.
static void print(const json_t *info) {
    const char *key, *kind;
    json_t *value, *list;
    json_object_foreach((json_t *)(uintptr_t)info, key, value) {
        if (!strcmp(key, "draws")) continue;
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        printf("%-16s ", key);
        cli_print(stdout, json_is_string(value) ? json_string_value(value) : text ? text : "?");
        putchar('\n');
        free(text);
    }
    json_object_foreach(json_object_get(info, "draws"), kind, list) {
        char *text = words_text(list);
        printf("draws ");
        cli_print(stdout, kind);
        printf(": ");
        cli_print(stdout, text ? text : "?");
        putchar('\n');
        free(text);
    }
}

enum tt_status cli_info(struct cli *cli, int argc, char **argv) {
    const char *path = NULL, *check = NULL;
    bool quick = false;
    const struct cli_option options[] = {
        {"model", 'm', CLI_TEXT, "MODEL",
         "a folder or a file, also without -m; default: the built-in one", &path},
        CLI_VARIANT(cli),
        CLI_NETWORKS(cli),
        CLI_LORA(cli),
        {"check", 0, CLI_ONCE, "PATH",
         "look at any file or folder: what it is, what is wrong, what to do; default: none",
         &check},
        {"quick", 0, CLI_FLAG, NULL, "of --check: read names and sizes, but no values", &quick},
        {0},
    };
    struct tt_model *model = NULL;
    json_t *words = NULL;
    cli->more_help = info_check_help();
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    const char *also = path ? "a model" : cli->vae ? "--vae" : cli->unet ? "--unet"
                       : cli->config ? "--config" : cli->prediction ? "--prediction-type"
                       : cli->loras.given.count ? "--lora" : NULL;
    if (check && also)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--check: found %s, too, expected none: it looks "
                       "at its own PATH", also);
    if (quick && !check)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--quick: found no --check, which it is of");
    if (check) return cli_info_check(cli, check, quick);
    status = cli_open_model(cli, path, &model);
    json_t *info = status ? NULL : describe(tt_model_info(model));
    if (!status) status = add_parts(cli, model, info);
    if (!status) add_loras(model, info);
    if (!status) status = words_read(cli, model, &words);
    if (!status && words) json_object_set(info, "draws", json_object_get(words, "words"));
    if (!status && cli->json) status = cli_print_json(cli, json_incref(info), JSON_INDENT(1));
    else if (!status) print(info);
    json_decref(words);
    json_decref(info);
    tt_model_close(model);
    return status;
}
