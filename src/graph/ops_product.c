// SPDX-License-Identifier: MIT
// linear and conv2d: where nearly all multiply-adds are.
#include "base/quant.h"
#include "conv/conv_backward.h"
#include "dequant/dequant.h"
#include "gemm/gemm_backward.h"
#include "graph/op.h"
#include "reduce/reduce.h"

static struct tt_gemm gemm_of(const struct tt_step *s) {
    size_t n = tt_columns(&s->out), k = tt_columns(&s->in[0]);
    return (struct tt_gemm){
        .m = tt_rows(&s->out), .n = n, .k = k, .x = s->x[0], .ldx = k, .w = s->weight,
        .bias = s->bias, .residual = s->residual_data, .ldr = n, .y = s->y, .ldy = n,
    };
}

// A quantised weight that is dequantised as a whole before the product, into scratch that begins
// with the room for it.
static struct tt_quantised quantised_of(const struct tt_step *s) {
    const struct tt_shape *shape = &s->node->param[0]->shape;
    size_t n = shape->dim[0], taps = shape->rank == 4 ? shape->dim[2] * shape->dim[3] : 1;
    return (struct tt_quantised){s->weight, n, tt_shape_count(shape) / n / taps, taps};
}

static size_t dequantised_bytes(const struct tt_step *s) {
    struct tt_quantised q = quantised_of(s);
    return tt_align_up(tt_gemm_packed_count(q.n, q.channels * q.taps) * sizeof(float));
}

static struct tt_weight dequantise(const struct tt_step *s, const struct tt_kernels *kernels,
                                   int threads) {
    struct tt_quantised q = quantised_of(s);
    tt_dequant_packed(kernels, &q, s->scratch, threads);
    return (struct tt_weight){s->scratch, TT_F32};
}

// Says so, and goes on as if it had been done.
static void dequantise_why(struct tt_weight *w, bool whole, struct tt_why *why) {
    if (!tt_is_quantised(w->dtype)) return;
    tt_why_add(why, "%s weights are dequantised %s", tt_dtype_name(w->dtype),
               whole ? "first, as a whole" : "for each task, a few panels at a time");
    if (whole) w->dtype = TT_F32;
}

static size_t linear_scratch(const struct tt_step *s, int threads) {
    (void)threads;
    return tt_is_quantised(s->weight.dtype) ? dequantised_bytes(s) : 0;
}

static void linear_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    struct tt_gemm g = gemm_of(s);
    if (tt_is_quantised(g.w.dtype)) g.w = dequantise(s, kernels, threads);
    tt_gemm(kernels, &g, threads);
}

// What a step of the backward pass has to do.
static void gradients_why(const struct tt_step *s, struct tt_why *why) {
    tt_why_add(why, s->back->dx[0] ? "dx, from weights that are packed for it each time"
                                   : "no dx: nobody wants it");
    if (!s->back->dweight) tt_why_add(why, "no dw: the weight is frozen");
}

static void linear_why(const struct tt_step *s, const struct tt_kernels *kernels, int threads,
                       struct tt_why *why) {
    (void)threads;
    struct tt_gemm g = gemm_of(s);
    if (!s->back) dequantise_why(&g.w, true, why);
    if (s->back) gradients_why(s, why);
    else tt_gemm_why(kernels, &g, why);
}

static double linear_flops(const struct tt_step *s) {
    return 2.0 * (double)tt_shape_count(&s->out) * (double)tt_columns(&s->in[0]);
}

// Winograd's products run in the same kernel.
static enum tt_kernel gemm_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_gemm_tile_f32;
}

// A backward pass first needs the weights packed for dx, then room for one driver at a time.
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

enum { PACK_ROWS = 8 };

static size_t pieces_of(size_t rows, size_t row) {
    return rows - row < PACK_ROWS ? rows - row : PACK_ROWS;
}

static struct tt_linear_dw linear_dw_of(const struct tt_step *s) {
    return (struct tt_linear_dw){
        .m = tt_rows(&s->out), .n = tt_columns(&s->out), .k = tt_columns(&s->in[0]),
        .x = s->x[0], .dy = s->back->dy, .dw = s->back->dweight, .accumulate = true,
    };
}

static struct tt_column_sums bias_sums(const struct tt_step *s) {
    return (struct tt_column_sums){
        .images = 1, .rows = tt_rows(&s->out), .c = tt_columns(&s->out), .x = s->back->dy,
        .y = s->back->dbias, .accumulate = true,
    };
}

static size_t bias_scratch(const struct tt_step *s) {
    struct tt_column_sums sums = bias_sums(s);
    return s->back->dbias ? tt_column_sums_scratch(&sums) : 0;
}

static size_t linear_packed_bytes(const struct tt_step *s) {
    return tt_align_up(sizeof(float) *
                       tt_gemm_packed_count(tt_columns(&s->in[0]), tt_columns(&s->out)));
}

static size_t linear_backward_scratch(const struct tt_step *s, int threads) {
    struct tt_linear_dw dw = linear_dw_of(s);
    return linear_packed_bytes(s) +
           larger(dw.dw ? tt_linear_dw_scratch(&dw, threads) : 0, bias_scratch(s));
}

static void linear_backward(const struct tt_step *s, const struct tt_kernels *kernels,
                            int threads) {
    struct tt_linear_dw dw = linear_dw_of(s);
    struct tt_column_sums sums = bias_sums(s);
    const float *weight = s->weight.data;
    float *packed = s->scratch;
    void *scratch = (char *)s->scratch + linear_packed_bytes(s);
    if (s->back->dx[0]) {
#pragma omp parallel num_threads(threads)
        {
            struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
            for (size_t row = 0; row < dw.n; row += PACK_ROWS)
                tt_gemm_pack_transposed(packed, dw.n, dw.k, row, pieces_of(dw.n, row),
                                        weight + row * dw.k);
            tt_busy_end(&me);
        }
        struct tt_gemm g = {
            .m = dw.m, .n = dw.k, .k = dw.n, .x = dw.dy, .ldx = dw.n, .w = {packed, TT_F32},
            .y = s->back->dx[0], .ldy = dw.k,
        };
        tt_gemm(kernels, &g, threads);
    }
    if (dw.dw) tt_linear_dw(kernels, &dw, scratch, threads);
    if (s->back->dbias) tt_column_sums(kernels, &sums, scratch, threads);
}

// dx and dw cost what the forward pass does, each.
static double backward_flops(const struct tt_step *s, double forward) {
    const struct tt_backward *b = s->back;
    int products = (b->dx[0] != NULL) + (b->dweight != NULL);
    int sums = (b->dbias != NULL) + (b->dimage_bias != NULL);
    return products * forward + sums * (double)tt_shape_count(&s->out);
}

static double linear_backward_flops(const struct tt_step *s) {
    return backward_flops(s, linear_flops(s));
}

const struct tt_op tt_op_linear = {
    .name = "linear", .form = TT_FORM_GEMM, .why = linear_why,
    .run = linear_run, .scratch = linear_scratch, .flops = linear_flops, .kernel = gemm_kernel,
    .backward = linear_backward, .backward_scratch = linear_backward_scratch,
    .backward_flops = linear_backward_flops, .backward_kernel = gemm_kernel,
    .reads = TT_READS_INPUTS_TO_LEARN,
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

typedef enum tt_conv_algorithm choose(const struct tt_conv *, struct tt_why *);

static enum tt_conv_algorithm choose_for(choose *by_shape, const struct tt_step *s,
                                         const struct tt_conv *c, struct tt_why *why) {
    if (!s->conv_direct) return by_shape(c, why);
    tt_why_add(why, "direct: asked for (--conv direct)");
    return TT_CONV_DIRECT;
}

static enum tt_conv_algorithm algorithm(const struct tt_step *s, const struct tt_conv *c) {
    return choose_for(tt_conv_choose, s, c, NULL);
}

static void conv2d_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    struct tt_conv c = conv_of(s);
    enum tt_conv_algorithm how = algorithm(s, &c);
    if (how == TT_CONV_DIRECT && tt_is_quantised(c.weight.dtype))
        c.weight = dequantise(s, kernels, threads);
    tt_conv(kernels, &c, how, s->scratch, threads);
}

static size_t conv2d_scratch(const struct tt_step *s, int threads) {
    struct tt_conv c = conv_of(s);
    enum tt_conv_algorithm how = algorithm(s, &c);
    if (how == TT_CONV_DIRECT && tt_is_quantised(c.weight.dtype)) return dequantised_bytes(s);
    return tt_conv_scratch(&c, how, threads);
}

static double conv2d_flops(const struct tt_step *s) {
    double taps = (double)(s->node->with.conv.kernel * s->node->with.conv.kernel);
    return 2.0 * taps * (double)tt_shape_count(&s->out) * (double)s->in[0].dim[1];
}

static enum tt_conv_algorithm dx_algorithm(const struct tt_step *s, const struct tt_conv *c) {
    return choose_for(tt_conv_dx_choose, s, c, NULL);
}

static enum tt_conv_algorithm dw_algorithm(const struct tt_step *s, const struct tt_conv *c) {
    return choose_for(tt_conv_dw_choose, s, c, NULL);
}

static struct tt_column_sums image_bias_sums(const struct tt_step *s) {
    return (struct tt_column_sums){
        .images = s->out.dim[0], .rows = tt_rows(&s->out) / s->out.dim[0],
        .c = tt_columns(&s->out), .x = s->back->dy, .y = s->back->dimage_bias,
    };
}

static size_t conv_packed_bytes(const struct tt_conv *c) {
    return tt_align_up(sizeof(float) * tt_conv_dx_packed_floats(c->k, c->c, c->kernel));
}

static size_t conv2d_backward_scratch(const struct tt_step *s, int threads) {
    struct tt_conv c = conv_of(s);
    struct tt_column_sums image_sums = image_bias_sums(s);
    size_t dx = tt_conv_dx_scratch(&c, dx_algorithm(s, &c), threads);
    size_t dw = s->back->dweight ? tt_conv_dw_scratch(&c, dw_algorithm(s, &c), threads) : 0;
    return conv_packed_bytes(&c) +
           larger(larger(dx, dw), larger(bias_scratch(s), tt_column_sums_scratch(&image_sums)));
}

static void conv2d_backward(const struct tt_step *s, const struct tt_kernels *kernels,
                            int threads) {
    const struct tt_backward *b = s->back;
    const float *weight = s->weight.data;
    struct tt_conv c = conv_of(s);
    struct tt_column_sums sums = bias_sums(s), image_sums = image_bias_sums(s);
    float *packed = s->scratch;
    void *scratch = (char *)s->scratch + conv_packed_bytes(&c);
    if (b->dx[0]) {
        size_t length = c.c * c.kernel * c.kernel;
#pragma omp parallel num_threads(threads)
        {
            struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
            for (size_t row = 0; row < c.k; row += PACK_ROWS)
                tt_conv_dx_pack_rows(packed, c.k, c.c, c.kernel, c.stride, row, pieces_of(c.k, row),
                                     weight + row * length);
            tt_busy_end(&me);
        }
        tt_conv_dx(kernels, &c, dx_algorithm(s, &c), packed, b->dy, b->dx[0], scratch, threads);
    }
    if (b->dweight)
        tt_conv_dw(kernels, &c, dw_algorithm(s, &c), b->dy, b->dweight, true, scratch, threads);
    if (b->dbias) tt_column_sums(kernels, &sums, scratch, threads);
    if (b->dimage_bias) tt_column_sums(kernels, &image_sums, scratch, threads);
}

static double conv2d_backward_flops(const struct tt_step *s) {
    return backward_flops(s, conv2d_flops(s));
}

static double conv2d_executed(const struct tt_step *s, const struct tt_kernels *kernels,
                              int threads) {
    struct tt_conv c = conv_of(s);
    if (!s->back) return tt_conv_flops(kernels, &c, algorithm(s, &c), threads);
    double own = 0, sums = (double)tt_shape_count(&s->out);
    if (s->back->dweight) own += tt_conv_dw_flops(&c, dw_algorithm(s, &c));
    if (s->back->dx[0]) own += tt_conv_dx_flops(kernels, &c, dx_algorithm(s, &c), threads);
    return own + (s->back->dbias ? sums : 0) + (s->back->dimage_bias ? sums : 0);
}

static void conv2d_why(const struct tt_step *s, const struct tt_kernels *kernels, int threads,
                       struct tt_why *why) {
    struct tt_conv c = conv_of(s);
    if (!s->back) {
        bool winograd = choose_for(tt_conv_choose, s, &c, why) == TT_CONV_WINOGRAD;
        dequantise_why(&c.weight, !winograd, why);
        if (winograd) tt_conv_winograd_why(kernels, &c, threads, why);
        else tt_conv_direct_why(kernels, &c, why);
        return;
    }
    gradients_why(s, why);
    if (s->back->dx[0]) choose_for(tt_conv_dx_choose, s, &c, why);
    if (!s->back->dweight) return;
    tt_why_add(why, "dw");
    choose_for(tt_conv_dw_choose, s, &c, why);
}

const struct tt_op tt_op_conv2d = {
    .name = "conv2d", .form = TT_FORM_CONV, .run = conv2d_run,
    .executed = conv2d_executed, .why = conv2d_why,
    .scratch = conv2d_scratch, .flops = conv2d_flops, .kernel = gemm_kernel,
    .backward = conv2d_backward, .backward_scratch = conv2d_backward_scratch,
    .backward_flops = conv2d_backward_flops, .backward_kernel = gemm_kernel,
    .reads = TT_READS_INPUTS_TO_LEARN,
};
