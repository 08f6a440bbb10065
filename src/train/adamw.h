// SPDX-License-Identifier: MIT
// AdamW with decoupled weight decay (Loshchilov and Hutter 2017, arXiv 1711.05101), clipping by the
// norm of the whole gradient, and a moving average of the weights: torch.optim.AdamW and
// torch.nn.utils.clip_grad_norm_ in the order of their CPU arithmetic, given the norm (which is in
// double here), and torch.lerp with the decay of diffusers' EMAModel.
#ifndef TT_TRAIN_ADAMW_H
#define TT_TRAIN_ADAMW_H

#include "graph/params.h"

struct tt_optimiser_options {
    double beta1, beta2, epsilon, weight_decay;
    double clip_norm; // 0: never
    double ema_decay; // 0: no average
    const struct tt_kernels *kernels;
    int threads;
};

// One array that is laid out like params->value, e.g. the mean of AdamW; `part` and `what` are for
// the names that a checkpoint gives its tensors.
struct tt_state {
    const char *part, *what;
    const struct tt_params *params;
    float *data;
};

struct tt_optimiser;

// For `count` tables with their names (tt_state.part); tables and names must outlive the optimiser.
// The average begins with the present values. TT_SYSTEM when memory is short.
enum tt_status tt_optimiser_new(struct tt_params *const *params, const char *const *names,
                                size_t count, const struct tt_optimiser_options *options,
                                struct tt_optimiser **out, struct tt_error *err);
// Takes NULL, too.
void tt_optimiser_free(struct tt_optimiser *optimiser);

// The norm of all gradients: the root of their squares' sum, parameter by parameter.
double tt_optimiser_norm(const struct tt_optimiser *optimiser);

// One step: clips the gradients by their norm (as tt_optimiser_norm gave it), moves the values,
// then the average; gradients are 0 afterwards.
void tt_optimiser_step(struct tt_optimiser *optimiser, double norm, double learning_rate);

// Steps done; set by who reads a checkpoint.
uint64_t tt_optimiser_steps(const struct tt_optimiser *optimiser);
void tt_optimiser_set_steps(struct tt_optimiser *optimiser, uint64_t steps);

// Everything that a checkpoint must hold, values included.
const struct tt_state *tt_optimiser_states(const struct tt_optimiser *optimiser, size_t *count);

// Exchanges the values and the average, so that networks run with the weights to use; the second
// call puts everything back. Does nothing where there is no average.
void tt_optimiser_swap(struct tt_optimiser *optimiser);

// Table i's weights to use: the average, or the values where there is none; laid out like them.
const float *tt_optimiser_weights(const struct tt_optimiser *optimiser, size_t i);

#endif
