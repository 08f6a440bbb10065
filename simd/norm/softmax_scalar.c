// SPDX-License-Identifier: MIT
#include "softmax.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

void tt_softmax_f32_scalar(const float *x, float *y, size_t m, size_t c) {
    for (size_t r = 0; r < m; r++, x += c, y += c) {
        float max = -INFINITY, lanes[32] = {0};
        for (size_t i = 0; i < c; i++) max = sf_max(x[i], max);
        for (size_t i = 0; i < c; i++) {
            y[i] = sf_exp(x[i] - max);
            lanes[i % 32] += y[i];
        }
        float sum = sf_fold(lanes);
        for (size_t i = 0; i < c; i++) y[i] = sf_canon(y[i] / sum);
    }
}
