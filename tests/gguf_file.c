// SPDX-License-Identifier: MIT
#include "gguf_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "util.h"

// ---- quantised weights ----

// Random blocks that reach about as far as the tensor did.
static void to_blocks(struct tt_view *view, enum tt_dtype dtype, uint64_t seed) {
    static const float scales[][2] = { // of d and of m, for the largest element to be 1
        {1.0f / 127, 0}, {1.0f / 8, 0}, {2.0f / 15, -1}, {1.0f / 16, 0}, {2.0f / 31, -1},
        {2.0f / 63 / 15, 1.0f / 63}, {2.0f / 63 / 31, 1.0f / 63}, {1.0f / 128 / 32, 0},
    };
    size_t n = tt_shape_count(&view->shape), size = tt_dtype_block_size(dtype);
    float most = 0;
    for (size_t i = 0; i < n; i++) {
        float x;
        tt_view_floats(view, i, 1, &x);
        most = fmaxf(most, fabsf(x));
    }
    size_t count = n / tt_dtype_block(dtype);
    unsigned char *data = malloc(count * size);
    for (size_t i = 0; i < count * size; i++) data[i] = (unsigned char)(test_random(&seed) >> 56);
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < 2; k++) {
            float scale = scales[dtype - TT_Q8_0][k] * most;
            uint16_t half = tt_half_from_float(scale);
            if (scale != 0)
                memcpy(data + i * size + (dtype == TT_Q6_K ? 208 : 2 * k), &half, sizeof half);
        }
    free((void *)(uintptr_t)view->data);
    view->data = data;
    view->dtype = dtype;
    view->bytes = count * size;
}

// What a row of so many elements may be, by turns.
static enum tt_dtype pick(size_t row, size_t turn) {
    static const enum tt_dtype kinds[] = {TT_Q8_0, TT_Q4_K, TT_Q4_0, TT_Q6_K,
                                          TT_Q4_1, TT_Q5_K, TT_Q5_0, TT_Q5_1};
    enum tt_dtype kind = kinds[turn % 8];
    if (row % tt_dtype_block(kind)) kind = kinds[turn / 2 % 4 * 2];
    if (row % tt_dtype_block(kind)) kind = TT_Q8_0;
    return row % tt_dtype_block(kind) ? TT_F32 : kind;
}

size_t gguf_quantise(struct single_file *file, struct tt_shape *stored, bool flat) {
    size_t count = 0;
    for (size_t i = 0; i < file->count; i++) {
        struct tt_view *view = &file->views[i];
        size_t rank = view->shape.rank, n = tt_shape_count(&view->shape);
        stored[i].rank = 0;
        if (rank < 2 || (view->dtype != TT_F32 && view->dtype != TT_F16)) continue;
        enum tt_dtype kind = pick(flat ? n : view->shape.dim[rank - 1], count);
        if (kind == TT_F32) continue;
        to_blocks(view, kind, i);
        size_t block = tt_dtype_block(kind);
        if (flat) stored[i] = (struct tt_shape){2, {n / block, block}};
        count++;
    }
    return count;
}

// ---- a file ----

static void put(FILE *to, const void *data, size_t size) {
    ck_assert_uint_eq(fwrite(data, 1, size, to), size);
}

static void put_number(FILE *to, uint64_t number, size_t size) { put(to, &number, size); }

static void put_text(FILE *to, const char *text) {
    put_number(to, strlen(text), 8);
    put(to, text, strlen(text));
}

static unsigned kind_of(enum tt_dtype dtype) {
    static const unsigned kinds[] = {
        [TT_F32] = 0, [TT_F16] = 1, [TT_BF16] = 30, [TT_F64] = 28, [TT_I64] = 27, [TT_I32] = 26,
        [TT_Q4_0] = 2, [TT_Q4_1] = 3, [TT_Q5_0] = 6, [TT_Q5_1] = 7, [TT_Q8_0] = 8, [TT_Q4_K] = 12,
        [TT_Q5_K] = 13, [TT_Q6_K] = 14,
    };
    return kinds[dtype];
}

void gguf_write(const struct single_file *file, const struct tt_shape *stored, const char *path) {
    enum { ALIGNMENT = 32 };
    FILE *to = fopen(path, "wb");
    ck_assert_ptr_nonnull(to);
    size_t keys = 0, offset = 0;
    for (size_t i = 0; i < file->count; i++) keys += stored[i].rank != 0;
    put(to, "GGUF\3\0\0", 8);
    put_number(to, file->count, 8);
    put_number(to, keys, 8);
    for (size_t i = 0; i < file->count; i++) {
        const struct tt_view *view = &file->views[i];
        if (!stored[i].rank) continue;
        char key[300];
        snprintf(key, sizeof key, "comfy.gguf.orig_shape.%s", view->name);
        put_text(to, key);
        put_number(to, 9, 4);
        put_number(to, 5, 4);
        put_number(to, view->shape.rank, 8);
        for (size_t k = 0; k < view->shape.rank; k++) put_number(to, view->shape.dim[k], 4);
    }
    for (size_t i = 0; i < file->count; i++) {
        const struct tt_view *view = &file->views[i];
        const struct tt_shape *shape = stored[i].rank ? &stored[i] : &view->shape;
        put_text(to, view->name);
        put_number(to, shape->rank, 4);
        for (size_t k = shape->rank; k-- > 0;) put_number(to, shape->dim[k], 8);
        put_number(to, kind_of(view->dtype), 4);
        put_number(to, offset, 8);
        offset += (view->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    static const char zeros[ALIGNMENT];
    put(to, zeros, (size_t)-ftell(to) % ALIGNMENT);
    for (size_t i = 0; i < file->count; i++) {
        put(to, file->views[i].data, file->views[i].bytes);
        put(to, zeros, -file->views[i].bytes % ALIGNMENT);
    }
    ck_assert(!fclose(to));
}
