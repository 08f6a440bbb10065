// SPDX-License-Identifier: MIT
// Timestep spacing, sets of sigmas and thresholding: what several schedulers use.
#include "noise/numeric.h"
#include "noise/scheduler_class.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

enum tt_status tt_scheduler_space_distilled(struct tt_scheduler *s, struct tt_error *err) {
    size_t grid = s->values.original_inference_steps;
    if (s->steps > grid)
        return tt_fail(err, TT_BAD_INPUT, "steps: found %zu, expected at most %zu, the "
                       "original_inference_steps of %s", s->steps, grid, s->class_name);
    double stride = (double)grid / (double)s->steps;
    for (s->calls = 0; s->calls < s->steps; s->calls++) {
        size_t index = grid - (size_t)((double)s->calls * stride);
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
    if (status == TT_OK)
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

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// torch.quantile of the n absolute values in x, which it sorts; NaN if one is NaN.
static float quantile(float *x, size_t n, float q) {
    for (size_t j = 0; j < n; j++)
        if (isnan(x[j])) return NAN;
    qsort(x, n, sizeof *x, ascending);
    float rank = q * (float)(n - 1);
    float low = x[(size_t)floorf(rank)], high = x[(size_t)ceilf(rank)];
    float weight = rank - floorf(rank);
    if (weight < 0.5f) return low + weight * (high - low);
    return high - (high - low) * (1.0f - weight);
}

void tt_scheduler_threshold(const struct tt_scheduler *s, float *x) {
    float most = (float)s->values.sample_max_value;
    for (size_t k = 0; k < s->images; k++, x += s->elements) {
        for (size_t j = 0; j < s->elements; j++)
            s->work[j] = fabsf(x[j]);
        float limit = quantile(s->work, s->elements, (float)s->values.dynamic_thresholding_ratio);
        limit = limit < 1.0f ? 1.0f : limit;
        limit = limit > most ? most : limit;
        for (size_t j = 0; j < s->elements; j++) {
            float clamped = x[j] < -limit ? -limit : x[j] > limit ? limit : x[j];
            x[j] = clamped / limit;
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

void tt_sigmas_karras(double *sigmas, size_t n, double highest, double lowest) {
    const double rho = 7.0;
    double from = tt_pow(highest, 1.0 / rho), to = tt_pow(lowest, 1.0 / rho);
    for (size_t i = 0; i < n; i++)
        sigmas[i] = tt_pow(from + tt_linspace(0.0, 1.0, n, i) * (to - from), rho);
}

void tt_sigmas_exponential(double *sigmas, size_t n, double highest, double lowest) {
    double from = tt_log(highest), to = tt_log(lowest);
    for (size_t i = 0; i < n; i++)
        sigmas[i] = tt_exp(tt_linspace(from, to, n, i));
}

double tt_sigma_to_timestep(double sigma, const float *log_sigmas, size_t n) {
    if (n == 1) return 0.0;
    double x = tt_log(sigma > 1e-10 ? sigma : 1e-10);
    size_t low = 0; // the last entry that is not above x
    for (size_t j = 0; j < n; j++)
        if (x - (double)log_sigmas[j] >= 0.0) low = j;
    if (low > n - 2) low = n - 2;
    float below = log_sigmas[low], above = log_sigmas[low + 1];
    double w = ((double)below - x) / (double)(below - above);
    w = w < 0.0 ? 0.0 : w > 1.0 ? 1.0 : w;
    return (1.0 - w) * (double)low + w * (double)(low + 1);
}

float *tt_scheduler_log_sigmas(const struct tt_scheduler *s) {
    float *logs = malloc(s->schedule.count * sizeof *logs);
    for (size_t j = 0; logs && j < s->schedule.count; j++)
        logs[j] = tt_numpy_logf(s->schedule.sigmas[j]);
    return logs;
}
