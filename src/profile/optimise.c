// SPDX-License-Identifier: MIT
// The third stage of a step of training: the optimiser over all weights of a plan both ways.
#include "optimiser/optimiser.h"
#include "profile/timed_steps.h"
#include "reduce/reduce.h"

// As `train` does it: the norm of the gradients, then AdamW. With a rate of 0, which moves nothing.
static void optimise(const struct tt_engine *engine, struct tt_params *params, float *moments,
                     uint64_t step) {
    enum { PIECE = 16 * TT_SUM_FLOATS };
    const struct tt_kernels *kernels = &engine->kernels;
    struct tt_adamw with = tt_adamw_step(0, 0.9, 0.999, 1e-8, 0.01, step);
    size_t n = params->floats;
    float *other = moments + n, *sums = other + n;
    tt_sum_squares(kernels, params->gradient, n, sums, engine->plan.threads);
#pragma omp parallel for num_threads(engine->plan.threads) schedule(static)
    for (size_t i = 0; i < n; i += PIECE)
        kernels->adamw_f32(params->value + i, params->gradient + i, moments + i, other + i,
                           n - i < PIECE ? n - i : PIECE, &with);
}

enum tt_status tt_profile_optimise(struct tt_profile *profile, struct tt_session *session,
                                   int part, struct tt_error *err) {
    const struct tt_network *network = tt_session_network(session, part, NULL);
    struct tt_params *params = network ? network->params : NULL;
    if (!params || !params->gradient)
        return tt_fail(err, TT_BAD_INPUT, "%s: found no plan that goes both ways",
                       tt_part_name(part));
    size_t bytes = (2 * params->floats + tt_sum_scratch_floats(params->floats)) * sizeof(float);
    if (!profile->moments) profile->moments = tt_block_alloc(profile->moment_bytes = bytes);
    if (!profile->moments || profile->moment_bytes != bytes)
        return tt_fail(err, TT_SYSTEM, "out of memory: %zu bytes of moments", bytes);
    optimise(session->engine, params, profile->moments, ++profile->optimised);
    return TT_OK;
}
