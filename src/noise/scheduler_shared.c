// SPDX-License-Identifier: MIT
// Refusals, timestep spacing, sets of sigmas and thresholding: what several schedulers use.
#include "noise/numeric.h"
#include "noise/scheduler_class.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum tt_status tt_scheduler_reject(const struct tt_scheduler *s, const char *key, const char *found,
                                   const char *expected, struct tt_error *err) {
    return tt_fail(err, TT_BAD_INPUT, "%s: %s: found %s, expected %s", s->class_name, key, found,
                   expected);
}

// numpy.arange(last, 0, -step), rounded half to even, less 1. Where last / step is not whole the
// count is rounded up, so that rounding errors give an entry too many for some numbers of steps.
static void space_trailing(struct tt_scheduler *s, double last, double step) {
    double n = ceil((0.0 - last) / -step);
    double difference = (last - step) - last;
    for (s->calls = 0; (double)s->calls < n; s->calls++)
        s->timesteps[s->calls] = (float)rint(last + (double)s->calls * difference) - 1.0f;
}

void tt_scheduler_space(struct tt_scheduler *s, size_t last, size_t points, bool keep_fractions) {
    const struct tt_scheduler_values *v = &s->values;
    if (v->timestep_spacing == TT_SPACING_TRAILING) {
        space_trailing(s, (double)last, (double)v->num_train_timesteps / (double)s->steps);
        return;
    }
    size_t ratio = last / points;
    for (s->calls = 0; s->calls < s->steps; s->calls++) {
        size_t k = points - 1 - s->calls;
        double t = tt_linspace(0.0, (double)last - 1.0, points, k);
        if (!keep_fractions) t = rint(t);
        if (v->timestep_spacing == TT_SPACING_LEADING) t = (double)(k * ratio + v->steps_offset);
        s->timesteps[s->calls] = (float)t;
    }
}

enum tt_status tt_scheduler_check_distilled(const struct tt_scheduler *s, struct tt_error *err) {
    size_t n = s->values.num_train_timesteps, grid = s->values.original_inference_steps;
    char found[24], expected[48];
    snprintf(found, sizeof found, "%zu", grid);
    snprintf(expected, sizeof expected, "1 to num_train_timesteps = %zu", n);
    if (grid < 1 || grid > n)
        return tt_scheduler_reject(s, "original_inference_steps", found, expected, err);
    return tt_scheduler_refuse_flow(s, err);
}

enum tt_status tt_scheduler_space_whole(struct tt_scheduler *s, struct tt_error *err) {
    size_t n = s->values.num_train_timesteps;
    if (s->steps > n)
        return tt_fail(err, TT_BAD_INPUT, "steps: found %zu, expected at most %zu, the "
                       "num_train_timesteps of %s", s->steps, n, s->class_name);
    tt_scheduler_space(s, n, s->steps, false);
    return TT_OK;
}

enum tt_status tt_scheduler_space_distilled(struct tt_scheduler *s, struct tt_error *err) {
    size_t grid = s->values.original_inference_steps;
    size_t used = (size_t)((double)grid * s->grid_strength); // as Python's int()
    if (s->steps > used && used < grid)
        return tt_fail(err, TT_BAD_INPUT, "steps, strength: found %zu, %g, expected at most %zu "
                       "steps: that part of the original_inference_steps of %s, or a strength of "
                       "at least %g", s->steps, s->grid_strength, used, s->class_name,
                       (double)s->steps / (double)grid);
    if (s->steps > used)
        return tt_fail(err, TT_BAD_INPUT, "steps: found %zu, expected at most %zu, the "
                       "original_inference_steps of %s", s->steps, grid, s->class_name);
    double stride = (double)used / (double)s->steps;
    for (s->calls = 0; s->calls < s->steps; s->calls++) {
        size_t index = used - (size_t)((double)s->calls * stride);
        s->timesteps[s->calls] = (float)(index * (s->values.num_train_timesteps / grid) - 1);
    }
    return TT_OK;
}

bool tt_scheduler_draws_but_last(const struct tt_scheduler *s, size_t i) {
    return i + 1 < s->calls;
}

enum tt_status tt_scheduler_alpha(const struct tt_scheduler *s, long t, float *alpha,
                                  struct tt_error *err) {
    long n = (long)s->schedule.count;
    if (t < -n || t >= n)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: timestep %ld is outside the schedule of %ld (steps %zu, steps_offset "
                       "%zu)",
                       s->class_name, t, n, s->steps, s->values.steps_offset);
    *alpha = s->schedule.alphas_cumprod[t < 0 ? t + n : t];
    return TT_OK;
}

enum tt_status tt_scheduler_add_noise_at_timestep(const struct tt_scheduler *s, size_t i,
                                                  const float *x0, const float *noise, float *out,
                                                  struct tt_error *err) {
    float alpha;
    long t = (long)s->timesteps[i], n = (long)s->schedule.count;
    enum tt_status status = tt_scheduler_alpha(s, t, &alpha, err);
    if (!status)
        tt_add_noise(&s->schedule, (size_t)(t < 0 ? t + n : t), x0, noise, out, s->count);
    return status;
}

const double *tt_scheduler_carry(struct tt_scheduler *s, const float *x) {
    double *carried = s->wide[0];
    for (size_t j = 0; j < s->count; j++)
        if ((float)carried[j] != x[j]) carried[j] = x[j];
    return carried;
}

void tt_scheduler_combine(struct tt_scheduler *s, const struct tt_term *terms, size_t count,
                          double fresh, float *out) {
    for (size_t j = 0; j < s->count; j++) {
        double sum = 0.0;
        for (size_t k = 0; k < count; k++)
            sum += terms[k].weight * terms[k].x[j];
        if (fresh != 0.0) sum += fresh * (double)s->noise[j];
        s->wide[0][j] = sum;
        out[j] = (float)sum;
    }
}

void tt_scheduler_predict_x0(struct tt_scheduler *s, double alpha, const float *m, const double *x,
                             double *x0) {
    const struct tt_scheduler_values *v = &s->values;
    double signal = sqrt(alpha), spread = sqrt(1.0 - alpha);
    double range = v->clip_sample && !v->thresholding ? v->clip_sample_range : INFINITY;
    for (size_t j = 0; j < s->count; j++) {
        double found = m[j]; // sample
        if (v->prediction_type == TT_PREDICT_EPSILON) found = (x[j] - spread * m[j]) / signal;
        if (v->prediction_type == TT_PREDICT_V) found = signal * x[j] - spread * m[j];
        x0[j] = found < -range ? -range : found > range ? range : found;
    }
    if (v->thresholding) tt_scheduler_threshold_wide(s, x0);
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// torch.quantile of the n absolute values in x, which it sorts; NaN if one is NaN.
static double quantile(float *x, size_t n, double q) {
    for (size_t j = 0; j < n; j++)
        if (isnan(x[j])) return NAN;
    qsort(x, n, sizeof *x, ascending);
    double rank = q * (double)(n - 1);
    double low = x[(size_t)floor(rank)], high = x[(size_t)ceil(rank)];
    return low + (rank - floor(rank)) * (high - low);
}

void tt_scheduler_threshold(const struct tt_scheduler *s, float *x) {
    double most = s->values.sample_max_value;
    for (size_t k = 0; k < s->images; k++, x += s->elements) {
        for (size_t j = 0; j < s->elements; j++)
            s->work[j] = fabsf(x[j]);
        double limit = quantile(s->work, s->elements, s->values.dynamic_thresholding_ratio);
        limit = limit < 1.0 ? 1.0 : limit;
        limit = limit > most ? most : limit;
        for (size_t j = 0; j < s->elements; j++) {
            double clamped = x[j] < -limit ? -limit : x[j] > limit ? limit : x[j];
            x[j] = (float)(clamped / limit);
        }
    }
}

void tt_scheduler_threshold_wide(struct tt_scheduler *s, double *x) {
    float *rounded = s->history[0];
    for (size_t j = 0; j < s->count; j++) rounded[j] = (float)x[j];
    tt_scheduler_threshold(s, rounded);
    for (size_t j = 0; j < s->count; j++) x[j] = rounded[j];
}

enum tt_status tt_scheduler_refuse_flow(const struct tt_scheduler *s, struct tt_error *err) {
    if (s->values.prediction_type != TT_PREDICT_FLOW) return TT_OK;
    return tt_scheduler_reject(s, "prediction_type", "flow_prediction",
                               "epsilon, v_prediction or sample", err);
}

static void fill_karras(double *sigmas, size_t n, double highest, double lowest) {
    const double rho = 7.0;
    double from = tt_pow(highest, 1.0 / rho), to = tt_pow(lowest, 1.0 / rho);
    for (size_t i = 0; i < n; i++)
        sigmas[i] = tt_pow(from + tt_linspace(0.0, 1.0, n, i) * (to - from), rho);
}

static void fill_exponential(double *sigmas, size_t n, double highest, double lowest) {
    double from = tt_log(highest), to = tt_log(lowest);
    for (size_t i = 0; i < n; i++)
        sigmas[i] = tt_exp(tt_linspace(from, to, n, i));
}

static void fill_beta(double *sigmas, size_t n, double highest, double lowest) {
    for (size_t i = 0; i < n; i++)
        sigmas[i] = lowest + tt_beta_quantile(1.0 - tt_linspace(0.0, 1.0, n, i)) *
                                 (highest - lowest);
}

bool tt_sigmas_chosen(const struct tt_scheduler_values *v) {
    return v->use_karras_sigmas || v->use_exponential_sigmas || v->use_beta_sigmas;
}

enum tt_status tt_scheduler_check_sets(const struct tt_scheduler *s, struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    static const char *const names[] = {"use_karras_sigmas", "use_exponential_sigmas",
                                        "use_beta_sigmas"};
    const bool used[] = {v->use_karras_sigmas, v->use_exponential_sigmas, v->use_beta_sigmas};
    for (size_t k = 1; k < 3; k++)
        for (size_t first = 0; used[k] && first < k; first++) {
            char expected[48];
            snprintf(expected, sizeof expected, "false beside %s", names[first]);
            if (used[first]) return tt_scheduler_reject(s, names[k], "true", expected, err);
        }
    return TT_OK;
}

void tt_sigmas_fill(const struct tt_scheduler_values *v, double *sigmas, size_t n, double highest,
                    double lowest) {
    if (v->use_karras_sigmas) fill_karras(sigmas, n, highest, lowest);
    else if (v->use_exponential_sigmas) fill_exponential(sigmas, n, highest, lowest);
    else fill_beta(sigmas, n, highest, lowest);
}

// The last of n ascending entries, but for the very last, that is not above x; n > 1.
static size_t entry_below(double x, const float *entries, size_t n) {
    size_t low = 0, high = n - 1;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (x >= (double)entries[middle]) low = middle;
        else high = middle;
    }
    return low;
}

double tt_sigma_to_timestep(double sigma, const float *log_sigmas, size_t n) {
    if (n == 1) return 0.0;
    double x = tt_log(sigma > 1e-10 ? sigma : 1e-10);
    size_t low = entry_below(x, log_sigmas, n);
    float below = log_sigmas[low], above = log_sigmas[low + 1];
    double w = ((double)below - x) / (double)(below - above);
    w = w < 0.0 ? 0.0 : w > 1.0 ? 1.0 : w;
    return (1.0 - w) * (double)low + w * (double)(low + 1);
}

float tt_sigma_to_timestep_f32(float sigma, const float *log_sigmas, size_t n) {
    if (n == 1) return 0.0f;
    float x = tt_numpy_logf(sigma > 1e-10f ? sigma : 1e-10f);
    size_t low = entry_below((double)x, log_sigmas, n);
    float below = log_sigmas[low], above = log_sigmas[low + 1];
    float w = (below - x) / (below - above);
    w = w < 0.0f ? 0.0f : w > 1.0f ? 1.0f : w;
    return (1.0f - w) * (float)low + w * (float)(low + 1);
}

float *tt_scheduler_log_sigmas(const struct tt_scheduler *s) {
    float *logs = malloc(s->schedule.count * sizeof *logs);
    for (size_t j = 0; logs && j < s->schedule.count; j++)
        logs[j] = tt_numpy_logf(s->schedule.sigmas[j]);
    return logs;
}
