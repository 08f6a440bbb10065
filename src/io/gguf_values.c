// SPDX-License-Identifier: MIT
#include "io/gguf_values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const struct {
    const char *name;
    size_t size; // bytes of one; 0: they differ
} types[TT_GGUF_TYPES] = {
    [TT_GGUF_U8] = {"UINT8", 1},      [TT_GGUF_I8] = {"INT8", 1},    [TT_GGUF_U16] = {"UINT16", 2},
    [TT_GGUF_I16] = {"INT16", 2},     [TT_GGUF_U32] = {"UINT32", 4}, [TT_GGUF_I32] = {"INT32", 4},
    [TT_GGUF_F32] = {"FLOAT32", 4},   [TT_GGUF_BOOL] = {"BOOL", 1},  [TT_GGUF_LIST] = {"ARRAY", 0},
    [TT_GGUF_STRING] = {"STRING", 0}, [TT_GGUF_U64] = {"UINT64", 8}, [TT_GGUF_I64] = {"INT64", 8},
    [TT_GGUF_F64] = {"FLOAT64", 8},
};

const char *tt_gguf_type_name(enum tt_gguf_type type) {
    return types[type].name;
}

// The next n bytes, which are `what`; NULL where there are no more so many.
static const unsigned char *take(struct tt_gguf_cursor *c, const char *what, uint64_t n) {
    if (n > c->size - c->at) {
        tt_fail(c->err, TT_BAD_INPUT, "%s: %.200s: found %zu bytes at byte %zu of the header, "
                "expected %" PRIu64 "%s", c->file, what, c->size - c->at, c->at, n,
                c->size == TT_GGUF_HEADER ? ": it may have 100000000" : ": cut short");
        return NULL;
    }
    const unsigned char *data = c->bytes + c->at;
    c->at += (size_t)n;
    return data;
}

bool tt_gguf_take_number(struct tt_gguf_cursor *c, const char *what, size_t size,
                         uint64_t *number) {
    const unsigned char *data = take(c, what, size);
    *number = 0;
    if (data) memcpy(number, data, size);
    return data != NULL;
}

const char *tt_gguf_take_text(struct tt_gguf_cursor *c, struct tt_pool *pool, const char *what,
                              uint64_t most) {
    uint64_t length;
    if (!tt_gguf_take_number(c, what, 8, &length)) return NULL;
    if (length > most) {
        tt_fail(c->err, TT_BAD_INPUT, "%s: %.200s: found a text of %" PRIu64 " bytes, expected at "
                "most %" PRIu64, c->file, what, length, most);
        return NULL;
    }
    const unsigned char *data = take(c, what, length);
    if (!data) return NULL;
    if (memchr(data, 0, (size_t)length) || !tt_text_is_utf8(data, (size_t)length)) {
        tt_fail(c->err, TT_BAD_INPUT, "%s: %.200s: found a text with a zero byte, or that is no "
                "valid UTF-8", c->file, what);
        return NULL;
    }
    char *text = tt_pool_alloc(pool, (size_t)length + 1);
    if (text) memcpy(text, data, (size_t)length);
    else tt_fail(c->err, TT_SYSTEM, "%s: %.200s: out of memory", c->file, what);
    return text;
}

static bool take_type(struct tt_gguf_cursor *c, const char *what, enum tt_gguf_type *type) {
    uint64_t number;
    if (!tt_gguf_take_number(c, what, 4, &number)) return false;
    if (number >= TT_GGUF_TYPES) {
        tt_fail(c->err, TT_BAD_INPUT, "%s: %.200s: found type %" PRIu64 ", expected one from 0 to "
                "%d", c->file, what, number, TT_GGUF_TYPES - 1);
        return false;
    }
    *type = (enum tt_gguf_type)number;
    return true;
}

// Goes past a list; *item and *count say of what, *data where its first element lies.
static bool take_list(struct tt_gguf_cursor *c, const char *key, int depth, enum tt_gguf_type *item,
                      uint64_t *count, const unsigned char **data) {
    if (!take_type(c, key, item) || !tt_gguf_take_number(c, key, 8, count)) return false;
    *data = c->bytes + c->at;
    if (types[*item].size) {
        uint64_t bytes;
        if (__builtin_mul_overflow(*count, types[*item].size, &bytes)) bytes = UINT64_MAX;
        return take(c, key, bytes) != NULL;
    }
    if (*item == TT_GGUF_LIST && depth == TT_GGUF_DEPTH) {
        tt_fail(c->err, TT_BAD_INPUT, "%s: %.200s: found lists nested deeper than %d", c->file, key,
                TT_GGUF_DEPTH);
        return false;
    }
    for (uint64_t i = 0; i < *count; i++) {
        enum tt_gguf_type inner;
        uint64_t n;
        const unsigned char *first;
        bool good = *item == TT_GGUF_LIST
                        ? take_list(c, key, depth + 1, &inner, &n, &first)
                        : tt_gguf_take_number(c, key, 8, &n) && take(c, key, n);
        if (!good) return false;
    }
    return true;
}

int64_t tt_gguf_integer(enum tt_gguf_type type, const unsigned char *data, uint64_t i) {
    union {
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
    } x = {.i64 = 0};
    memcpy(&x, data + i * types[type].size, types[type].size);
    switch (type) {
    case TT_GGUF_I8: return x.i8;
    case TT_GGUF_I16: return x.i16;
    case TT_GGUF_I32: return x.i32;
    case TT_GGUF_U8: return x.u8;
    case TT_GGUF_U16: return x.u16;
    case TT_GGUF_U32: return x.u32;
    default: return x.i64;
    }
}

// A number or boolean as text.
static const char *number_text(struct tt_pool *pool, enum tt_gguf_type type,
                               const unsigned char *data) {
    float f;
    double d;
    if (type == TT_GGUF_BOOL) return *data ? "true" : "false";
    if (type == TT_GGUF_U64)
        return tt_pool_format(pool, "%" PRIu64, (uint64_t)tt_gguf_integer(type, data, 0));
    if (type != TT_GGUF_F32 && type != TT_GGUF_F64)
        return tt_pool_format(pool, "%" PRId64, tt_gguf_integer(type, data, 0));
    memcpy(&f, data, sizeof f);
    d = f;
    if (type == TT_GGUF_F64) memcpy(&d, data, sizeof d);
    return tt_pool_format(pool, "%.17g", d);
}

bool tt_gguf_take_pair(struct tt_gguf_cursor *c, struct tt_pool *pool, size_t index,
                       struct tt_gguf_pair *pair) {
    char what[64];
    snprintf(what, sizeof what, "key %zu", index);
    pair->key = tt_gguf_take_text(c, pool, what, TT_GGUF_KEY);
    if (!pair->key || !take_type(c, pair->key, &pair->type)) return false;
    if (pair->type == TT_GGUF_LIST)
        return take_list(c, pair->key, 1, &pair->item, &pair->count, &pair->data);
    if (pair->type == TT_GGUF_STRING) {
        pair->text = tt_gguf_take_text(c, pool, pair->key, TT_GGUF_HEADER);
        return pair->text != NULL;
    }
    pair->data = take(c, pair->key, types[pair->type].size);
    if (!pair->data) return false;
    pair->text = number_text(pool, pair->type, pair->data);
    if (!pair->text)
        tt_fail(c->err, TT_SYSTEM, "%s: %.200s: out of memory", c->file, pair->key);
    return pair->text != NULL;
}

