// SPDX-License-Identifier: MIT
// What is inside a run there and back (graph/grad.h): its events, and where each has its numbers.
#ifndef TT_GRAPH_GRAD_PLAN_H
#define TT_GRAPH_GRAD_PLAN_H

#include "graph/grad.h"
#include "graph/steps.h"

// The buffers of an event (indices of the arena; -1: none). An event is a step of the run.
struct tt_places {
    int x[TT_MAX_INPUTS], image_bias, residual, y, saved, packed, scratch;
    int dy, dx[TT_MAX_INPUTS], dimage_bias;
};

struct tt_grad {
    const struct tt_tape *tape;
    struct tt_params *params;
    struct tt_plan_options options;
    struct tt_steps steps;
    struct tt_arena arena; // a buffer per value, the rest as events need them
    struct tt_step *events;
    struct tt_places *places;
    int count, capacity, forward_count;
    const char *base; // of the memory that the events point into
    int *seed, *gradient; // per value: the buffer of what the caller gives, and of the sum
    struct tt_pool names;
};

// The arena's clock: forward events, the loss (which the caller computes), backward events.
static inline int tt_grad_time(const struct tt_grad *grad, int event) {
    return event < grad->forward_count ? event : event + 1;
}

// Appends all events with their places, and notes in the arena when its buffers are in use; what an
// event may write over shares a place.
enum tt_status tt_grad_plan(struct tt_grad *grad, const struct tt_grad_options *options,
                            struct tt_error *err);

#endif
