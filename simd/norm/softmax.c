// SPDX-License-Identifier: MIT
#include "softmax.h"

void tt_softmax(const struct tt_kernels *kernels, const float *x, float *y, size_t m, size_t c,
                int threads) {
    const size_t rows = 16;
#pragma omp parallel for schedule(static) num_threads(threads) if (m > rows)
    for (size_t r = 0; r < m; r += rows)
        kernels->softmax_f32(x + r * c, y + r * c, m - r < rows ? m - r : rows, c);
}
