// SPDX-License-Identifier: MIT
#include "attention/attention.h"

#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "reference.h"

static size_t at_least(size_t a, size_t b) {
    return a > b ? a : b;
}

// Query t of one image and head in float64: all d outputs, each with its limit.
static void query_reference(struct check *c, const struct tt_attention *a,
                            const struct check_out *o, size_t image, size_t head, size_t t) {
    const float *q = a->q + (image * a->tq + t) * a->ldq + head * a->d;
    const float *k = a->k + image * a->tk * a->ldk + head * a->d;
    const float *v = a->v + image * a->tk * a->ldv + head * a->d;
    size_t keys = a->causal && t + 1 < a->tk ? t + 1 : a->tk;
    double *p = malloc(keys * sizeof *p), max = -INFINITY, sum = 0, off = 0;
    for (size_t j = 0; j < keys; j++) {
        struct sum s = {0};
        for (size_t i = 0; i < a->d; i++) sum_product(&s, (double)q[i], (double)k[j * a->ldk + i]);
        p[j] = s.value * (double)a->scale;
        s.terms += 4;
        off = fmax(off, sum_limit(&s) * fabs((double)a->scale));
        max = fmax(max, p[j]);
    }
    for (size_t j = 0; j < keys; j++) sum += p[j] = exp(p[j] - max);
    for (size_t i = 0; i < a->d; i++) {
        struct sum s = {0};
        for (size_t j = 0; j < keys; j++)
            sum_product(&s, p[j] / sum, (double)v[j * a->ldv + i]);
        double limit = (2 * off + 0x1p-24 * (2 * (double)keys + 20)) * s.magnitude + 0x1p-140;
        check_within(c, o, (image * a->tq + t) * a->ldo + head * a->d + i, s.value, limit);
    }
    free(p);
}

static void choose(struct check *c, struct tt_attention *a, bool one_tile) {
    static const size_t depths[] = {1, 8, 40, 16, 7, 64, 33, 80, 20, 160};
    a->n = check_range(c, 1, 2);
    a->heads = check_range(c, 1, 3);
    a->tq = check_range(c, 1, 70);
    a->tk = c->index % 5 == 4 ? check_range(c, 257, 530) : check_range(c, 1, 90);
    a->d = c->index % 3 ? check_range(c, 1, 40) : depths[c->index / 3 % 10];
    if (c->index % 5 == 4) a->d = a->d % 20 + 1, a->tq = a->tq % 40 + 1;
    a->causal = c->index % 4 == 2;
    if (a->causal) a->tq = a->tk = c->index % 5 == 4 ? 260 : a->tk; // as text encoders have it
    if (c->bench)
        *a = (struct tt_attention){
            .n = 1, .heads = 8, .tq = one_tile ? 32 : 1024, .tk = 1024, .d = 40};
    a->scale = 1 / sqrtf((float)a->d);
    size_t width = a->heads * a->d, pad = c->index % 2 ? 5 : 0;
    a->ldq = at_least(width, 1) + check_range(c, 0, pad);
    a->ldk = width + check_range(c, 0, pad);
    a->ldv = width + check_range(c, 0, pad);
    a->ldo = width + check_range(c, 0, pad);
    enum fill fill = c->index % 8 == 7 ? FILL_ANY : c->index % 8 == 5 ? FILL_FINITE : FILL_UNIT;
    float *q = check_in(c, (a->n * a->tq - 1) * a->ldq + width, fill);
    a->q = q;
    a->k = check_in(c, (a->n * a->tk - 1) * a->ldk + width, fill);
    a->v = check_in(c, (a->n * a->tk - 1) * a->ldv + width, fill);
    if (c->index % 8 == 6) // scores of hundreds: weights that vanish
        for (size_t i = 0; i < (a->n * a->tq - 1) * a->ldq + width; i++) q[i] *= 300;
    check_describe(c, "n %zu, %zu heads, tq %zu, tk %zu, d %zu, causal %d", a->n, a->heads, a->tq,
                   a->tk, a->d, a->causal);
    size_t tiles = one_tile ? 1 : a->n * a->heads;
    check_work(c, 4.0 * (double)(tiles * a->tq * a->tk * a->d));
}

void check_attention_f32(struct check *c) {
    while (check_case(c, c->quick ? 60 : 100)) {
        struct tt_attention a = {0};
        choose(c, &a, true);
        struct check_out o = check_out(c, (a.n * a.tq - 1) * a.ldo + a.heads * a.d);
        struct check_out stats = check_out(c, 2 * a.n * a.heads * a.tq);
        size_t image = check_range(c, 0, a.n - 1), head = check_range(c, 0, a.heads - 1);
        size_t query = check_range(c, 0, (a.tq - 1) / 32) * 32;
        float *scratch = check_scratch(c, tt_attention_tile_scratch(a.d) * sizeof *scratch);
        struct tt_attention want = a;
        want.o = o.want;
        a.o = o.got;
        if (c->index % 2) want.stats = stats.want, a.stats = stats.got;
        c->scalar->attention_f32(&want, image, head, query, scratch);
        CHECK_CALL(c, c->kernels->attention_f32(&a, image, head, query, scratch));
        for (size_t t = query; check_reference(c) && c->index % 8 < 5 && t < a.tq && t < query + 32;
             t++)
            query_reference(c, &a, &o, image, head, t);
    }
}

void check_attention(struct check *c) {
    while (check_case(c, c->quick ? 12 : 20)) {
        struct tt_attention a = {0};
        choose(c, &a, false);
        struct check_out o = check_out(c, (a.n * a.tq - 1) * a.ldo + a.heads * a.d);
        void *scratch = check_scratch(c, tt_attention_scratch(&a, c->threads));
        void *scratch1 = check_scratch(c, tt_attention_scratch(&a, 1));
        struct tt_attention want = a;
        want.o = o.want;
        a.o = o.got;
        tt_attention(c->scalar, &want, scratch1, 1);
        CHECK_CALL(c, tt_attention(c->kernels, &a, scratch, c->threads));
        for (size_t i = 0; check_reference(c) && c->index % 8 < 5 && i < a.n * a.heads * a.tq; i++)
            query_reference(c, &a, &o, i / a.tq / a.heads, i / a.tq % a.heads, i % a.tq);
    }
}
