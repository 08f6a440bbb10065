// SPDX-License-Identifier: MIT
// DPM-Solver and DPM-Solver++, singlestep (Lu et al. 2022, arXiv 2206.00927 and 2211.01095): groups
// of solver_order calls, each of which starts again from the sample that the group began with.
#include "noise/solver.h"

#include <string.h>

static const char *const defaults[] = {
    "num_train_timesteps=1000", "beta_start=0.0001",       "beta_end=0.02",
    "beta_schedule=linear",     "trained_betas=null",      "solver_order=2",
    "prediction_type=epsilon",  "thresholding=false",      "dynamic_thresholding_ratio=0.995",
    "sample_max_value=1",       "algorithm_type=dpmsolver++", "solver_type=midpoint",
    "lower_order_final=false",  "use_karras_sigmas=false", "use_exponential_sigmas=false",
    "use_beta_sigmas=false",    "use_flow_sigmas=false",   "flow_shift=1",
    "final_sigmas_type=zero",   "lambda_min_clipped=-inf", "variance_type=null",
    "use_dynamic_shifting=false", "time_shift_type=exponential", NULL};

enum { MOST_ORDER = 3, OUTPUTS = 1, FIRST = OUTPUTS + MOST_ORDER, BUFFERS };

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    struct tt_scheduler_values *v = &s->values;
    tt_solver_translate(v);
    v->timestep_spacing = TT_SPACING_LINSPACE; // the class knows no other

    if (v->algorithm_type == TT_SDE_DPMSOLVER)
        return tt_scheduler_reject(s, "algorithm_type", "sde-dpmsolver",
                                   "dpmsolver, dpmsolver++ or sde-dpmsolver++", err);
    enum tt_status status = tt_solver_check(s, MOST_ORDER, tt_solver_of_sample(s), err);
    if (status) return status;
    if (v->algorithm_type == TT_DPMSOLVER && v->thresholding)
        return tt_scheduler_reject(s, "thresholding", "true", "false for dpmsolver", err);
    s->needs_noise = tt_solver_stochastic(s);
    s->history_count = 1; // a threshold's work
    s->wide_count = BUFFERS;
    return TT_OK;
}

static enum tt_status set_timesteps(struct tt_scheduler *s, struct tt_error *err) {
    struct tt_solver_spacing spacing = {.round = true};
    enum tt_status status = tt_solver_usable_timesteps(s, &spacing.last, err);
    return status ? status : tt_solver_set_timesteps(s, &spacing, err);
}

// Counts up within a group; a whole group at the end is one order lower in its last call, where
// lower_order_final says so or the last level leaves no lambda to go to.
static size_t order_of(const struct tt_scheduler *s, size_t i) {
    const struct tt_scheduler_values *v = &s->values;
    bool whole = s->calls % v->solver_order == 0, zero = v->final_sigmas_type == TT_FINAL_ZERO;
    if (i + 1 == s->calls && (zero || (whole && v->lower_order_final))) return 1;
    size_t order = i % v->solver_order + 1;
    return order < s->done + 1 ? order : s->done + 1; // a run may begin inside a group
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    size_t order = order_of(s, i);
    if (i + 1 < order)
        return tt_fail(err, TT_BAD_INPUT, "%s: call %zu is out of order", s->class_name, i);
    const double *sample = tt_scheduler_carry(s, x);
    double *m0 = tt_solver_rotate(s, OUTPUTS, MOST_ORDER);
    const double *m1 = s->wide[OUTPUTS + 1], *m2 = s->wide[OUTPUTS + 2];
    tt_solver_convert(s, i, tt_solver_of_sample(s), m, sample, m0);
    double *first = s->wide[FIRST];
    if (order == 1) memcpy(first, sample, s->count * sizeof *first);

    // D0 is the output at the group's beginning; r0 and r1 say how far the others are.
    struct tt_level from = tt_solver_level(s, i + 1 - order), to = tt_solver_level(s, i + 1);
    struct tt_solver_weights w = tt_solver_weigh(s, from, to, order);
    double h = to.lambda - from.lambda, of_m0 = w.d[0], of_m1 = 0.0, of_m2 = 0.0;
    if (order > 1) {
        double r0 = (tt_solver_level(s, i).lambda - from.lambda) / h;
        of_m0 = w.d[1] / r0;
        of_m1 = w.d[0] - of_m0;
        if (order == 3) {
            double r1 = (tt_solver_level(s, i - 1).lambda - from.lambda) / h;
            if (s->values.solver_type == TT_SOLVER_HEUN) {
                of_m0 = (2.0 * w.d[2] - w.d[1] * r1) / (r0 - r1) / r0;
                of_m1 = (w.d[1] * r0 - 2.0 * w.d[2]) / (r0 - r1) / r1;
            } else {
                of_m1 = 0.0;
            }
            of_m2 = w.d[0] - of_m0 - of_m1;
        }
    }
    struct tt_term terms[] = {{w.keep, first}, {of_m0, m0}, {of_m1, m1}, {of_m2, m2}};
    tt_scheduler_combine(s, terms, 1 + order, w.fresh, out);
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_dpm_2s = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = set_timesteps,
    .step = step,
    .add_noise = tt_solver_add_noise,
    .has_sigmas = true,
};
