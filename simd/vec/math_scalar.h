// SPDX-License-Identifier: MIT
// exp, SiLU, tanh, GELU in float, as fma polynomials: the specification that math_vec.inc repeats
// lane by lane. No libm: every operation is an IEEE sum, product, quotient or fma, so all variants
// give the same bits. Subnormal results are rounded once; a NaN comes out as some NaN, which the
// kernels make canonical where they store.
//
// The largest error over all floats, in ulp of the true value (`make prove`): e^x 1.014, 2^x for
// x <= 0 0.878, SiLU 3.19, tanh 1.41, GELU 6.70, quick GELU 64.9 (far below zero, where the
// rounding of 1.702 x counts, as in PyTorch). All variants gave the same bits.
#ifndef TT_MATH_SCALAR_H
#define TT_MATH_SCALAR_H

#include "math_constants.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

// What a kernel stores for y: y itself, or the one NaN 0x7fc00000.
static inline float sf_canon(float y) { return y == y ? y : __builtin_nanf(""); }

static inline float sf_from_bf16(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

// The second operand where the comparison fails: NaN in a is passed over, NaN in b stays.
static inline float sf_max(float a, float b) { return a > b ? a : b; }
static inline float sf_min(float a, float b) { return a < b ? a : b; }

// p 2^n for an integral n, |n| <= 252, and p near 1: two exact powers of two, so that only the
// second product can round.
static inline float sf_ldexp(float p, float n) {
    int i = n == n ? (int)n : 0, half = i >> 1;
    uint32_t low = (uint32_t)(half + 127) << 23, high = (uint32_t)(i - half + 127) << 23;
    float a, b;
    memcpy(&a, &low, 4);
    memcpy(&b, &high, 4);
    return p * a * b;
}

// 2^f for |f| <= 1/2 and a little more.
static inline float sf_exp2_part(float f) {
    float p = E2_6;
    p = fmaf(p, f, E2_5);
    p = fmaf(p, f, E2_4);
    p = fmaf(p, f, E2_3);
    p = fmaf(p, f, E2_2);
    p = fmaf(p, f, E2_1);
    return fmaf(p, f, 1.0f);
}

// 2^x for x <= 0; 0 below -150.
static inline float sf_exp2_neg(float x) {
    x = sf_max(-200.0f, x);
    float n = (x + ROUND_MAGIC) - ROUND_MAGIC;
    return sf_ldexp(sf_exp2_part(x - n), n);
}

// e^x = p 2^n with p in about [0.7, 1.42]; x of magnitude above 128 counts as 128, which is past
// overflow and underflow.
static inline float sf_exp_split(float x, float *n) {
    x = sf_min(128.0f, sf_max(-128.0f, x));
    *n = fmaf(x, LOG2E, ROUND_MAGIC) - ROUND_MAGIC;
    return sf_exp2_part(fmaf(x, LOG2E_LOW, fmaf(x, LOG2E, -*n)));
}

static inline float sf_exp(float x) {
    float n, p = sf_exp_split(x, &n);
    return sf_ldexp(p, n);
}

// factor / (1 + e^-z), the form of SiLU (z = x = factor) and quick GELU: with e = e^-|z| it is
// factor / (1 + e) or factor e / (1 + e), so nothing overflows on the way, and the product is
// scaled last, so that it keeps its digits where e alone would be subnormal.
static inline float sf_sigmoid_times(float z, float factor) {
    float n, p = sf_exp_split(-fabsf(z), &n);
    float capped = sf_min(SIGMOID_CAP, sf_max(-SIGMOID_CAP, factor));
    float top = z >= 0 ? factor : sf_ldexp(capped * p, n);
    return top / (1.0f + sf_ldexp(p, n));
}

static inline float sf_silu(float x) { return sf_sigmoid_times(x, x); }
static inline float sf_quick_gelu(float x) { return sf_sigmoid_times(QUICK_GELU * x, x); }

// tanh x: odd polynomial below 5/8, else 1 - 2 / (e^2|x| + 1).
static inline float sf_tanh(float x) {
    float t = fabsf(x), z = t * t, q = TANH_4;
    q = fmaf(q, z, TANH_3);
    q = fmaf(q, z, TANH_2);
    q = fmaf(q, z, TANH_1);
    q = fmaf(q, z, TANH_0);
    float small = fmaf(q * z, t, t);
    float large = 1.0f - 2.0f / (sf_exp(t + t) + 1.0f);
    return copysignf(t < 0.625f ? small : large, x);
}

// The derivative of tanh: 1 - tanh^2 x.
static inline float sf_tanh_slope(float x) {
    float t = sf_tanh(x);
    return fmaf(-t, t, 1.0f);
}

// The derivative of SiLU at z: s + z s (1 - s) with s = sigmoid(z); both s and 1 - s come from e =
// e^-|z| with their digits. Of quick GELU at x: the same at 1.702 x.
static inline float sf_silu_slope(float z) {
    float e = sf_exp(-fabsf(z)), high = 1.0f / (1.0f + e), low = e * high;
    float s = z >= 0 ? high : low, rest = z >= 0 ? low : high;
    return fmaf(sf_min(SIGMOID_CAP, sf_max(-SIGMOID_CAP, z)) * rest, s, s);
}

// Phi(-t), Phi the normal distribution function, as p 2^n r with p 2^n = e^(-t^2/2): with w = 1 /
// (1 + GELU_A t), r = w R(w), R a polynomial; the square's rounding error is carried into the
// exponent. t is |x|, at most 16.
static inline float sf_normal_tail(float t, float *p, float *n) {
    float z = t * t, low = fmaf(t, t, -z);
    *n = fmaf(z, -0.5f * LOG2E, ROUND_MAGIC) - ROUND_MAGIC;
    float f = fmaf(z, -0.5f * LOG2E, -*n);
    f = fmaf(z, -0.5f * LOG2E_LOW, f);
    f = fmaf(low, -0.5f * LOG2E, f);
    *p = sf_exp2_part(f);
    float w = 1.0f / fmaf(GELU_A, t, 1.0f), r = GELU_9;
    r = fmaf(r, w, GELU_8);
    r = fmaf(r, w, GELU_7);
    r = fmaf(r, w, GELU_6);
    r = fmaf(r, w, GELU_5);
    r = fmaf(r, w, GELU_4);
    r = fmaf(r, w, GELU_3);
    r = fmaf(r, w, GELU_2);
    r = fmaf(r, w, GELU_1);
    r = fmaf(r, w, GELU_0);
    return r * w;
}

// x Phi(x), i.e. x/2 (1 + erf(x / sqrt 2)), without that form's cancellation.
static inline float sf_gelu(float x) {
    float t = sf_min(16.0f, fabsf(x)), p, n, r = sf_normal_tail(t, &p, &n);
    float tail = sf_ldexp(p * (r * t), n);
    return x >= 0 ? x - tail : -tail;
}

// The derivative of GELU: Phi(x) + x e^(-x^2/2) / sqrt(2 pi).
static inline float sf_gelu_slope(float x) {
    float t = sf_min(16.0f, fabsf(x)), p, n, r = sf_normal_tail(t, &p, &n);
    float part = t * INV_SQRT_2PI;
    if (x >= 0) return 1.0f - sf_ldexp(p * (r - part), n);
    return x < 0 ? sf_ldexp(p * (r - part), n) : x;
}

// The sum of 32 lanes by halves: lane i takes lane i + 16, then i + 8, 4, 2, 1.
static inline float sf_fold(float lanes[32]) {
    for (int width = 16; width; width /= 2)
        for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
    return lanes[0];
}

static inline double sd_fold(double lanes[32]) {
    for (int width = 16; width; width /= 2)
        for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
    return lanes[0];
}

#endif
