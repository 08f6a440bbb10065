// SPDX-License-Identifier: MIT
// Whole numbers for drivers, which cut outputs and sums into pieces.
#ifndef TT_SIMD_SPLIT_H
#define TT_SIMD_SPLIT_H

#include <stddef.h>

static inline size_t min(size_t a, size_t b) { return a < b ? a : b; }

static inline size_t max(size_t a, size_t b) { return a > b ? a : b; }

static inline size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

// Where part `index` begins, when `total` are dealt out near-evenly: 0 for the first, total for the
// one behind the last.
static inline size_t part(size_t total, size_t parts, size_t index) {
    return total * index / parts;
}

#endif
