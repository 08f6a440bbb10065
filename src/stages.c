// SPDX-License-Identifier: MIT
#include "stages.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/stack.h"

const char *tt_part_name(enum tt_part part) {
    static const char *const names[TT_PARTS] = {"text", "unet", "vae-encode", "vae-decode"};
    return (unsigned)part < TT_PARTS ? names[part] : "?";
}

// Where each part's files are; the two halves of the autoencoder share theirs.
static const char *const modules[TT_PARTS] = {"text_encoder", "unet", "vae", "vae"};

// ---- opening ----

typedef enum tt_status (*read_config)(struct tt_model *model, struct tt_json *json,
                                      struct tt_error *err);

static enum tt_status read_clip(struct tt_model *m, struct tt_json *json, struct tt_error *err) {
    return tt_clip_config_read(json, &m->clip, err);
}

static enum tt_status read_unet(struct tt_model *m, struct tt_json *json, struct tt_error *err) {
    return tt_unet_config_read(json, &m->unet, err);
}

static enum tt_status read_vae(struct tt_model *m, struct tt_json *json, struct tt_error *err) {
    return tt_vae_config_read(json, &m->vae, err);
}

static enum tt_status read_scheduler(struct tt_model *m, struct tt_json *json,
                                     struct tt_error *err) {
    enum tt_status status = tt_scheduler_config_read(&m->scheduler, json, err);
    struct tt_scheduler_values *file = &m->scheduler.file;
    if (m->ddim) snprintf(file->class_name, sizeof file->class_name, "DDIMScheduler");
    return status;
}

static enum tt_status read_index(struct tt_model *m, struct tt_json *json, struct tt_error *err) {
    static const char stable_diffusion[] = "StableDiffusionPipeline";
    tt_json_expect(json, "_class_name",
                   "\"StableDiffusionPipeline\" or \"LatentConsistencyModelPipeline\" or "
                   "\"DDPMPipeline\" or \"DDIMPipeline\"");
    const char *name = tt_json_string_or(json, "_class_name", stable_diffusion);
    m->scheduler.stable_diffusion = !strcmp(name, stable_diffusion);
    m->ddim = !strcmp(name, "DDIMPipeline");
    m->unconditional = m->ddim || !strcmp(name, "DDPMPipeline");
    return tt_json_status(json, err);
}

static enum tt_status configure(struct tt_model *model, const char *file, read_config read,
                                struct tt_error *err) {
    struct tt_bytes bytes = {0};
    struct tt_json *json = NULL;
    char where[512];
    tt_folder_where(model->folder, file, where, sizeof where);
    enum tt_status status = tt_folder_read(model->folder, file, &bytes, err);
    if (!status) status = tt_json_open(where, bytes.data, bytes.size, &json, err);
    if (!status) status = read(model, json, err);
    tt_json_free(json);
    tt_bytes_free(&bytes);
    return status;
}

// The U-Net is of the class that the pipeline has; alone, it gives pictures from pictures.
static enum tt_status check_unet(const struct tt_model *m, struct tt_error *err) {
    static const char *const classes[] = {"UNet2DConditionModel", "UNet2DModel"};
    const struct tt_unet_config *unet = &m->unet;
    if (unet->unconditional != m->unconditional)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: unet/config.json: _class_name: found %s, expected %s, for the pipeline "
                       "of model_index.json", tt_folder_name(m->folder),
                       classes[unet->unconditional], classes[m->unconditional]);
    if (m->unconditional && (unet->in_channels != 3 || unet->out_channels != 3))
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: unet/config.json: in_channels, out_channels: found %zu, %zu, expected "
                       "3, 3: red, green and blue", tt_folder_name(m->folder), unet->in_channels,
                       unet->out_channels);
    return TT_OK;
}

// What one network gives must be what the next one takes.
static enum tt_status check_parts(const struct tt_model *m, struct tt_error *err) {
    const char *name = tt_folder_name(m->folder);
    if (m->clip.hidden_size != m->unet.cross_attention_dim)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: unet/config.json: cross_attention_dim: found %zu, expected %zu, the "
                       "text encoder's hidden_size", name, m->unet.cross_attention_dim,
                       m->clip.hidden_size);
    if (m->vae.latent_channels != m->unet.in_channels ||
        m->vae.latent_channels != m->unet.out_channels)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: unet/config.json: in_channels, out_channels: found %zu, %zu, expected "
                       "%zu, the autoencoder's latent_channels", name, m->unet.in_channels,
                       m->unet.out_channels, m->vae.latent_channels);
    if (m->vae.in_channels != 3 || m->vae.out_channels != 3)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: vae/config.json: in_channels, out_channels: found %zu, %zu, expected "
                       "3, 3: red, green and blue", name, m->vae.in_channels, m->vae.out_channels);
    if ((size_t)tt_tokenizer_size(m->tokenizer) > m->clip.vocab_size)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: text_encoder/config.json: vocab_size: found %zu, expected at least "
                       "%zu, the tokenizer's", name, m->clip.vocab_size,
                       (size_t)tt_tokenizer_size(m->tokenizer));
    return TT_OK;
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
        .scaling_factor = alone ? 1 : m->vae.scaling_factor, .shift_factor = m->vae.shift_factor,
        .unconditional = alone,
        .guidance_width = m->unet.time_cond_dim,
    };
    for (size_t i = 0; i < m->unet.level_count; i++)
        m->info.unet_channels[i] = m->unet.level[i].channels;
}

enum tt_status tt_model_open(const char *path, const struct tt_engine *engine,
                             struct tt_model **out, struct tt_error *err) {
    static const struct {
        const char *file;
        read_config read;
        bool latent; // only of models with a text and latents
    } files[] = {
        {"model_index.json", read_index, false},
        {"text_encoder/config.json", read_clip, true},
        {"unet/config.json", read_unet, false},
        {"vae/config.json", read_vae, true},
        {"scheduler/scheduler_config.json", read_scheduler, false},
    };
    struct tt_model *model = calloc(1, sizeof *model);
    if (!model) return tt_fail(err, TT_SYSTEM, "out of memory");
    model->engine = engine;
    enum tt_status status = tt_folder_open(path, &model->folder, err);
    if (!status) tt_folder_note_in(model->folder, engine->files);
    for (size_t i = 0; !status && i < sizeof files / sizeof *files; i++)
        if (!files[i].latent || !model->unconditional)
            status = configure(model, files[i].file, files[i].read, err);
    if (!status) status = check_unet(model, err);
    if (!status && !model->unconditional)
        status = tt_tokenizer_open(model->folder, "tokenizer", &model->tokenizer, err);
    if (!status && !model->unconditional) status = check_parts(model, err);
    if (status) {
        tt_model_close(model);
        return status;
    }
    fill_info(model);
    *out = model;
    return TT_OK;
}

static void drop(struct tt_network *network) {
    tt_plan_free(network->plan);
    tt_grad_free(network->grad);
    tt_params_free(network->params);
    tt_tape_free(&network->tape);
    *network = (struct tt_network){0};
}

void tt_model_close(struct tt_model *model) {
    if (!model) return;
    for (int part = 0; part < TT_PARTS; part++) {
        drop(&model->networks[part]);
        if (part == TT_PART_VAE_DECODE) continue;
        tt_bank_free(model->banks[part]);
        tt_weights_close(model->weights[part]);
    }
    tt_tokenizer_close(model->tokenizer);
    tt_scheduler_config_free(&model->scheduler);
    tt_folder_close(model->folder);
    free(model);
}

// ---- what a model tells ----

const struct tt_model_info *tt_model_info(const struct tt_model *model) {
    return &model->info;
}

const struct tt_tokenizer *tt_model_tokenizer(const struct tt_model *model) {
    return model->tokenizer;
}

void tt_model_observe(struct tt_model *model, const struct tt_observer *observers, size_t count) {
    model->observers = observers;
    model->observer_count = count;
}

enum tt_status tt_model_size(const struct tt_model *model, size_t *width, size_t *height,
                             struct tt_error *err) {
    const struct tt_model_info *info = &model->info;
    size_t w = *width ? *width : info->width, h = *height ? *height : info->height;
    if (!w || !h)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: unet/config.json has no sample_size: width and height must be given",
                       info->name);
    if (w % info->factor || h % info->factor)
        return tt_fail(err, TT_BAD_INPUT,
                       "size: found %zu x %zu pixels, expected multiples of %zu, the autoencoder's "
                       "factor", w, h, info->factor);
    size_t multiple = tt_unet_multiple(&model->unet);
    if (w / info->factor % multiple || h / info->factor % multiple)
        return tt_fail(err, TT_BAD_INPUT,
                       "size: found %zu x %zu pixels, expected multiples of %zu, which the U-Net "
                       "halves and doubles", w, h, multiple);
    if (w > TT_IMAGE_SIDE || h > TT_IMAGE_SIDE || w * h > TT_IMAGE_PIXELS)
        return tt_fail(err, TT_BAD_INPUT,
                       "size: found %zu x %zu pixels, expected sides of at most %d and at most %d "
                       "pixels", w, h, TT_IMAGE_SIDE, TT_IMAGE_PIXELS);
    *width = w;
    *height = h;
    return TT_OK;
}

enum tt_status tt_scheduler_open(struct tt_scheduler **out, const char *name,
                                 const struct tt_model *model, const char *const *options,
                                 struct tt_error *err) {
    struct tt_scheduler_config given = {0}, config = {0};
    enum tt_status status = TT_OK;
    if (!name && !model)
        return tt_fail(err, TT_BAD_INPUT, "scheduler: found neither a name nor a model");
    for (size_t i = 0; !status && options && options[i]; i++)
        status = tt_scheduler_config_set(&given, options[i], err);
    if (model) config = model->scheduler; // whose lists stay its own
    config.option = given.option;
    config.in_option = given.in_option;
    if (!status) status = tt_scheduler_new(out, name, &config, err);
    tt_scheduler_config_free(&given);
    return status;
}

// ---- plans ----

static void write_tape(const struct tt_model *model, enum tt_part part,
                       struct tt_network *network) {
    struct tt_tape *t = &network->tape;
    struct tt_size s = network->size;
    switch (part) {
    case TT_PART_TEXT:
        network->at.clip = tt_clip_tape(t, &model->clip, s.n, s.tokens, 0);
        tt_set_output(t, network->at.clip.context);
        break;
    case TT_PART_UNET:
        network->at.unet = tt_unet_tape(t, &model->unet, s.n, s.height, s.width, s.tokens);
        tt_set_output(t, network->at.unet.out);
        break;
    case TT_PART_VAE_ENCODE:
        network->at.vae = tt_vae_encoder_tape(t, &model->vae, s.n, s.height, s.width);
        tt_set_output(t, network->at.vae.out);
        break;
    case TT_PART_VAE_DECODE:
    case TT_PARTS:
        network->at.vae = tt_vae_decoder_tape(t, &model->vae, s.n, s.height, s.width);
        tt_set_output(t, network->at.vae.out);
        break;
    }
}

// Every tensor that the two halves of an autoencoder, or any other part, ask for must be there, of
// the right shape, and no other: before a run begins, not where it first needs them. The names do
// not depend on the size of the tape.
static enum tt_status check_tensors(struct tt_model *model, enum tt_part first,
                                    struct tt_weights *weights, struct tt_error *err) {
    enum tt_part last = first == TT_PART_VAE_ENCODE ? TT_PART_VAE_DECODE : first;
    size_t side = (size_t)4 << (first == TT_PART_UNET ? model->unet.level_count
                                                       : model->vae.level_count);
    enum tt_status status = TT_OK;
    for (enum tt_part part = first; !status && part <= last; part++) {
        struct tt_network network = {.size = {1, side, side, 1}};
        const struct tt_tape *tape = &network.tape;
        write_tape(model, part, &network);
        status = tt_tape_status(tape, err);
        for (int i = 0; !status && i < tape->node_count; i++)
            for (int j = 0; !status && j < TT_MAX_PARAMS; j++) {
                const struct tt_param *param = tape->nodes[i].param[j];
                const struct tt_view *view;
                if (param)
                    status = tt_find_checked(tt_weights_find, weights, tt_weights_name(weights),
                                             param, &view, err);
            }
        tt_tape_free(&network.tape);
    }
    return status ? status : tt_weights_check_unused(weights, err);
}

enum tt_status tt_check_part(const struct tt_model *model, enum tt_part part,
                             struct tt_error *err) {
    if ((unsigned)part >= TT_PARTS)
        return tt_fail(err, TT_BAD_INPUT, "part: found %d, expected 0 to %d", (int)part,
                       TT_PARTS - 1);
    if (model->unconditional && part != TT_PART_UNET)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: %s: found no such part: an unconditional model is a U-Net alone",
                       model->info.name, tt_part_name(part));
    return TT_OK;
}

// The weights of a part are mapped and looked over when it is first used.
static enum tt_status open_weights(struct tt_model *model, enum tt_part part,
                                   struct tt_error *err) {
    enum tt_part first = part == TT_PART_VAE_DECODE ? TT_PART_VAE_ENCODE : part;
    if (!model->weights[first]) {
        struct tt_weights *weights = NULL;
        enum tt_status status = tt_weights_open(model->folder, modules[first], &weights, err);
        if (!status) status = check_tensors(model, first, weights, err);
        if (!status) {
            model->banks[first] =
                tt_bank_new(tt_weights_find, tt_weights_release, weights, tt_weights_name(weights));
            if (!model->banks[first]) status = tt_fail(err, TT_SYSTEM, "out of memory");
        }
        if (status) {
            tt_weights_close(weights);
            return status;
        }
        model->weights[first] = weights;
    }
    model->weights[part] = model->weights[first];
    model->banks[part] = model->banks[first];
    return TT_OK;
}

enum tt_status tt_model_weights(struct tt_model *model, enum tt_part part,
                                const struct tt_weights **weights, struct tt_error *err) {
    enum tt_status status = tt_check_part(model, part, err);
    if (!status) status = open_weights(model, part, err);
    if (!status) *weights = model->weights[part];
    return status;
}

// Names, dtypes and shapes of all tensors and the first kilobyte of each: fine-tuned models differ
// there, and four gigabytes need not be read for a name.
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

enum tt_status tt_model_hash(struct tt_model *model, char text[TT_MODEL_HASH_SIZE],
                             struct tt_error *err) {
    static const enum tt_part parts[] = {TT_PART_TEXT, TT_PART_UNET, TT_PART_VAE_ENCODE};
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&sha);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (model->unconditional && parts[i] != TT_PART_UNET) continue;
        enum tt_status status = open_weights(model, parts[i], err);
        if (status) return status;
        const struct tt_weights *weights = model->weights[parts[i]];
        for (size_t j = 0; j < tt_weights_count(weights); j++) {
            const struct tt_view *view = tt_weights_at(weights, j);
            char line[512], shape[96];
            snprintf(line, sizeof line, "%s %s %s\n", view->name, tt_dtype_name(view->dtype),
                     tt_shape_text(&view->shape, shape, sizeof shape));
            sha256_update(&sha, strlen(line), (const uint8_t *)line);
            sha256_update(&sha, view->bytes < 1024 ? view->bytes : 1024, view->data);
        }
    }
    sha256_digest(&sha, sizeof digest, digest);
    for (size_t i = 0; i < TT_MODEL_HASH_SIZE / 2; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return TT_OK;
}

// Fields that the part does not read become 0; the others must be there, and their product small
// enough for every count that follows from it.
enum tt_status tt_check_size(const struct tt_model *model, enum tt_part part,
                             struct tt_size *size, struct tt_error *err) {
    size_t factor = model->info.factor, pixels;
    bool text = part == TT_PART_TEXT;
    bool tokens = text || (part == TT_PART_UNET && !model->unconditional);
    size_t longest = text ? model->clip.max_positions : TT_IMAGE_SIDE;
    if (text) size->height = size->width = 0;
    if (!tokens) size->tokens = 0;
    if (!size->n || size->n > TT_IMAGE_SIDE || (!text && (!size->height || !size->width)) ||
        (tokens && !size->tokens) || size->tokens > longest ||
        size->height > TT_IMAGE_SIDE || size->width > TT_IMAGE_SIDE ||
        !tt_mul_size(size->n, size->height * size->width, &pixels) || pixels > TT_IMAGE_PIXELS)
        return tt_fail(err, TT_BAD_INPUT, "%s: found a batch of %zu, %zu x %zu, %zu tokens; "
                       "expected none 0, at most %zu tokens and %d positions in all",
                       tt_part_name(part), size->n, size->width, size->height, size->tokens,
                       longest, TT_IMAGE_PIXELS);
    if (part == TT_PART_VAE_ENCODE && (size->height % factor || size->width % factor))
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu x %zu pixels, expected multiples of %zu",
                       tt_part_name(part), size->width, size->height, factor);
    return TT_OK;
}

static tt_value output_of(const struct tt_network *network, enum tt_part part) {
    if (part == TT_PART_TEXT) return network->at.clip.context;
    return part == TT_PART_UNET ? network->at.unet.out : network->at.vae.out;
}

static enum tt_status plan_both_ways(const struct tt_model *model, enum tt_part part,
                                     struct tt_network *network, struct tt_error *err) {
    const struct tt_tape *tape = &network->tape;
    tt_value out = output_of(network, part);
    struct tt_grad_options options = {
        .plan = model->engine->plan, .outputs = &out, .output_count = 1};
    struct tt_weights *weights = model->weights[part];
    enum tt_status status = tt_params_new(&tape, 1, &network->params, err);
    if (!status)
        status = tt_params_load(network->params, tt_weights_find, weights,
                                tt_weights_name(weights), err);
    return status ? status : tt_grad_new(tape, network->params, &options, &network->grad, err);
}

static enum tt_status prepare(struct tt_model *model, enum tt_part part, struct tt_size size,
                              bool both_ways, struct tt_error *err) {
    enum tt_status checked = tt_check_part(model, part, err);
    if (!checked) checked = tt_check_size(model, part, &size, err);
    if (checked) return checked;
    struct tt_network *network = &model->networks[part];
    bool planned = network->grad || (network->plan && !both_ways);
    if (planned && !memcmp(&network->size, &size, sizeof size)) return TT_OK;
    for (int i = 0; i < TT_PARTS; i++) drop(&model->networks[i]);
    enum tt_status status = open_weights(model, part, err);
    if (status) return status;
    network->size = size;
    write_tape(model, part, network);
    status = tt_tape_status(&network->tape, err);
    if (!status && both_ways) status = plan_both_ways(model, part, network, err);
    else if (!status)
        status = tt_plan_new(&network->tape, model->banks[part], &model->engine->plan,
                             &network->plan, err);
    if (status) drop(network);
    return status;
}

enum tt_status tt_model_prepare(struct tt_model *model, enum tt_part part, struct tt_size size,
                                struct tt_error *err) {
    return prepare(model, part, size, false, err);
}

enum tt_status tt_model_prepare_training(struct tt_model *model, enum tt_part part,
                                         struct tt_size size, struct tt_error *err) {
    return prepare(model, part, size, true, err);
}

enum tt_status tt_model_check_room(const struct tt_model *model, enum tt_part part,
                                   struct tt_size size, struct tt_error *err) {
    struct tt_network network = {0};
    enum tt_status status = tt_check_part(model, part, err);
    if (!status) status = tt_check_size(model, part, &size, err);
    if (status) return status;
    network.size = size;
    write_tape(model, part, &network);
    status = tt_tape_status(&network.tape, err);
    if (!status) status = tt_plan_measure(&network.tape, &model->engine->plan, err);
    tt_tape_free(&network.tape);
    return status;
}

size_t tt_model_activations(const struct tt_model *model, enum tt_part part) {
    if ((unsigned)part >= TT_PARTS) return 0;
    const struct tt_network *network = &model->networks[part];
    if (network->grad) return tt_grad_arena_bytes(network->grad);
    return network->plan ? tt_plan_arena_bytes(network->plan) : 0;
}

// ---- calling ----

static float *data_of(const struct tt_network *network, tt_value value) {
    return network->grad ? tt_grad_data(network->grad, value)
                         : tt_plan_data(network->plan, value);
}

static enum tt_status run(const struct tt_model *model, const struct tt_network *network,
                          const struct tt_observer *observers, size_t count,
                          struct tt_error *err) {
    const struct tt_kernels *kernels = &model->engine->kernels;
    return network->grad ? tt_grad_forward(network->grad, kernels, observers, count, err)
                         : tt_plan_run(network->plan, kernels, observers, count, err);
}

// PyTorch's (N, C, H, W) into a value's buffer, and out of it; other shapes lie as they are.
static void put_at(const struct tt_model *model, struct tt_shape s, const void *data, float *to) {
    if (s.rank == 4)
        model->engine->kernels.nchw_to_nhwc_f32(data, to, s.dim[0], s.dim[1], s.dim[2] * s.dim[3]);
    else
        memcpy(to, data, tt_shape_count(&s) * sizeof *to);
}

static void put(const struct tt_model *model, const struct tt_network *network, tt_value value,
                const void *data) {
    put_at(model, tt_shape_of(&network->tape, value), data, data_of(network, value));
}

static void get(const struct tt_model *model, const struct tt_network *network, tt_value value,
                float *data) {
    struct tt_shape s = tt_shape_of(&network->tape, value);
    const float *from = data_of(network, value);
    if (s.rank == 4)
        model->engine->kernels.nhwc_to_nchw_f32(from, data, s.dim[0], s.dim[1],
                                                s.dim[2] * s.dim[3]);
    else
        memcpy(data, from, tt_shape_count(&s) * sizeof *from);
}

// What a part is given: tokens, latents or pixels; the U-Net has more, conditions the guidance
// embedding of each row, or NULL.
struct inputs {
    const void *sample;
    const float *timesteps, *embeddings, *conditions;
};

static void fill_conditions(const struct tt_model *model, const struct tt_network *network,
                            const float *conditions) {
    size_t n = network->size.n * model->unet.time_cond_dim;
    float *rows = n ? data_of(network, network->at.unet.timestep_cond) : NULL;
    for (size_t i = 0; i < n; i++) rows[i] = conditions ? conditions[i] : 0.0f;
}

static enum tt_status feed(const struct tt_model *model, enum tt_part part,
                           const struct inputs *in, struct tt_error *err) {
    const struct tt_network *network = &model->networks[part];
    const struct tt_clip *clip = &network->at.clip;
    const struct tt_unet *unet = &network->at.unet;
    switch (part) {
    case TT_PART_TEXT:
        put(model, network, clip->input_ids, in->sample);
        return tt_clip_prepare(&model->clip, in->sample, network->size.n, network->size.tokens,
                               (int32_t *)data_of(network, clip->position_ids),
                               (int32_t *)data_of(network, clip->eos_index), err);
    case TT_PART_UNET:
        put(model, network, unet->sample, in->sample);
        put(model, network, unet->timestep, in->timesteps);
        if (!model->unconditional)
            put(model, network, unet->encoder_hidden_states, in->embeddings);
        fill_conditions(model, network, in->conditions);
        return TT_OK;
    default: put(model, network, network->at.vae.sample, in->sample); return TT_OK;
    }
}

static int stop_when_found(void *context, const struct tt_step *step) {
    (void)step;
    return *(const struct tt_step **)context != NULL;
}

static void look(void *context, const struct tt_step *step) {
    const struct tt_step **found = context;
    if (!tt_step_is_finite(step)) *found = step;
}

// The output of a part is not finite: runs it again, up to the first node where that begins.
static enum tt_status explain(const struct tt_model *model, enum tt_part part,
                              const struct inputs *in, struct tt_error *err) {
    const struct tt_network *network = &model->networks[part];
    const struct tt_step *found = NULL;
    struct tt_observer observer = {&found, stop_when_found, look};
    enum tt_status status = feed(model, part, in, err);
    for (int i = 0; !status && i < network->tape.node_count; i++) {
        const struct tt_tensor *tensor = &network->tape.tensors[i];
        if (network->tape.nodes[i].op == TT_OP_input && !tensor->is_int &&
            !tt_all_finite(data_of(network, i), tt_shape_count(&tensor->shape)))
            return tt_fail(err, TT_BAD_INPUT, "input %s of %s is not finite",
                           network->tape.nodes[i].name, tt_part_name(part));
    }
    if (!status) status = run(model, network, &observer, 1, NULL);
    if (!found) return tt_fail(err, status ? status : TT_SYSTEM, "cancelled");
    char op[96], shape[96];
    size_t first, n = tt_shape_count(&found->out), bad = tt_count_not_finite(found->y, n, &first);
    return tt_fail(err, TT_BAD_INPUT, "node %s of %s: %s: found %g and %zu more of %zu values that "
                   "are not finite in its output %s", found->name, tt_part_name(part),
                   tt_step_text(found, op, sizeof op), (double)found->y[first], bad - 1, n,
                   tt_shape_text(&found->out, shape, sizeof shape));
}

static enum tt_status call(struct tt_model *model, enum tt_part part, struct tt_size size,
                           const struct inputs *in, float *out, struct tt_error *err) {
    struct tt_network *network = &model->networks[part];
    // The thread may be another than the one that made the engine.
    enum tt_status status = tt_stack_check_here(TT_STACK_CALL, err);
    if (!status) status = tt_model_prepare(model, part, size, err);
    if (!status) status = feed(model, part, in, err);
    if (!status) status = run(model, network, model->observers, model->observer_count, err);
    network->ran = !status;
    if (status) return status;
    struct tt_shape shape = tt_shape_of(&network->tape, output_of(network, part));
    const float *result = data_of(network, output_of(network, part));
    if (!tt_all_finite(result, tt_shape_count(&shape))) return explain(model, part, in, err);
    get(model, network, output_of(network, part), out);
    return TT_OK;
}

enum tt_status tt_model_backward(struct tt_model *model, enum tt_part part, const float *dout,
                                 struct tt_error *err) {
    enum tt_status status = tt_check_part(model, part, err);
    if (!status) status = tt_stack_check_here(TT_STACK_CALL, err);
    if (status) return status;
    struct tt_network *network = &model->networks[part];
    if (!network->grad || !network->ran)
        return tt_fail(err, TT_BAD_INPUT, "%s: found no call to go back from, expected "
                       "tt_model_prepare_training and a call", tt_part_name(part));
    tt_value out = output_of(network, part);
    network->ran = false; // its buffers are used again on the way
    tt_params_zero_gradients(network->params);
    put_at(model, tt_shape_of(&network->tape, out), dout, tt_grad_seed(network->grad, out));
    return tt_grad_backward(network->grad, &model->engine->kernels, model->observers,
                            model->observer_count, err);
}

const float *tt_model_gradient(const struct tt_model *model, enum tt_part part, const char *weight,
                               struct tt_shape *shape) {
    const struct tt_params *params =
        (unsigned)part < TT_PARTS ? model->networks[part].params : NULL;
    int i = params ? tt_params_find(params, weight) : -1;
    if (i < 0) return NULL;
    if (shape) *shape = params->values[i].shape;
    return tt_params_gradient(params, i);
}

enum tt_status tt_model_text(struct tt_model *model, const int32_t *ids, size_t n, size_t tokens,
                             float *hidden, struct tt_error *err) {
    struct tt_size size = {.n = n, .tokens = tokens};
    return call(model, TT_PART_TEXT, size, &(struct inputs){.sample = ids}, hidden, err);
}

enum tt_status tt_model_unet(struct tt_model *model, struct tt_size size, const float *sample,
                             const float *timesteps, const float *embeddings, float *out,
                             struct tt_error *err) {
    const struct inputs in = {sample, timesteps, embeddings, NULL};
    return call(model, TT_PART_UNET, size, &in, out, err);
}

enum tt_status tt_model_unet_guided(struct tt_model *model, struct tt_size size,
                                    const float *sample, const float *timesteps,
                                    const float *embeddings, double guidance_scale, float *out,
                                    struct tt_error *err) {
    size_t width = model->unet.time_cond_dim;
    if (!width) return tt_model_unet(model, size, sample, timesteps, embeddings, out, err);
    enum tt_status status = tt_model_prepare(model, TT_PART_UNET, size, err); // checks the size
    if (status) return status;
    float *conditions = calloc(size.n, width * sizeof *conditions);
    if (!conditions) return tt_fail(err, TT_SYSTEM, "out of memory for a guidance embedding");
    tt_guidance_embedding(guidance_scale, width, conditions);
    for (size_t i = 1; i < size.n; i++)
        memcpy(conditions + i * width, conditions, width * sizeof *conditions);
    status = tt_model_unet_conditioned(model, size, sample, timesteps, embeddings, conditions,
                                       out, err);
    free(conditions);
    return status;
}

enum tt_status tt_model_unet_conditioned(struct tt_model *model, struct tt_size size,
                                         const float *sample, const float *timesteps,
                                         const float *embeddings, const float *conditions,
                                         float *out, struct tt_error *err) {
    const struct inputs in = {sample, timesteps, embeddings, conditions};
    return call(model, TT_PART_UNET, size, &in, out, err);
}

enum tt_status tt_model_encode(struct tt_model *model, struct tt_size size, const float *image,
                               float *moments, struct tt_error *err) {
    return call(model, TT_PART_VAE_ENCODE, size, &(struct inputs){.sample = image}, moments, err);
}

enum tt_status tt_model_decode(struct tt_model *model, struct tt_size size, const float *latents,
                               float *image, struct tt_error *err) {
    return call(model, TT_PART_VAE_DECODE, size, &(struct inputs){.sample = latents}, image, err);
}
