// SPDX-License-Identifier: MIT
#include "layer_norm.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

void tt_layer_norm_f32_scalar(const float *x, const float *gamma, const float *beta, float *y,
                              size_t m, size_t c, float eps) {
    for (size_t r = 0; r < m; r++, x += c, y += c) {
        float lanes[32] = {0};
        for (size_t i = 0; i < c; i++) lanes[i % 32] += x[i];
        float mean = sf_fold(lanes) / (float)c;
        memset(lanes, 0, sizeof lanes);
        for (size_t i = 0; i < c; i++) {
            float d = x[i] - mean;
            lanes[i % 32] = fmaf(d, d, lanes[i % 32]);
        }
        float rstd = 1.0f / sqrtf(sf_fold(lanes) / (float)c + eps);
        for (size_t i = 0; i < c; i++)
            y[i] = sf_canon(fmaf((x[i] - mean) * rstd, gamma[i], beta[i]));
    }
}
