// SPDX-License-Identifier: MIT
// What a step does, counted: operations as they are done, bytes that must move; and why so.
#include "graph/op.h"

// Operations of what is folded in, which a product does as it stores.
static double folded_flops(const struct tt_step *step) {
    double outputs = (double)tt_shape_count(&step->out), own = 0;
    for (int i = 0; !step->back && i < step->folded_count; i++)
        own += step->folded[i]->op == TT_OP_silu ? tt_op_silu.flops(step) : outputs;
    return own;
}

double tt_step_executed(const struct tt_step *step, const struct tt_kernels *kernels,
                        int threads) {
    const struct tt_op *op = tt_ops[step->op];
    if (!op->executed || !step->tape) return tt_step_flops(step);
    return op->executed(step, kernels, threads) + folded_flops(step);
}

static double count(const struct tt_shape *shape) { return (double)tt_shape_count(shape); }

// Of its inputs, each once, but for those that a step back does not read.
static double input_bytes(const struct tt_step *step) {
    bool rows = tt_ops[step->op]->reads_rows;
    double bytes = 0, out = count(&step->out);
    for (int j = 0; j < TT_MAX_INPUTS && step->in[j].rank; j++) {
        double whole = count(&step->in[j]);
        bool again = false;
        // The two gradients that a sum adds are on no tape.
        for (int i = 0; i < j && step->tape; i++) again |= step->input[i] == step->input[j];
        if (!again && (!step->back || step->x[j]))
            bytes += 4 * (rows && j == 0 && whole > out ? out : whole);
    }
    return bytes;
}

// Of a parameter, elements of so many bytes.
static double parameter_bytes(const struct tt_step *step, int i, double element) {
    const struct tt_param *param = step->tape ? step->node->param[i] : NULL;
    if (!param) return 0;
    return element * (tt_ops[step->op]->reads_rows ? count(&step->out) : count(&param->shape));
}

static double weight_bytes(const struct tt_step *step) {
    enum tt_dtype dtype = step->weight.dtype;
    if (dtype == TT_F64) dtype = TT_F32; // it has none, or none was found yet
    return parameter_bytes(step, 0, (double)tt_dtype_block_size(dtype) /
                                        (double)tt_dtype_block(dtype));
}

static double image_bias_bytes(const struct tt_step *step) {
    return 4 * (double)(step->out.dim[0] * tt_columns(&step->out));
}

// Of a step back: dy in, each dx out, and gradients of parameters, which are added to.
static double backward_bytes(const struct tt_step *step) {
    const struct tt_backward *b = step->back;
    double out = 4 * count(&step->out), bytes = out + input_bytes(step);
    if (tt_ops[step->op]->reads & TT_READS_OUTPUT) bytes += out;
    if (b->dx[0]) bytes += weight_bytes(step); // what dx is made with
    for (int j = 0; j < TT_MAX_INPUTS; j++)
        if (b->dx[j]) bytes += 4 * count(&step->in[j]);
    if (b->dimage_bias) bytes += image_bias_bytes(step);
    return bytes + (b->dweight ? parameter_bytes(step, 0, 8) : 0) +
           (b->dbias ? parameter_bytes(step, 1, 8) : 0);
}

double tt_step_bytes(const struct tt_step *step) {
    if (step->back) return backward_bytes(step);
    double out = 4 * count(&step->out), bytes = input_bytes(step) + out;
    if (!step->tape) return bytes;
    if (step->image_bias != TT_NO_VALUE) bytes += image_bias_bytes(step);
    if (step->residual != TT_NO_VALUE) bytes += out;
    return bytes + weight_bytes(step) + parameter_bytes(step, 1, 4);
}

static bool kernel_of(const struct tt_step *step, enum tt_kernel *kernel) {
    const struct tt_op *op = tt_ops[step->op];
    enum tt_kernel (*find)(const struct tt_step *) =
        step->back ? op->backward_kernel : op->kernel;
    if (find) *kernel = find(step);
    return find != NULL;
}

const char *tt_step_kernel(const struct tt_step *step) {
    enum tt_kernel kernel;
    return kernel_of(step, &kernel) ? tt_kernel_names[kernel] : "copy";
}

void tt_step_why(const struct tt_step *step, const struct tt_kernels *kernels, int threads,
                 struct tt_why *why) {
    enum tt_kernel kernel;
    const struct tt_op *op = tt_ops[step->op];
    if (op->why && step->tape) op->why(step, kernels, threads, why);
    if (kernel_of(step, &kernel)) tt_kernels_why(kernels, kernel, why);
    else tt_why_add(why, "rows are copied as they are");
    for (int i = 0; !step->back && i < step->folded_count; i++)
        tt_why_add(why, "%s folded in: no pass of its own over memory",
                   tt_ops[step->folded[i]->op]->name);
}
