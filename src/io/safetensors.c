// SPDX-License-Identifier: MIT
#include "tintype.h"

#include "base/text.h"
#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The limit of the reference implementation.
static const size_t MAX_HEADER = TT_JSON_BYTES;

struct tt_safetensors {
    char *name;
    struct tt_bytes bytes;
    json_t *header; // owns the tensors' names and the metadata
    const json_t *metadata;
    struct tt_view *views;
    size_t count;
};

static enum tt_status parse_dtype(const char *where, const json_t *value, enum tt_dtype *out,
                                  struct tt_error *err) {
    for (int dtype = TT_F64; json_is_string(value) && dtype <= TT_BOOL; dtype++) {
        if (strcmp(json_string_value(value), tt_dtype_name((enum tt_dtype)dtype))) continue;
        *out = (enum tt_dtype)dtype;
        return TT_OK;
    }
    char text[80];
    return tt_fail(err, TT_BAD_INPUT, "%s: dtype: found %s, expected one of F64, F32, F16, BF16, "
                   "I64, I32, I16, I8, U8, BOOL", where, tt_json_text(value, text, sizeof text));
}

// shape and the bytes it takes; dimensions of 0 are allowed, a product beyond size_t is not.
static enum tt_status parse_shape(const char *where, const json_t *value, struct tt_view *view,
                                  struct tt_error *err) {
    char text[80];
    size_t rank = json_array_size(value);
    if (!json_is_array(value) || rank > TT_MAX_RANK)
        return tt_fail(err, TT_BAD_INPUT, "%s: shape: found %s, expected a list of at most %d "
                       "sizes", where, tt_json_text(value, text, sizeof text), TT_MAX_RANK);
    view->shape.rank = rank;
    view->bytes = tt_dtype_size(view->dtype);
    for (size_t i = 0; i < rank; i++) {
        const json_t *item = json_array_get(value, i);
        json_int_t size = json_integer_value(item);
        if (!json_is_integer(item) || size < 0)
            return tt_fail(err, TT_BAD_INPUT, "%s: shape[%zu]: found %s, expected a size", where, i,
                           tt_json_text(item, text, sizeof text));
        view->shape.dim[i] = (size_t)size;
        if (!tt_mul_size(view->bytes, (size_t)size, &view->bytes))
            return tt_fail(err, TT_BAD_INPUT, "%s: shape: the product of its %zu sizes overflows",
                           where, rank);
    }
    return TT_OK;
}

static enum tt_status parse_offsets(const char *where, const json_t *value, size_t data_size,
                                    const unsigned char *data, struct tt_view *view,
                                    struct tt_error *err) {
    char text[80], shape[128];
    const json_t *first = json_array_get(value, 0), *last = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return tt_fail(err, TT_BAD_INPUT, "%s: data_offsets: found %s, expected two integers",
                       where, tt_json_text(value, text, sizeof text));
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > data_size)
        return tt_fail(err, TT_BAD_INPUT, "%s: data_offsets: found [%lld, %lld], expected a range "
                       "in the %zu bytes of data", where, (long long)begin, (long long)end,
                       data_size);
    if ((size_t)(end - begin) != view->bytes)
        return tt_fail(err, TT_BAD_INPUT, "%s: data_offsets: found %lld bytes, expected %zu for %s "
                       "%s", where, (long long)(end - begin), view->bytes,
                       tt_dtype_name(view->dtype),
                       tt_shape_text(&view->shape, shape, sizeof shape));
    view->data = data + begin;
    return TT_OK;
}

static enum tt_status parse_tensor(const char *file, const char *name, const json_t *value,
                                   const unsigned char *data, size_t size, struct tt_view *view,
                                   struct tt_error *err) {
    char where[512], text[80];
    snprintf(where, sizeof where, "%s: tensor %s", file, name);
    if (!json_is_object(value))
        return tt_fail(err, TT_BAD_INPUT, "%s: found %s, expected an object", where,
                       tt_json_text(value, text, sizeof text));
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)value, key, item) {
        if (strcmp(key, "dtype") && strcmp(key, "shape") && strcmp(key, "data_offsets"))
            return tt_fail(err, TT_BAD_INPUT, "%s: found key \"%.60s\", expected dtype, shape and "
                           "data_offsets only", where, key);
    }
    view->name = name;
    enum tt_status status = parse_dtype(where, json_object_get(value, "dtype"), &view->dtype, err);
    if (!status) status = parse_shape(where, json_object_get(value, "shape"), view, err);
    if (!status)
        status = parse_offsets(where, json_object_get(value, "data_offsets"), size, data, view,
                               err);
    return status;
}

static enum tt_status check_metadata(const char *file, const json_t *metadata,
                                     struct tt_error *err) {
    char text[80];
    const char *key;
    json_t *value;
    if (metadata && !json_is_object(metadata))
        return tt_fail(err, TT_BAD_INPUT, "%s: __metadata__: found %s, expected an object", file,
                       tt_json_text(metadata, text, sizeof text));
    json_object_foreach((json_t *)metadata, key, value) {
        if (!json_is_string(value))
            return tt_fail(err, TT_BAD_INPUT, "%s: __metadata__.%.60s: found %s, expected a string",
                           file, key, tt_json_text(value, text, sizeof text));
    }
    return TT_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct tt_view *)a)->name, ((const struct tt_view *)b)->name);
}

static int by_place(const void *a, const void *b) {
    const struct tt_view *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

// Sorted by place, each tensor must begin where the one before ended, the last where the file ends.
static enum tt_status check_cover(const struct tt_safetensors *file, const unsigned char *data,
                                  size_t size, struct tt_error *err) {
    size_t end = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct tt_view *view = &file->views[i];
        size_t begin = (size_t)((const unsigned char *)view->data - data);
        if (begin != end)
            return tt_fail(err, TT_BAD_INPUT, "%s: tensor %s: begins at byte %zu of the data, "
                           "expected %zu: %s", file->name, view->name, begin, end,
                           begin < end ? "tensors overlap" : "there is a hole");
        end += view->bytes;
    }
    if (end != size)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu bytes of data, expected %zu for its %zu "
                       "tensors", file->name, size, end, file->count);
    return TT_OK;
}

static enum tt_status parse(struct tt_safetensors *file, struct tt_error *err) {
    const unsigned char *bytes = file->bytes.data;
    size_t size = file->bytes.size;
    if (size < 8)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu bytes, expected a safetensors file of at "
                       "least 8", file->name, size);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | bytes[i];
    if (length > MAX_HEADER || length > size - 8)
        return tt_fail(err, TT_BAD_INPUT, "%s: found a header of %llu bytes, expected at most %zu: "
                       "no safetensors file, or cut short", file->name, (unsigned long long)length,
                       size - 8 < MAX_HEADER ? size - 8 : MAX_HEADER);
    if (!length || bytes[8] != '{')
        return tt_fail(err, TT_BAD_INPUT, "%s: the header does not begin with '{'", file->name);
    enum tt_status status =
        tt_json_parse(file->name, bytes + 8, (size_t)length, &file->header, err);
    if (status) return status;

    const unsigned char *data = bytes + 8 + length;
    size -= 8 + (size_t)length;
    file->metadata = json_object_get(file->header, "__metadata__");
    status = check_metadata(file->name, file->metadata, err);
    if (status) return status;
    size_t room = json_object_size(file->header);
    file->views = calloc(room + 1, sizeof *file->views);
    if (!file->views)
        return tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu tensors", file->name, room);
    const char *name;
    json_t *value;
    json_object_foreach(file->header, name, value) {
        if (value == file->metadata) continue;
        status = parse_tensor(file->name, name, value, data, size, &file->views[file->count], err);
        if (status) return status;
        file->count++;
    }
    qsort(file->views, file->count, sizeof *file->views, by_place);
    status = check_cover(file, data, size, err);
    qsort(file->views, file->count, sizeof *file->views, by_name);
    return status;
}

static enum tt_status open_bytes(const char *name, struct tt_bytes bytes,
                                 struct tt_safetensors **out, struct tt_error *err) {
    *out = NULL;
    struct tt_safetensors *file = calloc(1, sizeof *file);
    if (file) file->name = strdup(name);
    if (!file || !file->name) {
        free(file);
        tt_bytes_free(&bytes);
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    }
    file->bytes = bytes;
    enum tt_status status = parse(file, err);
    if (status)
        tt_safetensors_close(file);
    else
        *out = file;
    return status;
}

enum tt_status tt_safetensors_open(struct tt_files *files, const char *path,
                                   struct tt_safetensors **out, struct tt_error *err) {
    *out = NULL;
    struct tt_bytes bytes;
    enum tt_status status = tt_file_map(files, path, &bytes, err);
    return status ? status : open_bytes(path, bytes, out, err);
}

enum tt_status tt_safetensors_open_memory(const char *name, const void *data, size_t size,
                                          struct tt_safetensors **out, struct tt_error *err) {
    return open_bytes(name, (struct tt_bytes){.data = data, .size = size}, out, err);
}

void tt_safetensors_close(struct tt_safetensors *file) {
    if (!file) return;
    free(file->views);
    json_decref(file->header);
    tt_bytes_free(&file->bytes);
    free(file->name);
    free(file);
}

size_t tt_safetensors_count(const struct tt_safetensors *file) {
    return file->count;
}

const struct tt_view *tt_safetensors_at(const struct tt_safetensors *file, size_t index) {
    return index < file->count ? &file->views[index] : NULL;
}

const struct tt_view *tt_safetensors_find(const struct tt_safetensors *file, const char *name) {
    struct tt_view key = {.name = name};
    return bsearch(&key, file->views, file->count, sizeof key, by_name);
}

const char *tt_safetensors_metadata(const struct tt_safetensors *file, const char *key) {
    return json_string_value(json_object_get(file->metadata, key));
}

const char *tt_safetensors_name(const struct tt_safetensors *file) {
    return file->name;
}

static int by_element_then_name(const void *a, const void *b) {
    const struct tt_view *x = *(const struct tt_view *const *)a;
    const struct tt_view *y = *(const struct tt_view *const *)b;
    size_t x_size = tt_dtype_size(x->dtype), y_size = tt_dtype_size(y->dtype);
    if (x_size != y_size) return x_size > y_size ? -1 : 1;
    return strcmp(x->name, y->name);
}

static json_t *list_of(const size_t *sizes, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++)
        if (json_array_append_new(list, json_integer((json_int_t)sizes[i]))) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

// {"dtype": ..., "shape": [...], "data_offsets": [begin, begin + bytes]}; NULL without memory.
static json_t *describe(const struct tt_view *view, size_t begin) {
    json_t *tensor = json_object();
    const size_t offsets[2] = {begin, begin + view->bytes};
    if (!json_object_set_new(tensor, "dtype", json_string(tt_dtype_name(view->dtype))) &&
        !json_object_set_new(tensor, "shape", list_of(view->shape.dim, view->shape.rank)) &&
        !json_object_set_new(tensor, "data_offsets", list_of(offsets, 2)))
        return tensor;
    json_decref(tensor);
    return NULL;
}

static bool is_text(const char *text) { return tt_text_is_utf8(text, strlen(text)); }

// Puts the keys and values of metadata into the header.
static enum tt_status add_metadata(json_t *header, const char *path, const char *const *metadata,
                                   struct tt_error *err) {
    json_t *notes = json_object();
    int failed = json_object_set_new(header, "__metadata__", notes);
    for (; !failed && metadata[0]; metadata += 2) {
        if (!is_text(metadata[0]) || !is_text(metadata[1]))
            return tt_fail(err, TT_BAD_INPUT, "%s: __metadata__.%s: its text is no valid UTF-8",
                           path, metadata[0]);
        failed = json_object_set_new(notes, metadata[0], json_string(metadata[1]));
    }
    return failed ? tt_fail(err, TT_SYSTEM, "%s: out of memory for the header", path) : TT_OK;
}

// Puts all into the header object; the tensors are sorted already.
static enum tt_status fill_header(json_t *header, const char *path,
                                  const struct tt_view *const *sorted, size_t count,
                                  const char *const *metadata, struct tt_error *err) {
    enum tt_status status = metadata ? add_metadata(header, path, metadata, err) : TT_OK;
    if (status) return status;
    size_t begin = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tt_view *view = sorted[i];
        if (json_object_get(header, view->name))
            return tt_fail(err, TT_BAD_INPUT, "%s: tensor %s: the name is used twice", path,
                           view->name);
        if (view->shape.rank > TT_MAX_RANK || !tt_dtype_size(view->dtype))
            return tt_fail(err, TT_BAD_INPUT, "%s: tensor %s: found rank %zu and dtype %d, "
                           "expected rank 0 to %d and a dtype", path, view->name, view->shape.rank,
                           (int)view->dtype, TT_MAX_RANK);
        if (tt_shape_count(&view->shape) * tt_dtype_size(view->dtype) != view->bytes)
            return tt_fail(err, TT_BAD_INPUT, "%s: tensor %s: found %zu bytes, expected %zu", path,
                           view->name, view->bytes,
                           tt_shape_count(&view->shape) * tt_dtype_size(view->dtype));
        if (!is_text(view->name))
            return tt_fail(err, TT_BAD_INPUT, "%s: tensor %s: its name is no valid UTF-8", path,
                           view->name);
        if (json_object_set_new(header, view->name, describe(view, begin)))
            return tt_fail(err, TT_SYSTEM, "%s: out of memory for the header", path);
        begin += view->bytes;
    }
    return TT_OK;
}

enum { SPANS = 3 }; // of a file before its tensors: length, header, spaces

// The file as spans, whose header and length are in *text (malloc'd): SPANS and one a tensor.
static enum tt_status lay_out(const char *path, const struct tt_view *views, size_t count,
                              const char *const *metadata, char **text, struct tt_span *spans,
                              struct tt_error *err) {
    const struct tt_view **sorted = calloc(count + 1, sizeof *sorted);
    json_t *header = json_object();
    char *dumped = NULL;
    enum tt_status status = TT_OK;
    if (!sorted || !header)
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu tensors", path, count);
    for (size_t i = 0; !status && i < count; i++) sorted[i] = &views[i];
    if (!status) qsort(sorted, count, sizeof *sorted, by_element_then_name);
    if (!status) status = fill_header(header, path, sorted, count, metadata, err);
    size_t prefix = 8, length = 0;
    if (!status && (dumped = json_dumps(header, JSON_COMPACT))) {
        length = strlen(dumped);
        *text = malloc(prefix + length);
    }
    if (!status && (!dumped || !*text))
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory for the header", path);
    if (!status) {
        size_t padded = (length + 7) / 8 * 8;
        for (size_t i = 0; i < prefix; i++) (*text)[i] = (char)((uint64_t)padded >> (8 * i));
        memcpy(*text + prefix, dumped, length);
        spans[0] = (struct tt_span){*text, prefix};
        spans[1] = (struct tt_span){*text + prefix, length};
        spans[2] = (struct tt_span){"       ", padded - length};
        for (size_t i = 0; i < count; i++)
            spans[SPANS + i] = (struct tt_span){sorted[i]->data, sorted[i]->bytes};
    }
    free(dumped);
    json_decref(header);
    free(sorted);
    return status;
}

enum tt_status tt_safetensors_spans(const char *path, const struct tt_view *views, size_t count,
                                    const char *const *metadata, char **text,
                                    struct tt_span **spans, size_t *span_count,
                                    struct tt_error *err) {
    *text = NULL;
    *spans = calloc(count + SPANS, sizeof **spans);
    *span_count = count + SPANS;
    if (!*spans)
        return tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu tensors", path, count);
    enum tt_status status = lay_out(path, views, count, metadata, text, *spans, err);
    if (!status) return TT_OK;
    free(*text);
    free(*spans);
    *text = NULL;
    *spans = NULL;
    return status;
}

enum tt_status tt_safetensors_write(struct tt_files *files, const char *path,
                                    const struct tt_view *views, size_t count,
                                    const char *const *metadata, struct tt_error *err) {
    char *text;
    struct tt_span *spans;
    size_t n;
    enum tt_status status =
        tt_safetensors_spans(path, views, count, metadata, &text, &spans, &n, err);
    if (status) return status;
    status = tt_file_write(files, path, spans, n, err);
    free(text);
    free(spans);
    return status;
}

enum tt_status tt_safetensors_encode(const char *name, const struct tt_view *views, size_t count,
                                     const char *const *metadata, void **data, size_t *size,
                                     struct tt_error *err) {
    char *text;
    struct tt_span *spans;
    size_t n, all = 0, at = 0;
    enum tt_status status =
        tt_safetensors_spans(name, views, count, metadata, &text, &spans, &n, err);
    if (status) return status;
    for (size_t i = 0; i < n; i++) all += spans[i].size;
    char *out = malloc(all);
    if (!out) status = tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu bytes", name, all);
    for (size_t i = 0; out && i < n; at += spans[i++].size)
        if (spans[i].size) memcpy(out + at, spans[i].data, spans[i].size);
    free(text);
    free(spans);
    if (status) return status;
    *data = out;
    *size = all;
    return TT_OK;
}
