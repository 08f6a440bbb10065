// SPDX-License-Identifier: MIT
// A problem as a tape of one node, and made-up weights for it.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/quant.h"
#include "graph/problem.h"

#define ROWS(m, c) ((struct tt_shape){2, {m, c}})
#define THREE(n, t, c) ((struct tt_shape){3, {n, t, c}})
#define IMAGE(n, c, h, w) ((struct tt_shape){4, {n, c, h, w}})

// The shapes of its inputs; how many there are.
static int input_shapes(const struct tt_problem *p, struct tt_shape in[TT_MAX_INPUTS]) {
    const size_t *s = p->size;
    switch (p->op) {
    case TT_OP_conv2d: case TT_OP_group_norm: case TT_OP_upsample_nearest:
        in[0] = IMAGE(s[0], s[1], s[2], s[3]);
        return 1;
    case TT_OP_attention:
        in[0] = THREE(s[0], s[1], s[3] * s[4]);
        in[1] = in[2] = THREE(s[0], s[2], s[3] * s[4]);
        return 3;
    case TT_OP_embedding: in[0] = (struct tt_shape){1, {s[0]}}; return 1;
    case TT_OP_sinusoidal: in[0] = (struct tt_shape){1, {s[0]}}; return 1;
    case TT_OP_geglu: in[0] = ROWS(s[0], 2 * s[1]); return 1;
    case TT_OP_add:
        in[0] = ROWS(s[0], s[1]);
        in[1] = ROWS(s[2], s[1]);
        return 2;
    case TT_OP_add_image:
        in[0] = IMAGE(s[0], s[1], s[2], s[3]);
        in[1] = ROWS(s[0], s[1]);
        return 2;
    case TT_OP_concat:
        in[0] = IMAGE(s[0], s[1], s[3], s[4]);
        in[1] = IMAGE(s[0], s[2], s[3], s[4]);
        return 2;
    case TT_OP_take_row:
        in[0] = THREE(s[0], s[1], s[2]);
        in[1] = (struct tt_shape){1, {s[0]}};
        return 2;
    default: in[0] = ROWS(s[0], s[1]); return 1;
    }
}

static tt_value product(const struct tt_problem *p, const char *name, struct tt_tape *t,
                        tt_value x) {
    const size_t *s = p->size;
    if (p->op == TT_OP_linear) return tt_nn_linear(t, name, x, s[2], p->bias);
    return (p->bias ? tt_nn_conv2d : tt_nn_conv2d_unbiased)(t, name, x, s[4], s[5], s[6],
                                                            p->padding);
}

static tt_value main_node(const struct tt_problem *p, const char *name, struct tt_tape *t,
                          const tt_value *x) {
    const size_t *s = p->size;
    switch (p->op) {
    case TT_OP_linear: case TT_OP_conv2d: return product(p, name, t, x[0]);
    case TT_OP_attention:
        return tt_nn_attention(t, name, x[0], x[1], x[2], s[3], p->scale, p->causal);
    case TT_OP_group_norm: return tt_nn_group_norm(t, name, x[0], s[4], p->eps);
    case TT_OP_layer_norm: return tt_nn_layer_norm(t, name, x[0], p->eps);
    case TT_OP_embedding: return tt_nn_embedding(t, name, x[0], s[1], s[2]);
    case TT_OP_sinusoidal: return tt_nn_sinusoidal(t, name, x[0], s[1], p->flip, p->shift);
    case TT_OP_affine: return tt_nn_affine(t, name, x[0], p->scale, p->shift);
    case TT_OP_scale: return tt_nn_scale(t, name, x[0], p->scale);
    case TT_OP_add: return tt_nn_add(t, name, x[0], x[1]);
    case TT_OP_add_image: return tt_nn_add_image(t, name, x[0], x[1]);
    case TT_OP_upsample_nearest: return tt_nn_upsample_nearest(t, name, x[0], s[4], s[5]);
    case TT_OP_concat: return tt_nn_concat(t, name, x[0], x[1]);
    case TT_OP_take_row: return tt_nn_take_row(t, name, x[0], x[1]);
    default: return tt_nn_activation(t, name, x[0], p->op);
    }
}

void tt_problem_tape(const struct tt_problem *problem, const char *name, struct tt_tape *tape,
                     struct tt_problem_values *values) {
    static const char *const names[TT_MAX_INPUTS] = {"in", "in1", "in2", "in3"};
    struct tt_shape in[TT_MAX_INPUTS];
    int count = input_shapes(problem, in);
    *values = (struct tt_problem_values){
        .input = {TT_NO_VALUE, TT_NO_VALUE, TT_NO_VALUE, TT_NO_VALUE},
        .image_bias = TT_NO_VALUE, .residual = TT_NO_VALUE,
    };
    for (int i = 0; i < count; i++) {
        bool ids = tt_op_inputs[problem->op][i] == 1u << TT_I32;
        values->input[i] = tt_nn_input(tape, names[i], in[i], ids ? TT_I32 : TT_F32);
    }
    tt_value y = main_node(problem, name, tape, values->input);
    struct tt_shape out = tt_shape_of(tape, y);
    if (problem->image_bias) {
        values->image_bias =
            tt_nn_input(tape, "image_bias", ROWS(problem->size[0], tt_columns(&out)), TT_F32);
        y = tt_nn_add_image(tape, "add_image", y, values->image_bias);
    }
    if (problem->residual) {
        values->residual = tt_nn_input(tape, "residual", out, TT_F32);
        y = tt_nn_add(tape, "add", y, values->residual);
    }
    if (problem->silu) y = tt_nn_activation(tape, "silu", y, TT_OP_silu);
    tt_set_output(tape, y);
    values->output = y;
}

// ---- weights ----

void tt_problem_fill(float *data, size_t n, unsigned seed) {
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
    }
}

static const struct tt_view *find(void *context, const char *name) {
    const struct tt_problem_weights *weights = context;
    for (size_t i = 0; i < weights->count; i++)
        if (!strcmp(weights->view[i].name, name)) return &weights->view[i];
    return NULL;
}

void tt_problem_store(void *to, const float *x, size_t n, enum tt_dtype dtype) {
    if (dtype == TT_F32) memmove(to, x, n * sizeof *x);
    for (size_t i = 0; dtype != TT_F32 && i < n; i++) { // half i lies before float i, or begins it
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        uint16_t half = dtype == TT_F16 ? tt_half_from_float(x[i]) : (uint16_t)(bits >> 16);
        memcpy((char *)to + i * sizeof half, &half, sizeof half);
    }
}

// n blocks of random numbers, scaled so that elements reach about from -most to most.
static void make_blocks(uint8_t *to, size_t n, enum tt_dtype dtype, float most, unsigned seed) {
    static const struct {
        float d, m; // of most
        size_t place;
    } scales[] = {
        [TT_Q8_0] = {1.0f / 127, 0, 0},       [TT_Q4_0] = {1.0f / 8, 0, 0},
        [TT_Q4_1] = {2.0f / 15, -1, 0},       [TT_Q5_0] = {1.0f / 16, 0, 0},
        [TT_Q5_1] = {2.0f / 31, -1, 0},       [TT_Q4_K] = {2.0f / 63 / 15, 1.0f / 63, 0},
        [TT_Q5_K] = {2.0f / 63 / 31, 1.0f / 63, 0}, [TT_Q6_K] = {1.0f / 128 / 32, 0, 208},
    };
    size_t size = tt_dtype_block_size(dtype);
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < n * size; i++) {
        state = state * 1664525u + 1013904223u;
        to[i] = (uint8_t)(state >> 24);
    }
    uint16_t d = tt_half_from_float(scales[dtype].d * most);
    uint16_t m = tt_half_from_float(scales[dtype].m * most);
    for (size_t i = 0; i < n; i++) {
        memcpy(to + i * size + scales[dtype].place, &d, sizeof d);
        if (scales[dtype].m != 0) memcpy(to + i * size + 2, &m, sizeof m);
    }
}

static enum tt_status make(void *context, const struct tt_view *found, struct tt_view *view,
                           struct tt_error *err) {
    const struct tt_problem_weights *weights = context;
    size_t n = tt_shape_count(&found->shape);
    float *data = malloc(n * sizeof *data > found->bytes ? n * sizeof *data : found->bytes);
    if (!data) return tt_fail(err, TT_SYSTEM, "out of memory for '%s'", found->name);
    *view = *found;
    view->data = data;
    unsigned seed = 1 + (unsigned)(found - weights->view);
    // Sums of fan-in products are as large as what is multiplied; norms multiply by about 1.
    bool matrix = found->shape.rank > 1, multiplies = found == weights->view;
    float scale = matrix ? sqrtf(3 / (float)(n / found->shape.dim[0])) : 0.1f;
    if (tt_is_quantised(found->dtype)) {
        size_t blocks = found->bytes / tt_dtype_block_size(found->dtype);
        make_blocks((uint8_t *)data, blocks, found->dtype, scale, seed);
        return TT_OK;
    }
    tt_problem_fill(data, n, seed);
    for (size_t i = 0; i < n; i++) data[i] = scale * data[i] + (!matrix && multiplies ? 1 : 0);
    tt_problem_store(data, data, n, found->dtype);
    return TT_OK;
}

static void end(void *context, const struct tt_view *view) {
    (void)context;
    free((void *)(uintptr_t)view->data);
}

struct tt_source tt_problem_source(const struct tt_problem *problem, const struct tt_tape *tape,
                                   struct tt_problem_weights *weights) {
    for (int i = 0; i < tape->node_count; i++)
        for (int j = 0; j < TT_MAX_PARAMS; j++) {
            const struct tt_param *param = tape->nodes[i].param[j];
            if (!param) continue;
            bool matrix = param->shape.rank > 1; // else nobody quantises it
            enum tt_dtype dtype = problem->dtype;
            if (tt_is_quantised(dtype) && !matrix) dtype = TT_F32;
            size_t block = tt_dtype_block(dtype), n = tt_shape_count(&param->shape);
            size_t bytes = (n + block - 1) / block * tt_dtype_block_size(dtype);
            weights->view[weights->count++] =
                (struct tt_view){param->name, dtype, param->shape, NULL, bytes};
        }
    return (struct tt_source){weights, "made-up weights", find, make, end};
}
