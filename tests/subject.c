// SPDX-License-Identifier: MIT
#include "subject.h"

#include "io/json.h"
#include "model/clip.h"
#include "model/part.h"
#include "model/unet.h"
#include "model/vae.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const part_modules[PARTS] = {"text_encoder", "unet", "vae", "vae",
                                         "vae",          "vae",  "text_encoder_2"};
const char *const part_names[PARTS] = {"text_encoder", "unet",        "vae_encoder",
                                       "vae_decoder",  "vae_encoder", "vae_decoder",
                                       "text_encoder_2"};

const char *text_of(const json_t *tensor, const char *key) {
    return json_string_value(json_object_get(tensor, key));
}

struct tt_shape shape_of(const json_t *tensor) {
    const json_t *list = json_object_get(tensor, "shape");
    struct tt_shape shape = {.rank = json_array_size(list)};
    for (size_t i = 0; i < shape.rank; i++)
        shape.dim[i] = (size_t)json_integer_value(json_array_get(list, i));
    return shape;
}

static bool has_tensor(const struct subject *s, const char *name) {
    size_t i;
    json_t *tensor;
    json_array_foreach((json_t *)s->tensors, i, tensor)
        if (!strcmp(text_of(tensor, "name"), name)) return true;
    return false;
}

const json_t *find_tensor(const struct subject *s, const char *name) {
    size_t i;
    json_t *tensor;
    json_array_foreach((json_t *)s->tensors, i, tensor)
        if (!strcmp(text_of(tensor, "name"), name)) return tensor;
    ck_abort_msg("%s is not in the recording", name);
}

static struct tt_json *open_config(struct subject *s, struct tt_bytes *bytes) {
    char relative[64];
    struct tt_json *json;
    snprintf(relative, sizeof relative, "%s/config.json", part_modules[s->part]);
    OK(s, tt_folder_read(s->folder, relative, bytes, &s->err));
    OK(s, tt_json_open(relative, bytes->data, bytes->size, &json, &s->err));
    return json;
}

static void lay_out(struct subject *s) {
    struct tt_bytes bytes;
    struct tt_json *json = open_config(s, &bytes);
    if (s->part == PART_TEXT || s->part == PART_TEXT_2) {
        struct tt_clip_config config;
        OK(s, tt_clip_config_read(json, &config, &s->err));
        struct tt_shape ids = shape_of(find_tensor(s, "input_ids"));
        bool xl = has_tensor(s, "hidden_states");
        (xl ? tt_clip_tape_xl : tt_clip_tape)(&s->tape, &config, ids.dim[0], ids.dim[1], 0);
    } else if (s->part == PART_UNET) {
        struct tt_unet_config config;
        OK(s, tt_unet_config_read(json, &config, &s->err));
        struct tt_shape x = shape_of(find_tensor(s, "sample"));
        struct tt_shape context = {0};
        if (config.added_dim)
            ck_assert(tt_unet_config_fit(&config, shape_of(find_tensor(s, "text_embeds")).dim[1]));
        if (!config.unconditional) context = shape_of(find_tensor(s, "encoder_hidden_states"));
        tt_unet_tape(&s->tape, &config, x.dim[0], x.dim[2], x.dim[3], context.dim[1]);
    } else if (s->part == PART_TINY_ENCODER || s->part == PART_TINY_DECODER) {
        const struct tt_part_network *network =
            tt_part_network(s->part == PART_TINY_ENCODER ? TT_PART_VAE_ENCODE : TT_PART_VAE_DECODE,
                            TT_AUTOENCODER, "AutoencoderTiny");
        void *config = calloc(1, network->config_size);
        OK(s, network->read(json, config, &s->err));
        struct tt_shape x = shape_of(find_tensor(s, "sample"));
        struct tt_size size = {x.dim[0], x.dim[2], x.dim[3], 0};
        network->tape(&s->tape, config, &size);
        tt_set_output(&s->tape, tt_find_value(&s->tape, network->outputs[0].name));
        free(config);
    } else {
        struct tt_vae_config config;
        OK(s, tt_vae_config_read(json, &config, &s->err));
        struct tt_shape x = shape_of(find_tensor(s, "sample"));
        bool encoder = s->part == PART_VAE_ENCODER;
        struct tt_vae vae = (encoder ? tt_vae_encoder_tape : tt_vae_decoder_tape)(
            &s->tape, &config, x.dim[0], x.dim[2], x.dim[3]);
        s->moments = encoder ? vae.out : TT_NO_VALUE;
    }
    OK(s, tt_tape_status(&s->tape, &s->err));
    tt_json_free(json);
    tt_bytes_free(&bytes);
}

struct subject open_subject(struct subject_name name) {
    struct subject s = {.part = name.part, .moments = TT_NO_VALUE};
    const char *recording = name.recording;
    char path[256];
    size_t size, i;
    json_t *entry, *list;
    snprintf(path, sizeof path, "reference/golden/%s/recording.json", recording);
    char *text = test_read(path, &size);
    OK(&s, tt_json_parse(path, text, size, &s.manifest, &s.err));
    free(text);
    list = json_object_get(s.manifest, "parts");
    json_array_foreach(list, i, entry) {
        if (strcmp(text_of(entry, "part"), part_names[s.part])) continue;
        s.tensors = json_object_get(entry, "tensors");
        snprintf(path, sizeof path, "reference/golden/%s/%s", recording, text_of(entry, "file"));
    }
    ck_assert_msg(s.tensors != NULL, "%s: no part %s", path, part_names[s.part]);
    OK(&s, tt_safetensors_open(NULL, path, &s.stored, &s.err));
    snprintf(path, sizeof path, "reference/tiny/%s", text_of(s.manifest, "model"));
    OK(&s, tt_folder_open_any(path, &s.folder, &s.err));
    if (!tt_folder_has(s.folder, "model_index.json")) tt_folder_spread(s.folder, "vae");
    OK(&s, tt_weights_open(s.folder, part_modules[s.part], &s.weights, &s.err));
    const struct tt_source source = tt_weights_source(s.weights);
    s.bank = tt_bank_new(&source, &(struct tt_bank_options){0});
    ck_assert(s.bank != NULL);
    lay_out(&s);
    return s;
}

void close_subject(struct subject *s) {
    tt_tape_free(&s->tape);
    tt_bank_free(s->bank);
    tt_weights_close(s->weights);
    tt_folder_close(s->folder);
    tt_safetensors_close(s->stored);
    json_decref(s->manifest);
}

size_t torch_index(const struct tt_shape *shape, size_t i) {
    if (shape->rank != 4) return i;
    size_t c = shape->dim[1], hw = shape->dim[2] * shape->dim[3];
    return (i / (c * hw) * c + i % c) * hw + i / c % hw;
}

const struct tt_view *stored_view(const struct subject *s, const json_t *tensor) {
    const struct tt_view *view = tt_safetensors_find(s->stored, text_of(tensor, "stored"));
    ck_assert_msg(view != NULL, "%s: its values are missing", text_of(tensor, "name"));
    return view;
}

static void set_ids(struct subject *s, data_of data, const void *plan) {
    const json_t *tensor = find_tensor(s, "input_ids");
    struct tt_shape shape = shape_of(tensor);
    const int64_t *stored = stored_view(s, tensor)->data;
    size_t n = tt_shape_count(&shape);
    int32_t *ids = (int32_t *)data(plan, tt_find_value(&s->tape, "input_ids"));
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)stored[i];
    struct tt_bytes bytes;
    struct tt_clip_config config;
    struct tt_json *json = open_config(s, &bytes);
    OK(s, tt_clip_config_read(json, &config, &s->err));
    OK(s, tt_clip_prepare(
                &config, ids, shape.dim[0], shape.dim[1],
                (int32_t *)data(plan, tt_find_value(&s->tape, "position_ids")),
                (int32_t *)data(plan, tt_find_value(&s->tape, "eos_index")), &s->err));
    tt_json_free(json);
    tt_bytes_free(&bytes);
}

void set_inputs(struct subject *s, data_of data, const void *plan) {
    size_t i;
    json_t *tensor;
    json_array_foreach((json_t *)s->tensors, i, tensor) {
        if (strcmp(text_of(tensor, "type"), "input")) continue;
        tt_value value = tt_find_value(&s->tape, text_of(tensor, "name"));
        ck_assert_int_ne(value, TT_NO_VALUE);
        if (s->tape.tensors[value].dtype == TT_I32) {
            set_ids(s, data, plan);
            continue;
        }
        struct tt_shape shape = shape_of(tensor);
        ck_assert(tt_shape_equal(&shape, &s->tape.tensors[value].shape));
        const float *stored = stored_view(s, tensor)->data;
        float *own = data(plan, value);
        for (size_t j = 0; j < tt_shape_count(&shape); j++)
            own[j] = stored[torch_index(&shape, j)];
    }
}

void add_error(struct errors *e, double ours, double recorded, size_t i) {
    double difference = fabs(ours - recorded);
    if (isnan(e->largest)) return;
    if (!(difference <= e->largest)) e->largest = difference, e->at = i;
    e->squares += difference * difference;
}

static void note_needed(double error, double floor32, double own, const char *name, double *most,
                        char worst[300]) {
    double needed = own > 0 ? (error - floor32) / own : error > floor32 ? INFINITY : 0;
    if (needed <= *most) return;
    *most = needed;
    snprintf(worst, 300, "%s", name);
}

void judge_errors(const json_t *tensor, const char *name, const struct errors *e, size_t n,
                  double rms_floor, double ours, double recorded, const struct factor *factor,
                  struct tally *tally) {
    double err32 = json_number_value(json_object_get(tensor, "err32"));
    double rms32 = json_number_value(json_object_get(tensor, "rms32"));
    double floor32 = ldexp(json_number_value(json_object_get(tensor, "maxabs")), -23);
    double rms = sqrt(e->squares / (double)n);
    double limit = factor->most * err32 + floor32, rms_limit = factor->rms * rms32 + rms_floor;
    note_needed(e->largest, floor32, err32, name, &tally->needed, tally->worst);
    note_needed(rms, rms_floor, rms32, name, &tally->needed_rms, tally->worst_rms);
    if ((e->largest <= limit && rms <= rms_limit) || tally->failed++ >= 10) return;
    printf("%s: |%.9g - %.9g| = %.3g at %zu, limit %.3g = %g * %.3g + %.3g; rms %.3g, limit %.3g = "
           "%g * %.3g + %.3g\n", name, ours, recorded, e->largest, e->at, limit, factor->most,
           err32, floor32, rms, rms_limit, factor->rms, rms32, rms_floor);
}
