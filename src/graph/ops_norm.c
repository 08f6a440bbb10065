// SPDX-License-Identifier: MIT
#include "graph/op.h"
#include "norm/group_norm.h"
#include "norm/layer_norm.h"

static struct tt_group_norm group_norm_of(const struct tt_step *s) {
    return (struct tt_group_norm){
        .n = s->in[0].dim[0], .hw = tt_rows(&s->in[0]) / s->in[0].dim[0],
        .c = tt_columns(&s->in[0]), .groups = s->node->with.norm.groups,
        .eps = s->node->with.norm.eps, .silu = s->silu,
        .x = s->x[0], .gamma = s->weight.data, .beta = s->bias, .y = s->y,
    };
}

static void group_norm_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    struct tt_group_norm g = group_norm_of(s);
    tt_group_norm(kernels, &g, s->scratch, threads);
}

static size_t group_norm_scratch(const struct tt_step *s, int threads) {
    struct tt_group_norm g = group_norm_of(s);
    return tt_group_norm_scratch(&g, threads);
}

static double norm_flops(const struct tt_step *s) {
    return 8.0 * (double)tt_shape_count(&s->out);
}

static enum tt_kernel group_norm_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_group_norm_apply_f32;
}

static struct tt_group_norm_backward group_norm_backward_of(const struct tt_step *s) {
    return (struct tt_group_norm_backward){
        .forward = group_norm_of(s), .dy = s->back->dy, .dx = s->back->dx[0],
        .dgamma = s->back->dweight, .dbeta = s->back->dbias, .accumulate = true,
    };
}

static void group_norm_backward(const struct tt_step *s, const struct tt_kernels *kernels,
                                int threads) {
    struct tt_group_norm_backward b = group_norm_backward_of(s);
    tt_group_norm_backward(kernels, &b, s->scratch, threads);
}

static size_t group_norm_backward_scratch(const struct tt_step *s, int threads) {
    struct tt_group_norm_backward b = group_norm_backward_of(s);
    return tt_group_norm_backward_scratch(&b, threads);
}

static double norm_backward_flops(const struct tt_step *s) {
    return (s->silu ? 40.0 : 20.0) * (double)tt_shape_count(&s->out);
}

static enum tt_kernel group_norm_backward_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_group_norm_backward_sums_f32;
}

const struct tt_op tt_op_group_norm = {
    .name = "group_norm", .run = group_norm_run, .scratch = group_norm_scratch,
    .flops = norm_flops, .kernel = group_norm_kernel,
    .backward = group_norm_backward, .backward_scratch = group_norm_backward_scratch,
    .backward_flops = norm_backward_flops, .backward_kernel = group_norm_backward_kernel,
    .reads = TT_READS_INPUTS, .backward_in_place = true, .every_dx = true,
};

static struct tt_layer_norm layer_norm_of(const struct tt_step *s) {
    return (struct tt_layer_norm){
        .m = tt_rows(&s->in[0]), .c = tt_columns(&s->in[0]), .eps = s->node->with.norm.eps,
        .x = s->x[0], .gamma = s->weight.data, .beta = s->bias, .y = s->y,
    };
}

static void layer_norm_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    struct tt_layer_norm l = layer_norm_of(s);
    tt_layer_norm(kernels, &l, threads);
}

static struct tt_layer_norm_backward layer_norm_backward_of(const struct tt_step *s) {
    return (struct tt_layer_norm_backward){
        .m = tt_rows(&s->in[0]), .c = tt_columns(&s->in[0]), .eps = s->node->with.norm.eps,
        .x = s->x[0], .gamma = s->weight.data, .dy = s->back->dy, .dx = s->back->dx[0],
        .dgamma = s->back->dweight, .dbeta = s->back->dbias, .accumulate = true,
    };
}

static void layer_norm_backward(const struct tt_step *s, const struct tt_kernels *kernels,
                                int threads) {
    struct tt_layer_norm_backward b = layer_norm_backward_of(s);
    tt_layer_norm_backward(kernels, &b, s->scratch, threads);
}

static size_t layer_norm_backward_scratch(const struct tt_step *s, int threads) {
    (void)threads;
    struct tt_layer_norm_backward b = layer_norm_backward_of(s);
    return tt_layer_norm_backward_scratch(&b);
}

static enum tt_kernel layer_norm_backward_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_layer_norm_backward_f32;
}

static enum tt_kernel layer_norm_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_layer_norm_f32;
}

const struct tt_op tt_op_layer_norm = {
    .name = "layer_norm", .run = layer_norm_run, .flops = norm_flops, .kernel = layer_norm_kernel,
    .backward = layer_norm_backward, .backward_scratch = layer_norm_backward_scratch,
    .backward_flops = norm_backward_flops, .backward_kernel = layer_norm_backward_kernel,
    .reads = TT_READS_INPUTS, .backward_in_place = true, .every_dx = true,
};
