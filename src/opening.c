// SPDX-License-Identifier: MIT
// A model's folder read as the class of diffusers that its model_index.json names reads it.
#include "parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/growth.h"

// The pipelines whose folders hold what is drawn with here.
static const struct pipeline {
    const char *name;
    unsigned kind;         // of which the parts are
    bool repairs;          // old files, as StableDiffusionPipeline
    const char *scheduler; // the class that is made of whatever scheduler the folder has, or NULL
    const char *as;        // of one that begins with a picture: what draws from noise, or NULL
} pipelines[] = {
    {"StableDiffusionPipeline", TT_LATENTS, true, NULL, NULL},
    {"StableDiffusionImg2ImgPipeline", TT_LATENTS, true, NULL, "StableDiffusionPipeline"},
    {"StableDiffusionInpaintPipeline", TT_LATENTS, true, NULL, "StableDiffusionPipeline"},
    {"StableDiffusionInpaintPipelineLegacy", TT_LATENTS, true, NULL, "StableDiffusionPipeline"},
    {"LatentConsistencyModelPipeline", TT_LATENTS, false, NULL, NULL},
    {"LatentConsistencyModelImg2ImgPipeline", TT_LATENTS, false, NULL,
     "LatentConsistencyModelPipeline"},
    {"DDPMPipeline", TT_PIXELS, false, NULL, NULL},
    {"DDIMPipeline", TT_PIXELS, false, "DDIMScheduler", NULL},
    {"PNDMPipeline", TT_PIXELS, false, "PNDMScheduler", NULL},
};
enum { PIPELINES = sizeof pipelines / sizeof *pipelines };

// A folder with an autoencoder's config.json and no model_index.json.
static const struct pipeline autoencoder_alone = {"an autoencoder alone (without model_index.json)",
                                                  TT_AUTOENCODER, false, NULL, NULL};

enum { CLASS_NAME = 64 };

// What is known while a folder is opened.
struct opening {
    struct tt_model *model;
    const struct pipeline *pipeline;
    // The classes that the index names; "": none.
    char classes[TT_PARTS][CLASS_NAME], scheduler[CLASS_NAME];
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
    return tt_part_first(part) == part && tt_part_network(part, o->pipeline->kind, "");
}

static void list_pipelines(char *text, size_t size) {
    size_t used = 0;
    for (size_t i = 0; i < PIPELINES && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
                                 pipelines[i].name);
}

static enum tt_status read_index(struct opening *o, struct tt_json *json, struct tt_error *err) {
    static const char *const idle[] = {"tokenizer", "safety_checker", "feature_extractor",
                                       "image_encoder", "requires_safety_checker"};
    char list[400], found[80];
    const char *name = tt_json_string_or(json, "_class_name", pipelines[0].name);
    for (size_t i = 0; i < PIPELINES && !o->pipeline; i++)
        if (!strcmp(name, pipelines[i].name)) o->pipeline = &pipelines[i];
    list_pipelines(list, sizeof list);
    if (!o->pipeline)
        tt_json_fail(json, "_class_name", "found %s, expected one of %s",
                     tt_json_text(tt_json_value(json, "_class_name"), found, sizeof found), list);
    if (!o->pipeline) return tt_json_status(json, err);
    if (o->pipeline->as)
        tt_json_note(json, "_class_name", "found %s, which begins with a picture: draws from noise "
                     "as %s does", name, o->pipeline->as);
    o->model->unconditional = o->pipeline->kind == TT_PIXELS;
    o->model->scheduler.stable_diffusion = o->pipeline->repairs;
    for (enum tt_part part = 0; part < TT_PARTS; part++) {
        char expected[256];
        if (!is_needed(o, part)) continue;
        tt_part_classes(part, o->pipeline->kind, expected, sizeof expected);
        read_component(json, tt_part_folder((int)part), expected, o->classes[part]);
    }
    read_scheduler_component(o, json);
    for (size_t i = 0; !o->model->unconditional && i < sizeof idle / sizeof *idle; i++)
        tt_json_ignore(json, idle[i]);
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

// ---- what must fit ----

// A U-Net alone gives pictures from pictures.
static enum tt_status check_alone(const struct opening *o, struct tt_error *err) {
    size_t in = o->facts.info.latent_channels, out = o->facts.predicted_channels;
    if (in == out && (in == 3 || in == 1)) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT,
                   "%s: unet/config.json: in_channels, out_channels: found %zu, %zu, expected "
                   "3, 3: red, green and blue, or 1, 1: grey", tt_folder_name(o->model->folder),
                   in, out);
}

// What one network gives must be what the next one takes.
static enum tt_status check_parts(const struct opening *o, struct tt_error *err) {
    const struct tt_model *m = o->model;
    const struct tt_facts *f = &o->facts;
    const char *name = tt_folder_name(m->folder);
    char vae[512];
    tt_folder_where(m->parts[TT_PART_VAE_ENCODE].folder, "vae/config.json", vae, sizeof vae);
    if (f->seen_channels != 3 || f->shown_channels != 3)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: in_channels, out_channels: found %zu, %zu, expected 3, 3: red, green "
                       "and blue", vae, f->seen_channels, f->shown_channels);
    if (o->pipeline->kind == TT_AUTOENCODER) return TT_OK;
    if (f->info.text_width != f->context_width)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: unet/config.json: cross_attention_dim: found %zu, expected %zu, the "
                       "text encoder's hidden_size (text_encoder/config.json)", name,
                       f->context_width, f->info.text_width);
    if (f->latent_channels != f->info.latent_channels ||
        f->latent_channels != f->predicted_channels)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: unet/config.json: in_channels, out_channels: found %zu, %zu, expected "
                       "%zu, the autoencoder's latent_channels (%s)%s", name,
                       f->info.latent_channels, f->predicted_channels, f->latent_channels, vae,
                       f->info.latent_channels == 9 ?
                       ": a network for inpainting, which is not supported" : "");
    if ((size_t)tt_tokenizer_size(m->tokenizer) > f->vocabulary)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: text_encoder/config.json: vocab_size: found %zu, expected at least "
                       "%zu, the tokenizer's (tokenizer/)", name, f->vocabulary,
                       (size_t)tt_tokenizer_size(m->tokenizer));
    return TT_OK;
}

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
    size_t most = m->tokenizer ? tt_tokenizer_max_length(m->tokenizer) : 0;
    *info = o->facts.info;
    info->name = tt_folder_name(m->folder);
    info->scheduler = m->scheduler.file.class_name;
    if (!info->latent_channels) info->latent_channels = o->facts.latent_channels;
    info->width *= info->factor;
    info->height *= info->factor;
    if (most > 1 && most < info->tokens) info->tokens = most;
    info->unconditional = m->unconditional;
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
        bool other = o->model->vae_folder && part == TT_PART_VAE_ENCODE;
        o->model->parts[part].folder = other ? o->model->vae_folder : o->model->folder;
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
                                                   : "unet scheduler vae text_encoder tokenizer");
    if (!status && m->vae_folder && m->unconditional)
        status = tt_fail(err, TT_BAD_INPUT, "vae: found %s, expected none: %s draws without an "
                         "autoencoder", tt_folder_name(m->vae_folder), tt_folder_name(m->folder));
    if (!status) status = read_parts(o, err);
    if (!status && (alone || !tt_folder_has(m->folder, TT_SCHEDULER_FILE))) m->no_scheduler = true;
    if (!status && !m->no_scheduler)
        status = configure(o, m->folder, TT_SCHEDULER_FILE, read_scheduler, err);
    if (!status && m->unconditional) status = check_alone(o, err);
    if (!status && o->pipeline->kind == TT_LATENTS)
        status = tt_tokenizer_open(m->folder, "tokenizer", &m->tokenizer, err);
    if (!status && !m->unconditional) status = check_parts(o, err);
    for (enum tt_part part = 0; !status && part < TT_PARTS; part++)
        if (is_needed(o, part))
            status = tt_weights_will_read(m->parts[part].folder, tt_part_folder((int)part), err);
    return status ? status : check_variant(o, err);
}

// A model's folder, or an autoencoder's.
static enum tt_status open_folder(struct opening *o, const char *path, struct tt_error *err) {
    struct tt_folder *folder;
    if (path && !tt_folder_open_any(path, &folder, NULL)) {
        if (!tt_folder_has(folder, "model_index.json") && tt_folder_has(folder, "config.json")) {
            o->model->folder = folder;
            o->pipeline = &autoencoder_alone;
            return TT_OK;
        }
        tt_folder_close(folder);
    }
    return tt_folder_open(path, &o->model->folder, err);
}

// What a folder is told before anything is read of it.
static enum tt_status make_ready(struct tt_folder *folder, const struct tt_engine *engine,
                                 const char *variant, struct tt_error *err) {
    tt_folder_tell(folder, &engine->notes);
    tt_folder_note_in(folder, engine->files);
    return tt_folder_prefer(folder, variant, err);
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
    status = open_folder(&opening, path, err);
    if (!status) status = make_ready(model->folder, engine, s.variant, err);
    if (!status && s.vae) status = tt_folder_open_any(s.vae, &model->vae_folder, err);
    if (!status && s.vae) status = make_ready(model->vae_folder, engine, s.variant, err);
    if (!status && s.vae) tt_folder_spread(model->vae_folder, "vae");
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
