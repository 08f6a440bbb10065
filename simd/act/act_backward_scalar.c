// SPDX-License-Identifier: MIT
#include "act_backward.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

void tt_silu_backward_f32_scalar(const float *x, const float *dy, float *dx, size_t n) {
    for (size_t i = 0; i < n; i++) dx[i] = sf_canon(dy[i] * sf_silu_slope(x[i]));
}

void tt_gelu_backward_f32_scalar(const float *x, const float *dy, float *dx, size_t n) {
    for (size_t i = 0; i < n; i++) dx[i] = sf_canon(dy[i] * sf_gelu_slope(x[i]));
}

void tt_quick_gelu_backward_f32_scalar(const float *x, const float *dy, float *dx, size_t n) {
    for (size_t i = 0; i < n; i++) dx[i] = sf_canon(dy[i] * sf_silu_slope(QUICK_GELU * x[i]));
}

void tt_geglu_backward_f32_scalar(const float *x, const float *dy, float *dx, size_t rows,
                                  size_t c) {
    for (size_t r = 0; r < rows; r++, x += 2 * c, dx += 2 * c, dy += c)
        for (size_t j = 0; j < c; j++) {
            float value = x[j], gate = x[c + j];
            dx[j] = sf_canon(dy[j] * sf_gelu(gate));
            dx[c + j] = sf_canon(dy[j] * value * sf_gelu_slope(gate));
        }
}

void tt_relu_backward_f32_scalar(const float *x, const float *dy, float *dx, size_t n) {
    for (size_t i = 0; i < n; i++) dx[i] = sf_canon(x[i] <= 0 ? 0.0f : dy[i]);
}

void tt_tanh_backward_f32_scalar(const float *x, const float *dy, float *dx, size_t n) {
    for (size_t i = 0; i < n; i++) dx[i] = sf_canon(dy[i] * sf_tanh_slope(x[i]));
}
