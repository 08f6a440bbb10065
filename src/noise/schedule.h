// SPDX-License-Identifier: MIT
// Making a noise schedule; the tables and the forward process are in tintype.h.
#ifndef TT_NOISE_SCHEDULE_H
#define TT_NOISE_SCHEDULE_H

#include "base/status.h"

#include <stdbool.h>

enum tt_beta_schedule {
    TT_BETAS_LINEAR,
    TT_BETAS_SCALED_LINEAR,     // linear in sqrt(beta): latent diffusion
    TT_BETAS_SQUAREDCOS_CAP_V2, // Nichol and Dhariwal 2021 (arXiv 2102.09672)
    TT_BETAS_SIGMOID,           // GeoDiff's
    TT_BETAS_LAPLACE,           // of a Laplace distribution of log SNR
    TT_BETAS_EXP,               // alpha bar falls by e for every twelfth of the way
};

struct tt_schedule_options {
    size_t num_train_timesteps; // N >= 1
    double beta_start, beta_end; // read by linear, scaled_linear and sigmoid
    enum tt_beta_schedule beta_schedule;
    const double *trained_betas; // N values that replace all of the above, or NULL
    bool rescale_betas_zero_snr; // pure noise at the last t (arXiv 2305.08891, algorithm 1)
};

// Fills the tables; errors: N of 0, memory. On an error nothing is held.
enum tt_status tt_schedule_init(struct tt_schedule *schedule,
                                const struct tt_schedule_options *options, struct tt_error *err);
void tt_schedule_free(struct tt_schedule *schedule);

// alphas_cumprod[t] = value, and sigmas[t] with it. Solvers that divide by sigma need an end that
// is not quite pure noise.
void tt_schedule_set_alpha(struct tt_schedule *schedule, size_t t, float value);

#endif
