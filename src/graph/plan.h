// SPDX-License-Identifier: MIT
// A plan: a tape made ready to run for its batch and size. Nodes are folded together, buffers are
// laid into one arena by lifetime, weights are found and packed; running allocates nothing.
#ifndef TT_GRAPH_PLAN_H
#define TT_GRAPH_PLAN_H

#include "graph/bank.h"

struct tt_plan_options {
    int threads;
    bool fold;        // join nodes that one pass can do; the bits stay the same
    bool conv_direct; // no Winograd
    bool keep_all;    // every value keeps its own buffer, for observers that look back
    bool poison;      // fill a buffer with NaN when its last reader is done (tests)
    // Asked before every step and every weight; non-zero stops with TT_CANCELLED. May be NULL.
    int (*cancelled)(void *context);
    void *context;
};

struct tt_plan;

// The tape and the bank must outlive the plan.
enum tt_status tt_plan_new(const struct tt_tape *tape, struct tt_bank *bank,
                           const struct tt_plan_options *options, struct tt_plan **plan,
                           struct tt_error *err);
// The bytes of a plan's activations and scratch, without taking them: TT_SYSTEM when the machine
// has less memory.
enum tt_status tt_plan_measure(const struct tt_tape *tape, const struct tt_plan_options *options,
                               size_t *bytes, struct tt_error *err);
// Takes NULL, too.
void tt_plan_free(struct tt_plan *plan);

// The buffer of a value: inputs are written here before a run, outputs read after it. (N, C, H, W)
// is N*H*W rows of C. Other values are only there with keep_all. Int inputs hold int32.
float *tt_plan_data(const struct tt_plan *plan, tt_value value);

// Runs every step in order, between the hooks of the observers. TT_CANCELLED when one of them or
// the options stop it.
enum tt_status tt_plan_run(struct tt_plan *plan, const struct tt_kernels *kernels,
                           const struct tt_observer *observers, size_t observer_count,
                           struct tt_error *err);

// The scratch that a step needs, in bytes, whatever size its team of at most so many threads has
// (base/team.h); less is not always enough for fewer. scratch NULL: none.
size_t tt_step_scratch(size_t (*scratch)(const struct tt_step *step, int threads),
                       const struct tt_step *step, int threads);

// One step between its observers, as tt_plan_run does each.
enum tt_status tt_step_run(const struct tt_step *step, const struct tt_kernels *kernels,
                           int threads, const struct tt_observer *observers,
                           size_t observer_count, struct tt_error *err);

// The steps in their order, and how many.
const struct tt_step *tt_plan_steps(const struct tt_plan *plan, int *count);

// Bytes of activations and scratch.
size_t tt_plan_arena_bytes(const struct tt_plan *plan);

#endif
