// SPDX-License-Identifier: MIT
// Trajectory consistency distillation (Zheng et al. 2024, arXiv 2402.19159): strategic stochastic
// sampling goes along the trajectory to a point s below the next timestep and adds noise back up to
// it; eta, gamma in the paper, says how far below.
#include "noise/scheduler_class.h"

#include <math.h>
#include <stdio.h>

static const char *const defaults[] = {
    "num_train_timesteps=1000",  "beta_start=0.00085",     "beta_end=0.012",
    "beta_schedule=scaled_linear", "trained_betas=null",   "original_inference_steps=50",
    "clip_sample=false",         "clip_sample_range=1",    "set_alpha_to_one=true",
    "steps_offset=0",            "prediction_type=epsilon", "thresholding=false",
    "dynamic_thresholding_ratio=0.995", "sample_max_value=1", "timestep_spacing=leading",
    "timestep_scaling=10",       "rescale_betas_zero_snr=false", "eta=0", NULL};

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    double eta = s->values.eta;
    char found[32];
    snprintf(found, sizeof found, "%g", eta);
    if (!(eta >= 0.0 && eta <= 1.0))
        return tt_scheduler_reject(s, "eta", found, "a number from 0 to 1", err);
    s->needs_noise = eta > 0.0;
    s->wide_count = 2; // the sample, the model's output
    return tt_scheduler_check_distilled(s, err);
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    bool last = i + 1 == s->calls;
    float next = last ? 0.0f : s->timesteps[i + 1];
    float below = floorf((float)(1.0 - s->values.eta) * next), found[3];
    const float at[] = {s->timesteps[i], next, below};
    for (size_t k = 0; k < 3; k++) {
        enum tt_status status = tt_scheduler_alpha(s, (long)at[k], &found[k], err);
        if (status) return status;
    }
    const double *sample = tt_scheduler_carry(s, x);
    double *output = s->wide[1];
    for (size_t j = 0; j < s->count; j++) output[j] = m[j];

    // The predicted sample and noise are each a combination of x and m, and what follows of these.
    double alpha = found[0], signal = sqrt(alpha), spread = sqrt(1.0 - alpha);
    double alpha_s = found[2], signal_s = sqrt(alpha_s), spread_s = sqrt(1.0 - alpha_s);
    double of_x, of_m;
    switch (s->values.prediction_type) {
    case TT_PREDICT_EPSILON:
        of_x = signal_s / signal;
        of_m = spread_s - signal_s * spread / signal;
        break;
    case TT_PREDICT_V:
        of_x = signal_s * signal + spread_s * spread;
        of_m = spread_s * signal - signal_s * spread;
        break;
    default: // sample
        of_x = spread_s / spread;
        of_m = signal_s - spread_s * signal / spread;
    }
    double up = 1.0, fresh = 0.0;
    if (s->needs_noise && !last) {
        double ratio = (double)found[1] / alpha_s;
        up = sqrt(ratio);
        fresh = sqrt(1.0 - ratio);
    }
    struct tt_term terms[] = {{up * of_x, sample}, {up * of_m, output}};
    tt_scheduler_combine(s, terms, 2, fresh, out);
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_tcd = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = tt_scheduler_space_distilled,
    .step = step,
    .draws_noise = tt_scheduler_draws_but_last,
    .add_noise = tt_scheduler_add_noise_at_timestep,
};
