// SPDX-License-Identifier: MIT
// DPM-Solver and DPM-Solver++, multistep (Lu et al. 2022, arXiv 2206.00927 and 2211.01095): an
// exponential integrator in lambda = log(alpha / sigma), of order 1 to 3, with stochastic variants.
#include "noise/solver.h"

static const char *const defaults[] = {
    "num_train_timesteps=1000", "beta_start=0.0001",       "beta_end=0.02",
    "beta_schedule=linear",     "trained_betas=null",      "solver_order=2",
    "prediction_type=epsilon",  "thresholding=false",      "dynamic_thresholding_ratio=0.995",
    "sample_max_value=1",       "algorithm_type=dpmsolver++", "solver_type=midpoint",
    "lower_order_final=true",   "euler_at_final=false",    "use_karras_sigmas=false",
    "use_exponential_sigmas=false", "use_beta_sigmas=false", "use_lu_lambdas=false",
    "use_flow_sigmas=false",    "flow_shift=1",            "final_sigmas_type=zero",
    "lambda_min_clipped=-inf",  "variance_type=null",      "timestep_spacing=linspace",
    "steps_offset=0",           "rescale_betas_zero_snr=false", "use_dynamic_shifting=false",
    "time_shift_type=exponential", NULL};

enum { MOST_ORDER = 3, OUTPUTS = 1 };

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    struct tt_scheduler_values *v = &s->values;
    tt_solver_translate(v);

    enum tt_status status = tt_solver_check(s, MOST_ORDER, tt_solver_of_sample(s), err);
    if (status) return status;
    if (v->algorithm_type == TT_SDE_DPMSOLVER && v->solver_order > 2)
        return tt_scheduler_reject(s, "solver_order", "3", "1 or 2 for sde-dpmsolver", err);
    if (v->rescale_betas_zero_snr)
        tt_schedule_set_alpha(&s->schedule, s->schedule.count - 1, 0x1p-24f);
    s->needs_noise = tt_solver_stochastic(s);
    s->history_count = 1; // a threshold's work
    s->wide_count = OUTPUTS + MOST_ORDER;
    return TT_OK;
}

static enum tt_status set_timesteps(struct tt_scheduler *s, struct tt_error *err) {
    bool whole = s->values.beta_schedule != TT_BETAS_SQUAREDCOS_CAP_V2;
    struct tt_solver_spacing spacing = {.round = whole, .round_lu = whole};
    enum tt_status status = tt_solver_usable_timesteps(s, &spacing.last, err);
    return status ? status : tt_solver_set_timesteps(s, &spacing, err);
}

static size_t order_of(const struct tt_scheduler *s, size_t i) {
    const struct tt_scheduler_values *v = &s->values;
    bool few = v->lower_order_final && s->calls < 15;
    if (v->solver_order == 1 || s->done < 1) return 1;
    if (tt_solver_ends(s, i) || (i + 1 == s->calls && (v->euler_at_final || few))) return 1;
    if (v->solver_order == 2 || s->done < 2 || (i + 2 == s->calls && few)) return 2;
    return 3;
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

    struct tt_level now = tt_solver_level(s, i), next = tt_solver_level(s, i + 1);
    struct tt_solver_weights w = tt_solver_weigh(s, now, next, order);
    double of_m0 = w.d[0], of_m1 = 0.0, of_m2 = 0.0, h = next.lambda - now.lambda;
    if (order > 1) {
        struct tt_level last = tt_solver_level(s, i - 1);
        double r0 = (now.lambda - last.lambda) / h, d_newer = w.d[1], d_older = 0.0;
        if (order == 3) {
            double r1 = (last.lambda - tt_solver_level(s, i - 2).lambda) / h;
            double share = w.d[1] * r0 / (r0 + r1) + w.d[2] / (r0 + r1);
            d_newer += share;
            d_older = -share / r1;
        }
        d_newer /= r0;
        of_m0 += d_newer;
        of_m1 = d_older - d_newer;
        of_m2 = -d_older;
    }
    struct tt_term terms[] = {{w.keep, sample}, {of_m0, m0}, {of_m1, m1}, {of_m2, m2}};
    tt_scheduler_combine(s, terms, 1 + order, w.fresh, out);
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_dpm_2m = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = set_timesteps,
    .step = step,
    .add_noise = tt_solver_add_noise,
    .has_sigmas = true,
};
