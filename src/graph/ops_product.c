// SPDX-License-Identifier: MIT
// linear and conv2d: where nearly all multiply-adds are.
#include "gemm/gemm.h"
#include "graph/op.h"

static void linear_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    size_t n = tt_columns(&s->out), k = tt_columns(&s->in[0]);
    struct tt_gemm g = {
        .m = tt_rows(&s->out), .n = n, .k = k, .x = s->x[0], .ldx = k, .w = s->weight,
        .bias = s->bias, .residual = s->residual_data, .ldr = n, .y = s->y, .ldy = n,
    };
    tt_gemm(kernels, &g, threads);
}

static double linear_flops(const struct tt_step *s) {
    return 2.0 * (double)tt_shape_count(&s->out) * (double)tt_columns(&s->in[0]);
}

// Winograd's products run in the same kernel.
static enum tt_kernel gemm_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_gemm_tile_f32;
}

const struct tt_op tt_op_linear = {
    .name = "linear", .form = TT_FORM_GEMM,
    .run = linear_run, .flops = linear_flops, .kernel = gemm_kernel,
};

static struct tt_conv conv_of(const struct tt_step *s) {
    const struct tt_shape *in = &s->in[0];
    return (struct tt_conv){
        .n = in->dim[0], .c = in->dim[1], .h = in->dim[2], .w = in->dim[3], .k = s->out.dim[1],
        .kernel = s->node->with.conv.kernel, .stride = s->node->with.conv.stride,
        .pad_top = s->node->with.conv.pad_top, .pad_left = s->node->with.conv.pad_left,
        .pad_bottom = s->node->with.conv.pad_bottom, .pad_right = s->node->with.conv.pad_right,
        .x = s->x[0], .weight = s->weight, .bias = s->bias, .image_bias = s->image_bias_data,
        .residual = s->residual_data, .y = s->y,
    };
}

static enum tt_conv_algorithm algorithm(const struct tt_step *s, const struct tt_conv *c) {
    return s->conv_direct ? TT_CONV_DIRECT : tt_conv_choose(c);
}

static void conv2d_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    struct tt_conv c = conv_of(s);
    tt_conv(kernels, &c, algorithm(s, &c), s->scratch, threads);
}

static size_t conv2d_scratch(const struct tt_step *s, int threads) {
    struct tt_conv c = conv_of(s);
    return tt_conv_scratch(&c, algorithm(s, &c), threads);
}

static double conv2d_flops(const struct tt_step *s) {
    double taps = (double)(s->node->with.conv.kernel * s->node->with.conv.kernel);
    return 2.0 * taps * (double)tt_shape_count(&s->out) * (double)s->in[0].dim[1];
}

const struct tt_op tt_op_conv2d = {
    .name = "conv2d", .form = TT_FORM_CONV, .run = conv2d_run,
    .scratch = conv2d_scratch, .flops = conv2d_flops, .kernel = gemm_kernel,
};
