// SPDX-License-Identifier: MIT
#include "attention/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "reference.h"

// The gradients of one image and head in float64: p and ds of every pair, and a bound of their
// errors, relative to p.
struct pairs {
    double *p, *ds, off;
};

static struct pairs find_pairs(const struct tt_attention_backward *b, size_t image, size_t head) {
    const struct tt_attention *a = &b->forward;
    struct pairs t = {malloc(a->tq * a->tk * sizeof(double)),
                      malloc(a->tq * a->tk * sizeof(double)), 0};
    double score_off = 0, largest = 0;
    for (size_t i = 0; i < a->tq; i++) {
        const float *q = a->q + (image * a->tq + i) * a->ldq + head * a->d;
        const float *dout = b->dout + (image * a->tq + i) * b->lddo + head * a->d;
        double *p = t.p + i * a->tk, *ds = t.ds + i * a->tk;
        double max = -(double)INFINITY, sum = 0, delta = 0;
        for (size_t j = 0; j < a->tk; j++) {
            const float *k = a->k + (image * a->tk + j) * a->ldk + head * a->d;
            const float *v = a->v + (image * a->tk + j) * a->ldv + head * a->d;
            struct sum s = {.terms = 4}, g = {0};
            for (size_t l = 0; l < a->d; l++) sum_product(&s, (double)q[l], (double)k[l]);
            for (size_t l = 0; l < a->d; l++) sum_product(&g, (double)dout[l], (double)v[l]);
            if (sum_limit(&s) > score_off) score_off = sum_limit(&s);
            if (g.magnitude > largest) largest = g.magnitude;
            p[j] = a->causal && j > i ? -(double)INFINITY : s.value * (double)a->scale;
            ds[j] = g.value;
            if (p[j] > max) max = p[j];
        }
        for (size_t j = 0; j < a->tk; j++) sum += p[j] = exp(p[j] - max);
        for (size_t j = 0; j < a->tk; j++) delta += (p[j] /= sum) * ds[j];
        for (size_t j = 0; j < a->tk; j++) ds[j] = p[j] * (ds[j] - delta);
    }
    double relative = 4 * score_off * fabs((double)a->scale) + 0x1p-24 * (2 * (double)a->tk + 30);
    t.off = 2 * largest * (2 * relative + 0x1p-24 * (2 * (double)a->d + 8)) + relative;
    return t;
}

static void dq_reference(struct check *c, const struct tt_attention_backward *b,
                         const struct check_out *dq, const struct pairs *t, size_t image,
                         size_t head, size_t query) {
    const struct tt_attention *a = &b->forward;
    for (size_t l = 0; l < a->d; l++) {
        struct sum s = {.terms = 4};
        double off = 0, scale = (double)a->scale;
        for (size_t j = 0; j < a->tk; j++) {
            double k = (double)a->k[(image * a->tk + j) * a->ldk + head * a->d + l];
            sum_product(&s, t->ds[query * a->tk + j] * scale, k);
            off += t->p[query * a->tk + j] * t->off * fabs(k * scale);
        }
        check_within(c, dq, (image * a->tq + query) * b->lddq + head * a->d + l, s.value,
                     sum_limit(&s) + off);
    }
}

static void dkv_reference(struct check *c, const struct tt_attention_backward *b,
                          const struct check_out *dk, const struct check_out *dv,
                          const struct pairs *t, size_t image, size_t head, size_t key) {
    const struct tt_attention *a = &b->forward;
    for (size_t l = 0; l < a->d; l++) {
        struct sum s = {.terms = 4}, g = {.terms = 4};
        double off[2] = {0}, scale = (double)a->scale;
        for (size_t i = 0; i < a->tq; i++) {
            double q = (double)a->q[(image * a->tq + i) * a->ldq + head * a->d + l];
            double dout = (double)b->dout[(image * a->tq + i) * b->lddo + head * a->d + l];
            double p = t->p[i * a->tk + key];
            sum_product(&s, t->ds[i * a->tk + key] * scale, q);
            sum_product(&g, p, dout);
            off[0] += p * t->off * fabs(q * scale);
            off[1] += p * t->off * fabs(dout);
        }
        check_within(c, dk, (image * a->tk + key) * b->lddk + head * a->d + l, s.value,
                     sum_limit(&s) + off[0]);
        check_within(c, dv, (image * a->tk + key) * b->lddv + head * a->d + l, g.value,
                     sum_limit(&g) + off[1]);
    }
}

static size_t floats(size_t rows, size_t ld, size_t width) {
    return (rows - 1) * ld + width;
}

// A case with what the scalar forward says about it.
static void choose(struct check *c, struct tt_attention_backward *b) {
    struct tt_attention *a = &b->forward;
    a->n = check_range(c, 1, 2);
    a->heads = check_range(c, 1, 3);
    a->tq = check_range(c, 1, 70);
    a->tk = check_range(c, 1, 90);
    a->d = check_range(c, 1, c->index % 3 ? 20 : 70);
    if (c->index % 5 == 4) a->tk = check_range(c, 257, 300), a->d = a->d % 9 + 1;
    if (c->index % 10 == 3) a->tq = check_range(c, 257, 300), a->d = a->d % 9 + 1;
    a->causal = c->index % 4 == 2;
    if (a->causal) a->tq = a->tk;
    if (c->bench) *a = (struct tt_attention){.n = 1, .heads = 8, .tq = 1024, .tk = 1024, .d = 40};
    a->scale = 1 / sqrtf((float)a->d);
    size_t width = a->heads * a->d, pad = c->index % 2 ? 5 : 0;
    a->ldq = width + check_range(c, 0, pad), a->ldk = width + check_range(c, 0, pad);
    a->ldv = width + check_range(c, 0, pad), a->ldo = width + check_range(c, 0, pad);
    b->lddo = width + check_range(c, 0, pad), b->lddq = width + check_range(c, 0, pad);
    b->lddk = width + check_range(c, 0, pad), b->lddv = width + check_range(c, 0, pad);
    enum fill fill = c->index % 8 == 7 ? FILL_ANY : c->index % 8 == 5 ? FILL_FINITE : FILL_UNIT;
    a->q = check_in(c, floats(a->n * a->tq, a->ldq, width), fill);
    a->k = check_in(c, floats(a->n * a->tk, a->ldk, width), fill);
    a->v = check_in(c, floats(a->n * a->tk, a->ldv, width), fill);
    b->dout = check_in(c, floats(a->n * a->tq, b->lddo, width), FILL_UNIT);
    a->o = check_in(c, floats(a->n * a->tq, a->ldo, width), FILL_UNIT);
    a->stats = check_in(c, 2 * a->n * a->heads * a->tq, FILL_UNIT);
    void *scratch = check_scratch(c, tt_attention_scratch(a, 1));
    tt_attention(c->bench ? c->kernels : c->scalar, a, scratch, 1);
    check_describe(c, "n %zu, %zu heads, tq %zu, tk %zu, d %zu, causal %d", a->n, a->heads, a->tq,
                   a->tk, a->d, a->causal);
    check_work(c, 14.0 * (double)(a->n * a->heads * a->tq * a->tk * a->d));
}

void check_attention_backward_q_f32(struct check *c) {
    while (check_case(c, c->quick ? 40 : 80)) {
        struct tt_attention_backward b = {0};
        choose(c, &b);
        const struct tt_attention *a = &b.forward;
        struct check_out dq = check_out(c, floats(a->n * a->tq, b.lddq, a->heads * a->d));
        struct check_out delta = check_out(c, a->n * a->heads * a->tq);
        size_t image = check_range(c, 0, a->n - 1), head = check_range(c, 0, a->heads - 1);
        size_t query = check_range(c, 0, (a->tq - 1) / 32) * 32;
        float *scratch = check_scratch(c, tt_attention_backward_tile_scratch(a->d) * sizeof(float));
        struct tt_attention_backward want = b;
        b.dq = dq.got, b.delta = delta.got;
        want.dq = dq.want, want.delta = delta.want;
        if (c->bench) check_work(c, 6.0 * (double)(TT_ATTENTION_QUERIES * a->tk * a->d));
        c->scalar->attention_backward_q_f32(&want, image, head, query, scratch);
        CHECK_CALL(c, c->kernels->attention_backward_q_f32(&b, image, head, query, scratch));
        if (!check_reference(c) || c->index % 8 > 4) continue;
        struct pairs t = find_pairs(&b, image, head);
        for (size_t i = query; i < a->tq && i < query + TT_ATTENTION_QUERIES; i++)
            dq_reference(c, &b, &dq, &t, image, head, i);
        free(t.p);
        free(t.ds);
    }
}

void check_attention_backward_kv_f32(struct check *c) {
    while (check_case(c, c->quick ? 40 : 80)) {
        struct tt_attention_backward b = {0};
        choose(c, &b);
        const struct tt_attention *a = &b.forward;
        size_t image = check_range(c, 0, a->n - 1), head = check_range(c, 0, a->heads - 1);
        size_t key = check_range(c, 0, (a->tk - 1) / 32) * 32;
        float *scratch = check_scratch(c, tt_attention_backward_tile_scratch(a->d) * sizeof(float));
        b.delta = check_in(c, a->n * a->heads * a->tq, FILL_UNIT);
        b.dq = check_scratch(c, floats(a->n * a->tq, b.lddq, a->heads * a->d) * sizeof(float));
        for (size_t q = 0; q < a->tq; q += TT_ATTENTION_QUERIES)
            c->scalar->attention_backward_q_f32(&b, image, head, q, scratch);
        struct check_out dk = check_out(c, floats(a->n * a->tk, b.lddk, a->heads * a->d));
        struct check_out dv = check_out(c, floats(a->n * a->tk, b.lddv, a->heads * a->d));
        struct tt_attention_backward want = b;
        b.dk = dk.got, b.dv = dv.got;
        want.dk = dk.want, want.dv = dv.want;
        if (c->bench) check_work(c, 8.0 * (double)(TT_ATTENTION_QUERIES * a->tq * a->d));
        c->scalar->attention_backward_kv_f32(&want, image, head, key, scratch);
        CHECK_CALL(c, c->kernels->attention_backward_kv_f32(&b, image, head, key, scratch));
        if (!check_reference(c) || c->index % 8 > 4) continue;
        struct pairs t = find_pairs(&b, image, head);
        for (size_t j = key; j < a->tk && j < key + TT_ATTENTION_QUERIES; j++)
            dkv_reference(c, &b, &dk, &dv, &t, image, head, j);
        free(t.p);
        free(t.ds);
    }
}

void check_attention_backward(struct check *c) {
    while (check_case(c, c->quick ? 12 : 16)) {
        struct tt_attention_backward b = {0};
        choose(c, &b);
        const struct tt_attention *a = &b.forward;
        struct check_out dq = check_out(c, floats(a->n * a->tq, b.lddq, a->heads * a->d));
        struct check_out dk = check_out(c, floats(a->n * a->tk, b.lddk, a->heads * a->d));
        struct check_out dv = check_out(c, floats(a->n * a->tk, b.lddv, a->heads * a->d));
        void *scratch = check_scratch(c, tt_attention_backward_scratch(&b, c->threads));
        void *scratch1 = check_scratch(c, tt_attention_backward_scratch(&b, 1));
        struct tt_attention_backward want = b;
        b.dq = dq.got, b.dk = dk.got, b.dv = dv.got;
        want.dq = dq.want, want.dk = dk.want, want.dv = dv.want;
        tt_attention_backward(c->scalar, &want, scratch1, 1);
        CHECK_CALL(c, tt_attention_backward(c->kernels, &b, scratch, c->threads));
        for (size_t i = 0; check_reference(c) && c->index % 8 < 5 && i < a->n * a->heads; i++) {
            struct pairs t = find_pairs(&b, i / a->heads, i % a->heads);
            for (size_t q = 0; q < a->tq; q++)
                dq_reference(c, &b, &dq, &t, i / a->heads, i % a->heads, q);
            for (size_t k = 0; k < a->tk; k++)
                dkv_reference(c, &b, &dk, &dv, &t, i / a->heads, i % a->heads, k);
            free(t.p);
            free(t.ds);
        }
    }
}
