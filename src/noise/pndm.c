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

// Of the model's outputs the last ones are kept (the newest is the last); in double, beside the
// sample, that with which a group of calls began, the weighted sum of outputs inside a Runge-Kutta
// step, and the direction of the present one.
enum { OUTPUTS = 4 };
enum { CARRIED, FIRST, SUM, DIRECTION, BUFFERS };
enum { PRK_CALLS = 12 };

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    int prediction = s->values.prediction_type;
    if (prediction != TT_PREDICT_EPSILON && prediction != TT_PREDICT_V)
        return tt_scheduler_reject(s, "prediction_type",
                                   tt_scheduler_config_word("prediction_type", prediction),
                                   "epsilon or v_prediction", err);
    s->history_count = OUTPUTS;
    s->wide_count = BUFFERS;
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
static enum tt_status move(struct tt_scheduler *s, long t, long before, const double *m,
                           const double *x, float *out, struct tt_error *err) {
    float found, found_before = s->values.set_alpha_to_one ? 1.0f : s->schedule.alphas_cumprod[0];
    enum tt_status status = tt_scheduler_alpha(s, t, &found, err);
    if (!status && before >= 0) status = tt_scheduler_alpha(s, before, &found_before, err);
    if (status) return status;
    double alpha = found, alpha_before = found_before;
    double beta = 1.0 - alpha, beta_before = 1.0 - alpha_before;
    double keep = sqrt(alpha_before / alpha);
    double divisor = alpha * sqrt(beta_before) + sqrt(alpha * beta * alpha_before);
    double gain = (alpha_before - alpha) / divisor;
    struct tt_term terms[] = {{keep, x}, {-gain, m}};
    if (s->values.prediction_type == TT_PREDICT_V) {
        terms[0].weight = keep - gain * sqrt(beta);
        terms[1].weight = -gain * sqrt(alpha);
    }
    tt_scheduler_combine(s, terms, 2, 0.0, out);
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

// The sample that a group of calls begins with.
static void begin(struct tt_scheduler *s, const float *x) {
    memcpy(s->wide[FIRST], tt_scheduler_carry(s, x), s->count * sizeof *s->wide[FIRST]);
}

static enum tt_status step_prk(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                               float *out, struct tt_error *err) {
    size_t ratio = s->values.num_train_timesteps / s->steps, phase = s->done % 4;
    double *sum = s->wide[SUM], *direction = s->wide[DIRECTION];
    double share = phase == 0 || phase == 3 ? 1.0 / 6.0 : 1.0 / 3.0;
    long before = (long)s->timesteps[i] - (s->done % 2 ? 0 : (long)(ratio / 2));
    long t = (long)s->timesteps[s->done / 4 * 4];
    if (phase == 0) {
        remember(s, m);
        begin(s, x);
    }
    for (size_t j = 0; j < s->count; j++) {
        sum[j] = (phase == 0 ? 0.0 : sum[j]) + share * m[j];
        direction[j] = m[j];
    }
    return move(s, t, before, phase == 3 ? sum : direction, s->wide[FIRST], out, err);
}

static enum tt_status step_plms(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                                float *out, struct tt_error *err) {
    // Adams and Bashforth, of the newest output first; the doubled call takes the mean instead.
    static const double weights[OUTPUTS][OUTPUTS] = {
        {1.0, 0.0, 0.0, 0.0},
        {3.0 / 2.0, -1.0 / 2.0, 0.0, 0.0},
        {23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0, 0.0},
        {55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0}};
    size_t done = s->done;
    long ratio = (long)(s->values.num_train_timesteps / s->steps);
    long t = (long)s->timesteps[i], before = t - ratio;
    double *direction = s->wide[DIRECTION];
    if (done == 1) { // the doubled call: again from the first sample, with the mean of both outputs
        const float *e1 = s->history[OUTPUTS - 1];
        for (size_t j = 0; j < s->count; j++) direction[j] = ((double)m[j] + e1[j]) / 2.0;
        return move(s, t + ratio, t, direction, s->wide[FIRST], out, err);
    }
    remember(s, m);
    size_t known = s->values.skip_prk_steps ? (done == 0 ? 1 : done) : OUTPUTS;
    known = known < OUTPUTS ? known : OUTPUTS;
    if (known == 1) begin(s, x);
    for (size_t j = 0; j < s->count; j++) {
        direction[j] = 0.0;
        for (size_t k = 0; k < known; k++)
            direction[j] += weights[known - 1][k] * s->history[OUTPUTS - 1 - k][j];
    }
    return move(s, t, before, direction, tt_scheduler_carry(s, x), out, err);
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
