// SPDX-License-Identifier: MIT
// What the files of a call will hold: tensors and entries, the header, the sizes.
#include "verify/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void no_memory(struct tt_record_layout *layout) {
    tt_fail(&layout->error, TT_SYSTEM, "out of memory for a recording");
}

// Room for one more in an array that doubles when its count is a power of two.
static bool grow(struct tt_record_layout *layout, void *array_pointer, int count, size_t size) {
    void **array = array_pointer;
    if (layout->error.status) return false;
    if (count & (count - 1)) return true;
    void *larger = realloc(*array, (size_t)(count ? 2 * count : 1) * size);
    if (larger) *array = larger;
    else no_memory(layout);
    return larger != NULL;
}

int tt_record_add_tensor(struct tt_record_layout *layout, const char *name, enum tt_dtype dtype,
                         const struct tt_shape *shape, bool whole) {
    int i = layout->tensor_count;
    if (!grow(layout, &layout->tensors, i, sizeof *layout->tensors)) return 0;
    struct tt_record_tensor t = {.dtype = dtype, .shape = *shape, .value = TT_NO_VALUE,
                                 .count = tt_shape_count(shape), .offset = layout->bytes};
    t.name = tt_pool_format(&layout->pool, "%s", name);
    t.sampled = layout->statistics && !whole && dtype == TT_F32 && t.count > TT_SAMPLE;
    t.bytes = (t.sampled ? TT_SAMPLE : t.count) * tt_dtype_size(dtype);
    if (!t.name) no_memory(layout);
    layout->tensors[i] = t;
    layout->bytes += t.bytes;
    layout->tensor_count++;
    return i;
}

void tt_record_add_entry(struct tt_record_layout *layout, const char *name, const char *type,
                         const struct tt_shape *shape, int tensor) {
    int i = layout->entry_count;
    if (!grow(layout, &layout->entries, i, sizeof *layout->entries)) return;
    for (int j = 0; j < i; j++)
        if (!strcmp(layout->entries[j].name, name))
            tt_fail(&layout->error, TT_BAD_INPUT, "'%s': found two tensors of that name, which a "
                    "recording cannot hold", name);
    char *own = tt_pool_format(&layout->pool, "%s", name);
    if (!own) no_memory(layout);
    layout->entries[i] = (struct tt_record_entry){
        .name = own, .type = type, .leaf = true, .shape = *shape, .tensor = tensor,
        .first_input = layout->input_count};
    layout->entry_count++;
}

void tt_record_add_input(struct tt_record_layout *layout, int tensor) {
    if (!grow(layout, &layout->inputs, layout->input_count, sizeof *layout->inputs)) return;
    layout->inputs[layout->input_count++] = tensor;
    layout->entries[layout->entry_count - 1].input_count++;
}

void tt_record_layout_free(struct tt_record_layout *layout) {
    free(layout->tensors);
    free(layout->entries);
    free(layout->inputs);
    tt_pool_free(&layout->pool);
    *layout = (struct tt_record_layout){0};
}

json_t *tt_record_whole(json_t *value, bool good) {
    if (good) return value;
    json_decref(value);
    return NULL;
}

json_t *tt_record_shape(const struct tt_shape *shape) {
    json_t *list = json_array();
    bool good = true;
    for (size_t i = 0; i < shape->rank; i++)
        good &= !json_array_append_new(list, json_integer((json_int_t)shape->dim[i]));
    return tt_record_whole(list, good);
}

char *tt_record_header(const struct tt_record_layout *layout, size_t *size) {
    json_t *root = json_object();
    for (int i = 0; i < layout->tensor_count; i++) {
        const struct tt_record_tensor *t = &layout->tensors[i];
        struct tt_shape shape = t->sampled ? (struct tt_shape){1, {TT_SAMPLE}} : t->shape;
        json_t *tensor = json_pack("{s:s, s:o, s:[I,I]}", "dtype", tt_dtype_name(t->dtype), "shape",
                                   tt_record_shape(&shape), "data_offsets", (json_int_t)t->offset,
                                   (json_int_t)(t->offset + t->bytes));
        if (json_object_set_new(root, t->name, tensor)) {
            json_decref(root);
            return NULL;
        }
    }
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (!text) return NULL;
    size_t length = strlen(text);
    *size = (length + 7) / 8 * 8;
    char *padded = realloc(text, *size);
    if (!padded) {
        free(text);
        return NULL;
    }
    memset(padded + length, ' ', *size - length);
    return padded;
}

size_t tt_record_measure(const struct tt_record_layout *layout) {
    enum { LENGTH = 8, HEADER = 80, ENTRY = 150, INPUT = 4, STATISTICS = 330 }; // beside the names
    size_t bytes = LENGTH + layout->bytes;
    for (int i = 0; i < layout->tensor_count; i++)
        bytes += HEADER + strlen(layout->tensors[i].name);
    for (int i = 0; i < layout->entry_count; i++) {
        const struct tt_record_entry *e = &layout->entries[i];
        const struct tt_record_tensor *t = &layout->tensors[e->tensor];
        bytes += ENTRY + strlen(e->name) + strlen(t->name) + (t->sampled ? STATISTICS : 0);
        for (int j = 0; j < e->input_count; j++)
            bytes += INPUT + strlen(layout->tensors[layout->inputs[e->first_input + j]].name);
    }
    return bytes;
}
