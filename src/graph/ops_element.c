// SPDX-License-Identifier: MIT
// Activations and sums: one pass over memory each.
#include "act/act_backward.h"
#include "graph/op.h"
#include "reduce/reduce.h"

// Several threads take pieces of this many floats; less work than that is not worth waking them.
enum { PIECE = 8192 };

#define UNARY(op, label, cost)                                                                     \
    static void op##_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) { \
        unary(kernels, kernels->op##_f32, s, threads);                                             \
    }                                                                                              \
    static double op##_flops(const struct tt_step *s) {                                            \
        return (cost) * (double)tt_shape_count(&s->out);                                           \
    }                                                                                              \
    static enum tt_kernel op##_kernel(const struct tt_step *s) {                                   \
        return s->back ? TT_KERNEL_##op##_backward_f32 : TT_KERNEL_##op##_f32;                     \
    }                                                                                              \
    static void op##_backward(const struct tt_step *s, const struct tt_kernels *kernels,           \
                              int threads) {                                                       \
        unary_backward(kernels, kernels->op##_backward_f32, s, threads);                           \
    }                                                                                              \
    const struct tt_op tt_op_##op = {                                                              \
        .name = label, .in_place = true, .run = op##_run, .flops = op##_flops,                     \
        .kernel = op##_kernel, .backward = op##_backward, .backward_flops = op##_flops,            \
        .backward_kernel = op##_kernel, .reads = TT_READS_INPUTS, .backward_in_place = true,       \
    };

static void unary(const struct tt_kernels *kernels,
                  void (*kernel)(const float *, float *, size_t), const struct tt_step *s,
                  int threads) {
    size_t n = tt_shape_count(&s->out);
#pragma omp parallel num_threads(threads) if (n > 2 * PIECE)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
        for (size_t i = 0; i < n; i += PIECE)
            kernel(s->x[0] + i, s->y + i, n - i < PIECE ? n - i : PIECE);
        tt_busy_end(&me);
    }
}

static void unary_backward(const struct tt_kernels *kernels,
                           void (*kernel)(const float *, const float *, float *, size_t),
                           const struct tt_step *s, int threads) {
    size_t n = tt_shape_count(&s->out);
#pragma omp parallel num_threads(threads) if (n > 2 * PIECE)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
        for (size_t i = 0; i < n; i += PIECE)
            kernel(s->x[0] + i, s->back->dy + i, s->back->dx[0] + i, n - i < PIECE ? n - i : PIECE);
        tt_busy_end(&me);
    }
}

UNARY(silu, "silu", 20.0)
UNARY(gelu, "gelu", 30.0)
UNARY(quick_gelu, "quick_gelu", 20.0)
UNARY(relu, "relu", 1.0)
UNARY(tanh, "tanh", 20.0)

static void geglu_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    size_t rows = tt_rows(&s->out), c = tt_columns(&s->out), step = PIECE / c + 1;
#pragma omp parallel num_threads(threads) if (rows > 2 * step)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
        for (size_t row = 0; row < rows; row += step)
            kernels->geglu_f32(s->x[0] + row * 2 * c, s->y + row * c,
                               rows - row < step ? rows - row : step, c);
        tt_busy_end(&me);
    }
}

static void geglu_backward(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    size_t rows = tt_rows(&s->out), c = tt_columns(&s->out), step = PIECE / c + 1;
#pragma omp parallel num_threads(threads) if (rows > 2 * step)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
        for (size_t row = 0; row < rows; row += step)
            kernels->geglu_backward_f32(s->x[0] + row * 2 * c, s->back->dy + row * c,
                                        s->back->dx[0] + row * 2 * c,
                                        rows - row < step ? rows - row : step, c);
        tt_busy_end(&me);
    }
}

static double geglu_flops(const struct tt_step *s) {
    return 31.0 * (double)tt_shape_count(&s->out);
}

static enum tt_kernel geglu_kernel(const struct tt_step *s) {
    return s->back ? TT_KERNEL_geglu_backward_f32 : TT_KERNEL_geglu_f32;
}

const struct tt_op tt_op_geglu = {
    .name = "geglu", .run = geglu_run, .flops = geglu_flops, .kernel = geglu_kernel,
    .backward = geglu_backward, .backward_flops = geglu_flops, .backward_kernel = geglu_kernel,
    .reads = TT_READS_INPUTS,
};

static enum tt_kernel add_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_add_f32;
}

static void add_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    size_t n = tt_shape_count(&s->out), period = tt_shape_count(&s->in[1]);
    for (size_t start = 0; start < n; start += period) {
#pragma omp parallel num_threads(threads) if (period > 2 * PIECE)
        {
            struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
            for (size_t i = 0; i < period; i += PIECE)
                kernels->add_f32(s->x[0] + start + i, s->x[1] + i, s->y + start + i,
                                 period - i < PIECE ? period - i : PIECE);
            tt_busy_end(&me);
        }
    }
}

// The gradient of what is repeated: the sum over its repetitions.
static struct tt_column_sums repeated_sums(const struct tt_step *s) {
    size_t period = tt_shape_count(&s->in[1]);
    if (s->op == TT_OP_add)
        return (struct tt_column_sums){
            .images = 1, .rows = tt_shape_count(&s->out) / period, .c = period,
            .x = s->back->dy, .y = s->back->dx[1],
        };
    return (struct tt_column_sums){
        .images = s->out.dim[0], .rows = tt_rows(&s->out) / s->out.dim[0], .c = tt_columns(&s->out),
        .x = s->back->dy, .y = s->back->dx[1],
    };
}

static size_t add_backward_scratch(const struct tt_step *s, int threads) {
    (void)threads;
    struct tt_column_sums sums = repeated_sums(s);
    return tt_column_sums_scratch(&sums);
}

static void add_backward(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    struct tt_column_sums sums = repeated_sums(s);
    if (s->back->dx[1]) tt_column_sums(kernels, &sums, s->scratch, threads);
}

static enum tt_kernel add_backward_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_column_sums_f32;
}

static bool add_passes(const struct tt_step *s, int input) {
    return tt_shape_count(&s->in[input]) == tt_shape_count(&s->out);
}

const struct tt_op tt_op_add = {
    .name = "add", .in_place = true, .run = add_run, .kernel = add_kernel,
    .backward = add_backward, .backward_scratch = add_backward_scratch,
    .backward_kernel = add_backward_kernel, .passes = add_passes,
};

static void scale(const struct tt_step *s, float factor, const float *x, float *y,
                  const struct tt_kernels *kernels, int threads) {
    size_t n = tt_shape_count(&s->out);
#pragma omp parallel num_threads(threads) if (n > 2 * PIECE)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
        for (size_t i = 0; i < n; i += PIECE)
            kernels->scale_f32(x + i, factor, y + i, n - i < PIECE ? n - i : PIECE);
        tt_busy_end(&me);
    }
}

static void scale_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    scale(s, s->node->with.scale, s->x[0], s->y, kernels, threads);
}

static void scale_backward(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    scale(s, s->node->with.scale, s->back->dy, s->back->dx[0], kernels, threads);
}

static enum tt_kernel scale_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_scale_f32;
}

const struct tt_op tt_op_scale = {
    .name = "scale", .in_place = true, .run = scale_run, .kernel = scale_kernel,
    .backward = scale_backward, .backward_kernel = scale_kernel, .backward_in_place = true,
};

static void affine_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    size_t n = tt_shape_count(&s->out);
    float factor = s->node->with.affine.scale, shift = s->node->with.affine.shift;
#pragma omp parallel num_threads(threads) if (n > 2 * PIECE)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
        for (size_t i = 0; i < n; i += PIECE)
            kernels->affine_f32(s->x[0] + i, factor, shift, s->y + i,
                                n - i < PIECE ? n - i : PIECE);
        tt_busy_end(&me);
    }
}

static double affine_flops(const struct tt_step *s) {
    return 2.0 * (double)tt_shape_count(&s->out);
}

static void affine_backward(const struct tt_step *s, const struct tt_kernels *kernels,
                            int threads) {
    scale(s, s->node->with.affine.scale, s->back->dy, s->back->dx[0], kernels, threads);
}

static enum tt_kernel affine_kernel(const struct tt_step *s) {
    return s->back ? TT_KERNEL_scale_f32 : TT_KERNEL_affine_f32;
}

const struct tt_op tt_op_affine = {
    .name = "affine", .in_place = true, .run = affine_run, .flops = affine_flops,
    .kernel = affine_kernel, .backward = affine_backward, .backward_kernel = affine_kernel,
    .backward_in_place = true,
};

static void add_image_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    size_t c = tt_columns(&s->out), rows = tt_rows(&s->out), hw = rows / s->out.dim[0];
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
        for (size_t row = 0; row < rows; row++)
            kernels->add_f32(s->x[0] + row * c, s->x[1] + row / hw * c, s->y + row * c, c);
        tt_busy_end(&me);
    }
}

const struct tt_op tt_op_add_image = {
    .name = "add_image", .in_place = true, .run = add_image_run, .kernel = add_kernel,
    .backward = add_backward, .backward_scratch = add_backward_scratch,
    .backward_kernel = add_backward_kernel, .passes = add_passes,
};
