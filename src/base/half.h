// SPDX-License-Identifier: MIT
// IEEE 754 binary16, as files hold it. Integers do the work: no processor need know the format.
#ifndef TT_BASE_HALF_H
#define TT_BASE_HALF_H

#include <stdint.h>

// The largest finite value.
#define TT_HALF_MOST 65504.0f

// Exact; NaNs keep their bits.
float tt_half_to_float(uint16_t half);

// The nearest, ties to even. |x| <= TT_HALF_MOST, and no NaN.
uint16_t tt_half_from_float(float x);

#endif
