// SPDX-License-Identifier: MIT
#include "compare/compare.h"

#include <string.h>

#include "check.h"
#include "reference.h"

// Outputs are floats here: a double as what a float holds of it and what it leaves.
enum { SQUARES, REFERENCE = 2, LARGEST = 4, NAN_A, NAN_B, INFINITE_A, INFINITE_B, AT, OUTPUTS };

static void put_double(float *to, double x) {
    to[0] = (float)x;
    to[1] = isfinite(x - (double)to[0]) ? (float)(x - (double)to[0]) : 0;
}

static void put_pair(float *to, const struct tt_compared_pair *c) {
    put_double(to + SQUARES, c->squares);
    put_double(to + REFERENCE, c->reference);
    to[LARGEST] = c->largest;
    to[NAN_A] = (float)c->nan_a;
    to[NAN_B] = (float)c->nan_b;
    to[INFINITE_A] = (float)c->infinite_a;
    to[INFINITE_B] = (float)c->infinite_b;
    to[AT] = (float)c->at;
}

static void put_tile(float *to, const struct tt_compared *c) {
    const struct tt_compared_pair pair = {
        c->squares, c->reference, c->largest, 0, c->nan_a, c->nan_b, c->infinite_a, c->infinite_b,
    };
    put_pair(to, &pair);
    to[AT] = 0.5f; // each output is another number: the must-fail suite exchanges two
}

// The contract, number by number.
struct expected {
    struct sum squares, reference;
    float largest;
    size_t nan_a, nan_b, infinite_a, infinite_b, at;
};

static void expect(struct expected *e, float x, float y, size_t at) {
    float d = fabsf(x - y);
    bool finite = isfinite(x) && isfinite(y);
    if (isnan(x) && isnan(y)) d = 0;
    else if (isinf(x) && isinf(y) && signbit(x) == signbit(y)) d = 0;
    else if (!finite) d = INFINITY;
    if (d > e->largest) e->largest = d, e->at = at;
    e->nan_a += isnan(x) != 0;
    e->nan_b += isnan(y) != 0;
    e->infinite_a += isinf(x) != 0;
    e->infinite_b += isinf(y) != 0;
    if (!finite || isinf(d)) return;
    sum_product(&e->squares, (double)d, (double)d);
    sum_product(&e->reference, (double)y, (double)y);
}

static void check_expected(struct check *c, const struct check_out *out, const struct expected *e) {
    const size_t counts[] = {e->nan_a, e->nan_b, e->infinite_a, e->infinite_b};
    check_within(c, out, LARGEST, (double)e->largest, 0);
    for (size_t i = 0; i < 4; i++) check_within(c, out, NAN_A + i, (double)counts[i], 0);
    // Squares are exact, sums in double: what float holds of them is right but for its rounding.
    check_within(c, out, SQUARES, e->squares.value, 0x1p-23 * e->squares.value + 0x1p-149);
    check_within(c, out, REFERENCE, e->reference.value, 0x1p-23 * e->reference.value + 0x1p-149);
}

void check_compare_f32(struct check *c) {
    while (check_case(c, 140)) {
        size_t n = check_length(c, 4096), rows = c->bench ? 8 : check_range(c, 1, 3);
        size_t lda = n + (c->index % 2 ? check_range(c, 0, 9) : 0);
        size_t ldb = n + (c->index % 3 ? check_range(c, 0, 9) : 0);
        const float *a = check_in(c, n ? (rows - 1) * lda + n : 0, check_fill(c));
        const float *b = check_in(c, n ? (rows - 1) * ldb + n : 0, check_fill(c));
        struct tt_compare_tile tile = {a, b, lda, ldb, rows, n};
        struct check_out out = check_out(c, OUTPUTS);
        struct tt_compared got = {0}, want = {0};
        check_describe(c, "%zu rows of %zu", rows, n);
        check_work(c, (double)(rows * n));
        c->scalar->compare_f32(&tile, &want);
        put_tile(out.want, &want);
        CHECK_CALL(c, (c->kernels->compare_f32(&tile, &got), put_tile(out.got, &got)));
        struct expected e = {.largest = 0};
        for (size_t r = 0; check_reference(c) && r < rows; r++)
            for (size_t i = 0; i < n; i++) expect(&e, a[r * lda + i], b[r * ldb + i], 0);
        if (check_reference(c)) check_expected(c, &out, &e);
    }
}

// a is what b is, turned round, with a few numbers of another kind put into either.
static void plant(struct check *c, float *a, size_t n) {
    static const float kinds[] = {NAN, INFINITY, -INFINITY, 1e30f, 3e38f, -3e38f, 0};
    for (size_t k = check_range(c, 0, 4); n && k > 0; k--)
        a[check_range(c, 0, n - 1)] = kinds[check_range(c, 0, 6)];
}

void check_compare(struct check *c) {
    while (check_case(c, 24)) {
        struct tt_compare_pair p = {.images = check_range(c, 1, 2), .dtype = TT_F32,
                                    .channels = check_range(c, 1, 40),
                                    .pixels = check_range(c, 1, 90)};
        if (c->index % 4 == 1) p.channels = 1;
        if (c->index % 4 == 2) {
            p.channels = check_range(c, 300, 700);
            p.pixels = check_range(c, 100, 300);
        }
        if (c->bench) p.images = 2, p.channels = 320, p.pixels = 4096;
        size_t n = p.images * p.channels * p.pixels;
        float *a = check_in(c, n, FILL_UNIT), *b = check_in(c, n, FILL_UNIT);
        if (c->index % 2) plant(c, a, n);
        if (c->index % 3 == 1) plant(c, b, n);
        for (size_t i = 0; c->index % 5 == 4 && i < n; i++) b[i] = a[tt_compare_first(&p, i)];
        if (c->index % 3 == 2) {
            struct tt_weight half = check_halve(c, b, n);
            p.b = half.data, p.dtype = half.dtype;
        } else {
            p.b = b;
        }
        p.a = a;
        struct check_out out = check_out(c, OUTPUTS);
        struct tt_compared_pair got = {0}, want = {0};
        void *scratch = check_scratch(c, tt_compare_scratch(&p, c->threads));
        check_describe(c, "%zu x %zu x %zu of %s", p.images, p.channels, p.pixels,
                       tt_dtype_name(p.dtype));
        check_work(c, (double)n);
        tt_compare_arrays(c->scalar, &p, &want, scratch, 1);
        put_pair(out.want, &want);
        CHECK_CALL(c, (tt_compare_arrays(c->kernels, &p, &got, scratch, c->threads),
                       put_pair(out.got, &got)));
        if (!check_reference(c)) continue;
        struct expected e = {.largest = 0};
        for (size_t i = 0; i < n; i++) expect(&e, a[tt_compare_first(&p, i)], b[i], i);
        check_expected(c, &out, &e);
        check_within(c, &out, AT, (double)e.at, 0);
    }
}
