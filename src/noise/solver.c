// SPDX-License-Identifier: MIT
#include "noise/solver.h"

#include "noise/numeric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tt_solver_of_sample(const struct tt_scheduler *s) {
    int a = s->values.algorithm_type;
    return a == TT_DPMSOLVER_PP || a == TT_SDE_DPMSOLVER_PP;
}

bool tt_solver_stochastic(const struct tt_scheduler *s) {
    int a = s->values.algorithm_type;
    return a == TT_SDE_DPMSOLVER || a == TT_SDE_DPMSOLVER_PP;
}

// ---- what is supported ----

void tt_solver_translate(struct tt_scheduler_values *v) {
    if (v->algorithm_type == TT_ALGORITHM_DEIS) v->algorithm_type = TT_DPMSOLVER_PP;
    if (v->solver_type > TT_SOLVER_HEUN) v->solver_type = TT_SOLVER_MIDPOINT;
}

static bool has_set_of_sigmas(const struct tt_scheduler_values *v) {
    return v->use_lu_lambdas || tt_sigmas_chosen(v);
}

enum tt_status tt_solver_check(const struct tt_scheduler *s, size_t most_order, bool of_sample,
                               struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    char order[24], expected[24];
    snprintf(order, sizeof order, "%zu", v->solver_order);
    snprintf(expected, sizeof expected, "1 to %zu", most_order);
    if (v->solver_order < 1 || v->solver_order > most_order)
        return tt_scheduler_reject(s, "solver_order", order, expected, err);
    if (!of_sample && v->prediction_type == TT_PREDICT_FLOW)
        return tt_scheduler_reject(s, "prediction_type", "flow_prediction",
                                   "epsilon, v_prediction or sample for a solver of the noise",
                                   err);
    if (!of_sample && v->final_sigmas_type == TT_FINAL_ZERO)
        return tt_scheduler_reject(s, "final_sigmas_type", "zero",
                                   "sigma_min for a solver of the noise", err);
    // Of a learned variance diffusers drops what is beyond three channels, which no latents have.
    if (v->prediction_type == TT_PREDICT_EPSILON &&
        (!strcmp(v->variance_type, "learned") || !strcmp(v->variance_type, "learned_range")))
        return tt_scheduler_reject(s, "variance_type", v->variance_type,
                                   "null for a model of latents", err);
    return tt_scheduler_check_sets(s, err);
}

// ---- timesteps ----

enum tt_status tt_solver_usable_timesteps(const struct tt_scheduler *s, size_t *usable,
                                          struct tt_error *err) {
    size_t n = s->schedule.count, clipped = 0;
    float least = (float)s->values.lambda_min_clipped;
    while (clipped < n) {
        float alpha = s->schedule.alphas_cumprod[n - 1 - clipped];
        float lambda = tt_logf(sqrtf(alpha)) - tt_logf(sqrtf(1.0f - alpha));
        if (!(lambda < least)) break;
        clipped++;
    }
    *usable = n - clipped;
    if (*usable == 0)
        return tt_scheduler_reject(s, "lambda_min_clipped", "a value above all lambdas",
                                   "one that leaves timesteps", err);
    return TT_OK;
}

// s->steps levels over the whole schedule.
static void fill_set(const struct tt_scheduler *s, const float *logs, double *levels) {
    const struct tt_scheduler_values *v = &s->values;
    size_t n = s->schedule.count;
    double highest = isnan(v->sigma_max) ? (double)s->schedule.sigmas[n - 1] : v->sigma_max;
    double lowest = isnan(v->sigma_min) ? (double)s->schedule.sigmas[0] : v->sigma_min;
    if (v->use_lu_lambdas && !v->use_karras_sigmas) {
        double from = logs[n - 1], to = logs[0];
        for (size_t i = 0; i < s->steps; i++)
            levels[i] = tt_exp(from + tt_linspace(0.0, 1.0, s->steps, i) * (to - from));
    } else {
        tt_sigmas_fill(v, levels, s->steps, highest, lowest);
    }
}

static double shift(double sigma, double by) { return by * sigma / (1.0 + (by - 1.0) * sigma); }

// Levels of a straight path from data to noise, where sigma is the share of noise.
static void fill_flow(const struct tt_scheduler *s, bool from_one, double *levels) {
    const struct tt_scheduler_values *v = &s->values;
    size_t n = s->steps;
    double least = 1.0 / (double)v->num_train_timesteps;
    for (size_t i = 0; i < n; i++)
        levels[i] = from_one ? shift(tt_linspace(1.0, least, n + 1, i), v->flow_shift)
                             : shift(1.0 - tt_linspace(1.0, least, n + 1, n - i), v->flow_shift);
    if (!from_one) return;
    if (!isnan(v->shift_terminal) && v->shift_terminal != 0.0) {
        double scale = (1.0 - levels[n - 1]) / (1.0 - v->shift_terminal);
        for (size_t i = 0; i < n; i++) levels[i] = 1.0 - (1.0 - levels[i]) / scale;
    }
    if (fabs(levels[0] - 1.0) < 1e-6) levels[0] -= 1e-6; // lambda stays finite
}

// Timesteps and sigmas from levels of their own, not from timesteps of the schedule.
static enum tt_status respace(struct tt_scheduler *s, const struct tt_solver_spacing *spacing,
                              struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    double *levels = malloc(s->steps * sizeof *levels);
    float *logs = tt_scheduler_log_sigmas(s);
    if (!levels || !logs) {
        free(levels);
        free(logs);
        return tt_fail(err, TT_SYSTEM, "no memory for the noise levels of a scheduler");
    }
    bool flow = v->use_flow_sigmas;
    bool whole = (v->use_karras_sigmas && spacing->round) ||
                 (v->use_lu_lambdas && !v->use_karras_sigmas && spacing->round_lu);
    if (has_set_of_sigmas(v)) fill_set(s, logs, levels);
    else fill_flow(s, spacing->flow_from_one, levels);
    s->calls = s->steps;
    for (size_t i = 0; i < s->steps; i++) {
        if (flow && v->use_karras_sigmas) levels[i] = levels[i] / (levels[i] + 1.0);
        double t = flow ? levels[i] * (double)v->num_train_timesteps
                        : tt_sigma_to_timestep(levels[i], logs, s->schedule.count);
        s->timesteps[i] = (float)(whole && !flow ? rint(t) : trunc(t));
        s->sigmas[i] = (float)levels[i];
    }
    free(levels);
    free(logs);
    return TT_OK;
}

enum tt_status tt_solver_set_timesteps(struct tt_scheduler *s,
                                       const struct tt_solver_spacing *spacing,
                                       struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    size_t n = v->num_train_timesteps;
    bool own_levels = has_set_of_sigmas(v) || v->use_flow_sigmas;
    if (s->steps > n && v->timestep_spacing == TT_SPACING_LEADING)
        return tt_fail(err, TT_BAD_INPUT, "steps: found %zu, expected at most %zu, the "
                       "num_train_timesteps of %s", s->steps, n, s->class_name);
    enum tt_status status = TT_OK;
    if (own_levels) {
        status = respace(s, spacing, err);
    } else {
        tt_scheduler_space(s, spacing->last, s->steps + 1, false);
        for (size_t i = 0; i < s->calls; i++)
            s->sigmas[i] =
                (float)tt_interp((double)s->timesteps[i], s->schedule.sigmas, s->schedule.count);
    }
    if (status) return status;
    float last = own_levels && spacing->final_is_last ? s->sigmas[s->calls - 1]
                                                      : s->schedule.sigmas[0];
    s->sigmas[s->calls] = v->final_sigmas_type == TT_FINAL_SIGMA_MIN ? last : 0.0f;
    return TT_OK;
}

// ---- steps ----

struct tt_level tt_solver_level(const struct tt_scheduler *s, size_t i) {
    struct tt_level l;
    double sigma = s->sigmas[i];
    l.alpha = s->values.use_flow_sigmas ? 1.0 - sigma : 1.0 / sqrt(sigma * sigma + 1.0);
    l.sigma = s->values.use_flow_sigmas ? sigma : sigma * l.alpha;
    l.lambda = tt_log(l.alpha) - tt_log(l.sigma);
    return l;
}

double *tt_solver_rotate(struct tt_scheduler *s, size_t first, size_t count) {
    double *oldest = s->wide[first + count - 1];
    for (size_t k = count - 1; k > 0; k--)
        s->wide[first + k] = s->wide[first + k - 1];
    return s->wide[first] = oldest;
}

// out[j] = of_a·a[j] + of_b·b[j]; out may be either.
static void mix(double *out, size_t n, double of_a, const double *a, double of_b, const double *b) {
    for (size_t j = 0; j < n; j++)
        out[j] = of_a * a[j] + of_b * b[j];
}

void tt_solver_convert(struct tt_scheduler *s, size_t i, bool of_sample, const float *m,
                       const double *x, double *out) {
    struct tt_level l = tt_solver_level(s, i);
    double of_m = 1.0, of_x = 0.0;
    switch ((enum tt_prediction)s->values.prediction_type) {
    case TT_PREDICT_EPSILON:
        if (of_sample) of_m = -l.sigma / l.alpha, of_x = 1.0 / l.alpha;
        break;
    case TT_PREDICT_SAMPLE:
        if (!of_sample) of_m = -l.alpha / l.sigma, of_x = 1.0 / l.sigma;
        break;
    case TT_PREDICT_V:
        of_m = of_sample ? -l.sigma : l.alpha;
        of_x = of_sample ? l.alpha : l.sigma;
        break;
    case TT_PREDICT_FLOW:
        of_m = -(double)s->sigmas[i]; // of_sample
        of_x = 1.0;
        break;
    }
    for (size_t j = 0; j < s->count; j++) out[j] = m[j];
    if (of_x != 0.0) mix(out, s->count, of_m, out, of_x, x);
    if (!s->values.thresholding) return;
    if (!of_sample) mix(out, s->count, -l.sigma / l.alpha, out, 1.0 / l.alpha, x);
    tt_scheduler_threshold_wide(s, out);
    if (!of_sample) mix(out, s->count, -l.alpha / l.sigma, out, 1.0 / l.sigma, x);
}

bool tt_solver_ends(const struct tt_scheduler *s, size_t i) {
    float next = s->sigmas[i + 1];
    return next == 0.0f || next == s->sigmas[i];
}

struct tt_solver_weights tt_solver_weigh(const struct tt_scheduler *s, struct tt_level a,
                                         struct tt_level b, size_t order) {
    bool heun = s->values.solver_type == TT_SOLVER_HEUN || order == 3;
    double h = b.lambda - a.lambda;
    struct tt_solver_weights w = {0};
    switch ((enum tt_algorithm)s->values.algorithm_type) {
    default: { // TT_DPMSOLVER_PP
        double e = tt_expm1(-h);
        w.keep = b.sigma / a.sigma;
        w.d[0] = -b.alpha * e;
        w.d[1] = heun ? b.alpha * (e / h + 1.0) : 0.5 * w.d[0];
        w.d[2] = -b.alpha * ((e + h) / (h * h) - 0.5);
        break;
    }
    case TT_DPMSOLVER: {
        double e = tt_expm1(h);
        w.keep = b.alpha / a.alpha;
        w.d[0] = -b.sigma * e;
        w.d[1] = heun ? -b.sigma * (e / h - 1.0) : 0.5 * w.d[0];
        w.d[2] = -b.sigma * ((e - h) / (h * h) - 0.5);
        break;
    }
    case TT_SDE_DPMSOLVER_PP: {
        double e = -tt_expm1(-2.0 * h);
        w.keep = b.sigma / a.sigma * tt_exp(-h);
        w.d[0] = b.alpha * e;
        w.d[1] = heun ? b.alpha * (e / (-2.0 * h) + 1.0) : 0.5 * w.d[0];
        w.d[2] = b.alpha * ((e - 2.0 * h) / (4.0 * h * h) - 0.5);
        w.fresh = b.sigma * sqrt(e);
        break;
    }
    case TT_SDE_DPMSOLVER: {
        double e = tt_expm1(h);
        w.keep = b.alpha / a.alpha;
        w.d[0] = -2.0 * b.sigma * e;
        w.d[1] = heun ? -2.0 * b.sigma * (e / h - 1.0) : 0.5 * w.d[0];
        w.fresh = b.sigma * sqrt(tt_expm1(2.0 * h));
        break;
    }
    }
    return w;
}

enum tt_status tt_solver_add_noise(const struct tt_scheduler *s, size_t i, const float *x0,
                                   const float *noise, float *out, struct tt_error *err) {
    (void)err;
    struct tt_level l = tt_solver_level(s, i);
    for (size_t j = 0; j < s->count; j++)
        out[j] = (float)(l.alpha * (double)x0[j] + l.sigma * (double)noise[j]);
    return TT_OK;
}
