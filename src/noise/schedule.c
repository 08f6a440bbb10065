// SPDX-License-Identifier: MIT
#include "noise/schedule.h"

#include "noise/numeric.h"

#include <math.h>
#include <stdlib.h>

static void linear(float *betas, size_t n, double start, double end) {
    tt_linspace_f32(betas, n, (float)start, (float)end);
}

static void scaled_linear(float *betas, size_t n, double start, double end) {
    tt_linspace_f32(betas, n, (float)sqrt(start), (float)sqrt(end));
    for (size_t i = 0; i < n; i++)
        betas[i] *= betas[i];
}

static double cosine_alpha_bar(double t) {
    double c = tt_cos((t + 0.008) / 1.008 * 3.141592653589793 / 2.0);
    return c * c;
}

static double laplace_alpha_bar(double t) {
    double half = 0.5 - t < 0.0 ? -0.5 : 0.5;
    double snr = tt_exp(-half * tt_log(1.0 - 2.0 * fabs(0.5 - t) + 1e-6));
    return sqrt(snr / (1.0 + snr));
}

static double exponential_alpha_bar(double t) {
    return tt_exp(t * -12.0);
}

// diffusers' betas_for_alpha_bar.
static void from_alpha_bar(float *betas, size_t n, double (*alpha_bar)(double t)) {
    for (size_t i = 0; i < n; i++) {
        double now = alpha_bar((double)i / (double)n);
        double beta = 1.0 - alpha_bar((double)(i + 1) / (double)n) / now;
        betas[i] = (float)(beta < 0.999 ? beta : 0.999);
    }
}

static void sigmoid(float *betas, size_t n, double start, double end) {
    float range = (float)(end - start), least = (float)start;
    tt_linspace_f32(betas, n, -6.0f, 6.0f);
    for (size_t i = 0; i < n; i++)
        betas[i] = (float)(1.0 / (1.0 + tt_exp(-(double)betas[i]))) * range + least;
}

static void fill_betas(float *betas, const struct tt_schedule_options *options) {
    size_t n = options->num_train_timesteps;
    double start = options->beta_start, end = options->beta_end;
    switch (options->beta_schedule) {
    case TT_BETAS_LINEAR: linear(betas, n, start, end); break;
    case TT_BETAS_SCALED_LINEAR: scaled_linear(betas, n, start, end); break;
    case TT_BETAS_SQUAREDCOS_CAP_V2: from_alpha_bar(betas, n, cosine_alpha_bar); break;
    case TT_BETAS_SIGMOID: sigmoid(betas, n, start, end); break;
    case TT_BETAS_LAPLACE: from_alpha_bar(betas, n, laplace_alpha_bar); break;
    case TT_BETAS_EXP: from_alpha_bar(betas, n, exponential_alpha_bar); break;
    }
}

// out[i] = the product of 1 - betas up to i, kept in double, each output rounded: as PyTorch does.
static void cumulative_product(const float *betas, float *out, size_t n) {
    double product = 1.0;
    for (size_t i = 0; i < n; i++) {
        product *= (double)(1.0f - betas[i]);
        out[i] = (float)product;
    }
}

// Shifts and scales sqrt(alphas_cumprod) so that its last value is 0 and its first stays.
static void rescale_to_zero_snr(float *betas, float *work, size_t n) {
    cumulative_product(betas, work, n);
    for (size_t i = 0; i < n; i++)
        work[i] = sqrtf(work[i]);
    float first = work[0], last = work[n - 1];
    float stretch = first / (first - last);
    for (size_t i = 0; i < n; i++) {
        float root = (work[i] - last) * stretch;
        work[i] = root * root;
    }
    for (size_t i = n - 1; i > 0; i--)
        betas[i] = 1.0f - work[i] / work[i - 1];
    betas[0] = 1.0f - work[0];
}

void tt_schedule_set_alpha(struct tt_schedule *schedule, size_t t, float value) {
    schedule->alphas_cumprod[t] = value;
    schedule->sigmas[t] = sqrtf((1.0f - value) / value);
}

enum tt_status tt_schedule_init(struct tt_schedule *schedule,
                                const struct tt_schedule_options *options, struct tt_error *err) {
    size_t n = options->num_train_timesteps;
    *schedule = (struct tt_schedule){0};
    if (n == 0)
        return tt_fail(err, TT_BAD_INPUT, "num_train_timesteps: found 0, expected 1 or more");
    float *tables = n <= SIZE_MAX / (3 * sizeof *tables) ? malloc(3 * n * sizeof *tables) : NULL;
    if (!tables) return tt_fail(err, TT_SYSTEM, "no memory for a noise schedule of %zu steps", n);
    *schedule = (struct tt_schedule){n, tables, tables + n, tables + 2 * n};
    float *betas = schedule->betas;
    for (size_t i = 0; options->trained_betas && i < n; i++)
        betas[i] = (float)options->trained_betas[i];
    if (!options->trained_betas) fill_betas(betas, options);
    if (options->rescale_betas_zero_snr) rescale_to_zero_snr(betas, schedule->alphas_cumprod, n);
    cumulative_product(betas, schedule->alphas_cumprod, n);
    for (size_t i = 0; i < n; i++)
        tt_schedule_set_alpha(schedule, i, schedule->alphas_cumprod[i]);
    return TT_OK;
}

void tt_schedule_free(struct tt_schedule *schedule) {
    free(schedule->betas);
    *schedule = (struct tt_schedule){0};
}

static float cumprod_at(const struct tt_schedule *schedule, size_t t) {
    return t < schedule->count ? schedule->alphas_cumprod[t] : NAN;
}

void tt_add_noise(const struct tt_schedule *schedule, size_t t, const float *x0, const float *noise,
                  float *out, size_t n) {
    float signal = sqrtf(cumprod_at(schedule, t));
    float spread = sqrtf(1.0f - cumprod_at(schedule, t));
    for (size_t i = 0; i < n; i++)
        out[i] = signal * x0[i] + spread * noise[i];
}

void tt_velocity(const struct tt_schedule *schedule, size_t t, const float *x0, const float *noise,
                 float *out, size_t n) {
    float signal = sqrtf(cumprod_at(schedule, t));
    float spread = sqrtf(1.0f - cumprod_at(schedule, t));
    for (size_t i = 0; i < n; i++)
        out[i] = signal * noise[i] - spread * x0[i];
}
