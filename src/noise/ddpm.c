// SPDX-License-Identifier: MIT
// Denoising diffusion probabilistic models (Ho, Jain and Abbeel 2020, arXiv 2006.11239): ancestral
// sampling of the reverse process, with one of its fixed variances.
#include "noise/scheduler_class.h"

#include <math.h>
#include <string.h>

static const char *const defaults[] = {
    "num_train_timesteps=1000", "beta_start=0.0001", "beta_end=0.02", "beta_schedule=linear",
    "trained_betas=null", "variance_type=fixed_small", "clip_sample=true",
    "prediction_type=epsilon", "thresholding=false", "dynamic_thresholding_ratio=0.995",
    "clip_sample_range=1", "sample_max_value=1", "timestep_spacing=leading", "steps_offset=0",
    "rescale_betas_zero_snr=false", NULL};

// Refused: learned variances need a model with twice the channels, and diffusers takes the root
// of fixed_large_log, which is negative.
static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    const char *variance = s->values.variance_type; // null: as fixed_small
    if (variance[0] && strcmp(variance, "fixed_small") && strcmp(variance, "fixed_small_log") &&
        strcmp(variance, "fixed_large"))
        return tt_scheduler_reject(s, "variance_type", variance,
                                   "fixed_small, fixed_small_log or fixed_large", err);
    s->needs_noise = true;
    s->history_count = 1; // thresholds
    s->wide_count = 2;    // the sample, and the prediction of x0
    return tt_scheduler_refuse_flow(s, err);
}

static bool draws_noise(const struct tt_scheduler *s, size_t i) { return s->timesteps[i] > 0.0f; }

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    float found, found_before = 1.0f;
    enum tt_status status = tt_scheduler_alpha(s, (long)s->timesteps[i], &found, err);
    if (!status && i + 1 < s->calls)
        status = tt_scheduler_alpha(s, (long)s->timesteps[i + 1], &found_before, err);
    if (status) return status;
    double alpha = found, before = found_before, beta = 1.0 - alpha;
    double *x0 = s->wide[1];
    const double *sample = tt_scheduler_carry(s, x);
    tt_scheduler_predict_x0(s, alpha, m, sample, x0);
    double step_alpha = alpha / before, step_beta = 1.0 - step_alpha;
    double variance = (1.0 - before) / beta * step_beta;
    variance = variance < 1e-20 ? 1e-20 : variance; // as clamp() does, also of the last step
    if (!strcmp(v->variance_type, "fixed_large")) variance = step_beta;
    struct tt_term terms[] = {{sqrt(before) * step_beta / beta, x0},
                              {sqrt(step_alpha) * (1.0 - before) / beta, sample}};
    tt_scheduler_combine(s, terms, 2, draws_noise(s, i) ? sqrt(variance) : 0.0, out);
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_ddpm = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = tt_scheduler_space_whole,
    .step = step,
    .draws_noise = draws_noise,
    .add_noise = tt_scheduler_add_noise_at_timestep,
    .more_betas = 1u << TT_BETAS_SIGMOID | 1u << TT_BETAS_LAPLACE,
};
