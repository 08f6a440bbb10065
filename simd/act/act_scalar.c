// SPDX-License-Identifier: MIT
#include "act.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

void tt_silu_f32_scalar(const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = sf_canon(sf_silu(x[i]));
}

void tt_gelu_f32_scalar(const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = sf_canon(sf_gelu(x[i]));
}

void tt_quick_gelu_f32_scalar(const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = sf_canon(sf_quick_gelu(x[i]));
}

void tt_tanh_f32_scalar(const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = sf_canon(sf_tanh(x[i]));
}

void tt_add_f32_scalar(const float *a, const float *b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = sf_canon(a[i] + b[i]);
}

void tt_scale_f32_scalar(const float *x, float s, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = sf_canon(x[i] * s);
}

void tt_geglu_f32_scalar(const float *x, float *y, size_t rows, size_t c) {
    for (size_t r = 0; r < rows; r++, x += 2 * c, y += c)
        for (size_t j = 0; j < c; j++) y[j] = sf_canon(x[j] * sf_gelu(x[c + j]));
}

void tt_relu_f32_scalar(const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = sf_canon(x[i] < 0 ? 0.0f : x[i]);
}

void tt_affine_f32_scalar(const float *x, float s, float t, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = sf_canon(fmaf(s, x[i], t));
}
