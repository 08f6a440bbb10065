// SPDX-License-Identifier: MIT
#include "graph/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What folding works on.
struct folder {
    const struct tt_tape *tape;
    enum tt_fold fold;
    struct tt_steps *steps;
    int *readers; // per value
};

void tt_steps_free(struct tt_steps *steps) {
    free(steps->step);
    free(steps->root);
    *steps = (struct tt_steps){0};
}

// The step that makes `value`, if nobody but one reader wants it and the tape does not keep it.
static struct tt_step *sole_maker(struct folder *f, tt_value value) {
    if (f->readers[value] != 1 || f->tape->tensors[value].is_output) return NULL;
    for (int i = f->steps->count - 1; i >= 0; i--)
        if (f->steps->step[i].output == value) return &f->steps->step[i];
    return NULL;
}

static bool is_product(const struct tt_step *step) {
    return step && (step->op == TT_OP_linear || step->op == TT_OP_conv2d);
}

// Moves `maker` to the end of the list, where every input of the node to fold is known, and makes
// it do that node too.
static struct tt_step *fold_into(struct tt_steps *steps, struct tt_step *maker,
                                 const struct tt_node *node) {
    struct tt_step step = *maker;
    size_t after = (size_t)(steps->step + steps->count - maker - 1);
    memmove(maker, maker + 1, after * sizeof *maker);
    step.folded[step.folded_count++] = node;
    step.output = node->output;
    steps->step[steps->count - 1] = step;
    return &steps->step[steps->count - 1];
}

// What one pass can do: silu after a group norm; after a product (linear, conv2d) the per-image
// bias, then the residual. The arithmetic is the same as in turn.
static bool fold(struct folder *f, const struct tt_node *node, const tt_value input[]) {
    struct tt_step *maker = input[0] == TT_NO_VALUE ? NULL : sole_maker(f, input[0]);
    if (f->fold == TT_FOLD_ALL && node->op == TT_OP_silu && maker &&
        maker->op == TT_OP_group_norm && !maker->silu) {
        fold_into(f->steps, maker, node)->silu = true;
        return true;
    }
    if (node->op == TT_OP_add_image && maker && maker->op == TT_OP_conv2d &&
        maker->image_bias == TT_NO_VALUE && maker->residual == TT_NO_VALUE) {
        fold_into(f->steps, maker, node)->image_bias = input[1];
        return true;
    }
    if (node->op != TT_OP_add) return false;
    const struct tt_tensor *tensors = f->tape->tensors;
    if (tt_shape_count(&tensors[input[0]].shape) != tt_shape_count(&tensors[input[1]].shape))
        return false;
    for (int side = 0; side < 2; side++) {
        maker = sole_maker(f, input[side]);
        if (input[0] == input[1] || !is_product(maker) || maker->residual != TT_NO_VALUE) continue;
        fold_into(f->steps, maker, node)->residual = input[1 - side];
        return true;
    }
    return false;
}

// Who reads whom, through reshapes.
static void count_readers(struct folder *f) {
    tt_value *root = f->steps->root;
    for (int i = 0; i < f->tape->node_count; i++) {
        const struct tt_node *node = &f->tape->nodes[i];
        root[i] = node->op == TT_OP_reshape ? root[node->input[0]] : i;
        for (int j = 0; node->op != TT_OP_reshape && j < node->input_count; j++)
            f->readers[root[node->input[j]]]++;
        if (f->tape->tensors[i].is_output) f->readers[root[i]]++;
    }
}

// Each input must be of a dtype that the operation takes.
static enum tt_status check_dtypes(const struct tt_tape *tape, const struct tt_node *node,
                                   struct tt_error *err) {
    for (int j = 0; j < node->input_count; j++) {
        unsigned takes = tt_op_inputs[node->op][j];
        enum tt_dtype dtype = tape->tensors[node->input[j]].dtype;
        char expected[64] = "";
        if (takes & 1u << dtype) continue;
        for (unsigned d = 0, used = 0; takes >> d; d++)
            if (takes & 1u << d)
                used += (unsigned)snprintf(expected + used, sizeof expected - used, "%s%s",
                                           used ? " or " : "", tt_dtype_name((enum tt_dtype)d));
        return tt_fail(err, TT_BAD_INPUT, "%s: input %d of %s: found dtype %s, expected %s",
                       node->name, j, tt_ops[node->op]->name, tt_dtype_name(dtype), expected);
    }
    return TT_OK;
}

static void add_step(struct folder *f, const struct tt_node *node, bool conv_direct) {
    const struct tt_tensor *tensors = f->tape->tensors;
    tt_value input[TT_MAX_INPUTS] = {TT_NO_VALUE, TT_NO_VALUE, TT_NO_VALUE, TT_NO_VALUE};
    for (int j = 0; j < node->input_count; j++) input[j] = f->steps->root[node->input[j]];
    if (f->fold != TT_FOLD_NOTHING && fold(f, node, input)) return;
    struct tt_step *step = &f->steps->step[f->steps->count++];
    *step = (struct tt_step){
        .op = node->op, .tape = f->tape, .node = node, .name = node->name,
        .image_bias = TT_NO_VALUE, .residual = TT_NO_VALUE, .output = node->output,
        .out = tensors[node->output].shape, .conv_direct = conv_direct,
    };
    memcpy(step->input, input, sizeof input);
    for (int j = 0; j < node->input_count; j++) step->in[j] = tensors[node->input[j]].shape;
}

enum tt_status tt_steps_make(const struct tt_tape *tape, enum tt_fold how, bool conv_direct,
                             struct tt_steps *steps, struct tt_error *err) {
    enum tt_status status = tt_tape_status(tape, err);
    if (status) return status;
    size_t nodes = (size_t)tape->node_count + 1;
    struct folder f = {tape, how, steps, calloc(nodes, sizeof *f.readers)};
    steps->step = calloc(nodes, sizeof *steps->step);
    steps->root = calloc(nodes, sizeof *steps->root);
    steps->count = 0;
    if (f.readers && steps->step && steps->root) {
        count_readers(&f);
        for (int i = 0; !status && i < tape->node_count; i++) {
            const struct tt_node *node = &tape->nodes[i];
            status = check_dtypes(tape, node, err);
            if (!status && node->op != TT_OP_input && node->op != TT_OP_reshape)
                add_step(&f, node, conv_direct);
        }
    } else {
        status = tt_fail(err, TT_SYSTEM, "out of memory for a plan of %zu nodes", nodes);
    }
    free(f.readers);
    return status;
}
