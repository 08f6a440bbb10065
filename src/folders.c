// SPDX-License-Identifier: MIT
#include "folders.h"

#include <stdio.h>
#include <string.h>

#include "single/single.h"

// What a folder is told before anything is read of it.
static enum tt_status make_ready(struct tt_folder *folder, const struct tt_engine *engine,
                                 const char *variant, struct tt_error *err) {
    tt_folder_tell(folder, &engine->notes);
    tt_folder_note_in(folder, engine->files);
    return tt_folder_prefer(folder, variant, err);
}

// ---- one file ----

// What the model still needs, from a file that holds too little.
static enum tt_status check_whole(const struct tt_single *single, const char *path, bool vae,
                                  struct tt_error *err) {
    bool xl = single->family == TT_FAMILY_XL, refiner = single->family == TT_FAMILY_REFINER;
    const bool needed[TT_SINGLE_PARTS] = {
        [TT_SINGLE_UNET] = true, [TT_SINGLE_VAE] = !vae, [TT_SINGLE_TEXT] = !refiner,
        [TT_SINGLE_TEXT_2] = xl || refiner,
    };
    char found[128] = "", lacking[128] = "", family[64] = "";
    for (int part = 0; part < TT_SINGLE_PARTS; part++) {
        char *list = single->part[part].layout ? found : needed[part] ? lacking : NULL;
        if (!list) continue;
        if (*list) strcat(list, ", ");
        strcat(list, tt_single_part_name(part));
    }
    if (!*lacking) return TT_OK;
    bool unet = single->part[TT_SINGLE_UNET].layout, text = single->part[TT_SINGLE_TEXT].layout ||
                                                            single->part[TT_SINGLE_TEXT_2].layout;
    const char *fit = unet && text && !vae ? "; --vae names a file or folder with one"
                      : unet ? "; -m MODEL --unet FILE draws with a model's others"
                             : "";
    if (single->family) snprintf(family, sizeof family, " of %s", tt_family_name(single->family));
    return tt_fail(err, TT_BAD_INPUT, "%s: found %s%s, expected also %s%s", path, found, family,
                   lacking, fit);
}

static enum tt_status open_single(struct tt_model *model, const char *path,
                                  const struct tt_model_settings *s, bool *alone,
                                  struct tt_error *err) {
    const struct tt_single_options options = {
        .config = s->config, .prediction = s->prediction_type, .notes = &model->engine->notes,
        .files = model->engine->files,
    };
    struct tt_single single;
    enum tt_status status = tt_single_open(path, &options, &model->folder, &single, err);
    if (status) return status;
    model->family = tt_family_name(single.family);
    if (!tt_folder_is_covered(model->folder, TT_SCHEDULER_FILE))
        model->prediction_from = single.mark ? single.mark : "assumed of its family";
    bool others = single.part[TT_SINGLE_UNET].layout || single.part[TT_SINGLE_TEXT].layout ||
                  single.part[TT_SINGLE_TEXT_2].layout;
    *alone = single.part[TT_SINGLE_VAE].layout && !others;
    return *alone ? TT_OK : check_whole(&single, path, s->vae != NULL, err);
}

// A model's folder, or an autoencoder's.
static enum tt_status open_folder(struct tt_model *model, const char *path, bool *alone,
                                  struct tt_error *err) {
    struct tt_folder *folder;
    if (path && !tt_folder_open_any(path, &folder, NULL)) {
        *alone = !tt_folder_has(folder, "model_index.json") && tt_folder_has(folder, "config.json");
        if (*alone) {
            model->folder = folder;
            return TT_OK;
        }
        tt_folder_close(folder);
    }
    return tt_folder_open(path, &model->folder, err);
}

// ---- another network in the place of the model's ----

static enum tt_status open_other(struct tt_model *model, const char *option, const char *path,
                                 int part, const struct tt_model_settings *s,
                                 struct tt_folder **out, struct tt_error *err) {
    bool file = tt_single_is_file(path);
    const struct tt_single_options options = {
        .prediction = part == TT_SINGLE_UNET ? s->prediction_type : NULL,
        .family = tt_single_family_of(model->folder), .notes = &model->engine->notes,
        .files = model->engine->files,
    };
    struct tt_single single;
    enum tt_status status = file ? tt_single_open(path, &options, out, &single, err)
                                 : tt_folder_open_any(path, out, err);
    if (!status && file && !single.part[part].layout)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found no %s, expected one for --%s", path,
                         tt_single_part_name(part), option);
    if (!status) status = make_ready(*out, model->engine, file ? NULL : s->variant, err);
    if (status) return status;
    tt_folder_spread(*out, tt_single_folder(part));
    if (part != TT_SINGLE_UNET || !file || !single.mark || model->prediction) return TT_OK;
    model->prediction = single.prediction;
    model->prediction_from = single.mark;
    return TT_OK;
}

static enum tt_status check_prediction(const char *type, struct tt_error *err) {
    static const char *const types[] = {"epsilon", "v_prediction", "sample"};
    for (size_t i = 0; type && i < sizeof types / sizeof *types; i++)
        if (!strcmp(type, types[i])) return TT_OK;
    return type ? tt_fail(err, TT_BAD_INPUT, "prediction type: found '%s', expected epsilon, "
                          "v_prediction or sample", type)
                : TT_OK;
}

enum tt_status tt_folders_open(struct tt_model *model, const char *path,
                               const struct tt_model_settings *s, bool *alone,
                               struct tt_error *err) {
    bool file = tt_single_is_file(path);
    enum tt_status status = check_prediction(s->prediction_type, err);
    if (!status && s->config && !file)
        status = tt_fail(err, TT_BAD_INPUT, "config: found %s beside %s, expected a single file of "
                         "weights as the model: a folder has its own configurations", s->config,
                         path ? path : "the built-in model");
    if (!status)
        status = file ? open_single(model, path, s, alone, err)
                      : open_folder(model, path, alone, err);
    if (!status) status = make_ready(model->folder, model->engine, s->variant, err);
    if (status) return status;
    model->prediction = s->prediction_type;
    if (model->prediction) model->prediction_from = "as it was asked for";
    if (s->vae)
        status = open_other(model, "vae", s->vae, TT_SINGLE_VAE, s, &model->vae_folder, err);
    if (!status && s->unet)
        status = open_other(model, "unet", s->unet, TT_SINGLE_UNET, s, &model->unet_folder, err);
    return status;
}
