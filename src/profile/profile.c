// SPDX-License-Identifier: MIT
// The profile: an observer that times every step of a plan.
#include <stdlib.h>

#include "base/clock.h"
#include "session.h"

struct tt_profile {
    struct tt_pool pool; // of the names, which outlive the plan
    const struct tt_step *steps;
    struct tt_profile_node *nodes; // in the plan's order
    size_t count;
    double begun;
};

static bool describe(struct tt_profile *profile, const struct tt_engine *engine, size_t i) {
    const struct tt_step *step = &profile->steps[i];
    char op[96];
    profile->nodes[i] = (struct tt_profile_node){
        .name = tt_pool_format(&profile->pool, "%s", step->name),
        .op = tt_pool_format(&profile->pool, "%s", tt_step_text(step, op, sizeof op)),
        .variant = tt_step_variant(step, engine), .shape = *tt_step_shape(step),
        .flops = tt_step_flops(step),
    };
    return profile->nodes[i].name && profile->nodes[i].op;
}

enum tt_status tt_profile_new(const struct tt_session *session, int part,
                              struct tt_profile **out, struct tt_error *err) {
    const struct tt_model *model = session->model;
    int count = 0;
    enum tt_status status = tt_check_part(model, part, err);
    if (status) return status;
    const struct tt_network *network = tt_session_network(session, part, NULL);
    if (!network)
        return tt_fail(err, TT_BAD_INPUT, "profile of %s: the model has no plan of it",
                       tt_part_name(part));
    struct tt_profile *profile = calloc(1, sizeof *profile);
    if (!profile) return tt_fail(err, TT_SYSTEM, "out of memory for the profile");
    profile->steps = tt_plan_steps(network->plan, &count);
    profile->count = (size_t)count;
    profile->nodes = calloc(profile->count, sizeof *profile->nodes);
    bool good = profile->nodes != NULL;
    for (size_t i = 0; good && i < profile->count; i++)
        good = describe(profile, session->engine, i);
    if (!good) {
        tt_profile_free(profile);
        return tt_fail(err, TT_SYSTEM, "out of memory for the profile");
    }
    *out = profile;
    return TT_OK;
}

void tt_profile_free(struct tt_profile *profile) {
    if (!profile) return;
    tt_pool_free(&profile->pool);
    free(profile->nodes);
    free(profile);
}

void tt_profile_reset(struct tt_profile *profile) {
    for (size_t i = 0; i < profile->count; i++) {
        profile->nodes[i].seconds = 0;
        profile->nodes[i].runs = 0;
    }
}

const struct tt_profile_node *tt_profile_at(const struct tt_profile *profile, size_t i) {
    return i < profile->count ? &profile->nodes[i] : NULL;
}

static int begin(void *context, const struct tt_step *step) {
    (void)step;
    ((struct tt_profile *)context)->begun = tt_seconds();
    return 0;
}

static void end(void *context, const struct tt_step *step) {
    struct tt_profile *profile = context;
    double now = tt_seconds();
    size_t i = ((uintptr_t)step - (uintptr_t)profile->steps) / sizeof *step;
    if (i >= profile->count || &profile->steps[i] != step) return; // of another plan
    profile->nodes[i].seconds += now - profile->begun;
    profile->nodes[i].runs++;
}

struct tt_observer tt_profile_observer(struct tt_profile *profile) {
    return (struct tt_observer){profile, begin, end};
}
