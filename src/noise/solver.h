// SPDX-License-Identifier: MIT
// What the solvers in lambda = log(alpha / sigma) share (dpm++-2m, dpm++-2s, unipc, deis): noise
// levels, timesteps, the model's answer as what they integrate. All of it is in double, for
// differences of exponentials cancel.
#ifndef TT_NOISE_SOLVER_H
#define TT_NOISE_SOLVER_H

#include "noise/scheduler_class.h"

// A noise level: how much of a sample is signal and how much noise, and their log ratio.
struct tt_level {
    double alpha, sigma, lambda;
};

// The level of sigmas[i]: alpha² + sigma² = 1, or alpha + sigma = 1 with use_flow_sigmas.
struct tt_level tt_solver_level(const struct tt_scheduler *s, size_t i);

// Settings of related solvers that diffusers translates for DPM-Solver.
void tt_solver_translate(struct tt_scheduler_values *v);

// Refuses what no solver of the family supports. most_order: of solver_order; of_sample: whether
// x0 is integrated, not the noise.
enum tt_status tt_solver_check(const struct tt_scheduler *s, size_t most_order, bool of_sample,
                               struct tt_error *err);

// How the classes differ in choosing timesteps.
struct tt_solver_spacing {
    size_t last;             // timesteps are below it, where they are spaced evenly
    bool round, round_lu;    // karras or lu timesteps are rounded, not cut, to integers
    bool final_is_last;      // a set of sigmas ends as its last one, not as the schedule's first
    bool flow_from_one;      // flow sigmas begin at 1 and can be stretched to shift_terminal
};

// Fills timesteps, calls and sigmas.
enum tt_status tt_solver_set_timesteps(struct tt_scheduler *s,
                                       const struct tt_solver_spacing *spacing,
                                       struct tt_error *err);

// How many timesteps have a lambda of at least lambda_min_clipped, which keeps the cosine schedule
// away from its end. Fails when there are none.
enum tt_status tt_solver_usable_timesteps(const struct tt_scheduler *s, size_t *usable,
                                          struct tt_error *err);

// Makes room for the newest output in wide[first], the ones before it in wide[first + 1], ...,
// count in all: a rotation. Returns it.
double *tt_solver_rotate(struct tt_scheduler *s, size_t first, size_t count);

// out = x0 (of_sample) or the noise, from the model's output m for sample x at call i. Thresholds
// work in history[0].
void tt_solver_convert(struct tt_scheduler *s, size_t i, bool of_sample, const float *m,
                       const double *x, double *out);

// add_noise of the class.
enum tt_status tt_solver_add_noise(const struct tt_scheduler *s, size_t i, const float *x0,
                                   const float *noise, float *out, struct tt_error *err);

// Whether the algorithm of DPM-Solver integrates x0, not the noise; whether it draws noise.
bool tt_solver_of_sample(const struct tt_scheduler *s);
bool tt_solver_stochastic(const struct tt_scheduler *s);

// Whether step i, to no noise or to the same level, is infinitely long in lambda or of no length:
// then only one of order 1 has finite weights (in diffusers some such runs end in NaN).
bool tt_solver_ends(const struct tt_scheduler *s, size_t i);

// A step of DPM-Solver from level a to b is keep·x + d[0]·D0 + d[1]·D1 + d[2]·D2 + fresh·noise, D1
// and D2 being the first and second difference of the integrand in lambda, scaled to the step.
struct tt_solver_weights {
    double keep, d[3], fresh;
};
struct tt_solver_weights tt_solver_weigh(const struct tt_scheduler *s, struct tt_level a,
                                         struct tt_level b, size_t order);

#endif
