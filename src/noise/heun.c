// SPDX-License-Identifier: MIT
// Heun's method on the probability flow in noise levels sigma (Karras et al. 2022, algorithm 1):
// two calls a step, the second one at its end; the last step has one.
#include "noise/levels.h"

static const char *const defaults[] = {
    "num_train_timesteps=1000", "beta_start=0.00085", "beta_end=0.012",
    "beta_schedule=linear", "trained_betas=null", "use_karras_sigmas=false",
    "use_exponential_sigmas=false", "use_beta_sigmas=false", "prediction_type=epsilon",
    "timestep_spacing=linspace", "steps_offset=0", "clip_sample=false",
    "clip_sample_range=1", NULL};

// Double buffers: the sample, the derivative, and what the first call leaves for the second.
enum { SAMPLE, DERIVATIVE, FIRST_SAMPLE, FIRST_DERIVATIVE, BUFFERS };

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    s->wide_count = BUFFERS;
    return tt_levels_check(s, false, err);
}

static enum tt_status set_timesteps(struct tt_scheduler *s, struct tt_error *err) {
    enum tt_status status = tt_levels_set(s, false, err);
    if (!status) tt_levels_double(s);
    return status;
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    (void)err;
    const double *sample = tt_scheduler_carry(s, x);
    double *first = s->wide[FIRST_SAMPLE], *before = s->wide[FIRST_DERIVATIVE];
    double *d = s->wide[DERIVATIVE];
    tt_levels_derivative(s, s->sigmas[i], m, sample, d);
    if (s->done % 2 == 0) {
        for (size_t j = 0; j < s->count; j++) {
            first[j] = sample[j];
            before[j] = d[j];
        }
        struct tt_term terms[] = {{1.0, sample}, {(double)s->sigmas[i + 1] - s->sigmas[i], d}};
        tt_scheduler_combine(s, terms, 2, 0.0, out);
    } else {
        double half = ((double)s->sigmas[i] - s->sigmas[i - 1]) / 2.0;
        struct tt_term terms[] = {{1.0, first}, {half, before}, {half, d}};
        tt_scheduler_combine(s, terms, 3, 0.0, out);
    }
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_heun = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = set_timesteps,
    .scale_input = tt_levels_scale_input,
    .step = step,
    .add_noise = tt_levels_add_noise,
    .has_sigmas = true,
    .two_calls = true,
    .more_betas = 1u << TT_BETAS_EXP,
};
