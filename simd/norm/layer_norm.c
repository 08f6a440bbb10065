// SPDX-License-Identifier: MIT
#include "layer_norm.h"

#include "reduce/reduce.h"

void tt_layer_norm(const struct tt_kernels *kernels, const struct tt_layer_norm *l, int threads) {
    const size_t rows = 16, c = l->c;
#pragma omp parallel num_threads(threads) if (l->m > rows)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for schedule(static) nowait
        for (size_t r = 0; r < l->m; r += rows) {
            size_t count = l->m - r < rows ? l->m - r : rows;
            kernels->layer_norm_f32(l->x + r * c, l->gamma, l->beta, l->y + r * c, count, c,
                                    l->eps);
        }
        tt_busy_end(&me);
    }
}

static size_t block_count(const struct tt_layer_norm_backward *l) {
    return (l->m + TT_LAYER_NORM_ROWS - 1) / TT_LAYER_NORM_ROWS;
}

size_t tt_layer_norm_backward_scratch(const struct tt_layer_norm_backward *l) {
    return block_count(l) * 2 * l->c * sizeof(float);
}

void tt_layer_norm_backward(const struct tt_kernels *kernels,
                            const struct tt_layer_norm_backward *l, void *scratch, int threads) {
    size_t blocks = block_count(l), c = l->c, strip = 64;
    float *sums = scratch;
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for schedule(static) nowait
        for (size_t b = 0; b < blocks; b++) {
            size_t row = b * TT_LAYER_NORM_ROWS, left = l->m - row;
            kernels->layer_norm_backward_f32(
                l->x + row * c, l->gamma, l->dy + row * c, l->dx + row * c, sums + b * 2 * c,
                left < TT_LAYER_NORM_ROWS ? left : TT_LAYER_NORM_ROWS, c, l->eps);
        }
        tt_busy_meet(&me);
#pragma omp for schedule(static) nowait
        for (size_t j = 0; j < c; j += strip) {
            size_t count = c - j < strip ? c - j : strip;
            if (l->dgamma)
                tt_fold_blocks(sums + j, blocks, 2 * c, count, l->dgamma + j, l->accumulate);
            if (l->dbeta)
                tt_fold_blocks(sums + c + j, blocks, 2 * c, count, l->dbeta + j, l->accumulate);
        }
        tt_busy_end(&me);
    }
}
