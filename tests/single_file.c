// SPDX-License-Identifier: MIT
#include "single_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "util.h"

static enum tt_dtype dtype_of(const char *name) {
    for (int dtype = TT_F64; dtype <= TT_BOOL; dtype++)
        if (!strcmp(name, tt_dtype_name((enum tt_dtype)dtype))) return (enum tt_dtype)dtype;
    ck_abort_msg("dtype %s", name);
    return TT_F32;
}

// u times a power of two that keeps activations near one; a vector is 1 + u/4 as the weight of a
// norm, else u/8.
static float number_at(const struct tt_view *view, size_t salt, size_t i) {
    float u = test_hashed_uniform(i, salt);
    if (view->shape.rank > 1) {
        size_t fan = tt_shape_count(&view->shape) / view->shape.dim[0];
        return u * ldexpf(1, (int)floor(log2(3.0 / (double)fan) / 2));
    }
    size_t length = strlen(view->name);
    return length > 7 && !strcmp(view->name + length - 7, ".weight") ? 1 + u / 4 : u / 8;
}

static uint16_t to_bfloat(float x) { // of finite numbers, ties to even
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void put(struct tt_view *view, void *data, size_t i, float x) {
    uint16_t half = view->dtype == TT_F16 ? tt_half_from_float(x) : to_bfloat(x);
    if (view->dtype == TT_F32) ((float *)data)[i] = x;
    else ((uint16_t *)data)[i] = half;
}

void single_make(struct single_file *file, const char *name) {
    char path[128];
    memset(file, 0, sizeof *file);
    snprintf(path, sizeof path, "reference/single/%s.json", name);
    file->case_ = json_load_file(path, 0, NULL);
    ck_assert_msg(file->case_ != NULL, "%s", path);
    const json_t *list = json_object_get(file->case_, "tensors");
    for (size_t salt = 0; salt < json_array_size(list); salt++) {
        const json_t *entry = json_array_get(list, salt), *shape = json_array_get(entry, 2);
        struct tt_view *view = &file->views[file->count++];
        view->name = strdup(json_string_value(json_array_get(entry, 0)));
        view->dtype = dtype_of(json_string_value(json_array_get(entry, 1)));
        view->shape.rank = json_array_size(shape);
        for (size_t k = 0; k < view->shape.rank; k++)
            view->shape.dim[k] = (size_t)json_integer_value(json_array_get(shape, k));
        size_t numbers = tt_shape_count(&view->shape);
        view->bytes = numbers * tt_dtype_size(view->dtype);
        void *data = malloc(view->bytes + 1);
        ck_assert(data != NULL);
        for (size_t i = 0; i < numbers; i++) put(view, data, i, number_at(view, salt, i));
        view->data = data;
    }
}

static void free_view(struct tt_view *view) {
    free((char *)(uintptr_t)view->name);
    free((void *)(uintptr_t)view->data);
}

void single_free(struct single_file *file) {
    for (size_t i = 0; i < file->count; i++) free_view(&file->views[i]);
    json_decref(file->case_);
}

static bool begins(const char *name, const char *words) {
    for (const char *at = words; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (!strncmp(name, at, strcspn(at, "|"))) return true;
    return false;
}

static void filter(struct single_file *file, const char *words, bool keep) {
    size_t kept = 0;
    for (size_t i = 0; i < file->count; i++)
        if (begins(file->views[i].name, words) == keep) file->views[kept++] = file->views[i];
        else free_view(&file->views[i]);
    file->count = kept;
}

void single_keep(struct single_file *file, const char *words) {
    filter(file, words, true);
}

void single_drop(struct single_file *file, const char *words) {
    filter(file, words, false);
}

void single_rename(struct single_file *file, const char *from, const char *to) {
    char name[300];
    for (size_t i = 0; i < file->count; i++) {
        struct tt_view *view = &file->views[i];
        if (strncmp(view->name, from, strlen(from))) continue;
        snprintf(name, sizeof name, "%s%s", to, view->name + strlen(from));
        free((char *)(uintptr_t)view->name);
        view->name = strdup(name);
    }
}

void single_add(struct single_file *file, const char *name, enum tt_dtype dtype, size_t rank,
                size_t rows, size_t columns) {
    struct tt_view *view = &file->views[file->count++];
    *view = (struct tt_view){.name = strdup(name), .dtype = dtype};
    view->shape.rank = rank;
    view->shape.dim[0] = rows;
    view->shape.dim[1] = columns;
    view->bytes = tt_shape_count(&view->shape) * tt_dtype_size(dtype);
    view->data = calloc(1, view->bytes + 1);
}

void single_convert(struct single_file *file, enum tt_dtype dtype) {
    for (size_t i = 0; i < file->count; i++) {
        struct tt_view *view = &file->views[i], from = *view;
        size_t numbers = tt_shape_count(&view->shape);
        view->dtype = dtype;
        view->bytes = numbers * tt_dtype_size(dtype);
        void *data = malloc(view->bytes + 1);
        for (size_t k = 0; k < numbers; k++) {
            float x;
            tt_view_floats(&from, k, 1, &x);
            put(view, data, k, x);
        }
        free((void *)(uintptr_t)from.data);
        view->data = data;
    }
}

const char *single_write(const struct single_file *file, const char *name) {
    struct tt_error err = {0};
    const char *path = test_path(name);
    ck_assert_msg(!tt_safetensors_write(NULL, path, file->views, file->count,
                                        file->metadata[0] ? file->metadata : NULL, &err),
                  "%s", err.message);
    return path;
}
