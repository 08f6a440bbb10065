// SPDX-License-Identifier: MIT
#include "layer_norm.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

static void row_moments(const float *x, size_t c, float eps, float *mean, float *rstd) {
    float lanes[32] = {0};
    for (size_t i = 0; i < c; i++) lanes[i % 32] += x[i];
    *mean = sf_fold(lanes) / (float)c;
    memset(lanes, 0, sizeof lanes);
    for (size_t i = 0; i < c; i++) {
        float d = x[i] - *mean;
        lanes[i % 32] = fmaf(d, d, lanes[i % 32]);
    }
    *rstd = 1.0f / sqrtf(sf_fold(lanes) / (float)c + eps);
}

void tt_layer_norm_f32_scalar(const float *x, const float *gamma, const float *beta, float *y,
                              size_t m, size_t c, float eps) {
    for (size_t r = 0; r < m; r++, x += c, y += c) {
        float mean, rstd;
        row_moments(x, c, eps, &mean, &rstd);
        for (size_t i = 0; i < c; i++)
            y[i] = sf_canon(fmaf((x[i] - mean) * rstd, gamma[i], beta[i]));
    }
}

void tt_layer_norm_backward_f32_scalar(const float *x, const float *gamma, const float *dy,
                                       float *dx, float *sums, size_t m, size_t c, float eps) {
    memset(sums, 0, 2 * c * sizeof *sums);
    for (size_t r = 0; r < m; r++, x += c, dy += c, dx += c) {
        float mean, rstd, plain[32] = {0}, normal[32] = {0};
        row_moments(x, c, eps, &mean, &rstd);
        for (size_t i = 0; i < c; i++) {
            float g = dy[i] * gamma[i];
            plain[i % 32] += g;
            normal[i % 32] = fmaf(g, (x[i] - mean) * rstd, normal[i % 32]);
        }
        float a = sf_fold(plain) / (float)c, b = sf_fold(normal) / (float)c;
        for (size_t i = 0; i < c; i++) {
            float z = (x[i] - mean) * rstd;
            sums[i] = fmaf(dy[i], z, sums[i]);
            sums[c + i] += dy[i];
            dx[i] = sf_canon(rstd * fmaf(-z, b, dy[i] * gamma[i] - a));
        }
    }
}
