// SPDX-License-Identifier: MIT
#include "shape.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

void tt_convert_f16_f32_scalar(const uint16_t *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) {
        // Exponent and fraction moved to a float's place are the value times 2^-112; the product
        // is exact and makes subnormals right. Infinity and NaN need the float's top exponent.
        uint32_t sign = (uint32_t)(x[i] & 0x8000) << 16, rest = (uint32_t)(x[i] & 0x7fff) << 13;
        float v;
        if (rest >= 0x7c00u << 13) rest |= 0x7f800000;
        memcpy(&v, &rest, 4);
        if (rest < 0x7c00u << 13) v *= 0x1p112f;
        memcpy(&rest, &v, 4);
        rest |= sign;
        memcpy(&v, &rest, 4);
        y[i] = sf_canon(v);
    }
}

void tt_convert_bf16_f32_scalar(const uint16_t *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)x[i] << 16;
        float v;
        memcpy(&v, &bits, 4);
        y[i] = sf_canon(v);
    }
}
