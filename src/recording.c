// SPDX-License-Identifier: MIT
// Recordings (reference/README.md): recording.json lists the tensors of each part, a safetensors
// file holds their values. What does not concern the values (versions, sums, seeds) is not read.
#include "recording.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/poll.h"
#include "io/json.h"
#include "model/part.h"

struct part {
    struct tt_bytes bytes;
    struct tt_safetensors *file;
    struct tt_recorded *tensors;
    size_t count;
    json_t *places; // name -> index
    float *largest; // magnitude of each stored tensor; -1: not looked at, which is done once
    const struct tt_poll *poll;
};

struct tt_recording {
    struct tt_folder *folder;
    struct tt_json *manifest; // where the names are
    struct part parts[TT_PARTS];
};

// ---- reading ----

// An object in a list, and what messages call it.
struct item {
    struct tt_json *json;
    const json_t *object;
    char path[64];
};

static void fail(const struct item *item, const char *key, const char *expected) {
    char path[96], found[80];
    snprintf(path, sizeof path, "%s%s%s", item->path, *item->path ? "." : "", key);
    const json_t *value = json_object_get(item->object, key);
    tt_json_fail(item->json, path, "found %s, expected %s",
                 tt_json_text(value, found, sizeof found), expected);
}

static const char *text_of(const struct item *item, const char *key) {
    const char *text = json_string_value(json_object_get(item->object, key));
    if (!text || !*text) fail(item, key, "a name");
    return text ? text : "";
}

// A number of at least 0; -1 when it is not there.
static double number_of(const struct item *item, const char *key) {
    const json_t *value = json_object_get(item->object, key);
    double number = json_number_value(value);
    if (!value || json_is_null(value)) return -1;
    if (!json_is_number(value) || !(number >= 0 && number <= 3.5e38))
        fail(item, key, "a number from 0 to 3.5e38");
    return number;
}

static struct tt_shape shape_of(const struct item *item) {
    const json_t *list = json_object_get(item->object, "shape");
    struct tt_shape shape = {0};
    size_t count = 1;
    bool good = json_is_array(list) && json_array_size(list) <= TT_MAX_RANK;
    for (size_t i = 0; good && i < json_array_size(list); i++) {
        json_int_t size = json_integer_value(json_array_get(list, i));
        good = size > 0 && tt_mul_size(count, (size_t)size, &count);
        if (good) shape.dim[shape.rank++] = (size_t)size;
    }
    if (!good) fail(item, "shape", "a list of at most 8 sizes");
    return shape;
}

// The largest magnitude of values, which must be finite.
static enum tt_status look_over(const struct part *part, const struct tt_view *view, float *largest,
                                struct tt_error *err) {
    float values[1024];
    size_t n = tt_shape_count(&view->shape), first;
    float most = 0;
    for (size_t done = 0, count; done < n; done += count) {
        enum tt_status status =
            done % (1 << 20) ? TT_OK
                             : tt_poll_ask(part->poll, tt_safetensors_name(part->file), err);
        if (status) return status;
        count = n - done < 1024 ? n - done : 1024;
        tt_view_floats(view, done, count, values);
        if (tt_count_not_finite(values, count, &first))
            return tt_fail(err, TT_BAD_INPUT,
                           "%s: tensor '%s': found %g at element %zu, expected finite numbers",
                           tt_safetensors_name(part->file), view->name, (double)values[first],
                           done + first);
        for (size_t i = 0; i < count; i++) most = fmaxf(most, fabsf(values[i]));
    }
    *largest = most;
    return TT_OK;
}

// The values: under the tensor's own name, or where the recorder keeps those of several.
static enum tt_status find_values(const struct part *part, struct tt_recorded *r,
                                  const char *stored, struct tt_error *err) {
    char found[96], expected[96];
    const char *file = tt_safetensors_name(part->file);
    tt_shape_text(&r->shape, expected, sizeof expected);
    r->view = tt_safetensors_find(part->file, r->name);
    if (!r->view && stored) r->view = tt_safetensors_find(part->file, stored);
    if (!r->view)
        return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s' is missing; expected shape %s", file,
                       stored ? stored : r->name, expected);
    const struct tt_view *view = r->view;
    if (tt_shape_count(&view->shape) != tt_shape_count(&r->shape))
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: tensor '%s': found shape %s, expected %s, the shape of '%s'", file,
                       view->name, tt_shape_text(&view->shape, found, sizeof found), expected,
                       r->name);
    if (view->dtype == TT_I64) return TT_OK;
    if (view->dtype != TT_F32 && view->dtype != TT_F16 && view->dtype != TT_BF16)
        return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s': found %s, expected F32, F16, BF16 or "
                       "I64", file, view->name, tt_dtype_name(view->dtype));
    // Entries share tensors: what one costs must not be taken as often as they like.
    float *largest = &part->largest[view - tt_safetensors_at(part->file, 0)];
    enum tt_status status = *largest < 0 ? look_over(part, view, largest, err) : TT_OK;
    if (r->maxabs < 0) r->maxabs = (double)*largest;
    if (r->err32 < 0) r->err32 = ldexp(r->maxabs, -18);
    return status;
}

static enum tt_status read_tensor(struct part *part, const struct item *item,
                                  struct tt_error *err) {
    struct tt_recorded *r = &part->tensors[part->count];
    *r = (struct tt_recorded){
        .name = text_of(item, "name"), .type = text_of(item, "type"), .shape = shape_of(item),
        .err32 = number_of(item, "err32"), .maxabs = number_of(item, "maxabs"),
    };
    r->kind = !strcmp(r->type, "input") ? TT_RECORDED_INPUT
              : !strcmp(r->type, "in")  ? TT_RECORDED_GIVEN
                                        : TT_RECORDED_OUTPUT;
    if (json_object_get(part->places, r->name)) fail(item, "name", "each name once");
    enum tt_status status = tt_json_status(item->json, err);
    if (status) return status;
    if (json_object_set_new(part->places, r->name, json_integer((json_int_t)part->count)))
        return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    status = find_values(part, r, json_string_value(json_object_get(item->object, "stored")), err);
    part->count += !status;
    return status;
}

static void fail_part(const struct item *item) {
    char list[160] = "";
    size_t used = 0;
    for (int i = 0; i < TT_PARTS; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                 !i ? "" : i + 1 < TT_PARTS ? ", " : " or ", tt_part_recorded(i));
    fail(item, "part", list);
}

static enum tt_status read_part(struct tt_recording *recording, const struct item *item,
                                struct tt_error *err) {
    const char *name = text_of(item, "part"), *file = text_of(item, "file");
    const json_t *list = json_object_get(item->object, "tensors");
    size_t count = json_array_size(list);
    int which = 0;
    while (which < TT_PARTS && strcmp(name, tt_part_recorded(which))) which++;
    if (which == TT_PARTS)
        fail_part(item);
    else if (recording->parts[which].file)
        fail(item, "part", "each part once");
    if (!count) fail(item, "tensors", "a list of tensors");
    enum tt_status status = tt_json_status(item->json, err);
    if (status) return status;
    struct part *part = &recording->parts[which];
    char where[1024];
    status = tt_folder_map(recording->folder, file, &part->bytes, err);
    tt_folder_where(recording->folder, file, where, sizeof where);
    if (!status)
        status = tt_safetensors_open_memory(where, part->bytes.data, part->bytes.size, &part->file,
                                            err);
    if (status) return status;
    part->tensors = calloc(count, sizeof *part->tensors);
    part->places = json_object();
    size_t stored = tt_safetensors_count(part->file);
    part->largest = malloc((stored + 1) * sizeof *part->largest);
    if (!part->tensors || !part->places || !part->largest)
        return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    for (size_t i = 0; i < stored; i++) part->largest[i] = -1;
    for (size_t i = 0; !status && i < count; i++) {
        struct item tensor = {item->json, json_array_get(list, i), ""};
        snprintf(tensor.path, sizeof tensor.path, "%.32s.tensors[%zu]", item->path, i);
        status = read_tensor(part, &tensor, err);
    }
    return status;
}

static enum tt_status read_manifest(struct tt_recording *recording, struct tt_error *err) {
    static const char *const formats[] = {"tintype-recording", NULL};
    struct tt_json *json = recording->manifest;
    tt_json_choice(json, "format", formats, -1);
    tt_json_int(json, "version", 1, 1);
    const json_t *list = tt_json_value(json, "parts");
    if (!json_array_size(list))
        fail(&(struct item){json, tt_json_object(json), ""}, "parts", "a list of parts");
    enum tt_status status = tt_json_status(json, err);
    for (size_t i = 0; !status && i < json_array_size(list); i++) {
        struct item item = {json, json_array_get(list, i), ""};
        snprintf(item.path, sizeof item.path, "parts[%zu]", i);
        status = read_part(recording, &item, err);
    }
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
    for (int i = 0; i < TT_PARTS; i++) recording->parts[i].poll = tt_folder_poll(folder);
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
    for (int i = 0; i < TT_PARTS; i++) {
        struct part *part = &recording->parts[i];
        json_decref(part->places);
        free(part->tensors);
        free(part->largest);
        tt_safetensors_close(part->file);
        tt_bytes_free(&part->bytes);
    }
    tt_json_free(recording->manifest);
    tt_folder_close(recording->folder);
    free(recording);
}

// ---- what a recording tells ----

size_t tt_recording_count(const struct tt_recording *recording, int part) {
    return (unsigned)part < TT_PARTS ? recording->parts[part].count : 0;
}

const struct tt_recorded *tt_recording_at(const struct tt_recording *recording, int part,
                                          size_t i) {
    return i < tt_recording_count(recording, part) ? &recording->parts[part].tensors[i] : NULL;
}

const struct tt_recorded *tt_recording_find(const struct tt_recording *recording,
                                            int part, const char *name) {
    if (!tt_recording_count(recording, part)) return NULL;
    const json_t *place = json_object_get(recording->parts[part].places, name);
    return place ? &recording->parts[part].tensors[json_integer_value(place)] : NULL;
}

const char *tt_recording_file(const struct tt_recording *recording, int part) {
    return tt_recording_count(recording, part) ? tt_safetensors_name(recording->parts[part].file)
                                               : NULL;
}

// The floor also covers the rounding of the stored value.
double tt_recorded_limit(const struct tt_recorded *recorded, double factor) {
    return factor * recorded->err32 + ldexp(recorded->maxabs, -23);
}
