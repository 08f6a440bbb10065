// SPDX-License-Identifier: MIT
// Shapes and views of stored tensors, shared by files (io) and networks (graph).
#ifndef TT_BASE_SHAPE_H
#define TT_BASE_SHAPE_H

#include <stddef.h>

enum { TT_MAX_RANK = 8 };

// A shape in PyTorch order, e.g. {4, {N, C, H, W}} or {3, {N, T, C}}.
struct tt_shape {
    size_t rank;
    size_t dim[TT_MAX_RANK];
};

enum tt_dtype { TT_F64, TT_F32, TT_F16, TT_BF16, TT_I64, TT_I32, TT_I16, TT_I8, TT_U8, TT_BOOL };

// A stored tensor, row-major in PyTorch order; data is borrowed (a mapped file) and only as aligned
// as the file makes it.
struct tt_view {
    const char *name;
    enum tt_dtype dtype;
    struct tt_shape shape;
    const void *data;
    size_t bytes;
};

// Bytes of one element.
size_t tt_dtype_size(enum tt_dtype dtype);
// "F32", as safetensors headers spell it.
const char *tt_dtype_name(enum tt_dtype dtype);

// Number of elements; rank 0 is a scalar (1). The product has been checked where the shape was
// made.
size_t tt_shape_count(const struct tt_shape *shape);
int tt_shape_equal(const struct tt_shape *a, const struct tt_shape *b);
// "(2, 320, 64, 64)" into text, cut to size; returns text.
char *tt_shape_text(const struct tt_shape *shape, char *text, size_t size);

// Copies count elements of a F32, F16 or BF16 view starting at element first into out, as float.
// The scalar reference; loading whole checkpoints goes through the convert kernels.
void tt_view_floats(const struct tt_view *view, size_t first, size_t count, float *out);

#endif
