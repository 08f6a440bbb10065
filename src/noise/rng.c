// SPDX-License-Identifier: MIT
// MT19937 (Matsumoto and Nishimura 1998) and the Box-Muller transform in the order and arithmetic
// of PyTorch's vectorised CPU path. Its log, sine and cosine are the single precision polynomials
// of Cephes (Moshier), fused where PyTorch's build fuses them; with libm 0.1 to 39 percent of the
// numbers would differ in the last bits. fmaf and sqrtf are exact, so every machine agrees.
#include "noise/rng.h"

#include <math.h>
#include <sleef.h>
#include <string.h>

enum { WORDS = 624, MIDDLE = 397, BLOCK = 16 };

static const double TWO_PI = 6.283185307179586476925286766559;

void tt_rng_seed(struct tt_rng *rng, uint64_t seed) {
    rng->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < WORDS; i++) {
        uint32_t last = rng->state[i - 1];
        rng->state[i] = 1812433253u * (last ^ (last >> 30)) + i;
    }
    rng->next = WORDS;
    rng->has_spare = false;
    rng->spare = 0.0;
}

static void renew(struct tt_rng *rng) {
    uint32_t *s = rng->state;
    for (size_t i = 0; i < WORDS; i++) {
        uint32_t joined = (s[i] & 0x80000000u) | (s[(i + 1) % WORDS] & 0x7fffffffu);
        s[i] = s[(i + MIDDLE) % WORDS] ^ (joined >> 1) ^ (joined & 1 ? 0x9908b0dfu : 0);
    }
    rng->next = 0;
}

uint32_t tt_rng_u32(struct tt_rng *rng) {
    if (rng->next >= WORDS) renew(rng);
    uint32_t y = rng->state[rng->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

uint64_t tt_rng_u64(struct tt_rng *rng) {
    uint64_t high = tt_rng_u32(rng);
    return high << 32 | tt_rng_u32(rng);
}

void tt_rng_uniform(struct tt_rng *rng, float *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(tt_rng_u32(rng) & 0xffffffu) * 0x1p-24f;
}

static double uniform_double(struct tt_rng *rng) {
    return (double)(tt_rng_u64(rng) & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

// ln x for 0 < x <= 1.
static float log_cephes(float x) {
    static const float coefficients[] = {
        7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
        -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
        2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f,
    };
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    float e = (float)((int)(bits >> 23) - 126);
    bits = (bits & 0x007fffffu) | 0x3f000000u;
    float m; // in [0.5, 1)
    memcpy(&m, &bits, sizeof m);
    if (m < 0.70710677f) {
        e -= 1.0f;
        m = (m - 1.0f) + m;
    } else {
        m = m - 1.0f;
    }
    float z = m * m;
    float y = coefficients[0];
    for (size_t i = 1; i < sizeof coefficients / sizeof coefficients[0]; i++)
        y = fmaf(y, m, coefficients[i]);
    y = y * m;
    y = fmaf(y, z, e * -2.12194440e-4f);
    y = fmaf(-z, 0.5f, y);
    return fmaf(e, 0.693359375f, m + y);
}

// Sine and cosine of x >= 0, x at most a few thousand.
static void sincos_cephes(float x, float *sine, float *cosine) {
    int octant = (int)(x * 1.27323954f);
    octant = (octant + 1) & ~1;
    float y = (float)octant;
    x = fmaf(y, -0.78515625f, x);
    x = fmaf(y, -2.4187564849853515625e-4f, x);
    x = fmaf(y, -3.77489497744594108e-8f, x);
    float z = x * x;
    float c = fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f);
    c = fmaf(c, z, 4.166664568298827e-2f);
    c = c * z;
    c = fmaf(c, z, -(z * 0.5f)) + 1.0f;
    float s = fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f);
    s = fmaf(s, z, -1.6666654611e-1f);
    s = s * z;
    s = fmaf(s, x, x);
    if (octant & 2) {
        float swap = s;
        s = c;
        c = swap;
    }
    *sine = octant & 4 ? -s : s;
    *cosine = ~(octant - 2) & 4 ? -c : c;
}

// 16 uniforms to 16 normals in place: element j pairs with j + 8. PyTorch ends with x·std + mean;
// with mean 0 that sum still turns -0 (from a uniform of exactly 0, once in 2^24) into +0.
static void box_muller(float block[BLOCK]) {
    for (size_t j = 0; j < BLOCK / 2; j++) {
        float radius = sqrtf(-2.0f * log_cephes(1.0f - block[j]));
        float angle = 6.2831855f * block[j + BLOCK / 2];
        float s, c;
        sincos_cephes(angle, &s, &c);
        block[j] = radius * c + 0.0f;
        block[j + BLOCK / 2] = radius * s + 0.0f;
    }
}

static double normal_double(struct tt_rng *rng) {
    if (rng->has_spare) {
        rng->has_spare = false;
        return rng->spare;
    }
    double u1 = uniform_double(rng);
    double u2 = uniform_double(rng);
    double radius = sqrt(-2.0 * Sleef_cinz_log1pd1_u10purec(-u2));
    double angle = TWO_PI * u1;
    rng->spare = radius * Sleef_cinz_sind1_u10purec(angle);
    rng->has_spare = true;
    return radius * Sleef_cinz_cosd1_u10purec(angle);
}

void tt_rng_normal(struct tt_rng *rng, float *out, size_t n) {
    if (n < BLOCK) {
        for (size_t i = 0; i < n; i++)
            out[i] = (float)(normal_double(rng) + 0.0);
        return;
    }
    tt_rng_uniform(rng, out, n);
    for (size_t i = 0; i + BLOCK <= n; i += BLOCK)
        box_muller(out + i);
    if (n % BLOCK != 0) {
        tt_rng_uniform(rng, out + n - BLOCK, BLOCK);
        box_muller(out + n - BLOCK);
    }
}
