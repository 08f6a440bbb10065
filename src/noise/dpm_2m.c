// SPDX-License-Identifier: MIT
// DPM-Solver and DPM-Solver++, multistep (Lu et al. 2022, arXiv 2206.00927 and 2211.01095): an
// exponential integrator in lambda = log(alpha / sigma), of order 1 to 3, with stochastic variants.
// The formulas differ in coefficients only, which are float32 numbers here as they are there.
#include "noise/numeric.h"
#include "noise/scheduler_class.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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
    NULL};

enum { MOST_ORDER = 3 };

static bool stochastic(const struct tt_scheduler *s) {
    int a = s->values.algorithm_type;
    return a == TT_SDE_DPMSOLVER || a == TT_SDE_DPMSOLVER_PP;
}

// Whether the model is seen as one of the sample (x0), not of the noise.
static bool of_sample(const struct tt_scheduler *s) {
    int a = s->values.algorithm_type;
    return a == TT_DPMSOLVER_PP || a == TT_SDE_DPMSOLVER_PP;
}

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    struct tt_scheduler_values *v = &s->values;
    // Settings of related solvers, which diffusers translates.
    if (v->algorithm_type == TT_ALGORITHM_DEIS) v->algorithm_type = TT_DPMSOLVER_PP;
    if (v->solver_type > TT_SOLVER_HEUN) v->solver_type = TT_SOLVER_MIDPOINT;

    char order[24];
    snprintf(order, sizeof order, "%zu", v->solver_order);
    if (v->prediction_type == TT_PREDICT_FLOW)
        return tt_scheduler_reject(s, "prediction_type", "flow_prediction",
                                   "epsilon, v_prediction or sample", err);
    if (v->solver_order < 1 || v->solver_order > MOST_ORDER)
        return tt_scheduler_reject(s, "solver_order", order, "1, 2 or 3", err);
    if (v->algorithm_type == TT_SDE_DPMSOLVER && v->solver_order > 2)
        return tt_scheduler_reject(s, "solver_order", order, "1 or 2 for sde-dpmsolver", err);
    if (!of_sample(s) && v->final_sigmas_type == TT_FINAL_ZERO)
        return tt_scheduler_reject(s, "final_sigmas_type", "zero",
                                   "sigma_min for this algorithm_type", err);
    if (v->use_beta_sigmas)
        return tt_scheduler_reject(s, "use_beta_sigmas", "true", "false (not supported)", err);
    if (v->use_flow_sigmas)
        return tt_scheduler_reject(s, "use_flow_sigmas", "true", "false (not supported)", err);
    if (v->use_dynamic_shifting)
        return tt_scheduler_reject(s, "use_dynamic_shifting", "true", "false (not supported)",
                                   err);
    if (v->variance_type[0])
        return tt_scheduler_reject(s, "variance_type", v->variance_type, "null", err);
    if (v->use_karras_sigmas && v->use_exponential_sigmas)
        return tt_scheduler_reject(s, "use_exponential_sigmas", "true",
                                   "false beside use_karras_sigmas", err);
    if (v->rescale_betas_zero_snr)
        tt_schedule_set_alpha(&s->schedule, s->schedule.count - 1, 0x1p-24f);
    s->needs_noise = stochastic(s);
    s->history_count = MOST_ORDER;
    return TT_OK;
}

// How many timesteps have a lambda of at least lambda_min_clipped, which keeps the cosine schedule
// away from its end.
static size_t usable_timesteps(const struct tt_scheduler *s) {
    size_t n = s->schedule.count, clipped = 0;
    float least = (float)s->values.lambda_min_clipped;
    while (clipped < n) {
        float alpha = s->schedule.alphas_cumprod[n - 1 - clipped];
        float lambda = tt_logf(sqrtf(alpha)) - tt_logf(sqrtf(1.0f - alpha));
        if (!(lambda < least)) break;
        clipped++;
    }
    return n - clipped;
}

// Timesteps and sigmas from a set of levels over the whole schedule.
static enum tt_status respace(struct tt_scheduler *s, struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    size_t n = s->schedule.count;
    double *levels = malloc(s->steps * sizeof *levels);
    float *logs = tt_scheduler_log_sigmas(s);
    enum tt_status status = TT_OK;
    if (levels && logs) {
        double highest = isnan(v->sigma_max) ? (double)s->schedule.sigmas[n - 1] : v->sigma_max;
        double lowest = isnan(v->sigma_min) ? (double)s->schedule.sigmas[0] : v->sigma_min;
        if (v->use_karras_sigmas) {
            tt_sigmas_karras(levels, s->steps, highest, lowest);
        } else if (v->use_lu_lambdas) {
            double from = logs[n - 1], to = logs[0];
            for (size_t i = 0; i < s->steps; i++)
                levels[i] = tt_exp(from + tt_linspace(0.0, 1.0, s->steps, i) * (to - from));
        } else {
            tt_sigmas_exponential(levels, s->steps, highest, lowest);
        }
        bool whole = (v->use_karras_sigmas || v->use_lu_lambdas) &&
                     v->beta_schedule != TT_BETAS_SQUAREDCOS_CAP_V2;
        s->calls = s->steps;
        for (size_t i = 0; i < s->steps; i++) {
            double t = tt_sigma_to_timestep(levels[i], logs, n);
            s->timesteps[i] = (float)(whole ? rint(t) : trunc(t));
            s->sigmas[i] = (float)levels[i];
        }
    } else {
        status = tt_fail(err, TT_SYSTEM, "no memory for the noise levels of a scheduler");
    }
    free(levels);
    free(logs);
    return status;
}

static enum tt_status set_timesteps(struct tt_scheduler *s, struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    size_t usable = usable_timesteps(s), n = v->num_train_timesteps;
    enum tt_status status = TT_OK;
    if (s->steps > n && v->timestep_spacing == TT_SPACING_LEADING)
        return tt_fail(err, TT_BAD_INPUT, "steps: found %zu, expected at most %zu, the "
                       "num_train_timesteps of %s", s->steps, n, s->class_name);
    if (usable == 0)
        return tt_scheduler_reject(s, "lambda_min_clipped", "a value above all lambdas",
                                   "one that leaves timesteps", err);
    if (v->use_karras_sigmas || v->use_lu_lambdas || v->use_exponential_sigmas) {
        status = respace(s, err);
    } else {
        tt_scheduler_space(s, usable, s->steps + 1, false);
        for (size_t i = 0; i < s->calls; i++)
            s->sigmas[i] =
                (float)tt_interp((double)s->timesteps[i], s->schedule.sigmas, s->schedule.count);
    }
    s->sigmas[s->calls] =
        v->final_sigmas_type == TT_FINAL_SIGMA_MIN ? s->schedule.sigmas[0] : 0.0f;
    return status;
}

// A noise level: sigma of the variance-exploding form as alpha, sigma with alpha² + sigma² = 1.
struct level {
    float alpha, sigma, lambda;
};

static struct level level_of(float sigma) {
    struct level l;
    l.alpha = 1.0f / sqrtf(sigma * sigma + 1.0f);
    l.sigma = sigma * l.alpha;
    l.lambda = tt_logf(l.alpha) - tt_logf(l.sigma);
    return l;
}

// out = what the solver integrates, x0 or the noise, from the model's output m at x.
static void convert(const struct tt_scheduler *s, struct level l, const float *m, const float *x,
                    float *out) {
    const struct tt_scheduler_values *v = &s->values;
    size_t n = s->count;
    bool sample = of_sample(s);
    if (v->prediction_type == (sample ? TT_PREDICT_SAMPLE : TT_PREDICT_EPSILON))
        for (size_t j = 0; j < n; j++) out[j] = m[j];
    else if (v->prediction_type == TT_PREDICT_EPSILON)
        for (size_t j = 0; j < n; j++) out[j] = (x[j] - l.sigma * m[j]) / l.alpha;
    else if (v->prediction_type == TT_PREDICT_SAMPLE)
        for (size_t j = 0; j < n; j++) out[j] = (x[j] - l.alpha * m[j]) / l.sigma;
    else if (sample)
        for (size_t j = 0; j < n; j++) out[j] = l.alpha * x[j] - l.sigma * m[j];
    else
        for (size_t j = 0; j < n; j++) out[j] = l.alpha * m[j] + l.sigma * x[j];
    if (!v->thresholding) return;
    if (!sample)
        for (size_t j = 0; j < n; j++) out[j] = (x[j] - l.sigma * out[j]) / l.alpha;
    tt_scheduler_threshold(s, out);
    if (!sample)
        for (size_t j = 0; j < n; j++) out[j] = (x[j] - l.alpha * out[j]) / l.sigma;
}

// The next sample is keep·x + d[0]·D0 + d[1]·D1 + d[2]·D2 + fresh·noise: D0 is the newest
// output, D1 and D2 are its first and second differences in lambda.
struct weights {
    float keep, d[MOST_ORDER], fresh;
};

// The weights of a step from level a to b; h: the difference in lambda.
static struct weights weigh(const struct tt_scheduler *s, struct level a, struct level b,
                            size_t order) {
    const struct tt_scheduler_values *v = &s->values;
    bool heun = v->solver_type == TT_SOLVER_HEUN || order == 3;
    float h = b.lambda - a.lambda;
    struct weights w = {0};
    switch ((enum tt_algorithm)v->algorithm_type) {
    default: { // TT_DPMSOLVER_PP
        float e = tt_expf(-h) - 1.0f;
        w.keep = b.sigma / a.sigma;
        w.d[0] = -(b.alpha * e);
        w.d[1] = heun ? b.alpha * (e / h + 1.0f) : -(0.5f * (b.alpha * e));
        w.d[2] = -(b.alpha * ((e + h) / (h * h) - 0.5f));
        break;
    }
    case TT_DPMSOLVER: {
        float e = tt_expf(h) - 1.0f;
        w.keep = b.alpha / a.alpha;
        w.d[0] = -(b.sigma * e);
        w.d[1] = heun ? -(b.sigma * (e / h - 1.0f)) : -(0.5f * (b.sigma * e));
        w.d[2] = -(b.sigma * ((e - h) / (h * h) - 0.5f));
        break;
    }
    case TT_SDE_DPMSOLVER_PP: {
        float e = 1.0f - tt_expf(-2.0f * h);
        w.keep = b.sigma / a.sigma * tt_expf(-h);
        w.d[0] = b.alpha * e;
        w.d[1] = heun ? b.alpha * (e / (-2.0f * h) + 1.0f) : 0.5f * (b.alpha * e);
        w.d[2] = b.alpha * ((e - 2.0f * h) / (2.0f * h * (2.0f * h)) - 0.5f);
        w.fresh = b.sigma * sqrtf(e);
        break;
    }
    case TT_SDE_DPMSOLVER: {
        float e = tt_expf(h) - 1.0f;
        w.keep = b.alpha / a.alpha;
        w.d[0] = -(2.0f * (b.sigma * e));
        w.d[1] = heun ? -(2.0f * (b.sigma * (e / h - 1.0f))) : -(b.sigma * e);
        w.fresh = b.sigma * sqrtf(tt_expf(2.0f * h) - 1.0f);
        break;
    }
    }
    return w;
}

static size_t order_of(const struct tt_scheduler *s, size_t i) {
    const struct tt_scheduler_values *v = &s->values;
    bool few = v->lower_order_final && s->calls < 15;
    if (v->solver_order == 1 || s->done < 1) return 1;
    if (i + 1 == s->calls && (v->euler_at_final || few || v->final_sigmas_type == TT_FINAL_ZERO))
        return 1;
    if (v->solver_order == 2 || s->done < 2 || (i + 2 == s->calls && few)) return 2;
    return 3;
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    size_t order = order_of(s, i), n = s->count;
    if (i + 1 < order)
        return tt_fail(err, TT_BAD_INPUT, "%s: call %zu is out of order", s->class_name, i);
    float *m0 = s->history[2], *m1 = s->history[0], *m2 = s->history[1]; // new, last, one before
    s->history[0] = m0;
    s->history[1] = m1;
    s->history[2] = m2;
    struct level now = level_of(s->sigmas[i]), next = level_of(s->sigmas[i + 1]);
    struct weights w = weigh(s, now, next, order);
    convert(s, now, m, x, m0);
    if (order == 1) {
        for (size_t j = 0; j < n; j++)
            out[j] = w.keep * x[j] + w.d[0] * m0[j];
    } else {
        struct level last = level_of(s->sigmas[i - 1]);
        float h = next.lambda - now.lambda;
        float r0 = (now.lambda - last.lambda) / h;
        float inverse0 = 1.0f / r0;
        if (order == 2) {
            for (size_t j = 0; j < n; j++) {
                float d1 = inverse0 * (m0[j] - m1[j]);
                out[j] = w.keep * x[j] + w.d[0] * m0[j] + w.d[1] * d1;
            }
        } else {
            float r1 = (last.lambda - level_of(s->sigmas[i - 2]).lambda) / h;
            float inverse1 = 1.0f / r1, share = r0 / (r0 + r1), inverse = 1.0f / (r0 + r1);
            for (size_t j = 0; j < n; j++) {
                float newer = inverse0 * (m0[j] - m1[j]), older = inverse1 * (m1[j] - m2[j]);
                float d1 = newer + share * (newer - older), d2 = inverse * (newer - older);
                out[j] = w.keep * x[j] + w.d[0] * m0[j] + w.d[1] * d1 + w.d[2] * d2;
            }
        }
    }
    if (s->needs_noise)
        for (size_t j = 0; j < n; j++)
            out[j] = out[j] + w.fresh * s->noise[j];
    return TT_OK;
}

static enum tt_status add_noise(const struct tt_scheduler *s, size_t i, const float *x0,
                                const float *noise, float *out, struct tt_error *err) {
    (void)err;
    struct level l = level_of(s->sigmas[i]);
    for (size_t j = 0; j < s->count; j++)
        out[j] = l.alpha * x0[j] + l.sigma * noise[j];
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_dpm_2m = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = set_timesteps,
    .step = step,
    .add_noise = add_noise,
    .has_sigmas = true,
};
