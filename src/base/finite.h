// SPDX-License-Identifier: MIT
#ifndef TT_BASE_FINITE_H
#define TT_BASE_FINITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tintype.h"

// Whether x holds neither a NaN nor an infinity.
bool tt_all_finite(const float *x, size_t n);

// The same of float16 or bfloat16 numbers (dtype), which are read where they lie.
bool tt_all_finite_half(const uint16_t *x, size_t n, enum tt_dtype dtype);

// How many of x are not finite; *first is the index of the first of them.
size_t tt_count_not_finite(const float *x, size_t n, size_t *first);

#endif
