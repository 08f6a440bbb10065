// SPDX-License-Identifier: MIT
#include "attention.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

static float dot(const float *a, const float *b, size_t d) {
    float sum = 0;
    for (size_t i = 0; i < d; i++) sum = fmaf(a[i], b[i], sum);
    return sum;
}

static void scaled(const struct tt_attention *a, const float *x, float *y) {
    double scale = LOG2E_DOUBLE * (double)a->scale;
    float high = (float)scale, low = (float)(scale - (double)high);
    for (size_t i = 0; i < a->d; i++) y[i] = fmaf(x[i], high, x[i] * low);
}

// p of one pair from its score.
static float weight(const struct tt_attention *a, float score, size_t query, size_t key,
                    const float *stats) {
    if (a->causal && key > query) score = -INFINITY;
    return sf_exp2_neg(sf_min(0.0f, score - stats[0])) * stats[1];
}

// sum[i] += the chain over count rows of weights x rows.
static void fold(const float *weights, size_t count, const float *x, size_t ld, size_t d,
                 float *sum) {
    for (size_t i = 0; i < d; i++) {
        float chain = 0;
        for (size_t j = 0; j < count; j++) chain = fmaf(weights[j], x[j * ld + i], chain);
        sum[i] += chain;
    }
}

void tt_attention_backward_q_f32_scalar(const struct tt_attention_backward *b, size_t image,
                                        size_t head, size_t query, float *scratch) {
    const struct tt_attention *a = &b->forward;
    const float *k = a->k + image * a->tk * a->ldk + head * a->d;
    const float *v = a->v + image * a->tk * a->ldv + head * a->d;
    size_t last = query + TT_ATTENTION_QUERIES < a->tq ? query + TT_ATTENTION_QUERIES : a->tq;
    float *q = scratch, *sum = q + a->d, ds[TT_ATTENTION_KEYS];
    for (size_t t = query; t < last; t++) {
        size_t row = image * a->tq + t, at = (image * a->heads + head) * a->tq + t;
        const float *dout = b->dout + row * b->lddo + head * a->d;
        float delta = dot(dout, a->o + row * a->ldo + head * a->d, a->d);
        float *dq = b->dq + row * b->lddq + head * a->d;
        b->delta[at] = delta;
        scaled(a, a->q + row * a->ldq + head * a->d, q);
        memset(sum, 0, a->d * sizeof *sum);
        for (size_t first = 0; first < a->tk; first += TT_ATTENTION_KEYS) {
            size_t count = a->tk - first < TT_ATTENTION_KEYS ? a->tk - first : TT_ATTENTION_KEYS;
            for (size_t j = 0; j < count; j++) {
                size_t key = first + j;
                float p = weight(a, dot(q, k + key * a->ldk, a->d), t, key, a->stats + 2 * at);
                ds[j] = p * (dot(dout, v + key * a->ldv, a->d) - delta);
            }
            fold(ds, count, k + first * a->ldk, a->ldk, a->d, sum);
        }
        for (size_t i = 0; i < a->d; i++) dq[i] = sf_canon(sum[i] * a->scale);
    }
}

void tt_attention_backward_kv_f32_scalar(const struct tt_attention_backward *b, size_t image,
                                         size_t head, size_t key, float *scratch) {
    const struct tt_attention *a = &b->forward;
    const float *q = a->q + image * a->tq * a->ldq + head * a->d;
    const float *dout = b->dout + image * a->tq * b->lddo + head * a->d;
    size_t last = key + TT_ATTENTION_QUERIES < a->tk ? key + TT_ATTENTION_QUERIES : a->tk;
    size_t at = (image * a->heads + head) * a->tq;
    float *k = scratch, *dk = k + a->d, *dv = dk + a->d;
    float p[TT_ATTENTION_KEYS], ds[TT_ATTENTION_KEYS];
    for (size_t t = key; t < last; t++) {
        size_t row = image * a->tk + t;
        const float *v = a->v + row * a->ldv + head * a->d;
        scaled(a, a->k + row * a->ldk + head * a->d, k);
        memset(dk, 0, 2 * a->d * sizeof *dk);
        for (size_t first = 0; first < a->tq; first += TT_ATTENTION_KEYS) {
            size_t count = a->tq - first < TT_ATTENTION_KEYS ? a->tq - first : TT_ATTENTION_KEYS;
            for (size_t j = 0; j < count; j++) {
                size_t query = first + j;
                float s = dot(k, q + query * a->ldq, a->d);
                p[j] = weight(a, s, query, t, a->stats + 2 * (at + query));
                ds[j] = p[j] * (dot(v, dout + query * b->lddo, a->d) - b->delta[at + query]);
            }
            fold(ds, count, q + first * a->ldq, a->ldq, a->d, dk);
            fold(p, count, dout + first * b->lddo, b->lddo, a->d, dv);
        }
        for (size_t i = 0; i < a->d; i++) {
            b->dk[row * b->lddk + head * a->d + i] = sf_canon(dk[i] * a->scale);
            b->dv[row * b->lddv + head * a->d + i] = sf_canon(dv[i]);
        }
    }
}
