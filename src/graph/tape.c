// SPDX-License-Identifier: MIT
#include "graph/tape.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tt_tape_free(struct tt_tape *tape) {
    free(tape->nodes);
    free(tape->tensors);
    free(tape->labels);
    tt_pool_free(&tape->pool);
    *tape = (struct tt_tape){0};
}

enum tt_status tt_tape_status(const struct tt_tape *tape, struct tt_error *err) {
    if (!tape->error.status) return TT_OK;
    return tt_fail(err, tape->error.status, "%s", tape->error.message);
}

tt_value tt_tape_fail(struct tt_tape *tape, const char *format, ...) {
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    tt_fail(&tape->error, TT_BAD_INPUT, "%s%s%s", tape->path, *tape->path ? ": " : "", message);
    return TT_NO_VALUE;
}

static tt_value no_memory(struct tt_tape *tape) {
    tt_fail(&tape->error, TT_SYSTEM, "out of memory while laying out the network");
    return TT_NO_VALUE;
}

// Room for one more element in an array that doubles when its count is a power of two.
static bool grow(void *array_pointer, int count, size_t size) {
    if (count & (count - 1)) return true;
    void **array = array_pointer;
    void *larger = realloc(*array, (size_t)(count ? 2 * count : 1) * size);
    if (larger) *array = larger;
    return larger != NULL;
}

static bool name_taken(const struct tt_tape *tape, const char *name) {
    return tt_find_value(tape, name) != TT_NO_VALUE;
}

// The path so far and name; with "#2", "#3", ... where that has been used.
static char *full_name(struct tt_tape *tape, const char *name) {
    const char *dot = *tape->path && *name ? "." : "";
    char *full = tt_pool_format(&tape->pool, "%s%s%s", tape->path, dot, name);
    for (int call = 2; full && name_taken(tape, full); call++)
        full = tt_pool_format(&tape->pool, "%s%s%s#%d", tape->path, dot, name, call);
    return full;
}

static void open_module(struct tt_tape *tape, const char *name, va_list args) {
    assert(tape->depth < (int)(sizeof tape->opened / sizeof *tape->opened));
    size_t used = strlen(tape->path);
    tape->opened[tape->depth++] = used;
    char *end = tape->path + used;
    if (used) *end++ = '.';
    int length = vsnprintf(end, (size_t)(tape->path + sizeof tape->path - end), name, args);
    assert(length > 0 && end + length < tape->path + sizeof tape->path - 1);
    (void)length;
}

void tt_push(struct tt_tape *tape, const char *name, ...) {
    va_list args;
    va_start(args, name);
    open_module(tape, name, args);
    va_end(args);
}

void tt_push_block(struct tt_tape *tape, const char *name, ...) {
    va_list args;
    va_start(args, name);
    open_module(tape, name, args);
    va_end(args);
    if (tape->block_depth) return;
    tape->block_depth = tape->depth;
    tape->block_count++;
}

static void add_label(struct tt_tape *tape, char *name, tt_value value) {
    if (!name || !grow(&tape->labels, tape->label_count, sizeof *tape->labels)) {
        no_memory(tape);
        return;
    }
    tape->labels[tape->label_count++] = (struct tt_label){name, value};
}

tt_value tt_pop(struct tt_tape *tape, tt_value output) {
    if (!tape->error.status) add_label(tape, full_name(tape, ""), output);
    assert(tape->depth > 0);
    if (tape->depth == tape->block_depth) tape->block_depth = 0;
    tape->path[tape->opened[--tape->depth]] = 0;
    return output;
}

struct tt_shape tt_shape_of(const struct tt_tape *tape, tt_value value) {
    return value == TT_NO_VALUE ? (struct tt_shape){0} : tape->tensors[value].shape;
}

void tt_set_output(struct tt_tape *tape, tt_value value) {
    if (value != TT_NO_VALUE) tape->tensors[value].is_output = true;
}

tt_value tt_find_value(const struct tt_tape *tape, const char *name) {
    for (int i = 0; i < tape->node_count; i++)
        if (!strcmp(tape->nodes[i].name, name)) return tape->nodes[i].output;
    for (int i = 0; i < tape->label_count; i++)
        if (!strcmp(tape->labels[i].name, name)) return tape->labels[i].value;
    return TT_NO_VALUE;
}

// Appends a node whose output has the given shape. Every builder below ends here.
static tt_value append(struct tt_tape *tape, struct tt_node node, const char *name,
                       struct tt_shape shape) {
    size_t count = sizeof(float);
    for (size_t i = 0; i < shape.rank; i++)
        if (!tt_mul_size(count, shape.dim[i], &count) || count > SIZE_MAX / 4)
            return tt_tape_fail(tape, "%s: the tensor is larger than memory can be", name);
    if (!grow(&tape->nodes, tape->node_count, sizeof *tape->nodes) ||
        !grow(&tape->tensors, tape->node_count, sizeof *tape->tensors))
        return no_memory(tape);
    int index = tape->node_count;
    enum tt_dtype dtype =
        node.op == TT_OP_reshape ? tape->tensors[node.input[0]].dtype : TT_F32;
    node.name = full_name(tape, name);
    if (!node.name) return no_memory(tape);
    node.block = tape->block_depth ? tape->block_count : 0;
    node.output = index;
    tape->nodes[index] = node;
    tape->tensors[index] = (struct tt_tensor){.shape = shape, .producer = index, .dtype = dtype};
    tape->node_count++;
    return index;
}

// The checkpoint's tensor "<path>.<module>.<which>".
static const struct tt_param *param(struct tt_tape *tape, const char *module, const char *which,
                                    struct tt_shape shape) {
    struct tt_param *p = tt_pool_alloc(&tape->pool, sizeof *p);
    const char *dot = *tape->path ? "." : "";
    char *name = tt_pool_format(&tape->pool, "%s%s%s.%s", tape->path, dot, module, which);
    if (!p || !name) {
        no_memory(tape);
        return NULL;
    }
    *p = (struct tt_param){name, shape};
    return p;
}

#define SHAPE1(a) ((struct tt_shape){1, {a}})
#define SHAPE2(a, b) ((struct tt_shape){2, {a, b}})
#define SHAPE4(a, b, c, d) ((struct tt_shape){4, {a, b, c, d}})

static size_t channels(const struct tt_shape *s) {
    return s->rank == 4 ? s->dim[1] : s->dim[s->rank - 1];
}

tt_value tt_nn_input(struct tt_tape *tape, const char *name, struct tt_shape shape,
                     enum tt_dtype dtype) {
    if (tape->error.status) return TT_NO_VALUE;
    tt_value y = append(tape, (struct tt_node){.op = TT_OP_input}, name, shape);
    if (y != TT_NO_VALUE) tape->tensors[y].dtype = dtype;
    return y;
}

tt_value tt_nn_reshape(struct tt_tape *tape, tt_value x, struct tt_shape shape) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_node node = {.op = TT_OP_reshape, .input_count = 1, .input = {x}};
    return append(tape, node, "reshape", shape);
}

tt_value tt_nn_embedding(struct tt_tape *tape, const char *name, tt_value ids, size_t rows,
                         size_t dim) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_node node = {.op = TT_OP_embedding, .input_count = 1, .input = {ids}};
    node.param[0] = param(tape, name, "weight", SHAPE2(rows, dim));
    struct tt_shape shape = tt_shape_of(tape, ids);
    shape.dim[shape.rank++] = dim;
    return append(tape, node, name, shape);
}

tt_value tt_nn_sinusoidal(struct tt_tape *tape, const char *name, tt_value timesteps, size_t dim,
                          bool flip_sin_to_cos, float shift) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_node node = {.op = TT_OP_sinusoidal, .input_count = 1, .input = {timesteps}};
    node.with.sinusoidal.dim = dim;
    node.with.sinusoidal.flip_sin_to_cos = flip_sin_to_cos;
    node.with.sinusoidal.shift = shift;
    return append(tape, node, name, SHAPE2(tt_shape_of(tape, timesteps).dim[0], dim));
}

tt_value tt_nn_linear(struct tt_tape *tape, const char *name, tt_value x, size_t out, bool bias) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_shape shape = tt_shape_of(tape, x);
    struct tt_node node = {.op = TT_OP_linear, .input_count = 1, .input = {x}};
    node.param[0] = param(tape, name, "weight", SHAPE2(out, shape.dim[shape.rank - 1]));
    if (bias) node.param[1] = param(tape, name, "bias", SHAPE1(out));
    shape.dim[shape.rank - 1] = out;
    return append(tape, node, name, shape);
}

static tt_value conv2d(struct tt_tape *tape, const char *name, tt_value x, size_t out,
                       size_t kernel, size_t stride, const size_t padding[4], bool bias) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_shape in = tt_shape_of(tape, x);
    struct tt_node node = {.op = TT_OP_conv2d, .input_count = 1, .input = {x}};
    node.param[0] = param(tape, name, "weight", SHAPE4(out, in.dim[1], kernel, kernel));
    if (bias) node.param[1] = param(tape, name, "bias", SHAPE1(out));
    node.with.conv.kernel = kernel;
    node.with.conv.stride = stride;
    node.with.conv.pad_top = padding[0];
    node.with.conv.pad_left = padding[1];
    node.with.conv.pad_bottom = padding[2];
    node.with.conv.pad_right = padding[3];
    size_t height = in.dim[2] + padding[0] + padding[2];
    size_t width = in.dim[3] + padding[1] + padding[3];
    if (height < kernel || width < kernel)
        return tt_tape_fail(tape, "%s: a %zux%zu picture is smaller than the kernel (%zu)", name,
                            in.dim[2], in.dim[3], kernel);
    return append(tape, node, name,
                  SHAPE4(in.dim[0], out, (height - kernel) / stride + 1,
                         (width - kernel) / stride + 1));
}

tt_value tt_nn_conv2d(struct tt_tape *tape, const char *name, tt_value x, size_t out, size_t kernel,
                      size_t stride, const size_t padding[4]) {
    return conv2d(tape, name, x, out, kernel, stride, padding, true);
}

tt_value tt_nn_conv2d_unbiased(struct tt_tape *tape, const char *name, tt_value x, size_t out,
                               size_t kernel, size_t stride, const size_t padding[4]) {
    return conv2d(tape, name, x, out, kernel, stride, padding, false);
}

tt_value tt_nn_group_norm(struct tt_tape *tape, const char *name, tt_value x, size_t groups,
                          float eps) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_shape shape = tt_shape_of(tape, x);
    size_t c = channels(&shape);
    if (groups == 0 || c % groups)
        return tt_tape_fail(tape, "%s: %zu channels do not divide into norm_num_groups %zu", name,
                            c, groups);
    struct tt_node node = {.op = TT_OP_group_norm, .input_count = 1, .input = {x}};
    node.param[0] = param(tape, name, "weight", SHAPE1(c));
    node.param[1] = param(tape, name, "bias", SHAPE1(c));
    node.with.norm.groups = groups;
    node.with.norm.eps = eps;
    return append(tape, node, name, shape);
}

tt_value tt_nn_layer_norm(struct tt_tape *tape, const char *name, tt_value x, float eps) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_shape shape = tt_shape_of(tape, x);
    struct tt_node node = {.op = TT_OP_layer_norm, .input_count = 1, .input = {x}};
    node.param[0] = param(tape, name, "weight", SHAPE1(channels(&shape)));
    node.param[1] = param(tape, name, "bias", SHAPE1(channels(&shape)));
    node.with.norm.eps = eps;
    return append(tape, node, name, shape);
}

tt_value tt_nn_attention(struct tt_tape *tape, const char *name, tt_value q, tt_value k, tt_value v,
                         size_t heads, float scale, bool causal) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_shape shape = tt_shape_of(tape, q);
    if (heads == 0 || shape.dim[2] % heads)
        return tt_tape_fail(tape, "%s: %zu channels do not divide into %zu heads", name,
                            shape.dim[2], heads);
    struct tt_node node = {.op = TT_OP_attention, .input_count = 3, .input = {q, k, v}};
    node.with.attention.heads = heads;
    node.with.attention.scale = scale;
    node.with.attention.causal = causal;
    return append(tape, node, name, shape);
}

tt_value tt_nn_activation(struct tt_tape *tape, const char *name, tt_value x, enum tt_op_kind op) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_shape shape = tt_shape_of(tape, x);
    if (op == TT_OP_geglu) shape.dim[shape.rank - 1] /= 2;
    return append(tape, (struct tt_node){.op = op, .input_count = 1, .input = {x}}, name, shape);
}

tt_value tt_nn_add(struct tt_tape *tape, const char *name, tt_value a, tt_value b) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_node node = {.op = TT_OP_add, .input_count = 2, .input = {a, b}};
    return append(tape, node, name, tt_shape_of(tape, a));
}

tt_value tt_nn_scale(struct tt_tape *tape, const char *name, tt_value x, float s) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_node node = {.op = TT_OP_scale, .input_count = 1, .input = {x}, .with.scale = s};
    return append(tape, node, name, tt_shape_of(tape, x));
}

tt_value tt_nn_affine(struct tt_tape *tape, const char *name, tt_value x, float scale,
                      float shift) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_node node = {.op = TT_OP_affine, .input_count = 1, .input = {x}};
    node.with.affine.scale = scale;
    node.with.affine.shift = shift;
    return append(tape, node, name, tt_shape_of(tape, x));
}

tt_value tt_nn_add_image(struct tt_tape *tape, const char *name, tt_value x, tt_value e) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_node node = {.op = TT_OP_add_image, .input_count = 2, .input = {x, e}};
    return append(tape, node, name, tt_shape_of(tape, x));
}

tt_value tt_nn_upsample_nearest(struct tt_tape *tape, const char *name, tt_value x, size_t height,
                                size_t width) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_shape in = tt_shape_of(tape, x);
    struct tt_node node = {.op = TT_OP_upsample_nearest, .input_count = 1, .input = {x}};
    return append(tape, node, name, SHAPE4(in.dim[0], in.dim[1], height, width));
}

tt_value tt_nn_concat(struct tt_tape *tape, const char *name, tt_value a, tt_value b) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_shape shape = tt_shape_of(tape, a), other = tt_shape_of(tape, b);
    if (shape.rank != 4 || other.rank != 4 || shape.dim[2] != other.dim[2] ||
        shape.dim[3] != other.dim[3]) {
        char left[64], right[64];
        return tt_tape_fail(tape, "%s: cannot join %s and %s", name,
                            tt_shape_text(&shape, left, sizeof left),
                            tt_shape_text(&other, right, sizeof right));
    }
    shape.dim[1] += other.dim[1];
    struct tt_node node = {.op = TT_OP_concat, .input_count = 2, .input = {a, b}};
    return append(tape, node, name, shape);
}

tt_value tt_nn_take_row(struct tt_tape *tape, const char *name, tt_value x, tt_value index) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_shape in = tt_shape_of(tape, x);
    struct tt_node node = {.op = TT_OP_take_row, .input_count = 2, .input = {x, index}};
    return append(tape, node, name, SHAPE2(in.dim[0], in.dim[2]));
}

tt_value tt_nn_copy(struct tt_tape *tape, const struct tt_node *node, const tt_value input[],
                    struct tt_shape shape) {
    if (tape->error.status) return TT_NO_VALUE;
    struct tt_node copy = *node;
    for (int j = 0; j < node->input_count; j++) copy.input[j] = input[j];
    return append(tape, copy, node->name, shape);
}
