// SPDX-License-Identifier: MIT
// What the header of a GGUF file is made of: numbers, texts, keys with values.
#ifndef TT_IO_GGUF_VALUES_H
#define TT_IO_GGUF_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum {
    TT_GGUF_HEADER = 100000000, // bytes at most, as of a safetensors file
    TT_GGUF_KEY = 65535,        // bytes of a key
    TT_GGUF_DEPTH = 4,          // of lists
};

// Types of values, in the order of their numbers.
enum tt_gguf_type {
    TT_GGUF_U8, TT_GGUF_I8, TT_GGUF_U16, TT_GGUF_I16, TT_GGUF_U32, TT_GGUF_I32, TT_GGUF_F32,
    TT_GGUF_BOOL, TT_GGUF_STRING, TT_GGUF_LIST, TT_GGUF_U64, TT_GGUF_I64, TT_GGUF_F64,
    TT_GGUF_TYPES
};

// "UINT32", as gguf's GGUFValueType spells it.
const char *tt_gguf_type_name(enum tt_gguf_type type);

// A key. A list has `count` elements of type `item`; numbers lie at `data`.
struct tt_gguf_pair {
    const char *key;
    const char *text; // the value as text; NULL: a list
    enum tt_gguf_type type, item;
    const unsigned char *data;
    uint64_t count;
};

// What is left to read of the header. Reading beyond it, and all else that is wrong, is an error
// that names the file and `what` was read; the functions below then give NULL or false.
struct tt_gguf_cursor {
    const char *file;
    const unsigned char *bytes;
    size_t size, at; // size: of the file, or TT_GGUF_HEADER
    struct tt_error *err;
};

// A number of size bytes, at most 8.
bool tt_gguf_take_number(struct tt_gguf_cursor *c, const char *what, size_t size,
                         uint64_t *number);
// A copy of a string of at most `most` bytes, which is valid UTF-8 without zeros.
const char *tt_gguf_take_text(struct tt_gguf_cursor *c, struct tt_pool *pool, const char *what,
                              uint64_t most);
// The key number `index`, with its value.
bool tt_gguf_take_pair(struct tt_gguf_cursor *c, struct tt_pool *pool, size_t index,
                       struct tt_gguf_pair *pair);

// Element i of the integers that lie at data; a UINT64 beyond INT64_MAX is negative.
int64_t tt_gguf_integer(enum tt_gguf_type type, const unsigned char *data, uint64_t i);

#endif
