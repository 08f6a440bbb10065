// SPDX-License-Identifier: MIT
// UniPC (Zhao et al. 2023, arXiv 2302.04867): a multistep predictor, and a corrector of the same
// form that mends the last step with the model's answer at its end, which costs no further call.
#include "noise/numeric.h"
#include "noise/solver.h"

#include <math.h>
#include <string.h>

static const char *const defaults[] = {
    "num_train_timesteps=1000", "beta_start=0.0001",       "beta_end=0.02",
    "beta_schedule=linear",     "trained_betas=null",      "solver_order=2",
    "prediction_type=epsilon",  "thresholding=false",      "dynamic_thresholding_ratio=0.995",
    "sample_max_value=1",       "predict_x0=true",         "solver_type=bh2",
    "lower_order_final=true",   "disable_corrector=null",  "solver_p=null",
    "use_karras_sigmas=false",  "use_exponential_sigmas=false", "use_beta_sigmas=false",
    "use_flow_sigmas=false",    "flow_shift=1",            "timestep_spacing=linspace",
    "steps_offset=0",           "final_sigmas_type=zero",  "rescale_betas_zero_snr=false",
    "use_dynamic_shifting=false", "time_shift_type=exponential", "sigma_min=null",
    "sigma_max=null",           "shift_terminal=null",     NULL};

// Buffers: the sample, what it was a step before, and the outputs, the newest first.
enum { MOST_ORDER = 5, LAST = 1, OUTPUTS, BUFFERS = OUTPUTS + MOST_ORDER + 1 };
_Static_assert((int)BUFFERS <= (int)TT_SCHEDULER_WIDE, "each buffer has its place");

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    struct tt_scheduler_values *v = &s->values;
    if (v->solver_type != TT_SOLVER_BH1) v->solver_type = TT_SOLVER_BH2; // as diffusers translates
    enum tt_status status = tt_solver_check(s, MOST_ORDER, v->predict_x0, err);
    if (status) return status;
    if (v->use_dynamic_shifting)
        return tt_scheduler_reject(s, "use_dynamic_shifting", "true",
                                   "false (its shift comes from pipelines of other models)", err);
    if (!isnan(v->shift_terminal) && !v->use_flow_sigmas)
        return tt_scheduler_reject(s, "shift_terminal", "a number",
                                   "null without use_flow_sigmas", err);
    if (v->rescale_betas_zero_snr)
        tt_schedule_set_alpha(&s->schedule, s->schedule.count - 1, 0x1p-24f);
    if (!v->predict_x0) v->thresholding = false; // which diffusers does to x0 only
    s->history_count = 1;                        // a threshold's work
    s->wide_count = OUTPUTS + v->solver_order + 1;
    return TT_OK;
}

static enum tt_status set_timesteps(struct tt_scheduler *s, struct tt_error *err) {
    struct tt_solver_spacing spacing = {.last = s->schedule.count,
                                        .round = true,
                                        .final_is_last = true,
                                        .flow_from_one = true};
    return tt_solver_set_timesteps(s, &spacing, err);
}

// The order of the predictor at call i, the done-th of this run.
static size_t order_at(const struct tt_scheduler *s, size_t i, size_t done) {
    size_t order = s->values.solver_order, left = s->calls - i;
    if (s->values.lower_order_final && left < order) order = left;
    if (tt_solver_ends(s, i)) order = 1;
    return order < done + 1 ? order : done + 1;
}

static bool corrects(const struct tt_scheduler *s, size_t i) {
    const struct tt_numbers *disabled = &s->values.disable_corrector;
    if (i == 0 || s->done == 0) return false;
    for (size_t k = 0; k < disabled->count; k++)
        if (disabled->values[k] == (double)(i - 1)) return false;
    return true;
}

// Solves A x = b of n rows by elimination with row pivoting; x replaces b.
static void solve(double a[MOST_ORDER][MOST_ORDER], double *b, size_t n) {
    for (size_t k = 0; k < n; k++) {
        size_t pivot = k;
        for (size_t i = k + 1; i < n; i++)
            if (fabs(a[i][k]) > fabs(a[pivot][k])) pivot = i;
        for (size_t j = 0; j < n; j++) {
            double swap = a[k][j];
            a[k][j] = a[pivot][j];
            a[pivot][j] = swap;
        }
        double swap = b[k];
        b[k] = b[pivot];
        b[pivot] = swap;
        for (size_t i = k + 1; i < n; i++) {
            double factor = a[i][k] / a[k][k];
            for (size_t j = k; j < n; j++) a[i][j] -= factor * a[k][j];
            b[i] -= factor * b[k];
        }
    }
    for (size_t k = n; k-- > 0;) {
        for (size_t j = k + 1; j < n; j++) b[k] -= a[k][j] * b[j];
        b[k] /= a[k][k];
    }
}

// rho, the weights of the differences between outputs, `unknowns` of them: sums of rho·r^k must be
// b[k] for k = 0, 1, ..., which makes the step exact for polynomials. r: where the outputs lie, in
// steps. hh: the step, as the exponential sees it; scale: B(h) of the paper.
static void find_rho(double hh, double scale, const double *r, size_t unknowns, double *rho) {
    double a[MOST_ORDER][MOST_ORDER], phi = tt_expm1(hh) / hh - 1.0, factorial = 1.0;
    for (size_t k = 0; k < unknowns; k++) {
        for (size_t j = 0; j < unknowns; j++)
            a[k][j] = k == 0 ? 1.0 : a[k - 1][j] * r[j];
        rho[k] = phi * factorial / scale;
        factorial *= (double)(k + 2);
        phi = phi / hh - 1.0 / factorial;
    }
    solve(a, rho, unknowns);
}

// One step from level i to level i + 1 of the sample x, into wide[0] and out. outputs: those at i,
// i - 1, ..., `order` of them; end: that at i + 1 for the corrector, NULL for the predictor.
static void advance(struct tt_scheduler *s, size_t i, size_t order, const double *x,
                    double *const *outputs, const double *end, float *out) {
    const struct tt_scheduler_values *v = &s->values;
    struct tt_level from = tt_solver_level(s, i), to = tt_solver_level(s, i + 1);
    double h = to.lambda - from.lambda, hh = v->predict_x0 ? -h : h;
    double gain = v->predict_x0 ? to.alpha : to.sigma;
    double keep = v->predict_x0 ? to.sigma / from.sigma : to.alpha / from.alpha;
    double scale = v->solver_type == TT_SOLVER_BH1 ? hh : tt_expm1(hh);
    double r[MOST_ORDER], rho[MOST_ORDER] = {0.5};
    size_t known = order - 1, unknowns = known + (end != NULL); // differences
    for (size_t k = 0; k < known; k++)
        r[k] = (tt_solver_level(s, i - k - 1).lambda - from.lambda) / h;
    r[known] = 1.0;
    if (end ? order > 1 : order > 2) find_rho(hh, scale, r, unknowns, rho);

    struct tt_term terms[2 + MOST_ORDER] = {{keep, x}, {-gain * tt_expm1(hh), outputs[0]}};
    for (size_t k = 0; k < unknowns; k++) {
        double weight = -gain * scale * rho[k] / r[k];
        terms[2 + k] = (struct tt_term){weight, k < known ? outputs[k + 1] : end};
        terms[1].weight -= weight;
    }
    tt_scheduler_combine(s, terms, 2 + unknowns, 0.0, out);
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    size_t most = s->values.solver_order, order = order_at(s, i, s->done);
    if (i + 1 < order || i < s->done)
        return tt_fail(err, TT_BAD_INPUT, "%s: call %zu is out of order", s->class_name, i);
    const double *sample = tt_scheduler_carry(s, x);
    double *newest = s->wide[OUTPUTS + most];
    tt_solver_convert(s, i, s->values.predict_x0, m, sample, newest);
    if (corrects(s, i))
        advance(s, i - 1, order_at(s, i - 1, s->done - 1), s->wide[LAST], s->wide + OUTPUTS, newest,
                out);
    tt_solver_rotate(s, OUTPUTS, most + 1);
    memcpy(s->wide[LAST], sample, s->count * sizeof *sample);
    advance(s, i, order, sample, s->wide + OUTPUTS, NULL, out);
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_unipc = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = set_timesteps,
    .step = step,
    .add_noise = tt_solver_add_noise,
    .has_sigmas = true,
};
