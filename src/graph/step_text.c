// SPDX-License-Identifier: MIT
// What observers are told of a step.
#include <stdio.h>

#include "base/finite.h"
#include "graph/op.h"
#include "graph/problem.h"

const char *tt_step_name(const struct tt_step *step) {
    return step->name;
}

const struct tt_shape *tt_step_shape(const struct tt_step *step) {
    return step->back ? &step->in[0] : &step->out;
}

const float *tt_step_output(const struct tt_step *step) {
    return step->back ? step->back->dx[0] : step->y;
}

const float *tt_step_input(const struct tt_step *step, size_t i, struct tt_shape *shape) {
    if (step->back || i >= TT_MAX_INPUTS || !step->x[i]) return NULL;
    if (step->tape && step->tape->tensors[step->input[i]].dtype != TT_F32) return NULL;
    *shape = step->in[i];
    return step->x[i];
}

// Whether a node is a module by itself; the others are what modules do inside.
static bool is_module(enum tt_op_kind op) {
    switch (op) {
    case TT_OP_embedding:
    case TT_OP_sinusoidal:
    case TT_OP_linear:
    case TT_OP_conv2d:
    case TT_OP_group_norm:
    case TT_OP_layer_norm:
    case TT_OP_silu:
    case TT_OP_gelu:
    case TT_OP_relu:
    case TT_OP_quick_gelu: return true;
    default: return false;
    }
}

// Module i of those that return the output of a node; *i counts down.
static const char *module_of(const struct tt_tape *tape, const struct tt_node *node, size_t *i) {
    if (is_module(node->op) && (*i)-- == 0) return node->name;
    for (int j = 0; j < tape->label_count; j++) {
        tt_value value = tape->labels[j].value;
        while (tape->nodes[value].op == TT_OP_reshape) value = tape->nodes[value].input[0];
        if (value == node->output && (*i)-- == 0) return tape->labels[j].name;
    }
    return NULL;
}

const char *tt_step_module(const struct tt_step *step, size_t i) {
    if (step->back || !step->tape) return NULL;
    int folded = step->folded_count;
    return module_of(step->tape, folded ? step->folded[folded - 1] : step->node, &i);
}

// The one node that reads a value, if it only adds to it or calls it another shape: then the
// gradient of what it returns is that of the value. NULL: there is none.
static const struct tt_node *passing_on(const struct tt_tape *tape, const struct tt_node *of) {
    const struct tt_node *reader = NULL;
    size_t n = tt_shape_count(&tape->tensors[of->output].shape);
    if (tape->tensors[of->output].is_output) return NULL;
    for (int i = 0; i < tape->node_count; i++)
        for (int j = 0; j < tape->nodes[i].input_count; j++) {
            if (tape->nodes[i].input[j] != of->output) continue;
            if (reader) return NULL;
            reader = &tape->nodes[i];
        }
    bool passes = reader && (reader->op == TT_OP_add || reader->op == TT_OP_reshape ||
                             (reader->op == TT_OP_add_image && reader->input[0] == of->output));
    return passes && tt_shape_count(&tape->tensors[reader->output].shape) == n ? reader : NULL;
}

const char *tt_step_gradient_of(const struct tt_step *step, size_t i) {
    if (!step->back || !step->tape) return NULL;
    const char *name = NULL;
    const struct tt_node *node = step->node;
    for (; !name && node; node = passing_on(step->tape, node))
        name = module_of(step->tape, node, &i);
    return name;
}

const float *tt_step_gradient(const struct tt_step *step, struct tt_shape *shape) {
    if (!step->back) return NULL;
    *shape = step->out;
    return step->back->dy;
}

double tt_step_flops(const struct tt_step *step) {
    double (*flops)(const struct tt_step *) = tt_ops[step->op]->flops;
    double outputs = (double)tt_shape_count(&step->out);
    if (step->back) {
        flops = tt_ops[step->op]->backward_flops;
        return flops ? flops(step) : outputs;
    }
    double own = flops ? flops(step) : outputs;
    for (int i = 0; i < step->folded_count; i++)
        own += step->folded[i]->op == TT_OP_silu ? tt_op_silu.flops(step) : outputs;
    return own;
}

char *tt_step_text(const struct tt_step *step, char *text, size_t size) {
    int used = snprintf(text, size, "%s%s", tt_ops[step->op]->name,
                        step->back ? " backward" : "");
    for (int i = 0; i < step->folded_count && used >= 0 && (size_t)used < size; i++)
        used += snprintf(text + used, size - (size_t)used, "+%s",
                         tt_ops[step->folded[i]->op]->name);
    return text;
}

char *tt_step_problem(const struct tt_step *step, char *text, size_t size) {
    struct tt_problem problem;
    if (tt_problem_of_step(step, &problem)) return tt_problem_text(&problem, text, size);
    if (size) *text = '\0';
    return text;
}

static bool finite(const float *x, const struct tt_shape *shape) {
    return !x || tt_all_finite(x, tt_shape_count(shape));
}

bool tt_step_is_finite(const struct tt_step *step) {
    if (!step->back) return finite(step->y, &step->out);
    const struct tt_param *weight = step->node->param[0], *bias = step->node->param[1];
    const struct tt_backward *b = step->back;
    bool all = true;
    for (int j = 0; j < TT_MAX_INPUTS; j++) all = all && finite(b->dx[j], &step->in[j]);
    if (b->dimage_bias)
        all = all && finite(b->dimage_bias, &step->tape->tensors[step->image_bias].shape);
    if (weight) all = all && finite(b->dweight, &weight->shape);
    if (bias) all = all && finite(b->dbias, &bias->shape);
    return all;
}
