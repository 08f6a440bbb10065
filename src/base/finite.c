// SPDX-License-Identifier: MIT
#include "base/finite.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

bool tt_all_finite(const float *x, size_t n) {
    enum { BLOCK = 4096 };                 // between two looks at the result
    const uint32_t exponent = 0x7f800000u; // all ones in a NaN or an infinity
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t count = n - i < BLOCK ? n - i : BLOCK;
        uint32_t bad = 0;
        for (size_t j = 0; j < count; j++) {
            uint32_t bits;
            memcpy(&bits, x + i + j, sizeof bits);
            bad |= (bits & exponent) == exponent;
        }
        if (bad) return false;
    }
    return true;
}

bool tt_all_finite_half(const uint16_t *x, size_t n, enum tt_dtype dtype) {
    const uint16_t exponent = dtype == TT_F16 ? 0x7c00 : 0x7f80; // all ones, as above
    uint16_t bad = 0;
    for (size_t i = 0; i < n; i++) bad |= (x[i] & exponent) == exponent;
    return !bad;
}

size_t tt_count_not_finite(const float *x, size_t n, size_t *first) {
    size_t count = 0;
    for (size_t i = n; i-- > 0;)
        if (!isfinite(x[i])) {
            *first = i;
            count++;
        }
    return count;
}
