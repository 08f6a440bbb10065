// SPDX-License-Identifier: MIT
// What a model tells without computing: its sizes, its tokenizer and scheduler, its words.
#include "parts.h"

#include <stdlib.h>
#include <string.h>

#include "io/json.h"

struct tt_model *tt_model_keep(struct tt_model *model) {
    pthread_mutex_lock(&model->lock);
    model->holders++;
    pthread_mutex_unlock(&model->lock);
    return model;
}

void tt_model_close(struct tt_model *model) {
    if (!model) return;
    pthread_mutex_lock(&model->lock);
    size_t left = --model->holders;
    pthread_mutex_unlock(&model->lock);
    if (left) return;
    for (int part = 0; part < TT_PARTS; part++) {
        if ((int)tt_part_first(part) != part) continue; // another's
        tt_bank_free(model->parts[part].bank);
        tt_lora_merge_free(model->parts[part].merge);
        tt_weights_close(model->parts[part].weights);
        free(model->parts[part].config);
    }
    tt_model_close_loras(model);
    tt_tokenizer_close(model->tokenizer);
    tt_tokenizer_close(model->tokenizer_2);
    tt_scheduler_config_free(&model->scheduler);
    tt_folder_close(model->vae_folder);
    tt_folder_close(model->unet_folder);
    tt_folder_close(model->folder);
    pthread_mutex_destroy(&model->lock);
    free(model);
}

// ---- what a model tells ----

const struct tt_model_info *tt_model_info(const struct tt_model *model) {
    return &model->info;
}

const struct tt_tokenizer *tt_model_tokenizer(const struct tt_model *model) {
    return model->tokenizer ? model->tokenizer : model->tokenizer_2;
}

const struct tt_tokenizer *tt_part_tokenizer(const struct tt_model *model, int part) {
    return (unsigned)part < TT_PARTS ? tt_tokenizer_of(model, part) : NULL;
}

enum tt_status tt_scheduler_open(struct tt_scheduler **out, const char *name,
                                 const struct tt_model *model, const char *const *options,
                                 struct tt_error *err) {
    struct tt_scheduler_config given = {0}, config = {0};
    enum tt_status status = TT_OK;
    if (!name && !model)
        return tt_fail(err, TT_BAD_INPUT, "scheduler: found neither a name nor a model");
    if (!name && model->no_scheduler)
        return tt_fail(err, TT_BAD_INPUT, "%s: found no scheduler (%s is missing, or "
                       "model_index.json has null for it), expected the name of one",
                       model->info.name, TT_SCHEDULER_FILE);
    for (size_t i = 0; !status && options && options[i]; i++)
        status = tt_scheduler_config_set(&given, options[i], err);
    if (model) config = model->scheduler; // whose lists stay its own
    config.option = given.option;
    config.in_option = given.in_option;
    if (!status) status = tt_scheduler_new(out, name, &config, err);
    if (!status && model && model->no_scheduler)
        tt_note(&model->engine->notes, "%s: found no %s: %s has its class's defaults",
                model->info.name, TT_SCHEDULER_FILE, tt_scheduler_name(*out));
    tt_scheduler_config_free(&given);
    return status;
}

// Distilled models have nothing that says so, but how their schedulers are set: those of
// consistency models are of classes of their own; Turbo and Lightning walk from the very end of the
// schedule ("trailing"), which else only those do that were taught its last step, which is pure
// noise. Guidance is learnt by such a model, or an input of it.
void tt_suggest_few_steps(struct tt_model *m) {
    static const char *const consistent[] = {"LCMScheduler", "TCDScheduler"},
                      *const euler[] = {"EulerDiscreteScheduler",
                                        "EulerAncestralDiscreteScheduler"};
    struct tt_scheduler_config config = m->scheduler; // whose lists stay its own
    struct tt_model_info *info = &m->info;
    struct tt_scheduler *scheduler = NULL;
    config.notes = NULL; // they have been told
    if (m->no_scheduler || tt_scheduler_new(&scheduler, NULL, &config, NULL)) return;
    const struct tt_scheduler_values *v = tt_scheduler_settings(scheduler);
    const char *class = m->scheduler.file.class_name;
    for (size_t i = 0; i < 2; i++) {
        if (!strcmp(class, consistent[i])) info->few_steps = "its scheduler is of such";
        if (!strcmp(class, euler[i]) && v->timestep_spacing == TT_SPACING_TRAILING &&
            v->prediction_type == TT_PREDICT_EPSILON && !v->rescale_betas_zero_snr)
            info->few_steps = "its scheduler has timestep_spacing trailing";
    }
    if (info->few_steps) {
        info->steps = 4;
        if (!info->guidance_width) info->guidance_scale = 0;
    }
    tt_scheduler_free(scheduler);
}

// ---- what a model says that it can draw ----

// A words.json of somebody else is none of ours.
static bool is_words(const json_t *root, bool *good) {
    static const char format[] = "tintype-words";
    const json_t *words = json_object_get(root, "words"), *pixels = json_object_get(root, "pixels");
    const char *found = json_string_value(json_object_get(root, "format")), *key;
    json_t *list, *item;
    size_t i;
    if (!found || strcmp(found, format)) return false;
    *good = json_is_object(words) && json_array_size(pixels) == 2;
    json_array_foreach(pixels, i, item)
        *good = *good && json_integer_value(item) > 0 && json_integer_value(item) <= TT_IMAGE_SIDE;
    json_object_foreach((json_t *)(uintptr_t)words, key, list) {
        *good = *good && json_is_array(list);
        json_array_foreach(list, i, item) *good = *good && json_is_string(item);
    }
    return true;
}

enum tt_status tt_model_words(const struct tt_model *model, char **text, struct tt_error *err) {
    static const char name[] = "words.json";
    struct tt_bytes bytes = {0};
    json_t *root = NULL;
    char where[512];
    bool good = false;
    *text = NULL;
    if (!tt_folder_has(model->folder, name)) return TT_OK;
    tt_folder_where(model->folder, name, where, sizeof where);
    enum tt_status status = tt_folder_read(model->folder, name, &bytes, err);
    if (!status) status = tt_json_parse(where, bytes.data, bytes.size, &root, err);
    if (!status && is_words(root, &good)) {
        if (!good)
            status = tt_fail(err, TT_BAD_INPUT, "%s: expected \"pixels\": [width, height] and "
                             "\"words\": an object of lists of texts", where);
        else if (!(*text = json_dumps(root, JSON_COMPACT)))
            status = tt_fail(err, TT_SYSTEM, "out of memory");
    }
    json_decref(root);
    tt_bytes_free(&bytes);
    return status;
}
