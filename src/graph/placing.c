// SPDX-License-Identifier: MIT
// Where a step reads and writes: buffers, scratch, parameters; and steps that are added.
#include "graph/planner.h"

#include <stdlib.h>

#include "base/team.h"

const struct tt_places tt_nowhere = {
    {-1, -1, -1, -1}, -1, -1, -1, -1, -1, -1, {-1, -1, -1, -1}, -1, -1, NULL,
};

static void no_memory(struct tt_planner *p) {
    tt_fail(&p->error, TT_SYSTEM, "out of memory for a plan");
}

int tt_planner_buffer(struct tt_planner *p, size_t bytes) {
    int buffer = tt_arena_add(&p->plan->arena, bytes);
    if (buffer < 0) no_memory(p);
    return buffer;
}

int tt_planner_buffer_like(struct tt_planner *p, tt_value value) {
    const struct tt_tensor *tensor = &p->plan->tape->tensors[value];
    return tt_planner_buffer(p, tt_shape_count(&tensor->shape) * tt_dtype_size(tensor->dtype));
}

size_t tt_step_scratch(size_t (*scratch)(const struct tt_step *step, int threads),
                       const struct tt_step *step, int threads) {
    size_t most = 0;
    for (int k = 0; scratch && k <= TT_TEAM_SIZES; k++) {
        size_t bytes = scratch(step, tt_team_choice(threads, k));
        if (bytes > most) most = bytes;
    }
    return most;
}

// The step's parameters, which are in the table.
static void find_parameters(struct tt_planner *p, struct tt_step *step, struct tt_places *at) {
    struct tt_params *params = p->plan->params;
    enum tt_form form = tt_ops[step->op]->form;
    const float *values[TT_MAX_PARAMS] = {NULL};
    for (int i = 0; i < TT_MAX_PARAMS; i++) {
        const struct tt_param *param = step->node->param[i];
        int index = param ? tt_params_find(params, param->name) : -1;
        if (param && index < 0)
            tt_fail(&p->error, TT_BAD_INPUT, "the table of parameters lacks '%s'", param->name);
        if (index < 0) continue;
        values[i] = tt_params_value(params, index);
        if (!step->back) continue;
        *(i ? &step->back->dbias : &step->back->dweight) = tt_params_gradient(params, index);
    }
    step->weight = (struct tt_weight){values[0], TT_F32};
    step->bias = values[1];
    if (step->back || form == TT_FORM_PLAIN) return;
    at->plain = values[0];
    at->packed =
        tt_planner_buffer(p, tt_form_count(form, &step->node->param[0]->shape) * sizeof(float));
}

// What the step has beside the values it reads and writes; and when all of it is in use.
void tt_planner_equip(struct tt_planner *p, int index, struct tt_places at) {
    struct tt_plan *plan = p->plan;
    struct tt_step *step = &plan->steps.step[index];
    const struct tt_op *op = tt_ops[step->op];
    size_t (*scratch)(const struct tt_step *, int) =
        step->back ? op->backward_scratch : op->scratch;
    if (p->error.status) return;
    if (step->tape && plan->params) find_parameters(p, step, &at);
    if (step->tape && scratch)
        at.scratch =
            tt_planner_buffer(p, tt_step_scratch(scratch, step, plan->options.threads));
    plan->places[index] = at;
    int now = tt_plan_time(plan, index);
    for (int i = 0; i < TT_MAX_INPUTS; i++) {
        tt_arena_touch(&plan->arena, at.x[i], now);
        tt_arena_touch(&plan->arena, at.dx[i], now);
    }
    const int others[] = {at.image_bias, at.residual, at.y,  at.saved,
                          at.packed,     at.scratch,  at.dy, at.dimage_bias};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        tt_arena_touch(&plan->arena, others[i], now);
}

void tt_planner_append(struct tt_planner *p, struct tt_step step, struct tt_places at,
                       const char *suffix) {
    struct tt_plan *plan = p->plan;
    struct tt_steps *steps = &plan->steps;
    if (p->error.status) return;
    if (steps->count == plan->capacity) {
        size_t capacity = 2 * (size_t)plan->capacity;
        struct tt_step *step_list = realloc(steps->step, capacity * sizeof *step_list);
        if (step_list) steps->step = step_list;
        struct tt_places *places = realloc(plan->places, capacity * sizeof *places);
        if (places) plan->places = places;
        if (!step_list || !places) {
            no_memory(p);
            return;
        }
        plan->capacity = (int)capacity;
    }
    step.name = tt_pool_format(&plan->pool, "%s%s", step.name, suffix);
    if (!step.name) no_memory(p);
    steps->step[steps->count] = step;
    tt_planner_equip(p, steps->count++, at);
}

// ---- forward ----

static int place_of(const struct tt_planner *p, tt_value value) {
    return value == TT_NO_VALUE ? -1 : p->place[value];
}

struct tt_places tt_planner_places(struct tt_planner *p, int index) {
    const struct tt_step *step = &p->plan->steps.step[index];
    struct tt_places at = tt_nowhere;
    for (int j = 0; j < TT_MAX_INPUTS; j++) at.x[j] = place_of(p, step->input[j]);
    at.image_bias = place_of(p, step->image_bias);
    at.residual = place_of(p, step->residual);
    at.y = place_of(p, step->output);
    if (tt_ops[step->op]->saved && p->active[index])
        at.saved = p->saved[index] = tt_planner_buffer(p, tt_ops[step->op]->saved(step));
    return at;
}

void tt_planner_repeat(struct tt_planner *p, int index) {
    struct tt_step step = p->plan->steps.step[index];
    p->place[step.output] = tt_planner_buffer_like(p, step.output);
    tt_planner_append(p, step, tt_planner_places(p, index), " again");
}
