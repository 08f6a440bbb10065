// SPDX-License-Identifier: MIT
#include "compare.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

void tt_compare_f32_scalar(const struct tt_compare_tile *t, struct tt_compared *out) {
    double squares[32] = {0}, reference[32] = {0};
    struct tt_compared c = {0};
    for (size_t r = 0; r < t->rows; r++)
        for (size_t i = 0; i < t->n; i++) {
            float x = t->a[r * t->lda + i], y = t->b[r * t->ldb + i], d = tt_difference_of(x, y);
            c.largest = sf_max(d, c.largest);
            c.nan_a += x != x;
            c.nan_b += y != y;
            c.infinite_a += fabsf(x) == INFINITY;
            c.infinite_b += fabsf(y) == INFINITY;
            if (d == INFINITY || !(fabsf(y) < INFINITY)) continue;
            squares[i % 32] += (double)d * (double)d;
            reference[i % 32] += (double)y * (double)y;
        }
    c.squares = sd_fold(squares);
    c.reference = sd_fold(reference);
    *out = c;
}
