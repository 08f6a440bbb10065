// SPDX-License-Identifier: MIT
// Euler steps of the probability flow in noise levels sigma (Karras et al. 2022, algorithm 2
// without churn), and their ancestral form, which takes a longer step and adds fresh noise.
#include "noise/levels.h"

#include <math.h>

static const char *const euler_defaults[] = {
    "num_train_timesteps=1000", "beta_start=0.0001",       "beta_end=0.02",
    "beta_schedule=linear",     "trained_betas=null",      "prediction_type=epsilon",
    "interpolation_type=linear", "use_karras_sigmas=false", "use_exponential_sigmas=false",
    "use_beta_sigmas=false",    "sigma_min=null",          "sigma_max=null",
    "timestep_spacing=linspace", "timestep_type=discrete",  "steps_offset=0",
    "rescale_betas_zero_snr=false", "final_sigmas_type=zero", NULL};

static const char *const ancestral_defaults[] = {
    "num_train_timesteps=1000", "beta_start=0.0001",       "beta_end=0.02",
    "beta_schedule=linear",     "trained_betas=null",      "prediction_type=epsilon",
    "timestep_spacing=linspace", "steps_offset=0",          "rescale_betas_zero_snr=false",
    NULL};

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    // Almost pure noise, so that the first sigma is finite.
    if (s->values.rescale_betas_zero_snr)
        tt_schedule_set_alpha(&s->schedule, s->schedule.count - 1, 0x1p-24f);
    s->wide_count = 2; // the sample and the derivative
    return tt_levels_check(s, false, err);
}

static enum tt_status init_ancestral(struct tt_scheduler *s, struct tt_error *err) {
    s->needs_noise = true;
    enum tt_status status = init(s, err);
    return status ? status : tt_levels_check(s, true, err);
}

static enum tt_status set_timesteps(struct tt_scheduler *s, struct tt_error *err) {
    return tt_levels_set(s, false, err);
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    (void)err;
    double sigma = s->sigmas[i], *d = s->wide[1];
    const double *sample = tt_scheduler_carry(s, x);
    tt_levels_derivative(s, sigma, m, sample, d);
    struct tt_term terms[] = {{1.0, sample}, {(double)s->sigmas[i + 1] - sigma, d}};
    tt_scheduler_combine(s, terms, 2, 0.0, out);
    return TT_OK;
}

static enum tt_status step_ancestral(struct tt_scheduler *s, size_t i, const float *m,
                                     const float *x, float *out, struct tt_error *err) {
    (void)err;
    double from = s->sigmas[i], to = s->sigmas[i + 1], *d = s->wide[1];
    double up = sqrt(to * to * (from * from - to * to) / (from * from));
    double down = sqrt(to * to - up * up);
    const double *sample = tt_scheduler_carry(s, x);
    tt_levels_derivative(s, from, m, sample, d);
    struct tt_term terms[] = {{1.0, sample}, {down - from, d}};
    tt_scheduler_combine(s, terms, 2, up, out);
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_euler = {
    .defaults = euler_defaults,
    .init = init,
    .set_timesteps = set_timesteps,
    .scale_input = tt_levels_scale_input,
    .step = step,
    .add_noise = tt_levels_add_noise,
    .has_sigmas = true,
};

const struct tt_scheduler_class tt_scheduler_euler_ancestral = {
    .defaults = ancestral_defaults,
    .init = init_ancestral,
    .set_timesteps = set_timesteps,
    .scale_input = tt_levels_scale_input,
    .step = step_ancestral,
    .add_noise = tt_levels_add_noise,
    .has_sigmas = true,
};
