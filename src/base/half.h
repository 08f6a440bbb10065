// SPDX-License-Identifier: MIT
// IEEE 754 binary16, as files hold it. Integers do the work: no processor need know the format.
#ifndef TT_BASE_HALF_H
#define TT_BASE_HALF_H

#include <stdint.h>
#include <string.h>

// The largest finite value.
#define TT_HALF_MOST 65504.0f

// Exact; NaNs keep their bits. Exponent and fraction moved to a float's place are the value times
// 2^-112; the product is exact and makes subnormals right. Infinity and NaN need the float's top
// exponent.
static inline float tt_half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = (uint32_t)(half & 0x7fff) << 13;
    float value;
    if (rest >= 0x7c00u << 13) rest |= 0x7f800000;
    memcpy(&value, &rest, sizeof value);
    if (rest < 0x7c00u << 13) value *= 0x1p112f;
    memcpy(&rest, &value, sizeof rest);
    rest |= sign;
    memcpy(&value, &rest, sizeof value);
    return value;
}

// The nearest, ties to even. |x| <= TT_HALF_MOST, and no NaN.
uint16_t tt_half_from_float(float x);

#endif
