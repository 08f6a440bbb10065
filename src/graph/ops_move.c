// SPDX-License-Identifier: MIT
// Operations that move numbers without computing, or that look them up.
#include <assert.h>
#include <string.h>

#include "base/quant.h"
#include "dequant/dequant.h"
#include "graph/op.h"
#include "shape/shape.h"

static double no_flops(const struct tt_step *s) {
    (void)s;
    return 0;
}

static void not_a_step(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    (void)s, (void)kernels, (void)threads;
    assert(!"inputs and reshapes have no step");
}

const struct tt_op tt_op_input = {.name = "input", .run = not_a_step, .flops = no_flops};
const struct tt_op tt_op_reshape = {.name = "reshape", .run = not_a_step, .flops = no_flops};

static void embedding_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    (void)threads;
    size_t rows = tt_rows(&s->out), c = tt_columns(&s->out);
    const int32_t *ids = (const int32_t *)s->x[0];
    if (s->weight.dtype == TT_F32)
        kernels->embedding_f32(s->weight.data, ids, s->y, rows, c);
    for (size_t i = 0; s->weight.dtype != TT_F32 && i < rows; i++) {
        float *y = s->y + i * c;
        if (tt_is_quantised(s->weight.dtype))
            tt_dequant_elements(kernels, &s->weight, (size_t)ids[i] * c, c, y);
        else
            tt_widen(kernels, &s->weight, (size_t)ids[i] * c, c, y);
    }
}

static enum tt_kernel add_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_add_f32;
}

// Rows of one id are added in the order in which they come.
static void embedding_backward(const struct tt_step *s, const struct tt_kernels *kernels,
                               int threads) {
    (void)threads;
    size_t rows = tt_rows(&s->out), c = tt_columns(&s->out);
    const int32_t *ids = (const int32_t *)s->x[0];
    for (size_t row = 0; row < rows; row++) {
        float *to = s->back->dweight + (size_t)ids[row] * c;
        kernels->add_f32(to, s->back->dy + row * c, to, c);
    }
}

static enum tt_kernel embedding_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_embedding_f32;
}

const struct tt_op tt_op_embedding = {
    .name = "embedding", .run = embedding_run, .flops = no_flops, .kernel = embedding_kernel,
    .reads_rows = true, .backward = embedding_backward, .backward_kernel = add_kernel,
};

static void sinusoidal_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    (void)threads;
    kernels->sinusoidal_f32(s->x[0], s->y, s->out.dim[0], s->out.dim[1],
                            s->node->with.sinusoidal.flip_sin_to_cos,
                            s->node->with.sinusoidal.shift, 10000.0f);
}

static enum tt_kernel sinusoidal_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_sinusoidal_f32;
}

const struct tt_op tt_op_sinusoidal = {
    .name = "sinusoidal", .run = sinusoidal_run, .kernel = sinusoidal_kernel,
};

// Doubling, the usual case, goes row by row: each input row gives two of the output.
static void upsample_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    const struct tt_shape *in = &s->in[0], *out = &s->out;
    size_t c = in->dim[1], h = in->dim[2], w = in->dim[3], oh = out->dim[2], ow = out->dim[3];
    size_t pieces = oh == 2 * h ? in->dim[0] * h : in->dim[0], rows = in->dim[0] * h / pieces;
#pragma omp parallel num_threads(threads) if (pieces > 1)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
        for (size_t i = 0; i < pieces; i++)
            kernels->upsample_nearest_f32(s->x[0] + i * rows * w * c,
                                          s->y + i * (rows * oh / h) * ow * c, 1, rows, w, c,
                                          rows * oh / h, ow);
        tt_busy_end(&me);
    }
}

static enum tt_kernel upsample_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_upsample_nearest_f32;
}

// The pixels of y that repeat a pixel of x are added in the order of rows and columns.
static void upsample_backward(const struct tt_step *s, const struct tt_kernels *kernels,
                              int threads) {
    size_t c = s->in[0].dim[1], h = s->in[0].dim[2], w = s->in[0].dim[3];
    size_t oh = s->out.dim[2], ow = s->out.dim[3];
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
        for (size_t row = 0; row < s->in[0].dim[0] * h; row++) {
            float *dx = s->back->dx[0] + row * w * c;
            memset(dx, 0, w * c * sizeof *dx);
            for (size_t oy = 0; oy < oh; oy++) {
                if (nearest_pixel(oy, h, oh) != row % h) continue;
                const float *dy = s->back->dy + (row / h * oh + oy) * ow * c;
                for (size_t ox = 0; ox < ow; ox++) {
                    float *to = dx + nearest_pixel(ox, w, ow) * c;
                    kernels->add_f32(to, dy + ox * c, to, c);
                }
            }
        }
        tt_busy_end(&me);
    }
}

const struct tt_op tt_op_upsample_nearest = {
    .name = "upsample_nearest", .run = upsample_run, .flops = no_flops, .kernel = upsample_kernel,
    .backward = upsample_backward, .backward_kernel = add_kernel,
};

static void concat_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    size_t rows = tt_rows(&s->out), a = tt_columns(&s->in[0]), b = tt_columns(&s->in[1]);
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
        for (size_t row = 0; row < rows; row++) {
            float *y = s->y + row * (a + b);
            memcpy(y, s->x[0] + row * a, a * sizeof *y);
            memcpy(y + a, s->x[1] + row * b, b * sizeof *y);
        }
        tt_busy_end(&me);
    }
}

static void concat_backward(const struct tt_step *s, const struct tt_kernels *kernels,
                            int threads) {
    size_t rows = tt_rows(&s->out), a = tt_columns(&s->in[0]), b = tt_columns(&s->in[1]);
    float *const *dx = s->back->dx;
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for nowait
        for (size_t row = 0; row < rows; row++) {
            const float *dy = s->back->dy + row * (a + b);
            if (dx[0]) memcpy(dx[0] + row * a, dy, a * sizeof *dy);
            if (dx[1]) memcpy(dx[1] + row * b, dy + a, b * sizeof *dy);
        }
        tt_busy_end(&me);
    }
}

const struct tt_op tt_op_concat = {
    .name = "concat", .run = concat_run, .flops = no_flops,
    .backward = concat_backward, .backward_flops = no_flops,
};

static void take_row_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    (void)kernels, (void)threads;
    const int32_t *index = (const int32_t *)s->x[1];
    size_t t = s->in[0].dim[1], c = s->in[0].dim[2];
    for (size_t n = 0; n < s->out.dim[0]; n++)
        memcpy(s->y + n * c, s->x[0] + (n * t + (size_t)index[n]) * c, c * sizeof *s->y);
}

static void take_row_backward(const struct tt_step *s, const struct tt_kernels *kernels,
                              int threads) {
    (void)kernels, (void)threads;
    const int32_t *index = (const int32_t *)s->x[1];
    size_t t = s->in[0].dim[1], c = s->in[0].dim[2];
    float *dx = s->back->dx[0];
    memset(dx, 0, tt_shape_count(&s->in[0]) * sizeof *dx);
    for (size_t n = 0; n < s->out.dim[0]; n++)
        memcpy(dx + (n * t + (size_t)index[n]) * c, s->back->dy + n * c, c * sizeof *dx);
}

const struct tt_op tt_op_take_row = {
    .name = "take_row", .run = take_row_run, .flops = no_flops, .reads_rows = true,
    .backward = take_row_backward, .backward_flops = no_flops,
};
