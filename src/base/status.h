// SPDX-License-Identifier: MIT
// What every file needs beside the public interface.
#ifndef TT_BASE_STATUS_H
#define TT_BASE_STATUS_H

#include "tintype.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tintype reads numbers from files as they lie in memory: little-endian"
#endif

// *out = a * b, or false when the product does not fit a size_t.
static inline int tt_mul_size(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

#endif
