// SPDX-License-Identifier: MIT
#include "shape_backward.h"

void tt_embedding_backward(const struct tt_kernels *kernels, const int32_t *ids, const float *dy,
                           float *dtable, size_t t, size_t c, int threads) {
    const size_t strip = 64;
#pragma omp parallel for num_threads(threads) if (t * c > 16384)
    for (size_t j = 0; j < c; j += strip)
        kernels->embedding_backward_f32(ids, dy + j, dtable + j, t, c - j < strip ? c - j : strip,
                                        c);
}
