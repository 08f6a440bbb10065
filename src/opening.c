// SPDX-License-Identifier: MIT
// A model's folder read as the class of diffusers that its model_index.json names reads it.
#include "parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/growth.h"
#include "folders.h"

// The pipelines whose folders hold what is drawn with here.
static const struct pipeline {
    const char *name;
    unsigned kind;         // of which the parts are
    bool repairs;          // old files, as StableDiffusionPipeline
    const char *scheduler; // the class that is made of whatever scheduler the folder has, or NULL
    const char *as;        // of one that begins with a picture: what draws from noise, or NULL
    double guidance;       // the default of what draws from noise; 0: 7.5
} pipelines[] = {
    {"StableDiffusionPipeline", TT_LATENTS, true, NULL, NULL, 0},
    {"StableDiffusionImg2ImgPipeline", TT_LATENTS, true, NULL, "StableDiffusionPipeline", 0},
    {"StableDiffusionInpaintPipeline", TT_LATENTS, true, NULL, "StableDiffusionPipeline", 0},
    {"StableDiffusionInpaintPipelineLegacy", TT_LATENTS, true, NULL, "StableDiffusionPipeline", 0},
    {"StableDiffusionInstructPix2PixPipeline", TT_LATENTS, false, NULL, NULL, 0},
    {"LatentConsistencyModelPipeline", TT_LATENTS, false, NULL, NULL, 8.5},
    {"LatentConsistencyModelImg2ImgPipeline", TT_LATENTS, false, NULL,
     "LatentConsistencyModelPipeline", 8.5},
    {"StableDiffusionXLPipeline", TT_XL, false, NULL, NULL, 5},
    {"StableDiffusionXLImg2ImgPipeline", TT_XL, false, NULL, "StableDiffusionXLPipeline", 5},
    {"StableDiffusionXLInpaintPipeline", TT_XL, false, NULL, "StableDiffusionXLPipeline", 5},
    {"DDPMPipeline", TT_PIXELS, false, NULL, NULL, 0},
    {"DDIMPipeline", TT_PIXELS, false, "DDIMScheduler", NULL, 0},
    {"PNDMPipeline", TT_PIXELS, false, "PNDMScheduler", NULL, 0},
};
enum { PIPELINES = sizeof pipelines / sizeof *pipelines };

// A folder with an autoencoder's config.json and no model_index.json.
static const struct pipeline autoencoder_alone = {"an autoencoder alone (without model_index.json)",
                                                  TT_AUTOENCODER, false, NULL, NULL, 0};

enum { CLASS_NAME = 64 };

// What is known while a folder is opened.
struct opening {
    struct tt_model *model;
    const struct pipeline *pipeline;
    // The classes that the index names; "": none.
    char classes[TT_PARTS][CLASS_NAME], scheduler[CLASS_NAME];
    bool no_first_text; // of two text encoders, as SDXL's refiner has it
    enum tt_part part; // whose file is read
    struct tt_facts facts;
};

typedef enum tt_status (*read_config)(struct opening *o, struct tt_json *json,
                                      struct tt_error *err);

// ---- model_index.json ----

// The class of a component, ["library", "class"], one of the JSON texts in `expected`.
// Without the key the file of the component says.
static void read_component(struct tt_json *json, const char *key, const char *expected,
                           char class[CLASS_NAME]) {
    char found[80], quoted[CLASS_NAME + 4];
    const json_t *value = tt_json_value(json, key), *name = json_array_get(value, 1);
    if (!value) return;
    if (json_array_size(value) != 2 || !json_is_string(name)) {
        tt_json_fail(json, key, "found %s, expected [\"library\", %s]",
                     tt_json_text(json_is_array(value) && json_is_null(name) ? name : value, found,
                                  sizeof found), expected);
        return;
    }
    snprintf(class, CLASS_NAME, "%s", json_string_value(name));
    snprintf(quoted, sizeof quoted, "\"%s\"", class);
    if (strchr(class, '"') || !strstr(expected, quoted))
        tt_json_fail(json, key, "found %s, expected %s", tt_json_text(name, found, sizeof found),
                     expected);
}

// Any class, and null for a scheduler that is given otherwise.
static void read_scheduler_component(struct opening *o, struct tt_json *json) {
    const json_t *value = tt_json_value(json, "scheduler"), *name = json_array_get(value, 1);
    if (json_is_string(name))
        snprintf(o->scheduler, sizeof o->scheduler, "%s", json_string_value(name));
    else if (value) o->model->no_scheduler = true;
}

// Whether the folder has to have a file of this part, which is the first of its own folder.
static bool is_needed(const struct opening *o, enum tt_part part) {
    return tt_part_first(part) == part && tt_part_network(part, o->pipeline->kind, "") &&
           !(part == TT_PART_TEXT && o->no_first_text);
}

static void list_pipelines(char *text, size_t size) {
    size_t used = 0;
    for (size_t i = 0; i < PIPELINES && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
                                 pipelines[i].name);
}

// [null, null]: the pipeline does without.
static bool is_none(struct tt_json *json, const char *key) {
    const json_t *value = tt_json_value(json, key);
    return json_is_array(value) && json_is_null(json_array_get(value, 1));
}

// What SDXL's index says beyond the parts. Its refiner goes without the first encoder and
// tokenizer, which diffusers takes together or not at all.
static void read_xl(struct opening *o, struct tt_json *json) {
    bool text = is_none(json, "text_encoder"), tokenizer = is_none(json, "tokenizer");
    struct tt_model *m = o->model;
    if (text != tokenizer)
        tt_json_fail(json, text ? "tokenizer" : "text_encoder", "found it without %s, expected "
                     "both, or null for both", text ? "text_encoder" : "tokenizer");
    if (is_none(json, "tokenizer_2"))
        tt_json_fail(json, "tokenizer_2", "found null, expected [\"transformers\", "
                     "\"CLIPTokenizer\"]: the second text encoder cannot do without");
    o->no_first_text = text;
    m->force_zeros = tt_json_bool_or(json, "force_zeros_for_empty_prompt", true);
    if (o->pipeline->as)
        m->second_stage = tt_json_bool_or(json, "requires_aesthetics_score", false);
    if (json_is_true(tt_json_value(json, "add_watermarker")))
        tt_json_note(json, "add_watermarker", "found true: pictures are left without a watermark");
}

static enum tt_status read_index(struct opening *o, struct tt_json *json, struct tt_error *err) {
    static const char *const idle[] = {"tokenizer", "feature_extractor", "image_encoder",
                                       "safety_checker", "requires_safety_checker"};
    char list[400], found[80];
    const char *name = tt_json_string_or(json, "_class_name", pipelines[0].name);
    for (size_t i = 0; i < PIPELINES && !o->pipeline; i++)
        if (!strcmp(name, pipelines[i].name)) o->pipeline = &pipelines[i];
    list_pipelines(list, sizeof list);
    if (!o->pipeline)
        tt_json_fail(json, "_class_name", "found %s, expected one of %s",
                     tt_json_text(tt_json_value(json, "_class_name"), found, sizeof found), list);
    if (!o->pipeline) return tt_json_status(json, err);
    if (o->pipeline->kind == TT_XL) read_xl(o, json);
    if (o->pipeline->as && !o->model->second_stage)
        tt_json_note(json, "_class_name", "found %s, which begins with a picture: draws from noise "
                     "as %s does", name, o->pipeline->as);
    o->model->unconditional = o->pipeline->kind == TT_PIXELS;
    o->model->scheduler.stable_diffusion = o->pipeline->repairs;
    o->model->whole_strength = !strncmp(name, "LatentConsistency", strlen("LatentConsistency"));
    for (enum tt_part part = 0; part < TT_PARTS; part++) {
        char expected[256];
        if (!is_needed(o, part)) continue;
        tt_part_classes(part, o->pipeline->kind, expected, sizeof expected);
        read_component(json, tt_part_folder((int)part), expected, o->classes[part]);
    }
    read_scheduler_component(o, json);
    size_t known = o->model->unconditional      ? 0
                   : o->pipeline->kind == TT_XL ? 3
                                                : sizeof idle / sizeof *idle;
    for (size_t i = 0; i < known; i++) tt_json_ignore(json, idle[i]);
    return tt_json_finish_noting(json, o->pipeline->name, err);
}

// ---- the parts' files ----

// Whether "0.8.1" or the like is before 0.9.0.
static bool before_0_9(const char *version) {
    int major = 0, minor = 0;
    if (version && *version == 'v') version++;
    return version && sscanf(version, "%d.%d", &major, &minor) >= 1 && major == 0 && minor < 9;
}

// StableDiffusionPipeline takes a small size in an old file for a mistake.
static void repair_size(struct tt_json *json, struct tt_unet_config *unet) {
    const char *version = json_string_value(json_object_get(tt_json_object(json),
                                                            "_diffusers_version"));
    bool one = json_is_number(json_object_get(tt_json_object(json), "sample_size"));
    if (!one || unet->sample_width >= 64 || !before_0_9(version)) return;
    tt_json_note(json, "sample_size", "found %zu in a file of diffusers %.40s, taken for 64, as "
                 "StableDiffusionPipeline does", unet->sample_width, version);
    unet->sample_width = unet->sample_height = 64;
}

// What the pipelines of diffusers do with a file beyond what its class reads.
static void repair(struct opening *o, struct tt_json *json, void *config) {
    if (o->part == TT_PART_UNET && o->pipeline->repairs) repair_size(json, config);
    if (o->part == TT_PART_UNET && o->pipeline->kind == TT_XL && o->facts.projection)
        tt_unet_config_fit(config, o->facts.projection); // else tt_check_fit() says
    if (o->part == TT_PART_VAE_ENCODE && o->pipeline->kind == TT_LATENTS &&
        tt_json_has(json, "latents_mean") && tt_json_has(json, "latents_std"))
        tt_json_note(json, "latents_mean", "found it, ignored, as %s does", o->pipeline->name);
    double shift = o->part == TT_PART_VAE_ENCODE ? tt_json_number_or(json, "shift_factor", 0) : 0;
    if (shift != 0 && o->pipeline->kind == TT_AUTOENCODER)
        tt_json_note(json, "shift_factor", "found %g, ignored", shift);
    else if (shift != 0)
        tt_json_note(json, "shift_factor", "found %g, ignored, as %s does", shift,
                     o->pipeline->name);
}

// The class that is read: the index says it, else the file itself; "": nobody does.
static const char *class_of(const struct opening *o, struct tt_json *json) {
    bool other = o->model->parts[o->part].folder != o->model->folder; // of which no index tells
    const char *class = other ? "" : o->classes[o->part];
    bool tells = !tt_part_network(o->part, o->pipeline->kind, "")->transformers;
    if (!*class && tells)
        class = json_string_value(json_object_get(tt_json_object(json), "_class_name"));
    return class ? class : "";
}

static enum tt_status read_part(struct opening *o, struct tt_json *json, struct tt_error *err) {
    struct tt_held *held = &o->model->parts[o->part];
    unsigned kind = o->pipeline->kind;
    const char *class = class_of(o, json);
    held->network = tt_part_network(o->part, kind, class);
    if (!held->network || (kind == TT_AUTOENCODER && !*class)) {
        char expected[256];
        tt_json_fail(json, "_class_name", "found \"%.60s\", expected %s, for %s", class,
                     tt_part_classes(o->part, kind, expected, sizeof expected), o->pipeline->name);
        return tt_json_status(json, err);
    }
    if (class == o->classes[o->part] && *class)
        tt_json_put(json, held->network->transformers ? "architectures" : "_class_name", class,
                    held->network->transformers);
    held->config = calloc(1, held->network->config_size);
    if (!held->config) return tt_fail(err, TT_SYSTEM, "out of memory");
    enum tt_status status = held->network->read(json, held->config, err);
    if (status) return status;
    repair(o, json, held->config);
    for (enum tt_part other = o->part; other < TT_PARTS; other++) {
        if (tt_part_first(other) != o->part) continue;
        struct tt_held *also = &o->model->parts[other];
        *also = *held;
        also->network = tt_part_network(other, kind, class);
        if (also->network && also->network->tell) also->network->tell(held->config, &o->facts);
    }
    return TT_OK;
}

static enum tt_status read_scheduler(struct opening *o, struct tt_json *json,
                                     struct tt_error *err) {
    struct tt_scheduler_config *config = &o->model->scheduler;
    const char *class = o->pipeline->scheduler ? o->pipeline->scheduler : o->scheduler;
    if (*class) tt_json_put(json, "_class_name", class, false);
    if (o->model->prediction) tt_json_put(json, "prediction_type", o->model->prediction, false);
    return tt_scheduler_config_read(config, json, err);
}

static enum tt_status configure(struct opening *o, const struct tt_folder *folder,
                                const char *file, read_config read, struct tt_error *err) {
    struct tt_bytes bytes = {0};
    struct tt_json *json = NULL;
    char where[512];
    tt_folder_where(folder, file, where, sizeof where);
    enum tt_status status = tt_folder_read(folder, file, &bytes, err);
    if (!status) status = tt_json_open(where, bytes.data, bytes.size, &json, err);
    if (!status) {
        tt_json_tell(json, &o->model->engine->notes);
        tt_json_take_away(json, "_use_default_values");
        status = read(o, json, err);
    }
    tt_json_free(json);
    tt_bytes_free(&bytes);
    return status;
}

// ---- the whole ----

// A variant is one of the model when a part has it; the others may go without.
static enum tt_status check_variant(const struct opening *o, struct tt_error *err) {
    const struct tt_model *m = o->model;
    const char *variant = tt_folder_variant(m->folder);
    bool found = !variant;
    for (enum tt_part part = 0; !found && part < TT_PARTS; part++)
        found = is_needed(o, part) &&
                tt_weights_has_variant(m->parts[part].folder, tt_part_folder((int)part), variant);
    int shown = o->pipeline->kind == TT_AUTOENCODER ? TT_PART_VAE_ENCODE : TT_PART_UNET;
    return found ? TT_OK : tt_weights_variant_missing(m->folder, tt_part_folder(shown), err);
}

static void fill_info(struct opening *o) {
    struct tt_model *m = o->model;
    struct tt_model_info *info = &m->info;
    *info = o->facts.info;
    info->name = tt_folder_name(m->folder);
    info->scheduler = m->scheduler.file.class_name;
    info->input_channels = info->latent_channels;
    if (o->facts.latent_channels) info->latent_channels = o->facts.latent_channels;
    info->width *= info->factor;
    info->height *= info->factor;
    for (enum tt_part part = 0; part < TT_PARTS; part++) {
        const struct tt_tokenizer *tokenizer = tt_tokenizer_of(m, part);
        size_t most = tokenizer ? tt_tokenizer_max_length(tokenizer) : 0;
        if (most > 1 && most < info->tokens) info->tokens = most;
    }
    info->unconditional = m->unconditional;
    info->second_stage = m->second_stage;
    info->family = m->family;
    if (!m->no_scheduler) {
        int type = m->scheduler.file.prediction_type;
        info->prediction_type = tt_scheduler_config_word("prediction_type", type);
        info->prediction_from = m->prediction_from ? m->prediction_from : TT_SCHEDULER_FILE;
    }
    info->force_zeros = m->force_zeros;
    info->steps = 20;
    info->guidance_scale = o->pipeline->guidance != 0 ? o->pipeline->guidance : 7.5;
    if (o->pipeline->kind & TT_PROMPTED) tt_suggest_few_steps(m);
    const struct tt_vae_config *vae = tt_vae_of(m);
    if (o->facts.normalised && o->pipeline->kind != TT_LATENTS) {
        info->latents_mean = vae->mean;
        info->latents_std = vae->deviation;
    }
}

// ---- opening ----

void tt_model_defaults(struct tt_model_settings *settings, size_t size) {
    struct tt_model_settings defaults = {0};
    tt_growth_give(settings, size, &defaults, sizeof defaults);
}

static enum tt_status read_parts(struct opening *o, struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (enum tt_part part = 0; !status && part < TT_PARTS; part++) {
        char file[64];
        if (!is_needed(o, part)) continue;
        o->part = part;
        struct tt_folder *other = part == TT_PART_VAE_ENCODE ? o->model->vae_folder
                                  : part == TT_PART_UNET     ? o->model->unet_folder
                                                             : NULL;
        o->model->parts[part].folder = other ? other : o->model->folder;
        snprintf(file, sizeof file, "%s/config.json", tt_part_folder((int)part));
        status = configure(o, o->model->parts[part].folder, file, read_part, err);
    }
    return status;
}

static enum tt_status read_folder(struct opening *o, struct tt_error *err) {
    struct tt_model *m = o->model;
    bool alone = o->pipeline != NULL;
    enum tt_status status =
        alone ? TT_OK : configure(o, m->folder, "model_index.json", read_index, err);
    tt_folder_spread(m->folder, alone               ? "vae"
                                : m->unconditional ? "unet scheduler"
                                                   : "unet scheduler vae text_encoder tokenizer "
                                                     "text_encoder_2 tokenizer_2");
    if (!status && m->unet_folder && (alone || m->unconditional))
        status = tt_fail(err, TT_BAD_INPUT, "unet: found %s, expected none: %s is no model of "
                         "text, U-Net and autoencoder", tt_folder_name(m->unet_folder),
                         tt_folder_name(m->folder));
    if (!status && m->vae_folder && m->unconditional)
        status = tt_fail(err, TT_BAD_INPUT, "vae: found %s, expected none: %s draws without an "
                         "autoencoder", tt_folder_name(m->vae_folder), tt_folder_name(m->folder));
    if (!status) status = read_parts(o, err);
    if (!status && (alone || !tt_folder_has(m->folder, TT_SCHEDULER_FILE))) m->no_scheduler = true;
    if (!status && m->no_scheduler && m->prediction)
        status = tt_fail(err, TT_BAD_INPUT, "%s: prediction type: found '%s', expected none: the "
                         "model has no scheduler", tt_folder_name(m->folder), m->prediction);
    if (!status && !m->no_scheduler)
        status = configure(o, m->folder, TT_SCHEDULER_FILE, read_scheduler, err);
    if (!status && m->parts[TT_PART_TEXT].network)
        status = tt_tokenizer_open(m->folder, "tokenizer", &m->tokenizer, err);
    if (!status && m->parts[TT_PART_TEXT_2].network)
        status = tt_tokenizer_open(m->folder, "tokenizer_2", &m->tokenizer_2, err);
    if (!status) status = tt_check_fit(m, o->pipeline->kind, &o->facts, err);
    for (enum tt_part part = 0; !status && part < TT_PARTS; part++)
        if (is_needed(o, part))
            status = tt_weights_will_read(m->parts[part].folder, tt_part_folder((int)part), err);
    return status ? status : check_variant(o, err);
}

enum tt_status tt_model_open_with(const char *path, const struct tt_engine *engine,
                                  const struct tt_model_settings *settings, struct tt_model **out,
                                  struct tt_error *err) {
    struct tt_model_settings s = {0};
    enum tt_status status =
        settings ? tt_growth_take(&s, sizeof s, settings, "struct tt_model_settings", err) : TT_OK;
    if (status) return status;
    if (s.weights != TT_WEIGHTS_STORED && s.weights != TT_WEIGHTS_F32)
        return tt_fail(err, TT_BAD_INPUT, "weights: found %d, expected %d or %d", (int)s.weights,
                       TT_WEIGHTS_STORED, TT_WEIGHTS_F32);
    struct tt_model *model = calloc(1, sizeof *model);
    if (!model) return tt_fail(err, TT_SYSTEM, "out of memory");
    model->holders = 1;
    if (pthread_mutex_init(&model->lock, NULL)) {
        free(model);
        return tt_fail(err, TT_SYSTEM, "out of memory");
    }
    struct opening opening = {.model = model, .facts.info = {.factor = 1, .scaling_factor = 1}};
    model->engine = engine;
    model->widen = s.weights == TT_WEIGHTS_F32;
    model->scheduler.notes = &engine->notes;
    bool alone = false;
    status = tt_folders_open(model, path, &s, &alone, err);
    if (alone) opening.pipeline = &autoencoder_alone;
    if (!status) status = read_folder(&opening, err);
    if (status) {
        tt_model_close(model);
        return status;
    }
    fill_info(&opening);
    status = tt_model_open_loras(model, s.loras, s.lora_count, err);
    if (status) {
        tt_model_close(model);
        return status;
    }
    *out = model;
    return TT_OK;
}

enum tt_status tt_model_open(const char *path, const struct tt_engine *engine,
                             struct tt_model **out, struct tt_error *err) {
    return tt_model_open_with(path, engine, NULL, out, err);
}
