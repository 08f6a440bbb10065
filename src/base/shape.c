// SPDX-License-Identifier: MIT
#include "tintype.h"

#include <stdio.h>

static const struct {
    const char *name;
    size_t size, block; // bytes of so many elements
} dtypes[] = {
    [TT_F64] = {"F64", 8, 1},      [TT_F32] = {"F32", 4, 1},      [TT_F16] = {"F16", 2, 1},
    [TT_BF16] = {"BF16", 2, 1},    [TT_I64] = {"I64", 8, 1},      [TT_I32] = {"I32", 4, 1},
    [TT_I16] = {"I16", 2, 1},      [TT_I8] = {"I8", 1, 1},        [TT_U8] = {"U8", 1, 1},
    [TT_BOOL] = {"BOOL", 1, 1},    [TT_Q8_0] = {"Q8_0", 34, 32},  [TT_Q4_0] = {"Q4_0", 18, 32},
    [TT_Q4_1] = {"Q4_1", 20, 32},  [TT_Q5_0] = {"Q5_0", 22, 32},  [TT_Q5_1] = {"Q5_1", 24, 32},
    [TT_Q4_K] = {"Q4_K", 144, 256}, [TT_Q5_K] = {"Q5_K", 176, 256}, [TT_Q6_K] = {"Q6_K", 210, 256},
};

static bool known(enum tt_dtype dtype) {
    return (unsigned)dtype < sizeof dtypes / sizeof *dtypes;
}

size_t tt_dtype_size(enum tt_dtype dtype) {
    return known(dtype) && dtypes[dtype].block == 1 ? dtypes[dtype].size : 0;
}

size_t tt_dtype_block(enum tt_dtype dtype) {
    return known(dtype) ? dtypes[dtype].block : 0;
}

size_t tt_dtype_block_size(enum tt_dtype dtype) {
    return known(dtype) ? dtypes[dtype].size : 0;
}

const char *tt_dtype_name(enum tt_dtype dtype) {
    return known(dtype) ? dtypes[dtype].name : "?";
}

static size_t rank_of(const struct tt_shape *shape) {
    return shape->rank < TT_MAX_RANK ? shape->rank : TT_MAX_RANK;
}

size_t tt_shape_count(const struct tt_shape *shape) {
    size_t count = 1;
    for (size_t i = 0; i < rank_of(shape); i++) count *= shape->dim[i];
    return count;
}

bool tt_shape_equal(const struct tt_shape *a, const struct tt_shape *b) {
    if (a->rank != b->rank) return false;
    for (size_t i = 0; i < rank_of(a); i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

bool tt_shape_same_order(const struct tt_shape *a, const struct tt_shape *b) {
    const struct tt_shape *given[2] = {a, b};
    struct tt_shape plain[2] = {{0}};
    for (int k = 0; k < 2; k++) {
        struct tt_shape s = *given[k];
        if (s.rank == 4) s.dim[2] *= s.dim[--s.rank];
        for (size_t i = 0; i < s.rank; i++)
            if (s.dim[i] != 1) plain[k].dim[plain[k].rank++] = s.dim[i];
    }
    return tt_shape_equal(&plain[0], &plain[1]);
}

char *tt_shape_text(const struct tt_shape *shape, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "(");
    for (size_t i = 0; i < rank_of(shape) && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%zu", i ? ", " : "", shape->dim[i]);
    if (used < size) snprintf(text + used, size - used, ")");
    return text;
}
