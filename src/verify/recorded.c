// SPDX-License-Identifier: MIT
// One call of a recording: its entries, and the safetensors file with their values. What does not
// concern the values (sums, versions) is not read.
#include "verify/recording.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/poll.h"

// ---- objects in a document ----

struct tt_json_item tt_json_item_at(const struct tt_json_item *item, const char *key, size_t i) {
    struct tt_json_item at = {
        .json = item->json, .object = json_array_get(json_object_get(item->object, key), i)};
    snprintf(at.path, sizeof at.path, "%.24s%s%s[%zu]", item->path, *item->path ? "." : "", key, i);
    return at;
}

void tt_json_item_fail(const struct tt_json_item *item, const char *key, const char *expected) {
    char path[112], found[80];
    snprintf(path, sizeof path, "%s%s%s", item->path, *item->path && *key ? "." : "", key);
    const json_t *value = json_object_get(item->object, key);
    tt_json_fail(item->json, path, "found %s, expected %s",
                 tt_json_text(value, found, sizeof found), expected);
}

const char *tt_json_item_text(const struct tt_json_item *item, const char *key) {
    const char *text = json_string_value(json_object_get(item->object, key));
    if (!text || !*text) tt_json_item_fail(item, key, "a name");
    return text ? text : "";
}

double tt_json_item_number(const struct tt_json_item *item, const char *key) {
    const json_t *value = json_object_get(item->object, key);
    double number = json_number_value(value);
    if (!value || json_is_null(value)) return -1;
    if (!json_is_number(value) || !(number >= 0 && number <= 3.5e38))
        tt_json_item_fail(item, key, "a number from 0 to 3.5e38");
    return number;
}

struct tt_shape tt_json_item_shape(const struct tt_json_item *item, const char *key) {
    const json_t *list = json_object_get(item->object, key);
    struct tt_shape shape = {0};
    size_t count = 1;
    bool good = json_is_array(list) && json_array_size(list) <= TT_MAX_RANK;
    for (size_t i = 0; good && i < json_array_size(list); i++) {
        json_int_t size = json_integer_value(json_array_get(list, i));
        good = size > 0 && tt_mul_size(count, (size_t)size, &count);
        if (good) shape.dim[shape.rank++] = (size_t)size;
    }
    if (!good) tt_json_item_fail(item, key, "a list of at most 8 sizes");
    return shape;
}

enum tt_dtype tt_json_item_dtype(const struct tt_json_item *item, const char *key,
                                 enum tt_dtype fallback) {
    const json_t *value = json_object_get(item->object, key);
    if (!value || json_is_null(value)) return fallback;
    for (int i = TT_F64; json_is_string(value) && i <= TT_BOOL; i++)
        if (!strcmp(json_string_value(value), tt_dtype_name((enum tt_dtype)i)))
            return (enum tt_dtype)i;
    tt_json_item_fail(item, key, "a type as safetensors has them, as F32");
    return fallback;
}

// ---- statistics ----

// A finite number of any sign.
static double real_of(const struct tt_json_item *item, const char *key) {
    const json_t *value = json_object_get(item->object, key);
    if (!json_is_number(value) || !isfinite(json_number_value(value)))
        tt_json_item_fail(item, key, "a finite number");
    return json_number_value(value);
}

static enum tt_status read_statistics(struct tt_call *call, struct tt_recorded *r,
                                      const struct tt_json_item *entry, struct tt_error *err) {
    struct tt_json_item item = {.json = entry->json,
                                .object = json_object_get(entry->object, "statistics")};
    if (!item.object || json_is_null(item.object)) return TT_OK;
    snprintf(item.path, sizeof item.path, "%.48s.statistics", entry->path);
    struct tt_recorded_statistics *s = tt_pool_alloc(&call->pool, sizeof *s);
    if (!s) return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    *s = (struct tt_recorded_statistics){
        .mean = real_of(&item, "mean"), .std = real_of(&item, "std"), .min = real_of(&item, "min"),
        .max = real_of(&item, "max"), .l2 = real_of(&item, "l2"),
    };
    double bad = tt_json_item_number(&item, "not_finite");
    s->not_finite = bad > 0 ? (size_t)bad : 0;
    if (bad > (double)tt_shape_count(&r->shape))
        tt_json_item_fail(&item, "not_finite", "at most as many as the tensor has");
    const json_t *list = json_object_get(item.object, "quantiles");
    bool good = json_array_size(list) == TT_QUANTILES;
    for (size_t i = 0; good && i < TT_QUANTILES; i++) {
        const json_t *value = json_array_get(list, i);
        good = json_is_number(value) && isfinite(json_number_value(value));
        s->quantiles[i] = json_number_value(value);
    }
    if (!good) tt_json_item_fail(&item, "quantiles", "17 finite numbers");
    r->statistics = s;
    return TT_OK;
}

// The golden ratio's multiples: spread over the tensor, and the same for everybody.
static size_t spread(size_t n, size_t most, size_t i) {
    if (n <= most) return i;
    double part = (double)i * 0.6180339887498949;
    return (size_t)((double)n * (part - floor(part)));
}

size_t tt_recorded_sample(size_t n, size_t i) {
    return spread(n, TT_SAMPLE, i);
}

size_t tt_weight_sample(size_t n, size_t i) {
    return spread(n, TT_WEIGHT_SAMPLE, i);
}

// ---- values ----

// The largest finite magnitude of values. TT_BAD_INPUT, when that is asked for: one is not finite.
static enum tt_status look_over(const struct tt_call *call, const struct tt_view *view, bool check,
                                const struct tt_poll *poll, struct tt_error *err) {
    float values[1024], *largest = &call->largest[view - tt_safetensors_at(call->file, 0)];
    size_t n = tt_shape_count(&view->shape), first;
    float most = 0;
    for (size_t done = 0, count; done < n; done += count) {
        enum tt_status status =
            done % (1 << 20) ? TT_OK : tt_poll_ask(poll, tt_safetensors_name(call->file), err);
        if (status) return status;
        count = n - done < 1024 ? n - done : 1024;
        tt_view_floats(view, done, count, values);
        if (check && tt_count_not_finite(values, count, &first))
            return tt_fail(err, TT_BAD_INPUT,
                           "%s: tensor '%s': found %g at element %zu, expected finite numbers",
                           tt_safetensors_name(call->file), view->name, (double)values[first],
                           done + first);
        for (size_t i = 0; i < count; i++)
            most = isfinite(values[i]) ? fmaxf(most, fabsf(values[i])) : most;
    }
    *largest = most;
    tt_bytes_release(&call->bytes, view->data, view->bytes);
    return TT_OK;
}

// What the recording does not say: the largest magnitude is that of the values, PyTorch's errors
// stand for each other, and without any for them is what they usually are.
static enum tt_status fill_in(const struct tt_call *call, struct tt_recorded *r,
                              const struct tt_poll *poll, struct tt_error *err) {
    if (r->maxabs < 0 && r->statistics) {
        r->maxabs = fmax(fabs(r->statistics->min), fabs(r->statistics->max));
    } else if (r->maxabs < 0) {
        // Entries share tensors: what one costs must not be taken as often as they like.
        const float *largest = &call->largest[r->view - tt_safetensors_at(call->file, 0)];
        enum tt_status status =
            *largest < 0 ? look_over(call, r->view, false, poll, err) : TT_OK;
        if (status) return status;
        r->maxabs = (double)*largest;
    }
    if (r->err32 < 0 && r->drift32 < 0) r->err32 = ldexp(r->maxabs, -18);
    if (r->drift32 < 0) r->drift32 = r->err32;
    if (r->err32 < 0) r->err32 = r->drift32;
    return TT_OK;
}

// The values: under the tensor's own name, or where the recorder keeps those of several. A gradient
// is called like the tensor that it belongs to, and says where its own are.
static enum tt_status find_values(const struct tt_call *call, struct tt_recorded *r,
                                  const char *stored, struct tt_error *err) {
    char found[96], expected[96];
    const char *file = tt_safetensors_name(call->file);
    struct tt_shape whole = r->shape;
    bool gradient = r->kind == TT_RECORDED_GRADIENT;
    if (r->statistics && tt_shape_count(&whole) > TT_SAMPLE)
        whole = (struct tt_shape){1, {TT_SAMPLE}};
    tt_shape_text(&whole, expected, sizeof expected);
    r->view = gradient && stored ? NULL : tt_safetensors_find(call->file, r->name);
    if (!r->view && stored) r->view = tt_safetensors_find(call->file, stored);
    if (!r->view)
        return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s' is missing; expected shape %s", file,
                       stored ? stored : r->name, expected);
    const struct tt_view *view = r->view;
    if (tt_shape_count(&view->shape) != tt_shape_count(&whole))
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: tensor '%s': found shape %s, expected %s, the %s of '%s'", file,
                       view->name, tt_shape_text(&view->shape, found, sizeof found), expected,
                       r->statistics ? "sample" : "shape", r->name);
    if (view->dtype == TT_F32 || view->dtype == TT_F16 || view->dtype == TT_BF16 ||
        view->dtype == TT_I64)
        return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s': found %s, expected F32, F16, BF16 or I64",
                   file, view->name, tt_dtype_name(view->dtype));
}

// ---- entries ----

static enum tt_recorded_kind kind_of(const char *type) {
    static const struct {
        const char *type;
        enum tt_recorded_kind kind;
    } kinds[] = {{"input", TT_RECORDED_INPUT}, {"in", TT_RECORDED_GIVEN},
                 {"seed", TT_RECORDED_SEED},   {"gradient", TT_RECORDED_GRADIENT}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(type, kinds[i].type)) return kinds[i].kind;
    return TT_RECORDED_OUTPUT;
}

static enum tt_status read_inputs(struct tt_call *call, struct tt_recorded *r,
                                  const struct tt_json_item *item, struct tt_error *err) {
    const json_t *list = json_object_get(item->object, "inputs");
    size_t count = json_array_size(list);
    const char **names = tt_pool_alloc(&call->pool, (count + 1) * sizeof *names);
    if (!names) return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    bool good = !list || json_is_null(list) || json_is_array(list);
    for (size_t i = 0; good && i < count; i++) {
        names[i] = json_string_value(json_array_get(list, i));
        good = names[i] != NULL;
    }
    if (!good) tt_json_item_fail(item, "inputs", "a list of names");
    r->inputs = names;
    return TT_OK;
}

static enum tt_status read_tensor(struct tt_call *call, const struct tt_json_item *item,
                                  const struct tt_poll *poll, struct tt_error *err) {
    struct tt_recorded *r = &call->tensors[call->count];
    *r = (struct tt_recorded){
        .name = tt_json_item_text(item, "name"), .type = tt_json_item_text(item, "type"),
        .shape = tt_json_item_shape(item, "shape"), .err32 = tt_json_item_number(item, "err32"),
        .drift32 = call->version1 ? -1 : tt_json_item_number(item, "drift32"),
        .maxabs = tt_json_item_number(item, "maxabs"),
        .dtype = tt_json_item_dtype(item, "dtype", TT_F32),
    };
    r->kind = kind_of(r->type);
    json_t *places = r->kind == TT_RECORDED_GRADIENT ? call->gradients : call->places;
    if (json_object_get(places, r->name)) tt_json_item_fail(item, "name", "each name once");
    enum tt_status status = read_inputs(call, r, item, err);
    if (!status) status = read_statistics(call, r, item, err);
    if (!status) status = tt_json_status(item->json, err);
    if (status) return status;
    if (json_object_set_new(places, r->name, json_integer((json_int_t)call->count)))
        return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    status = find_values(call, r, json_string_value(json_object_get(item->object, "stored")), err);
    if (!status && r->view->dtype != TT_I64) status = fill_in(call, r, poll, err);
    if (!json_object_get(item->object, "dtype") && !status) r->dtype = r->view->dtype;
    call->count += !status;
    return status;
}

// ---- a call ----

// Its entries, where they are in a file of their own, which must be that of this call.
static enum tt_status open_manifest(struct tt_call *call, const struct tt_folder *folder,
                                    struct tt_json_item *item, struct tt_error *err) {
    const struct tt_recorded_call *told = &call->told;
    struct tt_bytes bytes = {0};
    char where[1024], expected[64];
    *item = call->item;
    if (!told->manifest) return TT_OK;
    enum tt_status status = tt_folder_read(folder, told->manifest, &bytes, err);
    tt_folder_where(folder, told->manifest, where, sizeof where);
    if (!status) status = tt_json_open(where, bytes.data, bytes.size, &call->manifest, err);
    tt_bytes_free(&bytes);
    if (status) return status;
    *item = (struct tt_json_item){call->manifest, tt_json_object(call->manifest), ""};
    if (strcmp(tt_json_item_text(item, "part"), told->name)) {
        snprintf(expected, sizeof expected, "%.40s, as in recording.json", told->name);
        tt_json_item_fail(item, "part", expected);
    }
    const json_t *index = json_object_get(item->object, "call");
    if (!json_is_integer(index) || json_integer_value(index) != (json_int_t)told->call) {
        snprintf(expected, sizeof expected, "%zu, as in recording.json", told->call);
        tt_json_item_fail(item, "call", expected);
    }
    if (json_array_size(json_object_get(item->object, "tensors")) != told->count) {
        snprintf(expected, sizeof expected, "a list of %zu, as recording.json says", told->count);
        tt_json_item_fail(item, "tensors", expected);
    }
    return tt_json_status(call->manifest, err);
}

static enum tt_status load(struct tt_call *call, const struct tt_folder *folder,
                           struct tt_error *err) {
    const struct tt_poll *poll = tt_folder_poll(folder);
    const char *file = call->told.file;
    char where[1024];
    struct tt_json_item item;
    enum tt_status status = open_manifest(call, folder, &item, err);
    if (!status) status = tt_folder_map(folder, file, &call->bytes, err);
    tt_folder_where(folder, file, where, sizeof where);
    if (!status)
        status = tt_safetensors_open_memory(where, call->bytes.data, call->bytes.size, &call->file,
                                            err);
    if (status) return status;
    size_t stored = tt_safetensors_count(call->file);
    call->tensors = calloc(call->told.count + 1, sizeof *call->tensors);
    call->places = json_object();
    call->gradients = json_object();
    call->largest = malloc((stored + 1) * sizeof *call->largest);
    if (!call->tensors || !call->places || !call->gradients || !call->largest)
        return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    for (size_t i = 0; i < stored; i++) call->largest[i] = -1;
    for (size_t i = 0; !status && i < call->told.count; i++) {
        struct tt_json_item tensor = tt_json_item_at(&item, "tensors", i);
        status = read_tensor(call, &tensor, poll, err);
    }
    return status;
}

enum tt_status tt_call_load(struct tt_call *call, const struct tt_folder *folder,
                            struct tt_error *err) {
    if (call->loaded) return TT_OK;
    enum tt_status status = load(call, folder, err);
    if (status) tt_call_unload(call);
    else call->loaded = true;
    return status;
}

void tt_call_unload(struct tt_call *call) {
    json_decref(call->places);
    json_decref(call->gradients);
    free(call->tensors);
    free(call->largest);
    tt_safetensors_close(call->file);
    tt_bytes_free(&call->bytes);
    tt_json_free(call->manifest);
    tt_pool_free(&call->pool);
    *call = (struct tt_call){.told = call->told, .item = call->item, .version1 = call->version1};
}

enum tt_status tt_call_check_values(struct tt_call *call, const struct tt_poll *poll,
                                    struct tt_error *err) {
    enum tt_status status = TT_OK;
    bool *seen = calloc(tt_safetensors_count(call->file) + 1, sizeof *seen); // entries share values
    if (!seen) return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    for (size_t i = 0; !status && i < call->count; i++) {
        const struct tt_recorded *r = &call->tensors[i];
        size_t at = (size_t)(r->view - tt_safetensors_at(call->file, 0));
        if (r->statistics && r->statistics->not_finite)
            status = tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s': found %zu values that are not "
                             "finite, expected finite numbers", tt_safetensors_name(call->file),
                             r->name, r->statistics->not_finite);
        else if (!seen[at] && r->view->dtype != TT_I64)
            status = look_over(call, r->view, true, poll, err);
        seen[at] = true;
    }
    free(seen);
    return status;
}
