// SPDX-License-Identifier: MIT
#include "stages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/stack.h"
#include "io/json.h"

const char *tt_part_name(enum tt_part part) {
    static const char *const names[TT_PARTS] = {"text", "unet", "vae-encode", "vae-decode"};
    return (unsigned)part < TT_PARTS ? names[part] : "?";
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
    for (int part = 0; part < TT_PARTS; part++) drop(&model->networks[part]);
    for (int part = 0; part < TT_PARTS; part++) {
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

// ---- plans ----

void tt_write_tape(const struct tt_model *model, enum tt_part part, struct tt_network *network) {
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
    const struct tt_source source = tt_weights_source(model->weights[part]);
    enum tt_status status = tt_params_new(&tape, 1, &network->params, err);
    if (!status)
        status = tt_params_load(network->params, &source, err);
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
    enum tt_status status = tt_open_weights(model, part, err);
    if (status) return status;
    network->size = size;
    tt_write_tape(model, part, network);
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
    tt_write_tape(model, part, &network);
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
        if (network->tape.nodes[i].op == TT_OP_input && tensor->dtype == TT_F32 &&
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
    if (!status) status = tt_weights_check_whole(model->weights[part], err);
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
