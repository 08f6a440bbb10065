// SPDX-License-Identifier: MIT
// A model's folder read as the class of diffusers that its model_index.json names reads it.
#include "stages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/growth.h"

// The pipelines whose folders hold what is drawn with here.
static const struct pipeline {
    const char *name;
    bool unconditional;
    bool repairs;          // old files, as StableDiffusionPipeline
    const char *scheduler; // the class that is made of whatever scheduler the folder has, or NULL
    const char *as;        // of one that begins with a picture: what draws from noise, or NULL
} pipelines[] = {
    {"StableDiffusionPipeline", false, true, NULL, NULL},
    {"StableDiffusionImg2ImgPipeline", false, true, NULL, "StableDiffusionPipeline"},
    {"StableDiffusionInpaintPipeline", false, true, NULL, "StableDiffusionPipeline"},
    {"StableDiffusionInpaintPipelineLegacy", false, true, NULL, "StableDiffusionPipeline"},
    {"LatentConsistencyModelPipeline", false, false, NULL, NULL},
    {"LatentConsistencyModelImg2ImgPipeline", false, false, NULL, "LatentConsistencyModelPipeline"},
    {"DDPMPipeline", true, false, NULL, NULL},
    {"DDIMPipeline", true, false, "DDIMScheduler", NULL},
    {"PNDMPipeline", true, false, "PNDMScheduler", NULL},
};
enum { PIPELINES = sizeof pipelines / sizeof *pipelines };

enum { CLASS_NAME = 64 };

// What is known while a folder is opened.
struct opening {
    struct tt_model *model;
    const struct pipeline *pipeline;
    // The classes that the index names; "": none.
    char text[CLASS_NAME], unet[CLASS_NAME], vae[CLASS_NAME], scheduler[CLASS_NAME];
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
    bool alone = o->pipeline->unconditional;
    o->model->unconditional = alone;
    o->model->scheduler.stable_diffusion = o->pipeline->repairs;
    read_component(json, "unet", alone ? "\"UNet2DModel\"" : "\"UNet2DConditionModel\"", o->unet);
    read_scheduler_component(o, json);
    if (!alone) {
        read_component(json, "vae", "\"AutoencoderKL\"", o->vae);
        read_component(json, "text_encoder", "\"CLIPTextModel\" or \"CLIPTextModelWithProjection\"",
                       o->text);
        for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) tt_json_ignore(json, idle[i]);
    }
    return tt_json_finish_noting(json, o->pipeline->name, err);
}

// ---- the parts' files ----

static enum tt_status read_clip(struct opening *o, struct tt_json *json, struct tt_error *err) {
    if (*o->text) tt_json_put(json, "architectures", o->text, true);
    return tt_clip_config_read(json, &o->model->clip, err);
}

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

static enum tt_status read_unet(struct opening *o, struct tt_json *json, struct tt_error *err) {
    if (*o->unet) tt_json_put(json, "_class_name", o->unet, false);
    enum tt_status status = tt_unet_config_read(json, &o->model->unet, err);
    if (!status && o->pipeline->repairs) repair_size(json, &o->model->unet);
    return status;
}

static enum tt_status read_vae(struct opening *o, struct tt_json *json, struct tt_error *err) {
    struct tt_vae_config *vae = &o->model->vae;
    if (*o->vae) tt_json_put(json, "_class_name", o->vae, false);
    enum tt_status status = tt_vae_config_read(json, vae, err);
    if (!status && vae->shift_factor != 0)
        tt_json_note(json, "shift_factor", "found %g, ignored, as %s does", vae->shift_factor,
                     o->pipeline->name);
    vae->shift_factor = 0;
    return status;
}

static enum tt_status read_scheduler(struct opening *o, struct tt_json *json,
                                     struct tt_error *err) {
    struct tt_scheduler_config *config = &o->model->scheduler;
    const char *class = o->pipeline->scheduler ? o->pipeline->scheduler : o->scheduler;
    if (*class) tt_json_put(json, "_class_name", class, false);
    return tt_scheduler_config_read(config, json, err);
}

static enum tt_status configure(struct opening *o, const char *file, read_config read,
                                struct tt_error *err) {
    const struct tt_folder *folder = o->model->folder;
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

// The U-Net is of the class that the pipeline has; alone, it gives pictures from pictures.
static enum tt_status check_unet(const struct tt_model *m, struct tt_error *err) {
    static const char *const classes[] = {"UNet2DConditionModel", "UNet2DModel"};
    const struct tt_unet_config *unet = &m->unet;
    if (unet->unconditional != m->unconditional)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: unet/config.json: _class_name: found %s, expected %s, for the pipeline "
                       "of model_index.json", tt_folder_name(m->folder),
                       classes[unet->unconditional], classes[m->unconditional]);
    if (m->unconditional && (unet->in_channels != unet->out_channels ||
                             (unet->in_channels != 3 && unet->in_channels != 1)))
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: unet/config.json: in_channels, out_channels: found %zu, %zu, expected "
                       "3, 3: red, green and blue, or 1, 1: grey", tt_folder_name(m->folder),
                       unet->in_channels, unet->out_channels);
    return TT_OK;
}

// What one network gives must be what the next one takes.
static enum tt_status check_parts(const struct tt_model *m, struct tt_error *err) {
    const char *name = tt_folder_name(m->folder);
    if (m->clip.hidden_size != m->unet.cross_attention_dim)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: unet/config.json: cross_attention_dim: found %zu, expected %zu, the "
                       "text encoder's hidden_size (text_encoder/config.json)", name,
                       m->unet.cross_attention_dim, m->clip.hidden_size);
    if (m->vae.latent_channels != m->unet.in_channels ||
        m->vae.latent_channels != m->unet.out_channels)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: unet/config.json: in_channels, out_channels: found %zu, %zu, expected "
                       "%zu, the autoencoder's latent_channels (vae/config.json)%s", name,
                       m->unet.in_channels,
                       m->unet.out_channels, m->vae.latent_channels, m->unet.in_channels == 9 ?
                       ": a network for inpainting, which is not supported" : "");
    if (m->vae.in_channels != 3 || m->vae.out_channels != 3)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: vae/config.json: in_channels, out_channels: found %zu, %zu, expected "
                       "3, 3: red, green and blue", name, m->vae.in_channels, m->vae.out_channels);
    if ((size_t)tt_tokenizer_size(m->tokenizer) > m->clip.vocab_size)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: text_encoder/config.json: vocab_size: found %zu, expected at least "
                       "%zu, the tokenizer's (tokenizer/)", name, m->clip.vocab_size,
                       (size_t)tt_tokenizer_size(m->tokenizer));
    return TT_OK;
}

// A variant is one of the model when a part has it; the others may go without.
static enum tt_status check_variant(const struct tt_model *m, struct tt_error *err) {
    static const char *const modules[] = {"unet", "text_encoder", "vae"};
    const char *variant = tt_folder_variant(m->folder);
    bool found = !variant;
    for (size_t i = 0; !found && i < (m->unconditional ? 1 : 3); i++)
        found = tt_weights_has_variant(m->folder, modules[i], variant);
    return found ? TT_OK : tt_weights_variant_missing(m->folder, modules[0], err);
}

static void fill_info(struct tt_model *m) {
    bool alone = m->unconditional;
    size_t factor = alone ? 1 : tt_vae_factor(&m->vae);
    size_t most = alone ? 0 : tt_tokenizer_max_length(m->tokenizer);
    m->info = (struct tt_model_info){
        .name = tt_folder_name(m->folder), .scheduler = m->scheduler.file.class_name,
        .width = m->unet.sample_width * factor, .height = m->unet.sample_height * factor,
        .factor = factor, .latent_channels = m->unet.in_channels,
        .tokens = most > 1 && most < m->clip.max_positions ? most : m->clip.max_positions,
        .text_width = m->clip.hidden_size, .text_layers = m->clip.layers,
        .unet_levels = m->unet.level_count,
        .scaling_factor = alone ? 1 : m->vae.scaling_factor,
        .unconditional = alone,
        .guidance_width = m->unet.time_cond_dim,
    };
    for (size_t i = 0; i < m->unet.level_count; i++)
        m->info.unet_channels[i] = m->unet.level[i].channels;
}

// ---- opening ----

void tt_model_defaults(struct tt_model_settings *settings, size_t size) {
    struct tt_model_settings defaults = {0};
    tt_growth_give(settings, size, &defaults, sizeof defaults);
}

static enum tt_status read_folder(struct opening *o, struct tt_error *err) {
    struct tt_model *m = o->model;
    enum tt_status status = configure(o, "model_index.json", read_index, err);
    tt_folder_spread(m->folder, m->unconditional ? "unet scheduler"
                                                 : "unet scheduler vae text_encoder tokenizer");
    if (!status && !m->unconditional)
        status = configure(o, "text_encoder/config.json", read_clip, err);
    if (!status) status = configure(o, "unet/config.json", read_unet, err);
    if (!status && !m->unconditional) status = configure(o, "vae/config.json", read_vae, err);
    if (!status && !tt_folder_has(m->folder, TT_SCHEDULER_FILE)) m->no_scheduler = true;
    if (!status && !m->no_scheduler) status = configure(o, TT_SCHEDULER_FILE, read_scheduler, err);
    if (!status) status = check_unet(m, err);
    if (!status && !m->unconditional)
        status = tt_tokenizer_open(m->folder, "tokenizer", &m->tokenizer, err);
    if (!status && !m->unconditional) status = check_parts(m, err);
    static const char *const parts[] = {"unet", "text_encoder", "vae"};
    for (size_t i = 0; !status && i < (m->unconditional ? 1 : 3); i++)
        status = tt_weights_will_read(m->folder, parts[i], err);
    return status ? status : check_variant(m, err);
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
    struct opening opening = {.model = model};
    model->engine = engine;
    model->widen = s.weights == TT_WEIGHTS_F32;
    model->scheduler.notes = &engine->notes;
    status = tt_folder_open(path, &model->folder, err);
    if (!status) tt_folder_tell(model->folder, &engine->notes);
    if (!status) tt_folder_note_in(model->folder, engine->files);
    if (!status) status = tt_folder_prefer(model->folder, s.variant, err);
    if (!status) status = read_folder(&opening, err);
    if (status) {
        tt_model_close(model);
        return status;
    }
    fill_info(model);
    *out = model;
    return TT_OK;
}

enum tt_status tt_model_open(const char *path, const struct tt_engine *engine,
                             struct tt_model **out, struct tt_error *err) {
    return tt_model_open_with(path, engine, NULL, out, err);
}
