// SPDX-License-Identifier: MIT
// Euler steps of the probability flow in noise levels sigma (Karras et al. 2022, algorithm 2
// without churn), and their ancestral form, which takes a longer step and adds fresh noise.
#include "noise/numeric.h"
#include "noise/scheduler_class.h"

#include <math.h>
#include <stdlib.h>

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
    const struct tt_scheduler_values *v = &s->values;
    if (v->prediction_type == TT_PREDICT_FLOW) return tt_scheduler_refuse_flow(s, err);
    if (v->use_beta_sigmas)
        return tt_scheduler_reject(s, "use_beta_sigmas", "true", "false (not supported)", err);
    if (v->use_karras_sigmas && v->use_exponential_sigmas)
        return tt_scheduler_reject(s, "use_exponential_sigmas", "true",
                                   "false beside use_karras_sigmas", err);
    // Almost pure noise, so that the first sigma is finite.
    if (v->rescale_betas_zero_snr)
        tt_schedule_set_alpha(&s->schedule, s->schedule.count - 1, 0x1p-24f);
    return TT_OK;
}

static enum tt_status init_ancestral(struct tt_scheduler *s, struct tt_error *err) {
    if (s->values.prediction_type == TT_PREDICT_SAMPLE)
        return tt_scheduler_reject(s, "prediction_type", "sample", "epsilon or v_prediction", err);
    s->needs_noise = true;
    return init(s, err);
}

// Replaces timesteps and sigmas by a set of levels between the ends of the present ones.
static enum tt_status respace(struct tt_scheduler *s, double first, double last,
                              struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    double *levels = malloc(s->steps * sizeof *levels);
    float *logs = tt_scheduler_log_sigmas(s);
    enum tt_status status = TT_OK;
    if (levels && logs) {
        if (!isnan(v->sigma_max)) first = v->sigma_max;
        if (!isnan(v->sigma_min)) last = v->sigma_min;
        (v->use_karras_sigmas ? tt_sigmas_karras : tt_sigmas_exponential)(levels, s->steps, first,
                                                                          last);
        s->calls = s->steps;
        for (size_t i = 0; i < s->steps; i++) {
            s->timesteps[i] = (float)tt_sigma_to_timestep(levels[i], logs, s->schedule.count);
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
    const float *table = s->schedule.sigmas;
    size_t n = s->schedule.count;
    if (s->steps > n && v->timestep_spacing == TT_SPACING_LEADING)
        return tt_fail(err, TT_BAD_INPUT, "steps: found %zu, expected at most %zu, the "
                       "num_train_timesteps of %s", s->steps, n, s->class_name);
    tt_scheduler_space(s, n, s->steps, true);
    size_t last = s->calls - 1; // index of the last level that is not the final one
    if (v->interpolation_type == TT_INTERPOLATE_LOG_LINEAR) {
        last = s->steps;
        tt_linspace_f32(s->sigmas, last + 1, tt_numpy_logf(table[n - 1]), tt_numpy_logf(table[0]));
        for (size_t i = 0; i <= last; i++)
            s->sigmas[i] = tt_expf(s->sigmas[i]);
    } else {
        for (size_t i = 0; i <= last; i++)
            s->sigmas[i] = (float)tt_interp((double)s->timesteps[i], table, n);
    }
    if (v->use_karras_sigmas || v->use_exponential_sigmas) {
        double highest = s->sigmas[0], lowest = s->sigmas[last];
        if (v->interpolation_type == TT_INTERPOLATE_LINEAR) { // the ends before they were rounded
            highest = tt_interp((double)s->timesteps[0], table, n);
            lowest = tt_interp((double)s->timesteps[last], table, n);
        }
        enum tt_status status = respace(s, highest, lowest, err);
        if (status != TT_OK) return status;
        last = s->steps - 1;
    }
    s->sigmas[last + 1] = v->final_sigmas_type == TT_FINAL_SIGMA_MIN ? table[0] : 0.0f;
    if (v->timestep_type == TT_TIMESTEP_CONTINUOUS && v->prediction_type == TT_PREDICT_V) {
        s->calls = last + 1;
        for (size_t i = 0; i <= last; i++)
            s->timesteps[i] = 0.25f * tt_logf(s->sigmas[i]);
    }
    float most = s->sigmas[0];
    for (size_t i = 1; i <= last + 1; i++)
        most = s->sigmas[i] > most ? s->sigmas[i] : most;
    s->init_noise_sigma =
        v->timestep_spacing == TT_SPACING_LEADING ? sqrtf(most * most + 1.0f) : most;
    return TT_OK;
}

static void scale_input(const struct tt_scheduler *s, size_t i, const float *sample, float *out) {
    float norm = sqrtf(s->sigmas[i] * s->sigmas[i] + 1.0f);
    for (size_t j = 0; j < s->count; j++)
        out[j] = sample[j] / norm;
}

// One step from sigma to sigma + dt along (x - x0) / sigma.
static void move(const struct tt_scheduler *s, float sigma, float dt, const float *m,
                 const float *x, float *out) {
    switch (s->values.prediction_type) {
    case TT_PREDICT_EPSILON:
        for (size_t j = 0; j < s->count; j++) {
            float x0 = x[j] - sigma * m[j];
            out[j] = x[j] + (x[j] - x0) / sigma * dt;
        }
        break;
    case TT_PREDICT_V: {
        float square = sigma * sigma + 1.0f;
        float scale = -sigma / sqrtf(square);
        for (size_t j = 0; j < s->count; j++) {
            float x0 = m[j] * scale + x[j] / square;
            out[j] = x[j] + (x[j] - x0) / sigma * dt;
        }
        break;
    }
    default: // sample
        for (size_t j = 0; j < s->count; j++)
            out[j] = x[j] + (x[j] - m[j]) / sigma * dt;
    }
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    (void)err;
    move(s, s->sigmas[i], s->sigmas[i + 1] - s->sigmas[i], m, x, out);
    return TT_OK;
}

static enum tt_status step_ancestral(struct tt_scheduler *s, size_t i, const float *m,
                                     const float *x, float *out, struct tt_error *err) {
    (void)err;
    float from = s->sigmas[i], to = s->sigmas[i + 1];
    float up = sqrtf(to * to * (from * from - to * to) / (from * from));
    float down = sqrtf(to * to - up * up);
    move(s, from, down - from, m, x, out);
    for (size_t j = 0; j < s->count; j++)
        out[j] = out[j] + s->noise[j] * up;
    return TT_OK;
}

static enum tt_status add_noise(const struct tt_scheduler *s, size_t i, const float *x0,
                                const float *noise, float *out, struct tt_error *err) {
    (void)err;
    for (size_t j = 0; j < s->count; j++)
        out[j] = x0[j] + noise[j] * s->sigmas[i];
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_euler = {
    .defaults = euler_defaults,
    .init = init,
    .set_timesteps = set_timesteps,
    .scale_input = scale_input,
    .step = step,
    .add_noise = add_noise,
    .has_sigmas = true,
};

const struct tt_scheduler_class tt_scheduler_euler_ancestral = {
    .defaults = ancestral_defaults,
    .init = init_ancestral,
    .set_timesteps = set_timesteps,
    .scale_input = scale_input,
    .step = step_ancestral,
    .add_noise = add_noise,
    .has_sigmas = true,
};
