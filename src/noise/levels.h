// SPDX-License-Identifier: MIT
// What schedulers in noise levels share (euler, heun, lms, kdpm2): a sample is x0 + sigma·noise,
// and steps follow (x - x0) / sigma. Steps are in double, so that rounding does not add up.
#ifndef TT_NOISE_LEVELS_H
#define TT_NOISE_LEVELS_H

#include "noise/scheduler_class.h"

// Refuses prediction types and sets of sigmas that no class of the family supports, and with
// no_sample also prediction_type sample.
enum tt_status tt_levels_check(const struct tt_scheduler *s, bool no_sample, struct tt_error *err);

// Fills timesteps, calls, sigmas and init_noise_sigma, one call for each level. round_karras:
// the timesteps of karras sigmas are rounded to integers.
enum tt_status tt_levels_set(struct tt_scheduler *s, bool round_karras, struct tt_error *err);

// Each level but the first and the last, and its timestep, twice: for two calls a step.
void tt_levels_double(struct tt_scheduler *s);

// out = sample / sqrt(sigma² + 1), a sample of variance 1; and this as a class's function.
void tt_levels_scale(const struct tt_scheduler *s, double sigma, const float *sample, float *out);
void tt_levels_scale_input(const struct tt_scheduler *s, size_t i, const float *sample, float *out);

// d = (x - x0) / sigma, from the model's output m for sample x; x0 is clipped with clip_sample.
void tt_levels_derivative(const struct tt_scheduler *s, double sigma, const float *m,
                          const double *x, double *d);

// add_noise of the class.
enum tt_status tt_levels_add_noise(const struct tt_scheduler *s, size_t i, const float *x0,
                                   const float *noise, float *out, struct tt_error *err);

#endif
