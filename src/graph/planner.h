// SPDX-License-Identifier: MIT
// What is inside a plan (graph/plan.h), and how its steps and their buffers are found.
#ifndef TT_GRAPH_PLANNER_H
#define TT_GRAPH_PLANNER_H

#include "graph/plan.h"
#include "graph/steps.h"

// Where a step has its numbers: buffers of the arena; -1: none.
struct tt_places {
    int x[TT_MAX_INPUTS], image_bias, residual, y, saved, scratch;
    int dy, dx[TT_MAX_INPUTS], dimage_bias;
    int packed;         // the weight in the operation's form, laid out again for each run,
    const float *plain; // from the table, which trains it
};

struct tt_plan {
    const struct tt_tape *tape;
    struct tt_plan_options options;
    struct tt_bank *bank;     // where weights come from: this,
    struct tt_params *params; // or this; the other is NULL
    struct tt_steps steps;    // the forward steps, then those of the backward pass
    struct tt_places *places; // of each step
    int capacity, forward_count;
    struct tt_arena arena; // a buffer per value, the rest as steps need them
    const char *base;      // of the memory that the steps point into
    int *seed, *gradient;  // per value: the buffer of what the caller gives, and of the sum; or -1
    struct tt_pool pool;
};

// The arena's clock: forward steps, the loss (which the caller computes), steps of the backward
// pass.
static inline int tt_plan_time(const struct tt_plan *plan, int step) {
    return step < plan->forward_count ? step : step + 1;
}

// Gives steps.step[0 .. count-1], which are forward, their places, appends those of the backward
// pass (NULL: none), and notes in the arena when buffers are in use; what a step may write over
// shares a place.
enum tt_status tt_plan_place(struct tt_plan *plan, const struct tt_both_ways *back,
                             struct tt_error *err);

// ---- inside planning ----

// What only planning needs: lists per value, and per forward step.
struct tt_planner {
    struct tt_plan *plan;
    const struct tt_both_ways *back;
    struct tt_error error; // the first; nothing is done after it
    int *place;            // per value: the buffer to read it from now
    int *maker;            // the step that makes it; -1: none
    bool *wants;           // something to be learnt or a wanted input lies before it
    bool *live;            // it leads to an output whose gradient is given
    bool *kept;            // from the forward run until the backward pass has read it
    int *saved;            // per step: the buffer of what it leaves for its backward step
    int *block;            // which block to compute again; -1: none
    unsigned *learns;      // 1u << i: the table has a gradient for its parameter i
    bool *active;          // a gradient goes through it
    bool *repeated;        // it is computed again
};

extern const struct tt_places tt_nowhere;

// A new buffer, or one for a value; -1 after an error.
int tt_planner_buffer(struct tt_planner *p, size_t bytes);
int tt_planner_buffer_like(struct tt_planner *p, tt_value value);

// placing.c: where forward step `index` reads and writes; gives a step its places, and marks when
// their buffers are in use.
struct tt_places tt_planner_places(struct tt_planner *p, int index);
void tt_planner_equip(struct tt_planner *p, int index, struct tt_places at);
// Appends a step; suffix: of its name.
void tt_planner_append(struct tt_planner *p, struct tt_step step, struct tt_places at,
                       const char *suffix);
// Forward step `index` once more, into another buffer, which is then where to read its output.
void tt_planner_repeat(struct tt_planner *p, int index);

// The backward pass (graph/backward.c): what it will read, before the forward steps have places;
// and its steps, after that.
void tt_planner_look_back(struct tt_planner *p);
void tt_planner_walk_back(struct tt_planner *p);

#endif
