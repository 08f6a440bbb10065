// SPDX-License-Identifier: MIT
#include "dequant/dequant.h"

#include "base/half.h"
#include "base/quant.h"
#include "gemm/gemm.h"

#include <math.h>
#include <string.h>

#include "check.h"

// n random blocks whose scales are finite: by turns any, none, the least and the largest.
static uint8_t *blocks(struct check *c, enum tt_dtype dtype, size_t n) {
    static const uint16_t extreme[] = {0, 0x8000, 1, 0x83ff, 0x7bff, 0xfbff};
    size_t size = tt_dtype_block_size(dtype), place = dtype == TT_Q6_K ? 208 : 0;
    uint8_t *x = check_in_bytes(c, n * size);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < (dtype == TT_Q6_K ? 1 : 2); k++) {
            uint16_t half = (uint16_t)check_random(c);
            if (half % 4 == 0) half = extreme[check_range(c, 0, 5)];
            if ((half & 0x7c00) == 0x7c00) half ^= 0x4000;
            bool scale = !k || dtype == TT_Q4_1 || dtype == TT_Q5_1 || dtype == TT_Q4_K ||
                         dtype == TT_Q5_K;
            if (scale) memcpy(x + i * size + place + 2 * k, &half, sizeof half);
        }
    return x;
}

static double half_of(const uint8_t *at) {
    uint16_t half;
    memcpy(&half, at, sizeof half);
    return (double)tt_half_to_float(half);
}

// Bit `at` of a row of bits, and so many of them.
static int bits(const uint8_t *x, size_t at, size_t count) {
    int value = 0;
    for (size_t i = 0; i < count; i++) value |= (x[(at + i) / 8] >> (at + i) % 8 & 1) << i;
    return value;
}

// Number j of the eight scales (or, from 8 on, minima) in the 12 bytes of Q4_K and Q5_K, by the
// letters of gguf's comment: A..D of 6 bits, E..H of four and, on top of A..D, two.
static int scale_of(const uint8_t *x, size_t j) {
    const uint8_t *row = x + (j < 8 ? 0 : 4);
    if (j % 8 < 4) return bits(row + j % 4, 0, 6);
    return bits(x + 8 + j % 4, j < 8 ? 0 : 4, 4) | bits(row + j % 4, 6, 2) << 4;
}

// Element i of a block; *size: the sum of what is added, without signs.
static double value(enum tt_dtype dtype, const uint8_t *x, size_t i, double *size) {
    double d = half_of(x), m = 0;
    int q;
    switch (dtype) {
    case TT_Q8_0: q = (int8_t)x[2 + i]; break;
    case TT_Q4_0: q = bits(x + 2 + i % 16, i / 16 * 4, 4) - 8; break;
    case TT_Q4_1: q = bits(x + 4 + i % 16, i / 16 * 4, 4); m = half_of(x + 2); break;
    case TT_Q5_0: q = (bits(x + 6 + i % 16, i / 16 * 4, 4) | bits(x + 2, i, 1) << 4) - 16; break;
    case TT_Q5_1:
        q = bits(x + 8 + i % 16, i / 16 * 4, 4) | bits(x + 4, i, 1) << 4;
        m = half_of(x + 2);
        break;
    case TT_Q4_K:
    case TT_Q5_K:
        q = bits(x + (dtype == TT_Q4_K ? 16 : 48) + i / 64 * 32 + i % 32, i / 32 % 2 * 4, 4);
        if (dtype == TT_Q5_K) q |= bits(x + 16 + i % 32, i / 32, 1) << 4;
        m = -half_of(x + 2) * scale_of(x + 4, 8 + i / 32);
        d *= scale_of(x + 4, i / 32);
        break;
    default:
        q = bits(x + i / 128 * 64 + i % 64, i / 64 % 2 * 4, 4);
        q = (q | bits(x + 128 + i / 128 * 32 + i % 32, i / 32 % 4 * 2, 2) << 4) - 32;
        d = half_of(x + 208) * (int8_t)x[192 + i / 16];
    }
    *size = fabs(d * q) + fabs(m);
    return d * q + m;
}

typedef void dequant(const uint8_t *x, float *y, size_t n);

static void check_dequant(struct check *c, enum tt_dtype dtype, dequant *scalar, dequant *kernel) {
    size_t elements = tt_dtype_block(dtype), size = tt_dtype_block_size(dtype);
    while (check_case(c, 60)) {
        size_t n = c->bench ? 65536 / elements : check_range(c, 0, 20);
        const uint8_t *x = blocks(c, dtype, n);
        struct check_out y = check_out(c, n * elements);
        check_describe(c, "%zu blocks of %s", n, tt_dtype_name(dtype));
        check_work(c, (double)y.n);
        scalar(x, y.want, n);
        CHECK_CALL(c, kernel(x, y.got, n));
        for (size_t i = 0; check_reference(c) && i < y.n; i++) {
            double sizes, right = value(dtype, x + i / elements * size, i % elements, &sizes);
            check_within(c, &y, i, right, sizes * 0x1p-23);
        }
    }
}

#define CHECK(kind, dtype)                                                                         \
    void check_dequant_##kind##_f32(struct check *c) {                                             \
        check_dequant(c, dtype, c->scalar->dequant_##kind##_f32, c->kernels->dequant_##kind##_f32);\
    }
CHECK(q8_0, TT_Q8_0)
CHECK(q4_0, TT_Q4_0)
CHECK(q4_1, TT_Q4_1)
CHECK(q5_0, TT_Q5_0)
CHECK(q5_1, TT_Q5_1)
CHECK(q4_k, TT_Q4_K)
CHECK(q5_k, TT_Q5_K)
CHECK(q6_k, TT_Q6_K)

// The driver: rows of any length, in every kind, packed as floats are.
void check_dequant_packed(struct check *c) {
    while (check_case(c, 64)) {
        enum tt_dtype dtype = (enum tt_dtype)(TT_Q8_0 + c->index % 8);
        size_t block = tt_dtype_block(dtype), taps = c->index % 3 == 2 ? 9 : 1;
        size_t n = check_range(c, 1, 70), channels = check_range(c, 1, taps == 9 ? 60 : 700);
        if (c->bench) dtype = TT_Q8_0, taps = 1, n = 320, channels = 1280;
        size_t k = channels * taps, count = (n * k + block - 1) / block;
        struct tt_quantised q = {{blocks(c, dtype, count), dtype}, n, channels, taps};
        struct check_out y = check_out_aligned(c, tt_gemm_packed_count(n, k));
        check_describe(c, "%s, n %zu, c %zu, %zu taps", tt_dtype_name(dtype), n, channels, taps);
        check_work(c, (double)(n * k));
        tt_dequant_packed(c->scalar, &q, y.want, 1);
        CHECK_CALL(c, tt_dequant_packed(c->kernels, &q, y.got, c->threads));
        for (size_t i = 0; check_reference(c) && i < y.n; i++) {
            size_t panel = i / (k * TT_GEMM_PANEL), at = i / TT_GEMM_PANEL % k;
            size_t row = panel * TT_GEMM_PANEL + i % TT_GEMM_PANEL;
            size_t element = row * k + at % channels * taps + at / channels;
            double sizes = 0, right = 0;
            if (row < n)
                right = value(dtype,
                              (const uint8_t *)q.w.data + element / block *
                                                              tt_dtype_block_size(dtype),
                              element % block, &sizes);
            check_within(c, &y, i, right, sizes * 0x1p-23);
        }
    }
}
