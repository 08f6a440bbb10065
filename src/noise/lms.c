// SPDX-License-Identifier: MIT
// A linear multistep method on the probability flow in noise levels sigma: the polynomial through
// the last four derivatives is integrated over the step.
#include "noise/levels.h"

#include <math.h>

static const char *const defaults[] = {
    "num_train_timesteps=1000", "beta_start=0.0001", "beta_end=0.02",
    "beta_schedule=linear", "trained_betas=null", "use_karras_sigmas=false",
    "use_exponential_sigmas=false", "use_beta_sigmas=false", "prediction_type=epsilon",
    "timestep_spacing=linspace", "steps_offset=0", NULL};

enum { ORDER = 4 };

static enum tt_status init(struct tt_scheduler *s, struct tt_error *err) {
    s->wide_count = 1 + ORDER; // the sample, and derivatives, the newest first
    // The class does not take these ends for karras sigmas.
    if (s->values.use_karras_sigmas) s->values.sigma_min = s->values.sigma_max = NAN;
    return tt_levels_check(s, false, err);
}

static enum tt_status set_timesteps(struct tt_scheduler *s, struct tt_error *err) {
    return tt_levels_set(s, false, err);
}

// The polynomial of degree order - 1 that is 1 at sigmas[i - which], 0 at the others of the last
// `order` levels; at sigma.
static double basis(const float *sigmas, size_t i, size_t order, size_t which, double sigma) {
    double product = 1.0;
    for (size_t k = 0; k < order; k++)
        if (k != which)
            product *= (sigma - sigmas[i - k]) / ((double)sigmas[i - which] - sigmas[i - k]);
    return product;
}

// Its integral over step i. Two points of Gauss are exact for a cubic polynomial.
static double coefficient(const float *sigmas, size_t i, size_t order, size_t which) {
    double middle = ((double)sigmas[i] + sigmas[i + 1]) / 2.0;
    double half = ((double)sigmas[i + 1] - sigmas[i]) / 2.0, away = half / sqrt(3.0);
    return half * (basis(sigmas, i, order, which, middle - away) +
                   basis(sigmas, i, order, which, middle + away));
}

static enum tt_status step(struct tt_scheduler *s, size_t i, const float *m, const float *x,
                           float *out, struct tt_error *err) {
    (void)err;
    const double *sample = tt_scheduler_carry(s, x);
    double *d = s->wide[ORDER];
    for (size_t k = ORDER; k > 1; k--)
        s->wide[k] = s->wide[k - 1];
    s->wide[1] = d;
    tt_levels_derivative(s, s->sigmas[i], m, sample, d);
    size_t order = i + 1 < ORDER ? i + 1 : ORDER;
    size_t known = s->done + 1 < order ? s->done + 1 : order; // fewer in a run from the middle
    struct tt_term terms[1 + ORDER] = {{1.0, sample}};
    for (size_t k = 0; k < known; k++)
        terms[1 + k] = (struct tt_term){coefficient(s->sigmas, i, order, k), s->wide[1 + k]};
    tt_scheduler_combine(s, terms, 1 + known, 0.0, out);
    return TT_OK;
}

const struct tt_scheduler_class tt_scheduler_lms = {
    .defaults = defaults,
    .init = init,
    .set_timesteps = set_timesteps,
    .scale_input = tt_levels_scale_input,
    .step = step,
    .add_noise = tt_levels_add_noise,
    .has_sigmas = true,
};
