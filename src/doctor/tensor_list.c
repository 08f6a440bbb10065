// SPDX-License-Identifier: MIT
// The header of a safetensors file as far as it can be read. src/io/safetensors.c stops at the
// first thing that is wrong, as who computes with it must; here everything is told.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/doctor.h"

// Dtypes that the format knows and networks here do not read, with their bits.
static const struct {
    const char *name;
    size_t bits;
} others[] = {
    {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F4", 4}, {"F6_E2M3", 6}, {"F6_E3M2", 6},
    {"U16", 16}, {"U32", 32}, {"U64", 64}, {"C64", 64},
};

static void broken(struct tt_examination *x, const char *path, const char *tensor,
                   const char *found, const char *expected) {
    tt_doctor_find(x, TT_CODE_BROKEN_HEADER, path, tensor, found, expected, NULL);
}

// Bits of an element of that dtype; 0: none that is known.
static size_t find_dtype(const char *name, struct tt_doctor_tensor *t) {
    for (int dtype = TT_F64; dtype <= TT_BOOL; dtype++) {
        if (strcmp(name, tt_dtype_name((enum tt_dtype)dtype))) continue;
        t->view.dtype = (enum tt_dtype)dtype;
        t->known = true;
        return 8 * tt_dtype_size((enum tt_dtype)dtype);
    }
    t->view.dtype = TT_U8;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(name, others[i].name)) return others[i].bits;
    return 0;
}

// The shape, and how many elements that are; false: it is none.
static bool read_shape(const json_t *value, struct tt_shape *shape, size_t *count) {
    size_t rank = json_array_size(value);
    *count = 1;
    if (!json_is_array(value) || rank > TT_MAX_RANK) return false;
    shape->rank = rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0) return false;
        shape->dim[i] = (size_t)json_integer_value(item);
        if (!tt_mul_size(*count, shape->dim[i], count)) return false;
    }
    return true;
}

// What a file's tensors say about its size.
struct extent {
    size_t size; // of the data that are there
    uint64_t end; // of the tensor that ends last
    size_t beyond; // tensors that end behind what is there
};

// One tensor; false: nothing of it can be told.
static bool read_tensor(struct tt_examination *x, const char *path, const char *name,
                        const json_t *value, const unsigned char *data, struct extent *extent,
                        struct tt_doctor_tensor *t) {
    char text[96];
    size_t count, bits, bytes;
    const json_t *offsets = json_object_get(value, "data_offsets");
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    json_int_t end = json_integer_value(json_array_get(offsets, 1));
    *t = (struct tt_doctor_tensor){.view.name = name, .dtype = dtype};
    if (!dtype || !(bits = find_dtype(dtype, t))) {
        broken(x, path, name, tt_json_text(json_object_get(value, "dtype"), text, sizeof text),
               "a dtype, as F16");
        return false;
    }
    if (!read_shape(json_object_get(value, "shape"), &t->view.shape, &count) ||
        !tt_mul_size(count, bits, &bytes)) {
        broken(x, path, name, tt_json_text(json_object_get(value, "shape"), text, sizeof text),
               "a shape of at most 8 sizes");
        return false;
    }
    bytes = bytes / 8 + (bytes % 8 != 0);
    if (json_array_size(offsets) != 2 || begin < 0 || end < begin ||
        (size_t)(end - begin) != bytes) {
        broken(x, path, name, tt_doctor_text(x, "data_offsets of %lld to %lld", (long long)begin,
                                             (long long)end),
               tt_doctor_text(x, "%zu bytes of %s %s", bytes, dtype,
                              tt_shape_text(&t->view.shape, text, sizeof text)));
        return false;
    }
    if ((uint64_t)end > extent->end) extent->end = (uint64_t)end;
    if ((uint64_t)end > extent->size) {
        extent->beyond++;
        return false;
    }
    t->view.data = data + begin;
    t->view.bytes = bytes;
    return true;
}

static int by_name(const void *a, const void *b) {
    const struct tt_doctor_tensor *x = a, *y = b;
    return strcmp(x->view.name, y->view.name);
}

static int by_place(const void *a, const void *b) {
    const struct tt_view *x = &((const struct tt_doctor_tensor *)a)->view;
    const struct tt_view *y = &((const struct tt_doctor_tensor *)b)->view;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

// Tensors that lie over one another, or with bytes between them that nobody has: other readers
// refuse such a file, and so do we.
static void check_cover(struct tt_examination *x, struct tt_doctor_file *file,
                        const unsigned char *data) {
    size_t end = 0;
    qsort(file->tensors, file->count, sizeof *file->tensors, by_place);
    for (size_t i = 0; i < file->count; i++) {
        const struct tt_view *view = &file->tensors[i].view;
        size_t begin = (size_t)((const unsigned char *)view->data - data);
        if (begin != end)
            broken(x, file->path, view->name,
                   tt_doctor_text(x, "it begins at byte %zu of the data", begin),
                   tt_doctor_text(x, "byte %zu: %s", end,
                                  begin < end ? "tensors overlap" : "there is a hole"));
        if (begin + view->bytes > end) end = begin + view->bytes;
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
}

static void check_extent(struct tt_examination *x, const struct tt_doctor_file *file,
                         const struct extent *extent, size_t before) {
    const char *is = tt_doctor_text(x, "%zu bytes", file->bytes.size);
    const char *says = tt_doctor_text(x, "%" PRIu64 " bytes, as its header says",
                                      extent->end + before);
    if (extent->end > extent->size)
        tt_doctor_find(x, TT_CODE_CUT_SHORT, file->path, NULL,
                       tt_doctor_text(x, "%s; %zu tensors are missing or cut", is, extent->beyond),
                       says, NULL);
    else if (extent->end < extent->size)
        tt_doctor_find(x, TT_CODE_TOO_LONG, file->path, NULL, is, says, NULL);
}

static void check_metadata(struct tt_examination *x, struct tt_doctor_file *file) {
    const char *key;
    json_t *value;
    char text[96];
    file->metadata = json_object_get(file->header, "__metadata__");
    if (file->metadata && !json_is_object(file->metadata)) {
        broken(x, file->path, NULL, tt_doctor_text(x, "__metadata__: %s",
               tt_json_text(file->metadata, text, sizeof text)), "an object");
        file->metadata = NULL;
    }
    json_object_foreach((json_t *)(uintptr_t)file->metadata, key, value) {
        if (!json_is_string(value))
            broken(x, file->path, NULL, tt_doctor_text(x, "__metadata__.%.60s: %s", key,
                   tt_json_text(value, text, sizeof text)), "a string");
    }
}

// The header's length; 0: it cannot be one, which is told.
static size_t read_length(struct tt_examination *x, const char *path,
                          const struct tt_bytes *bytes) {
    uint64_t length = 0;
    if (bytes->size < 8) {
        tt_doctor_find(x, TT_CODE_CUT_SHORT, path, NULL,
                       tt_doctor_text(x, "%zu bytes", bytes->size), "a safetensors file of more "
                       "than 8 bytes", NULL);
        return 0;
    }
    for (int i = 7; i >= 0; i--) length = length << 8 | bytes->data[i];
    bool object = bytes->size > 8 && bytes->data[8] == '{';
    const char *found = tt_doctor_text(x, "a header of %" PRIu64 " bytes in a file of %zu", length,
                                       bytes->size);
    if (!length || length > TT_JSON_BYTES || (bytes->size > 8 && !object)) {
        broken(x, path, NULL, object ? found : "no header of safetensors",
               "a header of at most 100000000 bytes that begins with '{'");
        return 0;
    }
    if (length <= bytes->size - 8) return (size_t)length;
    tt_doctor_find(x, TT_CODE_CUT_SHORT, path, NULL, found, "the header and what it tells of",
                   NULL);
    return 0;
}

bool tt_doctor_file_read(struct tt_examination *x, const char *path, struct tt_bytes bytes,
                         struct tt_doctor_file *file) {
    struct tt_error why = {TT_OK, ""};
    *file = (struct tt_doctor_file){.path = path, .bytes = bytes};
    size_t length = read_length(x, path, &bytes);
    if (!length) return false;
    enum tt_status status = tt_json_parse(path, bytes.data + 8, length, &file->header, &why);
    if (status == TT_SYSTEM) x->no_memory = true;
    if (status || !json_is_object(file->header)) {
        broken(x, path, NULL, status ? why.message : "JSON that is no object", "a JSON object");
        return false;
    }
    check_metadata(x, file);
    file->tensors = calloc(json_object_size(file->header) + 1, sizeof *file->tensors);
    if (!file->tensors) {
        x->no_memory = true;
        return false;
    }
    struct extent extent = {.size = bytes.size - 8 - length};
    const char *name;
    json_t *value;
    bool all = true;
    json_object_foreach(file->header, name, value) {
        if (!strcmp(name, "__metadata__")) continue;
        if (read_tensor(x, path, name, value, bytes.data + 8 + length, &extent,
                        &file->tensors[file->count]))
            file->count++;
        else all = false;
    }
    if (all) check_cover(x, file, bytes.data + 8 + length);
    else qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
    check_extent(x, file, &extent, 8 + length);
    return true;
}

bool tt_doctor_gguf_read(struct tt_examination *x, const char *path, struct tt_bytes bytes,
                         struct tt_doctor_file *file) {
    struct tt_error why = {TT_OK, ""};
    *file = (struct tt_doctor_file){.path = path, .bytes = bytes};
    enum tt_status status = tt_gguf_open_memory(path, bytes.data, bytes.size, &file->gguf, &why);
    if (!status) file->count = tt_gguf_count(file->gguf);
    if (!status && !(file->tensors = calloc(file->count + 1, sizeof *file->tensors)))
        status = TT_SYSTEM;
    if (status == TT_SYSTEM) x->no_memory = true;
    if (status) {
        bool kind = strstr(why.message, "dtype: found ") != NULL;
        bool cut = strstr(why.message, "cut short") || strstr(why.message, "expected a range in") ||
                   strstr(why.message, "tensors, expected at most");
        tt_doctor_find(x, kind ? TT_CODE_UNKNOWN_QUANT
                               : cut ? TT_CODE_CUT_SHORT : TT_CODE_BROKEN_HEADER,
                       path, NULL, why.message, NULL, NULL);
        return false;
    }
    for (size_t i = 0; i < file->count; i++) {
        const struct tt_view *view = tt_gguf_at(file->gguf, i);
        file->tensors[i] = (struct tt_doctor_tensor){*view, tt_dtype_name(view->dtype), true};
    }
    return true;
}

void tt_doctor_file_free(struct tt_doctor_file *file) {
    tt_gguf_close(file->gguf);
    free(file->tensors);
    json_decref(file->header);
    tt_bytes_free(&file->bytes);
    *file = (struct tt_doctor_file){0};
}

// ---- looking things up ----

// The first whose name is not before `name`.
static size_t lower_bound(const struct tt_doctor_file *file, const char *name) {
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(file->tensors[middle].view.name, name) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

const struct tt_doctor_tensor *tt_doctor_begins(const struct tt_doctor_file *file,
                                                const char *prefix) {
    size_t at = lower_bound(file, prefix);
    if (at == file->count) return NULL;
    const struct tt_doctor_tensor *t = &file->tensors[at];
    return strncmp(t->view.name, prefix, strlen(prefix)) ? NULL : t;
}

const struct tt_doctor_tensor *tt_doctor_named(const struct tt_doctor_file *file,
                                               const char *name) {
    const struct tt_doctor_tensor *t = tt_doctor_begins(file, name);
    return t && !strcmp(t->view.name, name) ? t : NULL;
}

const char *tt_doctor_metadata(const struct tt_doctor_file *file, const char *key) {
    return file->gguf ? tt_gguf_metadata(file->gguf, key)
                      : json_string_value(json_object_get(file->metadata, key));
}

// ---- in figures ----

void tt_doctor_describe(struct tt_examination *x, const char *of,
                        const struct tt_doctor_tensor *tensors, size_t count) {
    enum { KINDS = 24 };
    const char *dtypes[KINDS];
    size_t bytes_of[KINDS], kinds = 0, used = 0;
    double parameters = 0, bytes = 0;
    char list[400] = "";
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < kinds && strcmp(dtypes[k], tensors[i].dtype)) k++;
        if (k == KINDS) continue; // there are fewer dtypes than that
        if (k == kinds) {
            dtypes[kinds] = tensors[i].dtype;
            bytes_of[kinds++] = 0;
        }
        bytes_of[k] += tensors[i].view.bytes;
        parameters += (double)tt_shape_count(&tensors[i].view.shape);
        bytes += (double)tensors[i].view.bytes;
    }
    for (size_t done = 0; done < kinds; done++) { // the most bytes first
        size_t most = 0;
        for (size_t k = 1; k < kinds; k++)
            if (bytes_of[k] + 1 > bytes_of[most] + 1) most = k; // SIZE_MAX, told already, is least
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", done ? ", " : "",
                                     dtypes[most]);
        bytes_of[most] = SIZE_MAX;
    }
    tt_doctor_number(x, of, "tensors", (double)count);
    tt_doctor_number(x, of, "parameters", parameters);
    tt_doctor_number(x, of, "bytes", bytes);
    tt_doctor_fact(x, of, "dtypes", list);
}
