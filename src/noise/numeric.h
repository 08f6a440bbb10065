// SPDX-License-Identifier: MIT
// Small numeric routines that schedules and schedulers share: the same bits on every machine, and
// the bits of numpy and PyTorch where those are defined by plain arithmetic.
#ifndef TT_NOISE_NUMERIC_H
#define TT_NOISE_NUMERIC_H

#include <stddef.h>

// Double precision functions within 1 ulp, from SLEEF's variants that give the same bits everywhere
// (libm's differ between machines).
double tt_exp(double x);
double tt_expm1(double x); // exp(x) - 1
double tt_log(double x);
double tt_cos(double x);
double tt_pow(double x, double y);

// The x at which the beta distribution with both parameters 0.6 reaches probability p in [0, 1],
// within 6 ulp (tests/test_schedule.c).
double tt_beta_quantile(double p);

// The float functions of PyTorch's CPU tensors to within its own last bit: computed in double.
float tt_expf(float x);
float tt_logf(float x);

// numpy's float32 log, bit for bit (up to 3 ulp from the true value), for normal x > 0.
float tt_numpy_logf(float x);

// torch.linspace(start, end, n, dtype=float32), n >= 1.
void tt_linspace_f32(float *out, size_t n, float start, float end);

// numpy.linspace(start, end, n), n >= 1: element i.
double tt_linspace(double start, double end, size_t n, size_t i);

// numpy.interp(x, [0, 1, ... n-1], table): linear between entries, flat outside.
double tt_interp(double x, const float *table, size_t n);

#endif
