// SPDX-License-Identifier: MIT
#include "layer_norm.h"

void tt_layer_norm(const struct tt_kernels *kernels, const struct tt_layer_norm *l, int threads) {
    const size_t rows = 16, c = l->c;
#pragma omp parallel for schedule(static) num_threads(threads) if (l->m > rows)
    for (size_t r = 0; r < l->m; r += rows) {
        size_t count = l->m - r < rows ? l->m - r : rows;
        kernels->layer_norm_f32(l->x + r * c, l->gamma, l->beta, l->y + r * c, count, c, l->eps);
    }
}
