// SPDX-License-Identifier: MIT
#include "base/quant.h"

#include "base/half.h"

#include <stdint.h>
#include <string.h>

static float half_at(const unsigned char *at) {
    uint16_t half;
    memcpy(&half, at, sizeof half);
    return tt_half_to_float(half);
}

// Number i of 32: four bits of 16 bytes, the low halves first.
static int nibble(const unsigned char *bytes, int i) {
    return i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4;
}

static int bit(const unsigned char *bytes, int i) {
    return bytes[i / 8] >> i % 8 & 1;
}

void tt_quant_scales(const unsigned char *packed, unsigned char s[8], unsigned char t[8]) {
    const unsigned char *a = packed, *b = packed + 4, *rest = packed + 8;
    for (int i = 0; i < 4; i++) {
        s[i] = a[i] & 63;
        t[i] = b[i] & 63;
        s[4 + i] = (unsigned char)((rest[i] & 15) | (a[i] >> 6 << 4));
        t[4 + i] = (unsigned char)((rest[i] >> 4) | (b[i] >> 6 << 4));
    }
}

// Q4_K; and Q5_K, where `high` is not NULL.
static void with_minima(const unsigned char *block, const unsigned char *high,
                        const unsigned char *low, float *y) {
    float d = half_at(block), m = half_at(block + 2);
    unsigned char s[8], t[8];
    tt_quant_scales(block + 4, s, t);
    for (int j = 0; j < 8; j++) {
        float scale = d * (float)s[j], least = m * (float)t[j];
        for (int i = 0; i < 32; i++) {
            int q = low[j / 2 * 32 + i] >> 4 * (j % 2) & 15;
            if (high) q |= (high[i] >> j & 1) << 4;
            float product = scale * (float)q;
            y[32 * j + i] = product - least;
        }
    }
}

// Two halves of 128 numbers: 64 bytes with the low bits of 64 numbers low and of 64 high, and 32
// bytes with the high bits of four times 32.
static void six_bits(const unsigned char *block, float *y) {
    const unsigned char *low = block, *high = block + 128, *scales = block + 192;
    float d = half_at(block + 208);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, at = i % 128;
        int q = low[64 * half + at % 64] >> 4 * (at / 64) & 15;
        q |= (high[32 * half + at % 32] >> 2 * (at / 32) & 3) << 4;
        float scale = d * (float)(int8_t)scales[i / 16];
        y[i] = scale * (float)(q - 32);
    }
}

void tt_dequantise_block(enum tt_dtype dtype, const unsigned char *block, float *y) {
    if (dtype == TT_Q6_K) {
        six_bits(block, y);
        return;
    }
    if (dtype == TT_Q4_K || dtype == TT_Q5_K) {
        bool five = dtype == TT_Q5_K;
        with_minima(block, five ? block + 16 : NULL, block + (five ? 48 : 16), y);
        return;
    }
    float d = half_at(block), m = half_at(block + 2);
    for (int i = 0; i < 32; i++) {
        float product;
        switch (dtype) {
        case TT_Q8_0: y[i] = (float)(int8_t)block[2 + i] * d; break;
        case TT_Q4_0: y[i] = d * (float)(nibble(block + 2, i) - 8); break;
        case TT_Q4_1:
            product = d * (float)nibble(block + 4, i);
            y[i] = product + m;
            break;
        case TT_Q5_0:
            y[i] = d * (float)((nibble(block + 6, i) | bit(block + 2, i) << 4) - 16);
            break;
        default:
            product = d * (float)(nibble(block + 8, i) | bit(block + 4, i) << 4);
            y[i] = product + m;
        }
    }
}

void tt_dequantise(enum tt_dtype dtype, const void *data, size_t first, size_t count, float *y) {
    size_t block = tt_dtype_block(dtype), size = tt_dtype_block_size(dtype);
    const unsigned char *at = data;
    float values[TT_BLOCK_MOST];
    for (size_t done = 0; done < count;) {
        size_t skip = (first + done) % block, n = block - skip;
        if (n > count - done) n = count - done;
        const unsigned char *from = at + (first + done) / block * size;
        if (n == block) {
            tt_dequantise_block(dtype, from, y + done);
        } else {
            tt_dequantise_block(dtype, from, values);
            memcpy(y + done, values + skip, n * sizeof *y);
        }
        done += n;
    }
}

size_t tt_blocks_finite(enum tt_dtype dtype, const void *data, size_t n) {
    size_t size = tt_dtype_block_size(dtype), place = dtype == TT_Q6_K ? 208 : 0;
    bool two = dtype == TT_Q4_1 || dtype == TT_Q5_1 || dtype == TT_Q4_K || dtype == TT_Q5_K;
    const unsigned char *at = (const unsigned char *)data + place;
    for (size_t i = 0; i < n; i++, at += size) {
        uint16_t d, m = 0;
        memcpy(&d, at, sizeof d);
        if (two) memcpy(&m, at + 2, sizeof m);
        if ((d & 0x7c00) == 0x7c00 || (m & 0x7c00) == 0x7c00) return i;
    }
    return n;
}
