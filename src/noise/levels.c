// SPDX-License-Identifier: MIT
#include "noise/levels.h"

#include "noise/numeric.h"

#include <math.h>
#include <stdlib.h>

enum tt_status tt_levels_check(const struct tt_scheduler *s, bool no_sample, struct tt_error *err) {
    enum tt_status status = tt_scheduler_refuse_flow(s, err);
    if (!status && no_sample && s->values.prediction_type == TT_PREDICT_SAMPLE)
        status = tt_scheduler_reject(s, "prediction_type", "sample", "epsilon or v_prediction",
                                     err);
    return status ? status : tt_scheduler_check_sets(s, err);
}

// Replaces timesteps and sigmas by a set of levels between the ends of the present ones.
static enum tt_status respace(struct tt_scheduler *s, double first, double last, bool round_karras,
                              struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    double *levels = malloc(s->steps * sizeof *levels);
    float *logs = tt_scheduler_log_sigmas(s);
    enum tt_status status = TT_OK;
    if (levels && logs) {
        if (!isnan(v->sigma_max)) first = v->sigma_max;
        if (!isnan(v->sigma_min)) last = v->sigma_min;
        tt_sigmas_fill(v, levels, s->steps, first, last);
        s->calls = s->steps;
        for (size_t i = 0; i < s->steps; i++) {
            double t = tt_sigma_to_timestep(levels[i], logs, s->schedule.count);
            s->timesteps[i] = (float)(v->use_karras_sigmas && round_karras ? rint(t) : t);
            s->sigmas[i] = (float)levels[i];
        }
    } else {
        status = tt_fail(err, TT_SYSTEM, "no memory for the noise levels of a scheduler");
    }
    free(levels);
    free(logs);
    return status;
}

enum tt_status tt_levels_set(struct tt_scheduler *s, bool round_karras, struct tt_error *err) {
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
    if (tt_sigmas_chosen(v)) {
        double highest = s->sigmas[0], lowest = s->sigmas[last];
        if (v->interpolation_type == TT_INTERPOLATE_LINEAR) { // the ends before they were rounded
            highest = tt_interp((double)s->timesteps[0], table, n);
            lowest = tt_interp((double)s->timesteps[last], table, n);
        }
        enum tt_status status = respace(s, highest, lowest, round_karras, err);
        if (status) return status;
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

void tt_levels_double(struct tt_scheduler *s) {
    size_t n = s->calls;
    s->calls = 2 * n - 1;
    s->sigmas[s->calls] = s->sigmas[n];
    for (size_t k = n - 1; k > 0; k--) {
        s->sigmas[2 * k - 1] = s->sigmas[2 * k] = s->sigmas[k];
        s->timesteps[2 * k - 1] = s->timesteps[2 * k] = s->timesteps[k];
    }
}

void tt_levels_scale(const struct tt_scheduler *s, double sigma, const float *sample, float *out) {
    double norm = sqrt(sigma * sigma + 1.0);
    for (size_t j = 0; j < s->count; j++)
        out[j] = (float)((double)sample[j] / norm);
}

void tt_levels_scale_input(const struct tt_scheduler *s, size_t i, const float *sample,
                           float *out) {
    tt_levels_scale(s, s->sigmas[i], sample, out);
}

void tt_levels_derivative(const struct tt_scheduler *s, double sigma, const float *m,
                          const double *x, double *d) {
    const struct tt_scheduler_values *v = &s->values;
    double square = sigma * sigma + 1.0, scale = -sigma / sqrt(square);
    double range = v->clip_sample ? v->clip_sample_range : INFINITY;
    for (size_t j = 0; j < s->count; j++) {
        double x0 = m[j]; // sample
        if (v->prediction_type == TT_PREDICT_EPSILON) x0 = x[j] - sigma * m[j];
        if (v->prediction_type == TT_PREDICT_V) x0 = m[j] * scale + x[j] / square;
        x0 = x0 < -range ? -range : x0 > range ? range : x0;
        d[j] = (x[j] - x0) / sigma;
    }
}

enum tt_status tt_levels_add_noise(const struct tt_scheduler *s, size_t i, const float *x0,
                                   const float *noise, float *out, struct tt_error *err) {
    (void)err;
    for (size_t j = 0; j < s->count; j++)
        out[j] = x0[j] + noise[j] * s->sigmas[i];
    return TT_OK;
}
