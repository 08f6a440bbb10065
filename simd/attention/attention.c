// SPDX-License-Identifier: MIT
#include "attention.h"

#include <omp.h>

// Queries and outputs (d, 32), scores (256, 32).
size_t tt_attention_tile_scratch(size_t d) {
    return TT_ATTENTION_QUERIES * (2 * d + TT_ATTENTION_KEYS);
}

size_t tt_attention_scratch(const struct tt_attention *a, int threads) {
    return sizeof(float) * tt_attention_tile_scratch(a->d) * (size_t)threads;
}

void tt_attention(const struct tt_kernels *kernels, const struct tt_attention *a, void *scratch,
                  int threads) {
    size_t tiles = (a->tq + TT_ATTENTION_QUERIES - 1) / TT_ATTENTION_QUERIES;
    size_t all = a->n * a->heads * tiles, own = tt_attention_tile_scratch(a->d);
    // Causal tiles differ in length, hence dynamic; neighbours share a head's keys and values.
#pragma omp parallel for schedule(dynamic, 2) num_threads(threads)
    for (size_t i = 0; i < all; i++) {
        size_t head = i / tiles % a->heads, image = i / tiles / a->heads;
        kernels->attention_f32(a, image, head, i % tiles * TT_ATTENTION_QUERIES,
                               (float *)scratch + (size_t)omp_get_thread_num() * own);
    }
}
