// SPDX-License-Identifier: MIT
#include "reduce.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

void tt_column_sums_f32_scalar(const float *x, size_t ldx, float *y, size_t rows, size_t c) {
    for (size_t j = 0; j < c; j++) {
        double sum = 0;
        for (size_t r = 0; r < rows; r++) sum += (double)x[r * ldx + j];
        y[j] = (float)sum;
    }
}

void tt_sum_squares_f32_scalar(const float *x, size_t n, float *sum) {
    float lanes[32] = {0};
    for (size_t i = 0; i < n; i++) lanes[i % 32] = fmaf(x[i], x[i], lanes[i % 32]);
    *sum = sf_fold(lanes);
}
