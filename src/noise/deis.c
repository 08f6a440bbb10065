// SPDX-License-Identifier: MIT
// Diffusion exponential integrator sampler (Zhang and Chen 2022, arXiv 2204.13902), multistep in
// log rho, rho = sigma / alpha: the noise is extrapolated as a polynomial in log rho through the
// last outputs and integrated over rho exactly.
#include "noise/numeric.h"
#include "noise/solver.h"

#include <math.h>

static const char *const defaults[] = {
    "num_train_timesteps=1000", "beta_start=0.0001",       "beta_end=0.02",
    "beta_schedule=linear",     "trained_betas=null",      "solver_order=2",
    "prediction_type=epsilon",  "thresholding=false",      "dynamic_thresholding_ratio=0.995",
    "sample_max_value=1",       "algorithm_type=deis",     "solver_type=logrho",
    "lower_order_final=true",   "use_karras_sigmas=false", "use_exponential_sigmas=false",
    "use_beta_sigmas=false",    "use_flow_sigmas=false",   "flow_shift=1",
    "timestep_spacing=linspace", "steps_offset=0",         "use_dynamic_shifting=false",
    "time_shift_type=exponential", NULL};

enum { MOST_ORDER = 3 };

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    struct tt_scheduler_values *v = &s->values;
    if (v->algorithm_type == TT_SDE_DPMSOLVER || v->algorithm_type == TT_SDE_DPMSOLVER_PP)
        return tt_scheduler_reject(s, "algorithm_type",
                                   tt_scheduler_config_word("algorithm_type", v->algorithm_type),
                                   "deis", err);
    // Settings of related solvers, which diffusers translates.
    v->algorithm_type = TT_ALGORITHM_DEIS;
    v->solver_type = TT_SOLVER_LOGRHO;
    v->final_sigmas_type = TT_FINAL_SIGMA_MIN; // no key of the class
    s->history_count = 1;                      // a threshold's work
    s->wide_count = 1 + MOST_ORDER;
    return tt_solver_check(s, MOST_ORDER, true, err);
}

static enum tt_status set_timesteps(struct tt_scheduler *s, struct tt_error *err) {
    struct tt_solver_spacing spacing = {
        .last = s->schedule.count, .round = true, .final_is_last = true};
    return tt_solver_set_timesteps(s, &spacing, err);
}

static size_t order_of(const struct tt_scheduler *s, size_t i) {
    const struct tt_scheduler_values *v = &s->values;
    size_t left = s->calls - i, order = v->solver_order;
    if (v->lower_order_final && s->calls < 15 && left < order) order = left;
    return order < s->done + 1 ? order : s->done + 1;
}

static double log_rho(const struct tt_scheduler *s, size_t i) {
    struct tt_level l = tt_solver_level(s, i);
    return tt_log(l.sigma / l.alpha);
}

// The integral over rho, at log rho = t, of the polynomial in log rho that is 1 at node 0 and 0 at
// the other nodes (order - 1 of them).
static double integral(double t, const double *nodes, size_t order) {
    double b = nodes[0], c = nodes[1], d = nodes[2];
    if (order == 2) return tt_exp(t) * (t - c - 1.0) / (b - c);
    return tt_exp(t) * (c * (d - t + 1.0) - d * t + d + t * t - 2.0 * t + 2.0) /
           ((b - c) * (b - d));
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    size_t order = order_of(s, i);
    if (i + 1 < order)
        return tt_fail(err, TT_BAD_INPUT, "%s: call %zu is out of order", s->class_name, i);
    const double *sample = tt_scheduler_carry(s, x);
    // The noise by way of x0, and for flow_prediction over sigma itself, as the class has it.
    struct tt_level now = tt_solver_level(s, i);
    double spread = s->values.prediction_type == TT_PREDICT_FLOW ? (double)s->sigmas[i] : now.sigma;
    double *newest = tt_solver_rotate(s, 1, MOST_ORDER);
    tt_solver_convert(s, i, true, m, sample, newest);
    for (size_t j = 0; j < s->count; j++)
        newest[j] = (sample[j] - now.alpha * newest[j]) / spread;

    struct tt_level next = tt_solver_level(s, i + 1);
    struct tt_term terms[1 + MOST_ORDER] = {{next.alpha / now.alpha, sample}};
    double to = log_rho(s, i + 1), rho[MOST_ORDER];
    for (size_t k = 0; k < order; k++) rho[k] = log_rho(s, i - k);
    for (size_t k = 0; k < order; k++) {
        double nodes[MOST_ORDER] = {rho[k], rho[(k + 1) % order], rho[(k + 2) % order]};
        terms[1 + k].x = s->wide[1 + k];
        terms[1 + k].weight =
            order == 1
                ? -next.sigma * tt_expm1(next.lambda - now.lambda)
                : next.alpha * (integral(to, nodes, order) - integral(rho[0], nodes, order));
    }
    tt_scheduler_combine(s, terms, 1 + order, 0.0, out);
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_deis = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = set_timesteps,
    .step = step,
    .add_noise = tt_solver_add_noise,
    .has_sigmas = true,
};
