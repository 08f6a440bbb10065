// SPDX-License-Identifier: MIT
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "gemm/gemm_backward.h"
#include "graph/composed.h"

static size_t floats(size_t count) {
    return tt_align_up(count * sizeof(float)) / sizeof(float);
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

// One head's rows, dense; a weight packed; probabilities and their gradients (tq, tk); the scratch
// of a product.
struct head {
    float *q, *k, *v, *dy, *out, *packed, *p, *dp;
    void *rest;
};

static struct tt_linear_dw transposed(size_t m, size_t n, size_t k, const float *x, const float *dy,
                                      float *dw) {
    return (struct tt_linear_dw){.m = m, .n = n, .k = k, .x = x, .dy = dy, .dw = dw};
}

static size_t cut(const struct tt_attention *a, float *base, struct head *h) {
    size_t queries = floats(a->tq * a->d), keys = floats(a->tk * a->d);
    size_t square = floats(a->tq * a->tk), out = larger(queries, keys);
    size_t packed = floats(larger(tt_gemm_packed_floats(a->tk, a->d),
                                  tt_gemm_packed_floats(a->d, a->tk)));
    struct tt_linear_dw dw = transposed(a->tq, a->tk, a->d, NULL, NULL, NULL);
    const size_t sizes[] = {queries, keys, keys, queries, out, packed, square, square,
                            floats(tt_linear_dw_scratch(&dw, 1) / sizeof(float) + 1)};
    float *at[sizeof sizes / sizeof *sizes];
    size_t used = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        at[i] = base ? base + used : NULL;
        used += sizes[i];
    }
    *h = (struct head){at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8]};
    return used;
}

size_t tt_composed_attention_backward_scratch(const struct tt_attention *a, int threads) {
    struct head h;
    return (size_t)threads * cut(a, NULL, &h) * sizeof(float);
}

static void take(const float *from, size_t stride, size_t rows, size_t d, float *to) {
    for (size_t r = 0; r < rows; r++) memcpy(to + r * d, from + r * stride, d * sizeof *to);
}

static void put(const float *from, size_t rows, size_t d, float *to, size_t stride) {
    for (size_t r = 0; r < rows; r++) memcpy(to + r * stride, from + r * d, d * sizeof *to);
}

// y (m, n) = x (m, k) w (n, k)^T.
static void product(const struct tt_kernels *kernels, const struct head *h, size_t m, size_t n,
                    size_t k, const float *x, const float *w, float *y) {
    tt_gemm_pack_rows(h->packed, n, k, 0, n, w);
    struct tt_gemm g = {.m = m, .n = n, .k = k, .x = x, .ldx = k, .w = h->packed, .y = y, .ldy = n};
    tt_gemm(kernels, &g, 1);
}

// p = softmax(scale q k^T), keys behind a causal query left out.
static void probabilities(const struct tt_kernels *kernels, const struct tt_attention *a,
                          const struct head *h) {
    product(kernels, h, a->tq, a->tk, a->d, h->q, h->k, h->p);
    kernels->scale_f32(h->p, a->scale, h->p, a->tq * a->tk);
    for (size_t i = 0; a->causal && i < a->tq; i++)
        for (size_t j = i + 1; j < a->tk; j++) h->p[i * a->tk + j] = -INFINITY;
    kernels->softmax_f32(h->p, h->p, a->tq, a->tk);
}

// dp becomes the gradient of the scores, times scale.
static void through_softmax(const struct tt_attention *a, const struct head *h) {
    for (size_t i = 0; i < a->tq; i++) {
        const float *p = h->p + i * a->tk;
        float *dp = h->dp + i * a->tk;
        double sum = 0;
        for (size_t j = 0; j < a->tk; j++) sum += (double)p[j] * (double)dp[j];
        for (size_t j = 0; j < a->tk; j++) dp[j] = p[j] * (dp[j] - (float)sum) * a->scale;
    }
}

static void one_head(const struct tt_kernels *kernels, const struct tt_attention *a,
                     const struct tt_attention_gradients *to, size_t image, size_t head,
                     const struct head *h) {
    size_t width = a->heads * a->d, column = head * a->d;
    size_t queries = image * a->tq * width + column, keys = image * a->tk * width + column;
    take(a->q + image * a->tq * a->ldq + column, a->ldq, a->tq, a->d, h->q);
    take(a->k + image * a->tk * a->ldk + column, a->ldk, a->tk, a->d, h->k);
    take(a->v + image * a->tk * a->ldv + column, a->ldv, a->tk, a->d, h->v);
    take(to->dy + queries, width, a->tq, a->d, h->dy);
    probabilities(kernels, a, h);
    if (to->dv) {
        struct tt_linear_dw dw = transposed(a->tq, a->tk, a->d, h->dy, h->p, h->out);
        tt_linear_dw(kernels, &dw, h->rest, 1);
        put(h->out, a->tk, a->d, to->dv + keys, width);
    }
    if (!to->dq && !to->dk) return;
    product(kernels, h, a->tq, a->tk, a->d, h->dy, h->v, h->dp);
    through_softmax(a, h);
    if (to->dq) {
        tt_gemm_pack_transposed(h->packed, a->tk, a->d, 0, a->tk, h->k);
        struct tt_gemm g = {.m = a->tq, .n = a->d, .k = a->tk, .x = h->dp, .ldx = a->tk,
                            .w = h->packed, .y = to->dq + queries, .ldy = width};
        tt_gemm(kernels, &g, 1);
    }
    if (to->dk) {
        struct tt_linear_dw dw = transposed(a->tq, a->tk, a->d, h->q, h->dp, h->out);
        tt_linear_dw(kernels, &dw, h->rest, 1);
        put(h->out, a->tk, a->d, to->dk + keys, width);
    }
}

void tt_composed_attention_backward(const struct tt_kernels *kernels, const struct tt_attention *a,
                           const struct tt_attention_gradients *to, void *scratch, int threads) {
    struct head unused;
    size_t each = cut(a, NULL, &unused);
    size_t tasks = a->n * a->heads, workers = (size_t)threads < tasks ? (size_t)threads : tasks;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (size_t worker = 0; worker < workers; worker++) {
        struct head h;
        cut(a, (float *)scratch + worker * each, &h);
        for (size_t i = worker; i < tasks; i += workers)
            one_head(kernels, a, to, i / a->heads, i % a->heads, &h);
    }
}
