// SPDX-License-Identifier: MIT
// What observers are told of a step.
#include <stdio.h>

#include "graph/op.h"

const char *tt_step_name(const struct tt_step *step) {
    return step->name;
}

const struct tt_shape *tt_step_shape(const struct tt_step *step) {
    return step->pass == TT_PASS_BACKWARD ? &step->in[0] : &step->out;
}

const float *tt_step_output(const struct tt_step *step) {
    return step->pass == TT_PASS_BACKWARD ? step->dx[0] : step->y;
}

double tt_step_flops(const struct tt_step *step) {
    double (*flops)(const struct tt_step *) = tt_ops[step->op]->flops;
    double outputs = (double)tt_shape_count(&step->out);
    if (step->pass == TT_PASS_BACKWARD) {
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
                        step->pass == TT_PASS_BACKWARD ? " backward" : "");
    for (int i = 0; i < step->folded_count && used >= 0 && (size_t)used < size; i++)
        used += snprintf(text + used, size - (size_t)used, "+%s",
                         tt_ops[step->folded[i]->op]->name);
    return text;
}
