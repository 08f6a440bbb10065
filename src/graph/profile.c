// SPDX-License-Identifier: MIT
#include "graph/profile.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

enum tt_status tt_profile_new(const struct tt_plan *plan, struct tt_profile *profile,
                              struct tt_error *err) {
    const struct tt_step *steps = tt_plan_steps(plan, &profile->count);
    profile->next = 0;
    profile->nodes = calloc((size_t)profile->count, sizeof *profile->nodes);
    if (!profile->nodes) return tt_fail(err, TT_SYSTEM, "out of memory for the profile");
    for (int i = 0; i < profile->count; i++) profile->nodes[i].step = &steps[i];
    return TT_OK;
}

void tt_profile_free(struct tt_profile *profile) {
    free(profile->nodes);
    *profile = (struct tt_profile){0};
}

static int begin(void *context, const struct tt_step *step) {
    struct tt_profile *profile = context;
    if (step == profile->nodes[0].step) profile->next = 0;
    profile->nodes[profile->next].begun = tt_seconds();
    return 0;
}

static void end(void *context, const struct tt_step *step) {
    (void)step;
    struct tt_profile *profile = context;
    struct tt_profile_node *node = &profile->nodes[profile->next++];
    node->seconds += tt_seconds() - node->begun;
    node->runs++;
}

struct tt_observer tt_profile_observer(struct tt_profile *profile) {
    return (struct tt_observer){profile, begin, end};
}

double tt_step_flops(const struct tt_step *step) {
    double (*flops)(const struct tt_step *) = tt_ops[step->op]->flops;
    double outputs = (double)tt_shape_count(&step->out);
    double own = flops ? flops(step) : outputs;
    for (int i = 0; i < step->folded_count; i++)
        own += step->folded[i]->op == TT_OP_silu ? tt_op_silu.flops(step) : outputs;
    return own;
}

char *tt_step_text(const struct tt_step *step, char *text, size_t size) {
    int used = snprintf(text, size, "%s", tt_ops[step->op]->name);
    for (int i = 0; i < step->folded_count && used >= 0 && (size_t)used < size; i++)
        used += snprintf(text + used, size - (size_t)used, "+%s",
                         tt_ops[step->folded[i]->op]->name);
    return text;
}

const char *tt_step_variant(const struct tt_step *step, const struct tt_kernels *kernels) {
    enum tt_kernel (*kernel)(const struct tt_step *) = tt_ops[step->op]->kernel;
    return kernel ? kernels->variant[kernel(step)] : "copy";
}
