// SPDX-License-Identifier: MIT
// Constants of math_scalar.h and math_vec.inc. The polynomials are minimax fits of relative error
// (weighted least squares iterated to the minimax point, coefficients rounded to float one by one
// and the rest fitted again); the error given is of the rounded polynomial.
#ifndef TT_MATH_CONSTANTS_H
#define TT_MATH_CONSTANTS_H

// Added and subtracted again it rounds to an integer, for |x| < 2^22.
#define ROUND_MAGIC 0x1.8p23f
// log2(e) in two floats.
#define LOG2E 0x1.715476p+0f
#define LOG2E_LOW 0x1.4ae0c0p-26f
#define LOG2E_DOUBLE 0x1.71547652b82fep+0

// 2^f = 1 + f (E2_1 + ...), |f| <= 0.5003: 3.0e-9.
#define E2_1 0x1.62e430p-1f
#define E2_2 0x1.ebfbdcp-3f
#define E2_3 0x1.c6af7ap-5f
#define E2_4 0x1.3b2dd6p-7f
#define E2_5 0x1.5f0964p-10f
#define E2_6 0x1.4176b2p-13f

// tanh x = x + x z (TANH_0 + TANH_1 z + ...), z = x^2, |x| <= 5/8: 4.5e-9.
#define TANH_0 -0x1.555532p-2f
#define TANH_1 0x1.1106fcp-3f
#define TANH_2 -0x1.b83738p-5f
#define TANH_3 0x1.5207b8p-6f
#define TANH_4 -0x1.75619ap-8f

// erfc(t / sqrt 2) / 2 e^(t^2/2) = w (GELU_0 + GELU_1 w + ...), w = 1 / (1 + GELU_A t),
// 0 <= t <= 14.6: 2.8e-9.
#define GELU_A 0x1.3p-2f
#define GELU_0 0x1.e52422p-4f
#define GELU_1 0x1.e46a9ep-4f
#define GELU_2 0x1.c217fap-4f
#define GELU_3 0x1.33cc76p-4f
#define GELU_4 0x1.b434d0p-4f
#define GELU_5 -0x1.90dfaap-4f
#define GELU_6 0x1.bdbf16p-3f
#define GELU_7 -0x1.f05d74p-3f
#define GELU_8 0x1.d62b16p-4f
#define GELU_9 -0x1.4edac0p-6f

// 1 / sqrt(2 pi).
#define INV_SQRT_2PI 0x1.988454p-2f

#define QUICK_GELU 1.702f
// Past this factor of a vanishing exponential the product is zero anyway; finite, so that an
// infinite factor gives the limit 0 and not NaN.
#define SIGMOID_CAP 256.0f

#endif
