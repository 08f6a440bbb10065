// SPDX-License-Identifier: MIT
// Pseudo numerical methods for diffusion (Liu, Ren, Lin and Zhao 2022, arXiv 2202.09778): linear
// multistep, begun with Runge-Kutta steps or, with skip_prk_steps, with one doubled call.
#include "noise/scheduler_class.h"

#include <math.h>
#include <string.h>

static const char *const defaults[] = {
    "num_train_timesteps=1000", "beta_start=0.0001",        "beta_end=0.02",
    "beta_schedule=linear",     "trained_betas=null",       "skip_prk_steps=false",
    "set_alpha_to_one=false",   "prediction_type=epsilon",  "timestep_spacing=leading",
    "steps_offset=0",           NULL};

// The model outputs of the last calls (the newest is the last), the sample a group of calls began
// with, and the weighted sum of outputs inside a Runge-Kutta step.
enum { OUTPUTS = 4, SAMPLE = OUTPUTS, SUM, BUFFERS };
enum { PRK_CALLS = 12 };

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    int prediction = s->values.prediction_type;
    if (prediction != TT_PREDICT_EPSILON && prediction != TT_PREDICT_V)
        return tt_scheduler_reject(s, "prediction_type",
                                   tt_scheduler_config_word("prediction_type", prediction),
                                   "epsilon or v_prediction", err);
    s->history_count = BUFFERS;
    return TT_OK;
}

// The four largest timesteps and their half steps, each twice but for the ends: 12 calls that make
// three Runge-Kutta steps.
static void begin_with_prk(struct tt_scheduler *s, size_t half) {
    float *t = s->timesteps;
    float points[2 * OUTPUTS];
    for (size_t k = 0; k < OUTPUTS; k++) {
        points[2 * k] = t[OUTPUTS - 1 - k];
        points[2 * k + 1] = t[OUTPUTS - 1 - k] + (float)half;
    }
    size_t rest = s->calls - 3;
    memmove(t + PRK_CALLS, t + 3, rest * sizeof *t);
    for (size_t k = 0; k < PRK_CALLS; k++)
        t[PRK_CALLS - 1 - k] = points[(k + 1) / 2];
    s->calls = PRK_CALLS + rest;
}

static enum tt_status set_timesteps(struct tt_scheduler *s, struct tt_error *err) {
    size_t n = s->values.num_train_timesteps;
    size_t least = s->values.skip_prk_steps ? 1 : OUTPUTS;
    if (s->steps > n || s->steps < least)
        return tt_fail(err, TT_BAD_INPUT, "steps: found %zu, expected %zu to %zu for %s with "
                       "skip_prk_steps %s", s->steps, least, n, s->class_name,
                       s->values.skip_prk_steps ? "true" : "false");
    tt_scheduler_space(s, n, s->steps, false);
    if (!s->values.skip_prk_steps) {
        begin_with_prk(s, n / s->steps / 2);
    } else if (s->calls > 1) { // the second one twice
        memmove(s->timesteps + 2, s->timesteps + 1, (s->calls - 1) * sizeof *s->timesteps);
        s->calls++;
    }
    return TT_OK;
}

// Formula (9) of the paper: from x at timestep t to out at `before`, with the noise prediction m.
static enum tt_status move(struct tt_scheduler *s, long t, long before, const float *m,
                           const float *x, float *out, struct tt_error *err) {
    float alpha;
    float alpha_before = s->values.set_alpha_to_one ? 1.0f : s->schedule.alphas_cumprod[0];
    enum tt_status status = tt_scheduler_alpha(s, t, &alpha, err);
    if (status == TT_OK && before >= 0) status = tt_scheduler_alpha(s, before, &alpha_before, err);
    if (status != TT_OK) return status;
    float beta = 1.0f - alpha, beta_before = 1.0f - alpha_before;
    float keep = sqrtf(alpha_before / alpha);
    float gain = alpha_before - alpha;
    float divisor = alpha * sqrtf(beta_before) + sqrtf(alpha * beta * alpha_before);
    if (s->values.prediction_type == TT_PREDICT_V) {
        float signal = sqrtf(alpha), spread = sqrtf(beta);
        for (size_t j = 0; j < s->count; j++) {
            float eps = signal * m[j] + spread * x[j];
            out[j] = keep * x[j] - gain * eps / divisor;
        }
    } else {
        for (size_t j = 0; j < s->count; j++)
            out[j] = keep * x[j] - gain * m[j] / divisor;
    }
    return TT_OK;
}

// Makes m the newest output.
static void remember(struct tt_scheduler *s, const float *m) {
    float *oldest = s->history[0];
    for (size_t k = 0; k + 1 < OUTPUTS; k++)
        s->history[k] = s->history[k + 1];
    s->history[OUTPUTS - 1] = oldest;
    memcpy(oldest, m, s->count * sizeof *m);
}

static enum tt_status step_prk(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                               float *out, struct tt_error *err) {
    const float sixth = (float)(1.0 / 6.0), third = (float)(1.0 / 3.0);
    size_t ratio = s->values.num_train_timesteps / s->steps, n = s->count, phase = s->done % 4;
    float *sum = s->history[SUM], *first = s->history[SAMPLE];
    long before = (long)s->timesteps[i] - (s->done % 2 ? 0 : (long)(ratio / 2));
    long t = (long)s->timesteps[s->done / 4 * 4];
    const float *direction = m;
    if (phase == 0) {
        remember(s, m);
        memcpy(first, x, n * sizeof *x);
        for (size_t j = 0; j < n; j++) sum[j] = sixth * m[j];
    } else if (phase < 3) {
        for (size_t j = 0; j < n; j++) sum[j] = sum[j] + third * m[j];
    } else {
        for (size_t j = 0; j < n; j++) sum[j] = sum[j] + sixth * m[j];
        direction = sum;
    }
    return move(s, t, before, direction, first, out, err);
}

static enum tt_status step_plms(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                                float *out, struct tt_error *err) {
    size_t n = s->count, done = s->done;
    long ratio = (long)(s->values.num_train_timesteps / s->steps);
    long t = (long)s->timesteps[i], before = t - ratio;
    float *direction = s->work;
    if (done == 1) { // the doubled call: again from the first sample, with the mean of both outputs
        before = t;
        t += ratio;
        const float *e1 = s->history[OUTPUTS - 1];
        for (size_t j = 0; j < n; j++) direction[j] = (m[j] + e1[j]) / 2.0f;
        return move(s, t, before, direction, s->history[SAMPLE], out, err);
    }
    remember(s, m);
    const float *e1 = s->history[3], *e2 = s->history[2], *e3 = s->history[1], *e4 = s->history[0];
    size_t known = s->values.skip_prk_steps ? (done == 0 ? 1 : done) : OUTPUTS;
    if (known == 1) {
        memcpy(s->history[SAMPLE], x, n * sizeof *x);
        return move(s, t, before, m, x, out, err);
    }
    if (known == 2)
        for (size_t j = 0; j < n; j++) direction[j] = (3.0f * e1[j] - e2[j]) / 2.0f;
    else if (known == 3)
        for (size_t j = 0; j < n; j++)
            direction[j] = (23.0f * e1[j] - 16.0f * e2[j] + 5.0f * e3[j]) / 12.0f;
    else
        for (size_t j = 0; j < n; j++)
            direction[j] = (float)(1.0 / 24.0) *
                           (55.0f * e1[j] - 59.0f * e2[j] + 37.0f * e3[j] - 9.0f * e4[j]);
    return move(s, t, before, direction, x, out, err);
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    if (s->values.skip_prk_steps) return step_plms(s, i, m, x, out, err);
    if (i != s->done)
        return tt_fail(err, TT_BAD_INPUT, "%s: skip_prk_steps: found false, expected true for a "
                       "run that does not start at the first timestep", s->class_name);
    return (s->done < PRK_CALLS ? step_prk : step_plms)(s, i, m, x, out, err);
}

const struct tt_scheduler_class tt_scheduler_pndm = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = set_timesteps,
    .step = step,
    .add_noise = tt_scheduler_add_noise_at_timestep,
};
