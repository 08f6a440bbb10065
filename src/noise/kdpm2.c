// SPDX-License-Identifier: MIT
// The second-order sampler of k-diffusion, inspired by DPM-Solver-2: two calls a step, the second
// one at a level between, which is the mean of both in log sigma; and its ancestral form, which
// steps further down and adds fresh noise.
#include "noise/levels.h"
#include "noise/numeric.h"

#include <math.h>
#include <stdlib.h>

static const char *const defaults[] = {
    "num_train_timesteps=1000", "beta_start=0.00085", "beta_end=0.012",
    "beta_schedule=linear", "trained_betas=null", "use_karras_sigmas=false",
    "use_exponential_sigmas=false", "use_beta_sigmas=false", "prediction_type=epsilon",
    "timestep_spacing=linspace", "steps_offset=0", NULL};

enum { SAMPLE, DERIVATIVE, FIRST_SAMPLE, BUFFERS };

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    s->wide_count = BUFFERS;
    return tt_levels_check(s, true, err);
}

static enum tt_status init_ancestral(struct tt_scheduler *s, struct tt_error *err) {
    s->needs_noise = true;
    return init(s, err);
}

// Where a step goes, in float32 as the tables of diffusers.
struct way {
    float from, between, to; // levels of the first call, of the second, and after both
    float up;                // of the fresh noise
};

static struct way way_of(const struct tt_scheduler *s, float from, float to) {
    struct way w = {from, 0.0f, to, 0.0f};
    float near = to;
    if (s->needs_noise) {
        w.up = sqrtf(to * to * (from * from - to * to) / (from * from));
        w.to = sqrtf(to * to - w.up * w.up);
        near = from; // float32 arithmetic in the order that diffusers has
    }
    if (to > 0.0f) {
        float a = tt_logf(near), b = tt_logf(s->needs_noise ? w.to : from);
        w.between = tt_expf(b - (b - a) * 0.5f);
    }
    return w;
}

// The way of the step that call i belongs to.
static struct way way_at(const struct tt_scheduler *s, size_t i) {
    size_t first = s->done % 2 == 0 ? i : i - 1;
    return way_of(s, s->sigmas[first], s->sigmas[first + 1]);
}

static enum tt_status set_timesteps(struct tt_scheduler *s, struct tt_error *err) {
    enum tt_status status = tt_levels_set(s, true, err);
    float *logs = status ? NULL : tt_scheduler_log_sigmas(s);
    if (!status && !logs)
        status = tt_fail(err, TT_SYSTEM, "no memory for the noise levels of a scheduler");
    if (status) return status;
    tt_levels_double(s);
    for (size_t i = 1; i < s->calls; i += 2) {
        float between = way_of(s, s->sigmas[i - 1], s->sigmas[i]).between;
        s->timesteps[i] = tt_sigma_to_timestep_f32(between, logs, s->schedule.count);
    }
    free(logs);
    return TT_OK;
}

static void scale_input(const struct tt_scheduler *s, size_t i, const float *sample, float *out) {
    struct way w = way_at(s, i);
    tt_levels_scale(s, s->done % 2 == 0 ? w.from : w.between, sample, out);
}

static bool draws_noise(const struct tt_scheduler *s, size_t i) {
    (void)i;
    return s->done % 2 == 1;
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    (void)err;
    const double *sample = tt_scheduler_carry(s, x);
    double *first = s->wide[FIRST_SAMPLE], *d = s->wide[DERIVATIVE];
    struct way w = way_at(s, i);
    if (s->done % 2 == 0) {
        tt_levels_derivative(s, w.from, m, sample, d);
        for (size_t j = 0; j < s->count; j++) first[j] = sample[j];
        struct tt_term terms[] = {{1.0, sample}, {(double)w.between - w.from, d}};
        tt_scheduler_combine(s, terms, 2, 0.0, out);
    } else {
        tt_levels_derivative(s, w.between, m, sample, d);
        struct tt_term terms[] = {{1.0, first}, {(double)w.to - w.from, d}};
        tt_scheduler_combine(s, terms, 2, w.up, out);
    }
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_kdpm2 = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = set_timesteps,
    .scale_input = scale_input,
    .step = step,
    .add_noise = tt_levels_add_noise,
    .has_sigmas = true,
    .two_calls = true,
};

const struct tt_scheduler_class tt_scheduler_kdpm2_ancestral = {
    .defaults = defaults,
    .init = init_ancestral,
    .set_timesteps = set_timesteps,
    .scale_input = scale_input,
    .step = step,
    .draws_noise = draws_noise,
    .add_noise = tt_levels_add_noise,
    .has_sigmas = true,
    .two_calls = true,
};
