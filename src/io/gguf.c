// SPDX-License-Identifier: MIT
#include "io/gguf.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/gguf_values.h"

enum {
    MAX_COUNT = 65536, // keys, tensors
    MAX_NAME = 1024,   // bytes of a tensor's name
    MAX_ALIGNMENT = 1 << 16,
};

// ggml's numbers of dtypes; name alone: one that is not read.
static const struct {
    const char *name;
    int dtype;
} kinds[] = {
    [0] = {"F32", TT_F32},   [1] = {"F16", TT_F16},   [2] = {"Q4_0", TT_Q4_0},
    [3] = {"Q4_1", TT_Q4_1}, [6] = {"Q5_0", TT_Q5_0}, [7] = {"Q5_1", TT_Q5_1},
    [8] = {"Q8_0", TT_Q8_0}, [9] = {"Q8_1", -1},      [10] = {"Q2_K", -1},
    [11] = {"Q3_K", -1},     [12] = {"Q4_K", TT_Q4_K}, [13] = {"Q5_K", TT_Q5_K},
    [14] = {"Q6_K", TT_Q6_K}, [15] = {"Q8_K", -1},    [16] = {"IQ2_XXS", -1},
    [17] = {"IQ2_XS", -1},   [18] = {"IQ3_XXS", -1},  [19] = {"IQ1_S", -1},
    [20] = {"IQ4_NL", -1},   [21] = {"IQ3_S", -1},    [22] = {"IQ2_S", -1},
    [23] = {"IQ4_XS", -1},   [24] = {"I8", TT_I8},    [25] = {"I16", TT_I16},
    [26] = {"I32", TT_I32},  [27] = {"I64", TT_I64},  [28] = {"F64", TT_F64},
    [29] = {"IQ1_M", -1},    [30] = {"BF16", TT_BF16}, [34] = {"TQ1_0", -1},
    [35] = {"TQ2_0", -1},    [39] = {"MXFP4", -1},    [40] = {"NVFP4", -1},
    [41] = {"Q1_0", -1},
};

struct tt_gguf {
    char *name;
    struct tt_pool pool; // names, keys and texts
    struct tt_gguf_pair *pairs;
    size_t pair_count;
    struct tt_view *views;
    size_t count;
};

bool tt_is_gguf(const void *data, size_t size) {
    return size >= 4 && !memcmp(data, "GGUF", 4);
}

// ---- tensors ----

static bool take_dtype(struct tt_gguf_cursor *c, const char *where, enum tt_dtype *dtype) {
    uint64_t kind;
    if (!tt_gguf_take_number(c, where, 4, &kind)) return false;
    bool named = kind < sizeof kinds / sizeof *kinds && kinds[kind].name;
    if (named && kinds[kind].dtype >= 0) {
        *dtype = (enum tt_dtype)kinds[kind].dtype;
        return true;
    }
    char number[40];
    snprintf(number, sizeof number, "ggml's type %" PRIu64, kind);
    tt_fail(c->err, TT_BAD_INPUT, "%s: %s: dtype: found %s, expected one of F32, F16, BF16, Q8_0, "
            "Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K, F64, I64, I32, I16, I8", c->file, where,
            named ? kinds[kind].name : number);
    return false;
}

// The bytes of its shape, whose last size must be whole blocks: sizes of 0 are allowed, a product
// beyond size_t is not.
static bool size_up(struct tt_gguf_cursor *c, const char *where, struct tt_view *view) {
    size_t rank = view->shape.rank, block = tt_dtype_block(view->dtype), row = 1;
    if (rank) row = view->shape.dim[rank - 1];
    if (row % block) {
        tt_fail(c->err, TT_BAD_INPUT, "%s: %s: found rows of %zu elements, expected a multiple of "
                "%zu, the block of %s", c->file, where, row, block, tt_dtype_name(view->dtype));
        return false;
    }
    bool fits = tt_mul_size(row / block, tt_dtype_block_size(view->dtype), &view->bytes);
    size_t elements = row;
    for (size_t i = 0; i + 1 < rank; i++)
        fits = fits && tt_mul_size(view->bytes, view->shape.dim[i], &view->bytes) &&
               tt_mul_size(elements, view->shape.dim[i], &elements);
    if (!fits)
        tt_fail(c->err, TT_BAD_INPUT, "%s: %s: shape: the product of its %zu sizes overflows",
                c->file, where, rank);
    return fits;
}

// *offset: where it begins in the data.
static bool take_tensor(struct tt_gguf_cursor *c, struct tt_gguf *file, size_t index,
                        struct tt_view *view, uint64_t *offset) {
    char where[160];
    uint64_t rank, size;
    snprintf(where, sizeof where, "tensor %zu", index);
    view->name = tt_gguf_take_text(c, &file->pool, where, MAX_NAME);
    if (!view->name) return false;
    snprintf(where, sizeof where, "tensor %.128s", view->name);
    if (!tt_gguf_take_number(c, where, 4, &rank)) return false;
    if (rank > TT_MAX_RANK) {
        tt_fail(c->err, TT_BAD_INPUT, "%s: %s: shape: found %" PRIu64 " sizes, expected at most %d",
                c->file, where, rank, TT_MAX_RANK);
        return false;
    }
    view->shape.rank = (size_t)rank;
    for (size_t i = view->shape.rank; i-- > 0;) {
        if (!tt_gguf_take_number(c, where, 8, &size)) return false;
        view->shape.dim[i] = (size_t)size;
        if (view->shape.dim[i] != size) return false; // nowhere that memory is mapped
    }
    return take_dtype(c, where, &view->dtype) && size_up(c, where, view) &&
           tt_gguf_take_number(c, where, 8, offset);
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const struct tt_gguf_pair *)a)->key, ((const struct tt_gguf_pair *)b)->key);
}

static const struct tt_gguf_pair *find_pair(const struct tt_gguf *file, const char *name) {
    struct tt_gguf_pair key = {.key = name};
    if (!file->pair_count) return NULL;
    return bsearch(&key, file->pairs, file->pair_count, sizeof key, by_key);
}

// The shape that a tensor had before it was stored flat, if a key tells.
static bool restore_shape(struct tt_gguf_cursor *c, const struct tt_gguf *file,
                          struct tt_view *view) {
    char key[MAX_NAME + 64];
    snprintf(key, sizeof key, "comfy.gguf.orig_shape.%s", view->name);
    const struct tt_gguf_pair *pair = find_pair(file, key);
    if (!pair) return true;
    enum tt_gguf_type item = pair->item;
    bool integers = item == TT_GGUF_I32 || item == TT_GGUF_U32 || item == TT_GGUF_I64 ||
                    item == TT_GGUF_U64;
    if (pair->type != TT_GGUF_LIST || !integers || pair->count > TT_MAX_RANK) {
        bool list = pair->type == TT_GGUF_LIST;
        tt_fail(c->err, TT_BAD_INPUT, "%s: %.200s: found %s%s, expected a list of at most %d "
                "whole numbers", c->file, key, list ? "a list, too long or of " : "",
                tt_gguf_type_name(list ? item : pair->type), TT_MAX_RANK);
        return false;
    }
    struct tt_shape shape = {.rank = (size_t)pair->count};
    size_t elements = 1;
    bool right = true;
    for (size_t i = 0; i < shape.rank; i++) {
        int64_t size = tt_gguf_integer(item, pair->data, i);
        shape.dim[i] = size < 0 ? 0 : (size_t)size;
        right = right && size >= 0 && tt_mul_size(elements, shape.dim[i], &elements);
    }
    char found[128], stored[128];
    if (!right || elements != tt_shape_count(&view->shape)) {
        tt_fail(c->err, TT_BAD_INPUT, "%s: %.200s: found %s, expected as many elements as there "
                "are, %s", c->file, key, tt_shape_text(&shape, found, sizeof found),
                tt_shape_text(&view->shape, stored, sizeof stored));
        return false;
    }
    view->shape = shape;
    return true;
}

// ---- the file ----

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct tt_view *)a)->name, ((const struct tt_view *)b)->name);
}

static int by_place(const void *a, const void *b) {
    const struct tt_view *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

// Two of one name, two that share bytes. Leaves tensors in the order of names.
static enum tt_status check_apart(struct tt_gguf *file, struct tt_error *err) {
    qsort(file->views, file->count, sizeof *file->views, by_place);
    for (size_t i = 1; i < file->count; i++) {
        const struct tt_view *a = &file->views[i - 1], *b = &file->views[i];
        if ((const char *)a->data + a->bytes > (const char *)b->data)
            return tt_fail(err, TT_BAD_INPUT, "%s: tensor %.128s: begins %td bytes behind tensor "
                           "%.128s, expected at least %zu: they overlap", file->name, b->name,
                           (const char *)b->data - (const char *)a->data, a->name, a->bytes);
    }
    qsort(file->views, file->count, sizeof *file->views, by_name);
    for (size_t i = 1; i < file->count; i++)
        if (!by_name(&file->views[i - 1], &file->views[i]))
            return tt_fail(err, TT_BAD_INPUT, "%s: tensor %.128s: found twice, expected once",
                           file->name, file->views[i].name);
    return TT_OK;
}

// All keys, in order; *alignment as they say.
static bool take_pairs(struct tt_gguf_cursor *c, struct tt_gguf *file, size_t count,
                       size_t *alignment) {
    for (size_t i = 0; i < count; i++)
        if (!tt_gguf_take_pair(c, &file->pool, i, &file->pairs[i])) return false;
    file->pair_count = count;
    qsort(file->pairs, count, sizeof *file->pairs, by_key);
    for (size_t i = 1; i < count; i++) {
        if (by_key(&file->pairs[i - 1], &file->pairs[i])) continue;
        tt_fail(c->err, TT_BAD_INPUT, "%s: %.200s: found twice, expected once", c->file,
                file->pairs[i].key);
        return false;
    }
    *alignment = 32;
    const struct tt_gguf_pair *pair = find_pair(file, "general.alignment");
    if (!pair) return true;
    int64_t found = pair->type == TT_GGUF_U32 ? tt_gguf_integer(TT_GGUF_U32, pair->data, 0) : 0;
    if (!found || found > MAX_ALIGNMENT || found & (found - 1)) {
        tt_fail(c->err, TT_BAD_INPUT, "%s: general.alignment: found %.60s (%s), expected a UINT32, "
                "a power of two up to %d", c->file, pair->text ? pair->text : "a list",
                tt_gguf_type_name(pair->type), MAX_ALIGNMENT);
        return false;
    }
    *alignment = (size_t)found;
    return true;
}

// Where each tensor lies; `size` bytes of the file, whose header is read.
static bool place(struct tt_gguf_cursor *c, struct tt_gguf *file, const uint64_t *offsets,
                  size_t alignment, size_t size) {
    size_t header = (c->at + alignment - 1) / alignment * alignment;
    size_t there = header < size ? size - header : 0;
    for (size_t i = 0; i < file->count; i++) {
        struct tt_view *view = &file->views[i];
        if (offsets[i] % alignment) {
            tt_fail(c->err, TT_BAD_INPUT, "%s: tensor %.128s: offset: found %" PRIu64 ", expected "
                    "a multiple of %zu", c->file, view->name, offsets[i], alignment);
            return false;
        }
        if (offsets[i] > there || view->bytes > there - offsets[i]) {
            tt_fail(c->err, TT_BAD_INPUT, "%s: tensor %.128s: offset: found %zu bytes from %" PRIu64
                    " on, expected a range in the %zu bytes of data", c->file, view->name,
                    view->bytes, offsets[i], there);
            return false;
        }
        // An empty one may stand where the file ends before its data begin.
        view->data = c->bytes + (view->bytes ? header + offsets[i] : 0);
        if (!restore_shape(c, file, view)) return false;
    }
    return true;
}

// What the first 24 bytes say, and arrays for it.
static bool begin(struct tt_gguf_cursor *c, struct tt_gguf *file, size_t *pairs, size_t *tensors) {
    enum { LEAST_PAIR = 13, LEAST_TENSOR = 24 }; // bytes in the header
    uint64_t version, found[2];
    static const char *const names[] = {"tensors", "keys"};
    if (!tt_is_gguf(c->bytes, c->size)) {
        tt_fail(c->err, TT_BAD_INPUT, "%s: found %zu bytes that do not begin with \"GGUF\"",
                c->file, c->size);
        return false;
    }
    c->at = 4;
    if (!tt_gguf_take_number(c, "version", 4, &version)) return false;
    if (version != 2 && version != 3) {
        tt_fail(c->err, TT_BAD_INPUT, "%s: version: found %" PRIu64 "%s, expected 2 or 3", c->file,
                version, version & 0xffff ? "" : " (big-endian)");
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (!tt_gguf_take_number(c, names[i], 8, &found[i])) return false;
        uint64_t room = (c->size - c->at) / (i ? LEAST_PAIR : LEAST_TENSOR);
        if (found[i] <= MAX_COUNT && found[i] <= room) continue;
        tt_fail(c->err, TT_BAD_INPUT, "%s: found %" PRIu64 " %s, expected at most %" PRIu64,
                c->file, found[i], names[i], room < MAX_COUNT ? room : (uint64_t)MAX_COUNT);
        return false;
    }
    *tensors = (size_t)found[0];
    *pairs = (size_t)found[1];
    file->views = calloc(*tensors + 1, sizeof *file->views);
    file->pairs = calloc(*pairs + 1, sizeof *file->pairs);
    if (!file->views || !file->pairs)
        tt_fail(c->err, TT_SYSTEM, "%s: out of memory for its header", c->file);
    return file->views && file->pairs;
}

static enum tt_status parse(struct tt_gguf *file, const void *data, size_t size,
                            struct tt_error *err) {
    struct tt_error own = {0};
    struct tt_gguf_cursor c = {.file = file->name, .bytes = data, .err = &own,
                               .size = size < TT_GGUF_HEADER ? size : TT_GGUF_HEADER};
    size_t pairs, tensors, alignment;
    uint64_t *offsets = NULL;
    bool good = begin(&c, file, &pairs, &tensors) && take_pairs(&c, file, pairs, &alignment);
    if (good) {
        offsets = calloc(tensors + 1, sizeof *offsets);
        good = offsets != NULL;
        if (!good) tt_fail(&own, TT_SYSTEM, "%s: out of memory for its header", file->name);
    }
    for (size_t i = 0; good && i < tensors; i++)
        good = take_tensor(&c, file, i, &file->views[i], &offsets[i]);
    if (good) {
        file->count = tensors;
        good = place(&c, file, offsets, alignment, size);
    }
    free(offsets);
    if (!good) return tt_fail(err, own.status, "%s", own.message);
    return check_apart(file, err);
}

enum tt_status tt_gguf_open_memory(const char *name, const void *data, size_t size,
                                   struct tt_gguf **out, struct tt_error *err) {
    *out = NULL;
    struct tt_gguf *file = calloc(1, sizeof *file);
    if (file) file->name = strdup(name);
    if (!file || !file->name) {
        free(file);
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    }
    enum tt_status status = parse(file, data, size, err);
    if (status)
        tt_gguf_close(file);
    else
        *out = file;
    return status;
}

void tt_gguf_close(struct tt_gguf *file) {
    if (!file) return;
    free(file->views);
    free(file->pairs);
    tt_pool_free(&file->pool);
    free(file->name);
    free(file);
}

size_t tt_gguf_count(const struct tt_gguf *file) {
    return file->count;
}

const struct tt_view *tt_gguf_at(const struct tt_gguf *file, size_t index) {
    return index < file->count ? &file->views[index] : NULL;
}

const struct tt_view *tt_gguf_find(const struct tt_gguf *file, const char *name) {
    struct tt_view key = {.name = name};
    return bsearch(&key, file->views, file->count, sizeof key, by_name);
}

const char *tt_gguf_metadata(const struct tt_gguf *file, const char *key) {
    const struct tt_gguf_pair *pair = find_pair(file, key);
    return pair ? pair->text : NULL;
}

const char *tt_gguf_name(const struct tt_gguf *file) {
    return file->name;
}
