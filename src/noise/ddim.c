// SPDX-License-Identifier: MIT
// Denoising diffusion implicit models (Song, Meng and Ermon 2020, arXiv 2010.02502).
#include "noise/scheduler_class.h"

#include <math.h>

static const char *const defaults[] = {
    "num_train_timesteps=1000", "beta_start=0.0001",  "beta_end=0.02",
    "beta_schedule=linear",     "trained_betas=null", "clip_sample=true",
    "set_alpha_to_one=true",    "steps_offset=0",     "prediction_type=epsilon",
    "thresholding=false",       "clip_sample_range=1", "dynamic_thresholding_ratio=0.995",
    "sample_max_value=1",       "timestep_spacing=leading", "rescale_betas_zero_snr=false",
    "eta=0",                    NULL};

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    if (v->prediction_type == TT_PREDICT_FLOW) return tt_scheduler_refuse_flow(s, err);
    if (!(v->eta >= 0.0)) return tt_scheduler_reject(s, "eta", "a negative value", ">= 0", err);
    s->needs_noise = v->eta > 0.0;
    s->history_count = 1; // the predicted sample
    return TT_OK;
}

static enum tt_status set_timesteps(struct tt_scheduler *s, struct tt_error *err) {
    size_t n = s->values.num_train_timesteps;
    if (s->steps > n)
        return tt_fail(err, TT_BAD_INPUT, "steps: found %zu, expected at most %zu, the "
                       "num_train_timesteps of %s", s->steps, n, s->class_name);
    tt_scheduler_space(s, n, s->steps, false);
    return TT_OK;
}

// x0, the predicted sample, and eps, the predicted noise. alpha, beta: of the timestep.
static void predict(const struct tt_scheduler *s, float alpha, float beta, const float *m,
                    const float *x, float *x0, float *eps) {
    float signal = sqrtf(alpha), spread = sqrtf(beta);
    switch (s->values.prediction_type) {
    case TT_PREDICT_EPSILON:
        for (size_t j = 0; j < s->count; j++) {
            x0[j] = (x[j] - spread * m[j]) / signal;
            eps[j] = m[j];
        }
        break;
    case TT_PREDICT_V:
        for (size_t j = 0; j < s->count; j++) {
            x0[j] = signal * x[j] - spread * m[j];
            eps[j] = signal * m[j] + spread * x[j];
        }
        break;
    default: // sample
        for (size_t j = 0; j < s->count; j++) {
            x0[j] = m[j];
            eps[j] = (x[j] - signal * m[j]) / spread;
        }
    }
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    long t = (long)s->timesteps[i];
    long before = t - (long)(v->num_train_timesteps / s->steps);
    float alpha, alpha_before = v->set_alpha_to_one ? 1.0f : s->schedule.alphas_cumprod[0];
    enum tt_status status = tt_scheduler_alpha(s, t, &alpha, err);
    if (status == TT_OK && before >= 0) status = tt_scheduler_alpha(s, before, &alpha_before, err);
    if (status != TT_OK) return status;
    float beta = 1.0f - alpha, beta_before = 1.0f - alpha_before;

    float *x0 = s->history[0];
    predict(s, alpha, beta, m, x, x0, out);
    if (v->thresholding) {
        tt_scheduler_threshold(s, x0);
    } else if (v->clip_sample) {
        float range = (float)v->clip_sample_range;
        for (size_t j = 0; j < s->count; j++)
            x0[j] = x0[j] < -range ? -range : x0[j] > range ? range : x0[j];
    }

    float variance = beta_before / beta * (1.0f - alpha / alpha_before);
    float deviation = v->eta > 0.0 ? (float)v->eta * sqrtf(variance) : 0.0f;
    float signal = sqrtf(alpha_before);
    float spread = sqrtf(1.0f - alpha_before - deviation * deviation);
    for (size_t j = 0; j < s->count; j++)
        out[j] = signal * x0[j] + spread * out[j];
    if (s->needs_noise)
        for (size_t j = 0; j < s->count; j++)
            out[j] = out[j] + deviation * s->noise[j];
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_ddim = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = set_timesteps,
    .step = step,
    .add_noise = tt_scheduler_add_noise_at_timestep,
};
