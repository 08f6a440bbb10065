// SPDX-License-Identifier: MIT
// Latent consistency models (Luo et al. 2023, arXiv 2310.04378): the model answers with a finished
// sample at once; every step but the last gives it fresh noise for the next, lower timestep.
#include "noise/scheduler_class.h"

#include <math.h>

static const char *const defaults[] = {
    "num_train_timesteps=1000",  "beta_start=0.00085",     "beta_end=0.012",
    "beta_schedule=scaled_linear", "trained_betas=null",   "original_inference_steps=50",
    "clip_sample=false",         "clip_sample_range=1",    "set_alpha_to_one=true",
    "steps_offset=0",            "prediction_type=epsilon", "thresholding=false",
    "dynamic_thresholding_ratio=0.995", "sample_max_value=1", "timestep_spacing=leading",
    "timestep_scaling=10",       "rescale_betas_zero_snr=false", NULL};

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    s->needs_noise = true;
    s->history_count = 1; // a threshold's work
    s->wide_count = 2;    // the sample, the predicted one
    return tt_scheduler_check_distilled(s, err);
}

static void predict(const struct tt_scheduler *s, double alpha, const float *m, const double *x,
                    double *x0) {
    double signal = sqrt(alpha), spread = sqrt(1.0 - alpha);
    for (size_t j = 0; j < s->count; j++)
        switch (s->values.prediction_type) {
        case TT_PREDICT_EPSILON: x0[j] = (x[j] - spread * m[j]) / signal; break;
        case TT_PREDICT_V: x0[j] = signal * x[j] - spread * m[j]; break;
        default: x0[j] = m[j]; // sample
        }
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    bool last = i + 1 == s->calls;
    float alpha, after;
    enum tt_status status = tt_scheduler_alpha(s, (long)s->timesteps[i], &alpha, err);
    if (!status)
        status = tt_scheduler_alpha(s, (long)s->timesteps[last ? i : i + 1], &after, err);
    if (status) return status;
    const double *sample = tt_scheduler_carry(s, x);
    double *x0 = s->wide[1];
    predict(s, alpha, m, sample, x0);
    if (v->thresholding) {
        tt_scheduler_threshold_wide(s, x0);
    } else if (v->clip_sample) {
        double range = v->clip_sample_range;
        for (size_t j = 0; j < s->count; j++)
            x0[j] = x0[j] < -range ? -range : x0[j] > range ? range : x0[j];
    }
    // The boundary condition: at timestep 0 the answer is the sample itself.
    const double square = 0.5 * 0.5; // of the data's standard deviation
    double t = (double)s->timesteps[i] * v->timestep_scaling;
    double keep = square / (t * t + square), take = t / sqrt(t * t + square);
    double signal = last ? 1.0 : sqrt((double)after);
    struct tt_term terms[] = {{signal * take, x0}, {signal * keep, sample}};
    tt_scheduler_combine(s, terms, 2, last ? 0.0 : sqrt(1.0 - (double)after), out);
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_lcm = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = tt_scheduler_space_distilled,
    .step = step,
    .draws_noise = tt_scheduler_draws_but_last,
    .add_noise = tt_scheduler_add_noise_at_timestep,
};
