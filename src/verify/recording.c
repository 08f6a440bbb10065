// SPDX-License-Identifier: MIT
// Recordings (reference/RECORDINGS.md): recording.json lists calls of networks, each with a
// safetensors file of its values and the entries that describe them, which are read when the call
// is asked for. In version 1 every network is called once and all entries are in recording.json.
#include "verify/recording.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/part.h"

struct tt_recording {
    struct tt_folder *folder;
    struct tt_json *manifest, *weights_file; // where the names are
    struct tt_recording_info info;
    struct tt_call *calls;
    size_t count;
    struct tt_recorded_weight *weights;
    size_t weight_count;
    struct tt_pool pool;
};

// ---- calls ----

enum { NO_NETWORK = -1 };

static int find_part(const char *name) {
    for (int i = 0; i < TT_PARTS; i++)
        if (!strcmp(name, tt_part_recorded((enum tt_part)i))) return i;
    return NO_NETWORK;
}

static void fail_part(const struct tt_json_item *item) {
    char list[160] = "";
    size_t used = 0;
    for (int i = 0; i < TT_PARTS; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                 !i ? "" : i + 1 == TT_PARTS ? " or " : ", ",
                                 tt_part_recorded((enum tt_part)i));
    tt_json_item_fail(item, "part", list);
}

// A count from 0; `fallback` when it is not there.
static size_t size_of(const struct tt_json_item *item, const char *key, size_t fallback) {
    enum { MOST = 1 << 30 };
    const json_t *value = json_object_get(item->object, key);
    json_int_t number = json_integer_value(value);
    if (!value || json_is_null(value)) return fallback;
    if (!json_is_integer(value) || number < 0 || number > MOST) {
        tt_json_item_fail(item, key, "a whole number from 0 to 1073741824");
        return fallback;
    }
    return (size_t)number;
}

// Where the entries are: a list in place, or in a file beside, with their number here.
static void place_entries(const struct tt_json_item *item, struct tt_recorded_call *told) {
    const json_t *list = json_object_get(item->object, "tensors");
    if (json_is_array(list) && json_array_size(list)) {
        told->count = json_array_size(list);
        return;
    }
    if (!json_is_integer(list) || !(told->count = size_of(item, "tensors", 0))) {
        tt_json_item_fail(item, "tensors", "a list of tensors, or with a manifest their number");
        return;
    }
    told->manifest = tt_json_item_text(item, "manifest");
}

// The call of the same part before call i; NULL: there is none.
static const struct tt_recorded_call *call_before(const struct tt_recording *recording, size_t i) {
    const char *name = recording->calls[i].told.name;
    while (i-- > 0)
        if (!strcmp(recording->calls[i].told.name, name)) return &recording->calls[i].told;
    return NULL;
}

// Version 1 has one of each network. Of version 2 `call` rises, but that a backward pass is of the
// same as the call before it.
static void read_call(struct tt_recording *recording, size_t i, struct tt_call *call) {
    const struct tt_json_item *item = &call->item;
    struct tt_recorded_call *told = &call->told;
    told->name = tt_json_item_text(item, "part");
    told->file = tt_json_item_text(item, "file");
    told->part = find_part(told->name);
    const struct tt_recorded_call *before = call_before(recording, i);
    if (call->version1) {
        if (told->part == NO_NETWORK) fail_part(item);
        else if (before) tt_json_item_fail(item, "part", "each part once");
        if (!(told->count = json_array_size(json_object_get(item->object, "tensors"))))
            tt_json_item_fail(item, "tensors", "a list of tensors");
        return;
    }
    const json_t *backward = json_object_get(item->object, "backward");
    told->backward = json_is_true(backward);
    if (backward && !json_is_boolean(backward) && !json_is_null(backward))
        tt_json_item_fail(item, "backward", "true or false");
    size_t next = !before ? 0 : before->call + (told->backward && !before->backward ? 0 : 1);
    told->call = size_of(item, "call", next);
    if (told->call < next)
        tt_json_item_fail(item, "call", "a larger number than that of the part's call before");
    told->step = size_of(item, "step", SIZE_MAX);
    told->has_step = told->step != SIZE_MAX;
    if (!told->has_step) told->step = 0;
    place_entries(item, told);
}

static enum tt_status read_calls(struct tt_recording *recording, bool version1,
                                 struct tt_error *err) {
    struct tt_json *json = recording->manifest;
    const char *key = version1 ? "parts" : "calls";
    struct tt_json_item root = {json, tt_json_object(json), ""};
    size_t count = json_array_size(tt_json_value(json, key));
    if (!count) tt_json_item_fail(&root, key, version1 ? "a list of parts" : "a list of calls");
    enum tt_status status = tt_json_status(json, err);
    if (status) return status;
    recording->calls = calloc(count, sizeof *recording->calls);
    if (!recording->calls) return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    for (; !status && recording->count < count; recording->count++) {
        struct tt_call *call = &recording->calls[recording->count];
        call->version1 = version1;
        call->item = tt_json_item_at(&root, key, recording->count);
        read_call(recording, recording->count, call);
        status = tt_json_status(json, err);
    }
    return status;
}

// ---- weights ----

static int find_weights(const char *name) {
    int part = find_part(name);
    for (int i = 0; part < 0 && i < TT_PARTS; i++)
        if (!strcmp(name, tt_part_folder(i))) part = i;
    return part;
}

static void read_weight(struct tt_recorded_weight *w, const struct tt_json_item *item) {
    *w = (struct tt_recorded_weight){
        .part_name = tt_json_item_text(item, "part"), .name = tt_json_item_text(item, "name"),
        .shape = tt_json_item_shape(item, "shape"), .sha256 = tt_json_item_text(item, "sha256"),
        .dtype = tt_json_item_dtype(item, "dtype", TT_F32),
    };
    w->part = find_weights(w->part_name);
    if (w->part < 0) fail_part(item);
    if (strlen(w->sha256) != 64 || strspn(w->sha256, "0123456789abcdef") != 64)
        tt_json_item_fail(item, "sha256", "64 hexadecimal digits");
    const char *const keys[] = {"mean", "std", "maxabs"};
    double *const values[] = {&w->mean, &w->std, &w->maxabs};
    for (int i = 0; i < 3; i++) { // not there: not known
        const json_t *value = json_object_get(item->object, keys[i]);
        *values[i] = json_is_number(value) ? json_number_value(value) : NAN;
        if (value && !json_is_null(value) && !json_is_number(value))
            tt_json_item_fail(item, keys[i], "a number");
    }
    const json_t *list = json_object_get(item->object, "sample");
    size_t n = tt_shape_count(&w->shape);
    w->samples = n < TT_WEIGHT_SAMPLE ? n : TT_WEIGHT_SAMPLE;
    bool good = json_array_size(list) == w->samples;
    for (size_t i = 0; good && i < w->samples; i++) {
        const json_t *value = json_array_get(list, i);
        good = json_is_number(value);
        w->sample[i] = json_number_value(value);
    }
    if (!list || json_is_null(list)) w->samples = 0;
    else if (!good) tt_json_item_fail(item, "sample", "16 numbers, or as many as the weight has");
}

static enum tt_status read_weights(struct tt_recording *recording, const char *file,
                                   struct tt_error *err) {
    struct tt_bytes bytes = {0};
    char where[1024];
    json_t *list = NULL;
    enum tt_status status = tt_folder_read(recording->folder, file, &bytes, err);
    tt_folder_where(recording->folder, file, where, sizeof where);
    if (!status) status = tt_json_parse(where, bytes.data, bytes.size, &list, err);
    tt_bytes_free(&bytes);
    if (status) return status;
    // As an object it can be read with messages that name the place.
    json_t *object = json_pack("{s:O}", "weights", list);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    bool good = json_is_array(list);
    json_decref(list);
    json_decref(object);
    if (!text) return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    status = good ? tt_json_open(where, text, strlen(text), &recording->weights_file, err)
                  : tt_fail(err, TT_BAD_INPUT, "%s: found %.40s, expected a list of weights", where,
                            text);
    free(text);
    if (status) return status;
    struct tt_json *json = recording->weights_file;
    struct tt_json_item root = {json, tt_json_object(json), ""};
    size_t count = json_array_size(json_object_get(root.object, "weights"));
    recording->weights = calloc(count + 1, sizeof *recording->weights);
    json_t *seen = json_object();
    if (!recording->weights || !seen) tt_json_no_memory(json);
    for (size_t i = 0; i < count && !(status = tt_json_status(json, err)); i++) {
        struct tt_json_item item = tt_json_item_at(&root, "weights", i);
        struct tt_recorded_weight *w = &recording->weights[i];
        read_weight(w, &item);
        if (w->part < 0) continue;
        json_t *names = json_object_get(seen, tt_part_folder(w->part));
        if (!names && !json_object_set_new(seen, tt_part_folder(w->part), json_object()))
            names = json_object_get(seen, tt_part_folder(w->part));
        if (json_object_get(names, w->name))
            tt_json_item_fail(&item, "name", "each name once in a part");
        else if (json_object_set_new(names, w->name, json_true()))
            tt_json_no_memory(json);
    }
    json_decref(seen);
    if (!status) status = tt_json_status(json, err);
    recording->weight_count = status ? 0 : count;
    return status;
}

// ---- what a run was asked for ----

// "key=value" strings of an object, as struct tt_settings takes them.
static const char *const *read_options(struct tt_recording *recording,
                                       const struct tt_json_item *item) {
    json_t *options = json_object_get(item->object, "scheduler_options"), *value;
    const char *key, **texts =
        tt_pool_alloc(&recording->pool, (json_object_size(options) + 1) * sizeof *texts);
    size_t count = 0;
    if (!texts) tt_json_no_memory(item->json);
    if (options && !json_is_null(options) && !json_is_object(options))
        tt_json_item_fail(item, "scheduler_options", "an object");
    json_object_foreach(options, key, value) {
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
        if (texts)
            texts[count++] = tt_pool_format(&recording->pool, "%s=%s", key,
                                            text ? text : json_string_value(value));
        free(text);
        if (texts && !texts[count - 1]) tt_json_no_memory(item->json);
    }
    return texts;
}

static const char *optional_text(const struct tt_json_item *item, const char *key) {
    const json_t *value = json_object_get(item->object, key);
    if (value && !json_is_null(value) && !json_is_string(value))
        tt_json_item_fail(item, key, "a text");
    return json_string_value(value);
}

// Beyond what JSON's numbers hold it is a text of digits.
static uint64_t read_seed(const struct tt_json_item *item) {
    const json_t *value = json_object_get(item->object, "seed");
    const char *text = json_string_value(value);
    if (text && *text && strlen(text) < 20 && text[strspn(text, "0123456789")] == 0)
        return strtoull(text, NULL, 10);
    if (value && !json_is_null(value) && !json_is_integer(value))
        tt_json_item_fail(item, "seed", "a whole number");
    return (uint64_t)json_integer_value(value);
}

// Two numbers by diffusers' name and in its order, height or top first.
static void read_two(struct tt_json_item *settings, const char *key, size_t *second,
                     size_t *first) {
    const json_t *list = json_object_get(settings->object, key);
    if (!list || json_is_null(list)) return;
    size_t n[2] = {0};
    bool good = json_array_size(list) == 2;
    for (size_t i = 0; good && i < 2; i++) {
        json_int_t value = json_integer_value(json_array_get(list, i));
        good = json_is_integer(json_array_get(list, i)) && value >= 0 && value <= TT_IMAGE_SIDE;
        n[i] = (size_t)value;
    }
    if (!good) tt_json_item_fail(settings, key, "a list of 2 whole numbers");
    *first = n[0];
    *second = n[1];
}

// What SDXL was told.
static void read_told(struct tt_json_item *item, struct tt_recording_settings *s) {
    read_two(item, "original_size", &s->original_width, &s->original_height);
    read_two(item, "crops_coords_top_left", &s->crop_left, &s->crop_top);
    read_two(item, "target_size", &s->target_width, &s->target_height);
    read_two(item, "negative_original_size", &s->negative_original_width,
             &s->negative_original_height);
    read_two(item, "negative_crops_coords_top_left", &s->negative_crop_left, &s->negative_crop_top);
    read_two(item, "negative_target_size", &s->negative_target_width, &s->negative_target_height);
}

static void read_settings(struct tt_recording *recording) {
    struct tt_json *json = recording->manifest;
    struct tt_json_item item = {json, tt_json_value(json, "settings"), "settings"};
    struct tt_recording_settings *s = &recording->info.settings;
    if (!item.object || json_is_null(item.object)) return;
    if (!json_is_object(item.object)) {
        tt_json_fail(json, "settings", "expected an object");
        return;
    }
    recording->info.has_settings = true;
    *s = (struct tt_recording_settings){
        .prompt = optional_text(&item, "prompt"),
        .negative = optional_text(&item, "negative_prompt"),
        .scheduler = optional_text(&item, "scheduler"), .seed = read_seed(&item),
        .steps = size_of(&item, "steps", 0), .width = size_of(&item, "width", 0),
        .height = size_of(&item, "height", 0),
        .scheduler_options = read_options(recording, &item),
    };
    const json_t *scale = json_object_get(item.object, "guidance_scale");
    s->guidance_scale = json_is_number(scale) ? json_number_value(scale) : 1;
    if (scale && !json_is_null(scale) && !json_is_number(scale))
        tt_json_item_fail(&item, "guidance_scale", "a number");
    read_told(&item, s);
}

static void read_info(struct tt_recording *recording, bool version1) {
    static const char *const values[] = {"tensors", "statistics", NULL};
    struct tt_json *json = recording->manifest;
    struct tt_json_item root = {json, tt_json_object(json), ""};
    struct tt_recording_info *info = &recording->info;
    *info = (struct tt_recording_info){
        .version = version1 ? 1 : 2, .model = optional_text(&root, "model"), .whole = true,
        .every = 1, .precision = TT_F32};
    if (version1) return;
    info->writer = optional_text(&root, "writer");
    info->modules = optional_text(&root, "modules");
    info->whole = tt_json_bool_or(json, "whole", true);
    info->every = size_of(&root, "every", 1);
    info->statistics = tt_json_choice(json, "values", values, 0) == 1;
    info->precision = tt_json_item_dtype(&root, "precision", TT_F32);
    read_settings(recording);
}

// ---- the whole ----

static enum tt_status read_manifest(struct tt_recording *recording, struct tt_error *err) {
    static const char *const formats[] = {"tintype-recording", NULL};
    struct tt_json *json = recording->manifest;
    tt_json_choice(json, "format", formats, -1);
    long version = tt_json_int(json, "version", 1, 2);
    enum tt_status status = tt_json_status(json, err);
    if (status) return status;
    bool version1 = version == 1;
    read_info(recording, version1);
    status = read_calls(recording, version1, err);
    const char *weights = version1 || status ? NULL : tt_json_string_or(json, "weights", NULL);
    if (!status) status = tt_json_status(json, err);
    if (!status && weights) status = read_weights(recording, weights, err);
    return status;
}

enum tt_status tt_recording_read(struct tt_folder *folder, struct tt_recording **out,
                                 struct tt_error *err) {
    static const char file[] = "recording.json";
    struct tt_recording *recording = calloc(1, sizeof *recording);
    if (!recording) {
        tt_folder_close(folder);
        return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    }
    recording->folder = folder;
    tt_folder_seal(folder);
    struct tt_bytes bytes = {0};
    char where[1024];
    enum tt_status status = tt_folder_read(folder, file, &bytes, err);
    if (!status) {
        tt_folder_where(folder, file, where, sizeof where);
        status = tt_json_open(where, bytes.data, bytes.size, &recording->manifest, err);
        tt_bytes_free(&bytes);
    }
    if (!status) status = read_manifest(recording, err);
    if (!status) *out = recording;
    else tt_recording_close(recording);
    return status;
}

enum tt_status tt_recording_open(struct tt_files *files, const char *path,
                                 struct tt_recording **out, struct tt_error *err) {
    struct tt_folder *folder;
    enum tt_status status = tt_folder_open_any(path, &folder, err);
    if (status) return status;
    tt_folder_note_in(folder, files);
    return tt_recording_read(folder, out, err);
}

void tt_recording_close(struct tt_recording *recording) {
    if (!recording) return;
    for (size_t i = 0; i < recording->count; i++) tt_call_unload(&recording->calls[i]);
    free(recording->calls);
    free(recording->weights);
    tt_json_free(recording->weights_file);
    tt_json_free(recording->manifest);
    tt_pool_free(&recording->pool);
    tt_folder_close(recording->folder);
    free(recording);
}

// ---- what a recording tells ----

const struct tt_recording_info *tt_recording_info(const struct tt_recording *recording) {
    return &recording->info;
}

size_t tt_recording_calls(const struct tt_recording *recording) {
    return recording->count;
}

static struct tt_call *call_of(const struct tt_recording *recording, size_t i) {
    return i < recording->count ? &recording->calls[i] : NULL;
}

const struct tt_recorded_call *tt_recording_call(const struct tt_recording *recording, size_t i) {
    const struct tt_call *call = call_of(recording, i);
    return call ? &call->told : NULL;
}

static enum tt_status fail_call(const struct tt_recording *recording, size_t i,
                                struct tt_error *err) {
    return tt_fail(err, TT_BAD_INPUT, "%s: call: found %zu, expected 0 to %zu",
                   tt_folder_name(recording->folder), i, recording->count - 1);
}

enum tt_status tt_recording_load(struct tt_recording *recording, size_t i, struct tt_error *err) {
    struct tt_call *call = call_of(recording, i);
    return call ? tt_call_load(call, recording->folder, err) : fail_call(recording, i, err);
}

void tt_recording_unload(struct tt_recording *recording, size_t i) {
    struct tt_call *call = call_of(recording, i);
    if (call) tt_call_unload(call);
}

enum tt_status tt_recording_check_values(struct tt_recording *recording, size_t i,
                                         struct tt_error *err) {
    enum tt_status status = tt_recording_load(recording, i, err);
    return status ? status : tt_call_check_values(&recording->calls[i],
                                                  tt_folder_poll(recording->folder), err);
}

void tt_recording_release(const struct tt_recording *recording, size_t i,
                          const struct tt_recorded *tensor) {
    const struct tt_call *call = call_of(recording, i);
    if (call) tt_bytes_release(&call->bytes, tensor->view->data, tensor->view->bytes);
}

size_t tt_recording_count(const struct tt_recording *recording, size_t i) {
    const struct tt_call *call = call_of(recording, i);
    return call ? call->count : 0;
}

const struct tt_recorded *tt_recording_at(const struct tt_recording *recording, size_t i,
                                          size_t k) {
    return k < tt_recording_count(recording, i) ? &recording->calls[i].tensors[k] : NULL;
}

static const struct tt_recorded *find(const struct tt_call *call, const json_t *places,
                                      const char *name) {
    const json_t *place = json_object_get(places, name);
    return place ? &call->tensors[json_integer_value(place)] : NULL;
}

const struct tt_recorded *tt_recording_find(const struct tt_recording *recording, size_t i,
                                            const char *name) {
    const struct tt_call *call = call_of(recording, i);
    return call ? find(call, call->places, name) : NULL;
}

const struct tt_recorded *tt_recording_find_gradient(const struct tt_recording *recording,
                                                     size_t i, const char *name) {
    const struct tt_call *call = call_of(recording, i);
    return call ? find(call, call->gradients, name) : NULL;
}

const char *tt_recording_file(const struct tt_recording *recording, size_t i) {
    const struct tt_call *call = call_of(recording, i);
    return call && call->file ? tt_safetensors_name(call->file) : NULL;
}

size_t tt_recording_weight_count(const struct tt_recording *recording) {
    return recording->weight_count;
}

const struct tt_recorded_weight *tt_recording_weight_at(const struct tt_recording *recording,
                                                        size_t i) {
    return i < recording->weight_count ? &recording->weights[i] : NULL;
}

// The floor also covers the rounding of the stored value.
double tt_recorded_limit(const struct tt_recorded *recorded, double factor) {
    return factor * recorded->drift32 + ldexp(recorded->maxabs, -23);
}
