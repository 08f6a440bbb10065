// SPDX-License-Identifier: MIT
#include "reduce/reduce.h"

#include <math.h>
#include <string.h>

#include "check.h"
#include "reference.h"

// roundings: of a block's sum, of what is added to; the rest is in double.
static void column_reference(struct check *c, const struct check_out *y, size_t at, const float *x,
                             size_t ldx, size_t rows, double before, size_t roundings) {
    struct sum s = {0};
    for (size_t r = 0; r < rows; r++) sum_product(&s, (double)x[r * ldx], 1);
    if (before != 0) sum_product(&s, before, 1);
    double left = roundings > 1 ? s.magnitude : fabs(s.value);
    check_within(c, y, at, s.value, (double)roundings * 0x1p-24 * left + 0x1p-140 +
                 (double)rows * 0x1p-53 * s.magnitude);
}

void check_column_sums_f32(struct check *c) {
    while (check_case(c, 160)) {
        size_t width = check_length(c, 256) % 300, rows = check_range(c, 1, 130);
        if (c->bench) rows = TT_SUM_ROWS;
        size_t ldx = width + (c->index % 2 ? check_range(c, 0, 9) : 0);
        const float *x = check_in(c, width ? (rows - 1) * ldx + width : 0, check_fill(c));
        struct check_out y = check_out(c, width);
        check_describe(c, "%zu rows, c %zu, stride %zu", rows, width, ldx);
        check_work(c, (double)(rows * width));
        c->scalar->column_sums_f32(x, ldx, y.want, rows, width);
        CHECK_CALL(c, c->kernels->column_sums_f32(x, ldx, y.got, rows, width));
        for (size_t j = 0; check_reference(c) && check_fill(c) < FILL_FINITE && j < width; j++)
            column_reference(c, &y, j, x + j, ldx, rows, 0, 1);
    }
}

void check_column_sums(struct check *c) {
    while (check_case(c, 16)) {
        struct tt_column_sums s = {.images = check_range(c, 1, 3), .rows = check_range(c, 1, 300)};
        s.c = check_range(c, 1, 300);
        if (c->index % 4 == 3) s.rows = check_range(c, 1025, 2500), s.c = s.c % 20 + 1;
        if (c->index % 4 == 2) s.rows = 1;
        if (c->bench) s = (struct tt_column_sums){.images = 1, .rows = 16384, .c = 320};
        s.accumulate = c->index % 2;
        s.x = check_in(c, s.images * s.rows * s.c, FILL_UNIT);
        const float *before = check_in(c, s.images * s.c, FILL_UNIT);
        struct check_out y = check_out(c, s.images * s.c);
        if (s.accumulate) memcpy(y.got, before, y.n * sizeof *before);
        if (s.accumulate) memcpy(y.want, before, y.n * sizeof *before);
        void *scratch = check_scratch(c, tt_column_sums_scratch(&s));
        check_describe(c, "%zu images, %zu rows, c %zu, accumulate %d", s.images, s.rows, s.c,
                       s.accumulate);
        check_work(c, (double)(s.images * s.rows * s.c));
        struct tt_column_sums want = s;
        want.y = y.want;
        s.y = y.got;
        tt_column_sums(c->scalar, &want, scratch, 1);
        CHECK_CALL(c, tt_column_sums(c->kernels, &s, scratch, c->threads));
        for (size_t i = 0; check_reference(c) && i < y.n; i++)
            column_reference(c, &y, i, s.x + i / s.c * s.rows * s.c + i % s.c, s.c, s.rows,
                             s.accumulate ? (double)before[i] : 0, 3);
    }
}

// The lanes are as long as TT_SUM_FLOATS / 32, then come five additions.
static void check_sum(struct check *c, const struct check_out *y, const struct sum *s, size_t n) {
    struct sum lanes = *s;
    lanes.terms = n / 32 + 8;
    check_within(c, y, 0, s->value, sum_limit(&lanes));
}

void check_sum_squares_f32(struct check *c) {
    while (check_case(c, 120)) {
        size_t n = check_length(c, TT_SUM_FLOATS);
        const float *x = check_in(c, n, check_fill(c));
        struct check_out sum = check_out(c, 2);
        struct sum s = {0};
        check_describe(c, "n %zu", n);
        check_work(c, 1.5 * (double)n);
        c->scalar->sum_squares_f32(x, n, sum.want);
        c->scalar->sum_squares_f32(x, n / 2, sum.want + 1);
        CHECK_CALL(c, (c->kernels->sum_squares_f32(x, n, sum.got),
                       c->kernels->sum_squares_f32(x, n / 2, sum.got + 1)));
        for (size_t i = 0; i < n; i++) sum_product(&s, (double)x[i], (double)x[i]);
        if (check_reference(c) && check_fill(c) < FILL_FINITE) check_sum(c, &sum, &s, n);
    }
}

// The sum over many blocks: its double is one output, as two halves that float can hold.
void check_sum_squares(struct check *c) {
    while (check_case(c, 6)) {
        size_t n = check_range(c, 1, 5 * TT_SUM_FLOATS);
        const float *x = check_in(c, n, FILL_UNIT);
        struct check_out y = check_out(c, 2);
        float *scratch = check_scratch(c, tt_sum_scratch_floats(n) * sizeof *scratch);
        double want = tt_sum_squares(c->scalar, x, n, scratch, 1), got = 0, expected = 0;
        check_describe(c, "n %zu", n);
        CHECK_CALL(c, (got = tt_sum_squares(c->kernels, x, n, scratch, c->threads),
                       y.got[0] = (float)got, y.got[1] = (float)(got - (double)y.got[0]),
                       y.want[0] = (float)want, y.want[1] = (float)(want - (double)y.want[0])));
        for (size_t i = 0; i < n; i++) expected += (double)x[i] * (double)x[i];
        if (check_reference(c)) check_within(c, &y, 0, expected, 0x1p-20 * expected);
    }
}
