// SPDX-License-Identifier: MIT
#include "attention/attention.h"
#include "graph/op.h"

static struct tt_attention attention_of(const struct tt_step *s) {
    size_t width = s->in[0].dim[2], heads = s->node->with.attention.heads;
    return (struct tt_attention){
        .n = s->in[0].dim[0], .heads = heads, .tq = s->in[0].dim[1], .tk = s->in[1].dim[1],
        .d = width / heads, .scale = s->node->with.attention.scale,
        .causal = s->node->with.attention.causal, .q = s->x[0], .ldq = width, .k = s->x[1],
        .ldk = width, .v = s->x[2], .ldv = width, .o = s->y, .ldo = width,
        .stats = s->saved,
    };
}

static void attention_run(const struct tt_step *s, const struct tt_kernels *kernels, int threads) {
    struct tt_attention a = attention_of(s);
    tt_attention(kernels, &a, s->scratch, threads);
}

static size_t attention_scratch(const struct tt_step *s, int threads) {
    struct tt_attention a = attention_of(s);
    return tt_attention_scratch(&a, threads);
}

static double attention_flops(const struct tt_step *s) { // q k^T and p v
    return 4.0 * (double)tt_shape_count(&s->in[0]) * (double)s->in[1].dim[1];
}

// Each query up to its last key.
static double attention_executed(const struct tt_step *s, const struct tt_kernels *kernels,
                                 int threads) {
    (void)kernels, (void)threads;
    double q = (double)s->in[0].dim[1], k = (double)s->in[1].dim[1];
    double seen = q < k ? q * (q + 1) / 2 : k * (k + 1) / 2 + (q - k) * k;
    double all = (s->back ? 3.5 : 1) * attention_flops(s);
    return s->node->with.attention.causal ? all * seen / (q * k) : all;
}

static void attention_why(const struct tt_step *s, const struct tt_kernels *kernels, int threads,
                          struct tt_why *why) {
    (void)kernels, (void)threads;
    struct tt_attention a = attention_of(s);
    tt_why_add(why, "in blocks of %d keys, so that no more of the scores is held; tasks of %d "
               "queries, %zu in all%s", TT_ATTENTION_KEYS, TT_ATTENTION_QUERIES,
               a.n * a.heads * ((a.tq + TT_ATTENTION_QUERIES - 1) / TT_ATTENTION_QUERIES),
               a.causal ? "; keys behind a query are left out" : "");
}

static enum tt_kernel attention_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_attention_f32;
}

// What the backward pass wants to know of every query.
static size_t attention_saved(const struct tt_step *s) {
    return 2 * s->in[0].dim[0] * s->node->with.attention.heads * s->in[0].dim[1] * sizeof(float);
}

static struct tt_attention_backward attention_backward_of(const struct tt_step *s) {
    size_t width = s->in[0].dim[2];
    return (struct tt_attention_backward){
        .forward = attention_of(s), .dout = s->back->dy, .lddo = width, .dq = s->back->dx[0],
        .lddq = width, .dk = s->back->dx[1], .lddk = width, .dv = s->back->dx[2], .lddv = width,
    };
}

static void attention_backward(const struct tt_step *s, const struct tt_kernels *kernels,
                               int threads) {
    struct tt_attention_backward b = attention_backward_of(s);
    tt_attention_backward(kernels, &b, s->scratch, threads);
}

static size_t attention_backward_scratch(const struct tt_step *s, int threads) {
    struct tt_attention_backward b = attention_backward_of(s);
    return tt_attention_backward_scratch(&b, threads);
}

// Scores and their gradients twice, by queries and by keys, and the three gradients.
static double attention_backward_flops(const struct tt_step *s) {
    return 3.5 * attention_flops(s);
}

static enum tt_kernel attention_backward_kernel(const struct tt_step *s) {
    (void)s;
    return TT_KERNEL_attention_backward_kv_f32;
}

const struct tt_op tt_op_attention = {
    .name = "attention", .run = attention_run, .scratch = attention_scratch,
    .flops = attention_flops, .kernel = attention_kernel,
    .executed = attention_executed, .why = attention_why,
    .backward = attention_backward, .backward_scratch = attention_backward_scratch,
    .backward_flops = attention_backward_flops, .backward_kernel = attention_backward_kernel,
    .saved = attention_saved, .reads = TT_READS_INPUTS | TT_READS_OUTPUT, .every_dx = true,
};
