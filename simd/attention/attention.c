// SPDX-License-Identifier: MIT
#include "attention.h"

#include <omp.h>

// Queries and outputs (128, d), scores (256, 32 or less), one block of values (256, d), d rounded
// up to a tile's rows.
size_t tt_attention_tile_scratch(size_t d) {
    return TT_ATTENTION_QUERIES * 2 * d + TT_ATTENTION_KEYS * (32 + d + 16);
}

size_t tt_attention_scratch(const struct tt_attention *a, int threads) {
    return sizeof(float) * tt_attention_tile_scratch(a->d) * (size_t)threads;
}

void tt_attention(const struct tt_kernels *kernels, const struct tt_attention *a, void *scratch,
                  int threads) {
    size_t tiles = (a->tq + TT_ATTENTION_QUERIES - 1) / TT_ATTENTION_QUERIES;
    size_t all = a->n * a->heads * tiles, own = tt_attention_tile_scratch(a->d);
    // Causal tiles differ in length, hence dynamic. Neighbouring tasks share a head's keys and
    // values, or, where those of all heads fit a cache, the lines of q and o.
    int heads_first = a->tk * a->heads * a->d <= (size_t)1 << 17;
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for schedule(dynamic, 2) nowait
        for (size_t i = 0; i < all; i++) {
            size_t image = i / tiles / a->heads, rest = i % (tiles * a->heads);
            size_t head = heads_first ? rest % a->heads : rest / tiles;
            size_t tile = heads_first ? rest / a->heads : rest % tiles;
            kernels->attention_f32(a, image, head, tile * TT_ATTENTION_QUERIES,
                                   (float *)scratch + (size_t)omp_get_thread_num() * own);
        }
        tt_busy_end(&me);
    }
}

// Lanes of two operands and two sums (4, d, 32), scores and their gradients (2, 256, 32), two
// packed blocks (2, 256, d), d rounded up to a tile's rows.
size_t tt_attention_backward_tile_scratch(size_t d) {
    return 4 * 32 * d + 2 * TT_ATTENTION_KEYS * (32 + d + 16);
}

static size_t delta_floats(const struct tt_attention *a) {
    return (a->n * a->heads * a->tq + 15) / 16 * 16;
}

size_t tt_attention_backward_scratch(const struct tt_attention_backward *b, int threads) {
    size_t own = tt_attention_backward_tile_scratch(b->forward.d);
    return sizeof(float) * (delta_floats(&b->forward) + own * (size_t)threads);
}

void tt_attention_backward(const struct tt_kernels *kernels, const struct tt_attention_backward *b,
                           void *scratch, int threads) {
    struct tt_attention_backward own = *b;
    const struct tt_attention *a = &own.forward;
    size_t queries = (a->tq + TT_ATTENTION_QUERIES - 1) / TT_ATTENTION_QUERIES;
    size_t keys = (a->tk + TT_ATTENTION_QUERIES - 1) / TT_ATTENTION_QUERIES;
    size_t size = tt_attention_backward_tile_scratch(a->d);
    own.delta = scratch;
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
        float *mine = own.delta + delta_floats(a) + (size_t)omp_get_thread_num() * size;
#pragma omp for schedule(dynamic) nowait
        for (size_t i = 0; i < a->n * a->heads * queries; i++)
            kernels->attention_backward_q_f32(&own, i / queries / a->heads, i / queries % a->heads,
                                              i % queries * TT_ATTENTION_QUERIES, mine);
        tt_busy_meet(&me);
#pragma omp for schedule(dynamic) nowait
        for (size_t i = 0; i < a->n * a->heads * keys; i++)
            kernels->attention_backward_kv_f32(&own, i / keys / a->heads, i / keys % a->heads,
                                               i % keys * TT_ATTENTION_QUERIES, mine);
        tt_busy_end(&me);
    }
}
