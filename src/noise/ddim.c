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
    s->history_count = 1; // thresholds
    s->wide_count = 3;    // the sample, the predictions of x0 and of the noise
    return TT_OK;
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    long t = (long)s->timesteps[i];
    long before = t - (long)(v->num_train_timesteps / s->steps);
    float found, found_before = v->set_alpha_to_one ? 1.0f : s->schedule.alphas_cumprod[0];
    enum tt_status status = tt_scheduler_alpha(s, t, &found, err);
    if (!status && before >= 0) status = tt_scheduler_alpha(s, before, &found_before, err);
    if (status) return status;
    double alpha = found, alpha_before = found_before;
    double signal = sqrt(alpha), spread = sqrt(1.0 - alpha);
    const double *sample = tt_scheduler_carry(s, x);
    double *x0 = s->wide[1], *eps = s->wide[2];
    for (size_t j = 0; j < s->count; j++) // before x0 is clipped
        switch (v->prediction_type) {
        case TT_PREDICT_EPSILON: eps[j] = m[j]; break;
        case TT_PREDICT_V: eps[j] = signal * m[j] + spread * sample[j]; break;
        default: eps[j] = (sample[j] - signal * m[j]) / spread; // sample
        }
    tt_scheduler_predict_x0(s, alpha, m, sample, x0);

    double variance = (1.0 - alpha_before) / (1.0 - alpha) * (1.0 - alpha / alpha_before);
    double deviation = v->eta > 0.0 ? v->eta * sqrt(variance) : 0.0;
    struct tt_term terms[] = {{sqrt(alpha_before), x0},
                              {sqrt(1.0 - alpha_before - deviation * deviation), eps}};
    tt_scheduler_combine(s, terms, 2, deviation, out);
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_ddim = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = tt_scheduler_space_whole,
    .step = step,
    .add_noise = tt_scheduler_add_noise_at_timestep,
};
