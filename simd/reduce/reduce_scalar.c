// SPDX-License-Identifier: MIT
#include "reduce.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

void tt_column_sums_f32_scalar(const float *x, size_t ldx, float *y, size_t rows, size_t c) {
    for (size_t j = 0; j < c; j++) {
        float sum = 0, chain = 0;
        for (size_t r = 0; r < rows; r++) {
            chain += x[r * ldx + j];
            if ((r + 1) % TT_SUM_CHAIN && r + 1 < rows) continue;
            sum = r < TT_SUM_CHAIN ? chain : sum + chain;
            chain = 0;
        }
        y[j] = sum;
    }
}

void tt_sum_squares_f32_scalar(const float *x, size_t n, float *sum) {
    float lanes[32] = {0};
    for (size_t i = 0; i < n; i++) lanes[i % 32] = fmaf(x[i], x[i], lanes[i % 32]);
    *sum = sf_fold(lanes);
}

void tt_squared_error_f32_scalar(const float *x, const float *target, float factor, float *dx,
                                 size_t n, float *sum) {
    float lanes[32] = {0};
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - target[i];
        lanes[i % 32] = fmaf(d, d, lanes[i % 32]);
        dx[i] = sf_canon(factor * d);
    }
    *sum = sf_fold(lanes);
}

void tt_absolute_error_f32_scalar(const float *x, const float *target, float factor, float *dx,
                                  size_t n, float *sum) {
    float lanes[32] = {0};
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - target[i], sign = d < 0 ? -factor : factor;
        lanes[i % 32] += fabsf(d);
        dx[i] = sf_canon(0 < fabsf(d) ? sign : d * 0);
    }
    *sum = sf_fold(lanes);
}
