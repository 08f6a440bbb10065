// SPDX-License-Identifier: MIT
// The profile: an observer that times every step of a plan.
#ifndef TT_GRAPH_PROFILE_H
#define TT_GRAPH_PROFILE_H

#include "graph/plan.h"

struct tt_profile_node {
    const struct tt_step *step;
    double seconds, begun; // seconds: sum over the runs
    int runs;
};

struct tt_profile {
    struct tt_profile_node *nodes; // in the plan's order
    int count, next;
};

// Makes room for the plan's steps. TT_SYSTEM when memory is short.
enum tt_status tt_profile_new(const struct tt_plan *plan, struct tt_profile *profile,
                              struct tt_error *err);
void tt_profile_free(struct tt_profile *profile);

// The observer to give to tt_plan_run; one profile may see many runs of its plan.
struct tt_observer tt_profile_observer(struct tt_profile *profile);

// Floating point operations of a step with what is folded into it; a multiply-add counts two.
double tt_step_flops(const struct tt_step *step);

// "conv2d+add_image+add": the operation and what is folded into it; returns text.
char *tt_step_text(const struct tt_step *step, char *text, size_t size);

// The variant of the kernel that does most of the step's work, or "copy".
const char *tt_step_variant(const struct tt_step *step, const struct tt_kernels *kernels);

#endif
