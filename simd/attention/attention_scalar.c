// SPDX-License-Identifier: MIT
#include "attention.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

static float max_score(const float *s, size_t count, float max) {
    for (size_t j = 0; j < count; j++) max = sf_max(s[j], max);
    return max;
}

// One query: q scaled (d), k and v from the head's first column, acc (d).
static void attend(const struct tt_attention *a, const float *q, const float *k, const float *v,
                   size_t keys, float *acc, float *o, float *stats) {
    float m = -INFINITY, l = 0, s[TT_ATTENTION_KEYS];
    memset(acc, 0, a->d * sizeof *acc);
    for (size_t first = 0; first < keys; first += TT_ATTENTION_KEYS) {
        size_t count = keys - first < TT_ATTENTION_KEYS ? keys - first : TT_ATTENTION_KEYS;
        for (size_t j = 0; j < count; j++) {
            s[j] = 0;
            for (size_t i = 0; i < a->d; i++) s[j] = fmaf(q[i], k[(first + j) * a->ldk + i], s[j]);
        }
        float next = max_score(s, count, m), base = next > -INFINITY ? next : 0, sum = 0;
        float keep = sf_exp2_neg(m - base);
        for (size_t j = 0; j < count; j++) {
            s[j] = sf_exp2_neg(s[j] - base);
            sum += s[j];
        }
        l = fmaf(l, keep, sum);
        for (size_t i = 0; i < a->d; i++) {
            float chain = 0;
            for (size_t j = 0; j < count; j++)
                chain = fmaf(s[j], v[(first + j) * a->ldv + i], chain);
            acc[i] = fmaf(acc[i], keep, chain);
        }
        m = next;
    }
    float share = 1.0f / l;
    if (stats) stats[0] = m, stats[1] = share;
    for (size_t i = 0; i < a->d; i++) o[i] = sf_canon(acc[i] * share);
}

void tt_attention_f32_scalar(const struct tt_attention *a, size_t image, size_t head, size_t query,
                             float *scratch) {
    float *q = scratch, *acc = scratch + a->d;
    double scale = LOG2E_DOUBLE * (double)a->scale;
    float high = (float)scale, low = (float)(scale - (double)high);
    size_t last = query + TT_ATTENTION_QUERIES < a->tq ? query + TT_ATTENTION_QUERIES : a->tq;
    for (size_t t = query; t < last; t++) {
        const float *row = a->q + (image * a->tq + t) * a->ldq + head * a->d;
        for (size_t i = 0; i < a->d; i++)
            q[i] = fmaf(row[i], high, row[i] * low);
        size_t keys = a->causal && t + 1 < a->tk ? t + 1 : a->tk;
        attend(a, q, a->k + image * a->tk * a->ldk + head * a->d,
               a->v + image * a->tk * a->ldv + head * a->d, keys, acc,
               a->o + (image * a->tq + t) * a->ldo + head * a->d,
               a->stats ? a->stats + ((image * a->heads + head) * a->tq + t) * 2 : NULL);
    }
}
