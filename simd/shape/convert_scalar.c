// SPDX-License-Identifier: MIT
#include "shape.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

#include "base/half.h"

void tt_convert_f16_f32_scalar(const uint16_t *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = sf_canon(tt_half_to_float(x[i]));
}

void tt_convert_bf16_f32_scalar(const uint16_t *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = sf_canon(sf_from_bf16(x[i]));
}
