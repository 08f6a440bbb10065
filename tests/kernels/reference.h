// SPDX-License-Identifier: MIT
// Float64 sums with the error bound of the same sum in float32.
#ifndef TESTS_KERNELS_REFERENCE_H
#define TESTS_KERNELS_REFERENCE_H

#include <math.h>
#include <stddef.h>

struct sum {
    double value, magnitude; // sum and sum of absolute values
    size_t terms;
};

static inline void sum_product(struct sum *s, double a, double b) {
    s->value += a * b;
    s->magnitude += fabs(a * b);
    s->terms++;
}

// What any order of terms fused or rounded operations may be off: terms * 2^-24 * magnitude
// (Higham, gamma_n), and half a denormal for each.
static inline double sum_limit(const struct sum *s) {
    return (double)s->terms * (1.001 * 0x1p-24 * s->magnitude + 0x1p-149);
}

#endif
