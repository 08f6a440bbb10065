// SPDX-License-Identifier: MIT
#include "graph/plan.h"

#include <stdlib.h>

#include "base/team.h"
#include "graph/planner.h"

const struct tt_step *tt_plan_steps(const struct tt_plan *plan, int *count) {
    *count = plan->steps.count;
    return plan->steps.step;
}

size_t tt_plan_arena_bytes(const struct tt_plan *plan) {
    return plan->arena.bytes;
}

size_t tt_plan_live_bytes(const struct tt_plan *plan, int step) {
    return tt_arena_live(&plan->arena, tt_plan_time(plan, step));
}

float *tt_plan_data(const struct tt_plan *plan, tt_value value) {
    return tt_arena_at(&plan->arena, value);
}

static void *data_of(const struct tt_plan *plan, int buffer) {
    return buffer < 0 ? NULL : tt_arena_at(&plan->arena, buffer);
}

float *tt_plan_seed(const struct tt_plan *plan, tt_value value) {
    return data_of(plan, plan->seed[plan->steps.root[value]]);
}

const float *tt_plan_gradient(const struct tt_plan *plan, tt_value value) {
    return data_of(plan, plan->gradient[plan->steps.root[value]]);
}

static bool cancelled(const struct tt_plan *plan) {
    return plan->options.cancelled && plan->options.cancelled(plan->options.context);
}

// ---- weights from a bank ----

// Gets what the step multiplies with and adds.
static enum tt_status get_weights(struct tt_plan *plan, struct tt_step *step,
                                  struct tt_error *err) {
    const struct tt_param *const *param = step->node->param;
    struct tt_weight bias = {0};
    enum tt_status status = TT_OK;
    if (param[0])
        status = tt_bank_get(plan->bank, param[0], tt_ops[step->op]->form, tt_op_weights[step->op],
                             plan->options.threads, &step->weight, err);
    if (!status && param[1])
        status = tt_bank_get(plan->bank, param[1], TT_FORM_PLAIN, 1u << TT_F32,
                             plan->options.threads, &bias, err);
    if (status && step->weight.data)
        tt_bank_put(plan->bank, param[0], tt_ops[step->op]->form, tt_op_weights[step->op]);
    if (status) step->weight.data = NULL;
    step->bias = bias.data;
    return status;
}

static void put_weights(struct tt_plan *plan, struct tt_step *step) {
    const struct tt_param *const *param = step->node->param;
    if (step->weight.data)
        tt_bank_put(plan->bank, param[0], tt_ops[step->op]->form, tt_op_weights[step->op]);
    if (step->bias) tt_bank_put(plan->bank, param[1], TT_FORM_PLAIN, 1u << TT_F32);
    step->weight.data = NULL;
    step->bias = NULL;
}

// All weights for as long as the plan is there; from a bank that streams, a look at each, as steps
// will get theirs one by one.
static enum tt_status find_weights(struct tt_plan *plan, struct tt_error *err) {
    for (int i = 0; i < plan->steps.count; i++) {
        struct tt_step *step = &plan->steps.step[i];
        if (cancelled(plan))
            return tt_fail(err, TT_CANCELLED, "cancelled while loading %s", step->name);
        enum tt_status status = get_weights(plan, step, err);
        if (status) return status;
        if (tt_bank_streams(plan->bank)) put_weights(plan, step);
    }
    return TT_OK;
}

// ---- making ----

static void point(struct tt_plan *plan) {
    plan->base = plan->arena.memory->base;
    for (int i = 0; i < plan->steps.count; i++) {
        struct tt_step *step = &plan->steps.step[i];
        const struct tt_places *at = &plan->places[i];
        for (int j = 0; j < TT_MAX_INPUTS; j++) step->x[j] = data_of(plan, at->x[j]);
        step->image_bias_data = data_of(plan, at->image_bias);
        step->residual_data = data_of(plan, at->residual);
        step->y = data_of(plan, at->y);
        step->saved = data_of(plan, at->saved);
        step->scratch = data_of(plan, at->scratch);
        if (at->packed >= 0) step->weight.data = data_of(plan, at->packed);
        if (!step->back) continue;
        for (int j = 0; j < TT_MAX_INPUTS; j++) step->back->dx[j] = data_of(plan, at->dx[j]);
        step->back->dimage_bias = data_of(plan, at->dimage_bias);
        step->back->dy = data_of(plan, at->dy);
    }
}

// The dtypes of weights, which decide about scratch.
static void find_dtypes(struct tt_plan *plan, const struct tt_bank *bank) {
    for (int i = 0; bank && i < plan->steps.count; i++) {
        struct tt_step *step = &plan->steps.step[i];
        const struct tt_param *param = step->tape ? step->node->param[0] : NULL;
        if (param) step->weight.dtype = tt_bank_dtype(bank, param, tt_op_weights[step->op]);
    }
}

static enum tt_status begin(struct tt_plan *plan, const struct tt_tape *tape,
                            const struct tt_bank *bank, const struct tt_plan_options *options,
                            const struct tt_both_ways *back, struct tt_error *err) {
    *plan = (struct tt_plan){
        .tape = tape, .options = *options, .params = back ? back->params : NULL};
    enum tt_status status = tt_steps_make(tape, options->fold ? TT_FOLD_ALL : TT_FOLD_NOTHING,
                                          options->conv_direct, &plan->steps, err);
    if (!status) find_dtypes(plan, bank);
    return status ? status : tt_plan_place(plan, back, err);
}

static void end(struct tt_plan *plan) {
    tt_arena_free(&plan->arena);
    tt_steps_free(&plan->steps);
    tt_pool_free(&plan->pool);
    free(plan->places);
}

static const char activations[] = "activations";

enum tt_status tt_plan_measure(const struct tt_tape *tape, const struct tt_bank *bank,
                               const struct tt_plan_options *options, size_t *bytes,
                               struct tt_error *err) {
    struct tt_plan plan;
    enum tt_status status = begin(&plan, tape, bank, options, NULL, err);
    if (!status) status = tt_arena_measure(&plan.arena, activations, err);
    *bytes = plan.arena.bytes;
    end(&plan);
    return status;
}

static enum tt_status new_plan(const struct tt_tape *tape, struct tt_bank *bank,
                               const struct tt_plan_options *options,
                               const struct tt_both_ways *back, struct tt_plan **out,
                               struct tt_error *err) {
    struct tt_plan *plan = calloc(1, sizeof *plan);
    if (!plan) return tt_fail(err, TT_SYSTEM, "out of memory for a plan");
    enum tt_status status = begin(plan, tape, bank, options, back, err);
    if (!status)
        status = tt_arena_lay_out(&plan->arena, back ? back->memory : NULL,
                                  back ? "activations and their gradients" : activations, err);
    plan->bank = bank;
    if (!status && bank) status = find_weights(plan, err);
    if (status) {
        tt_plan_free(plan);
        return status;
    }
    point(plan);
    *out = plan;
    return TT_OK;
}

enum tt_status tt_plan_new(const struct tt_tape *tape, struct tt_bank *bank,
                           const struct tt_plan_options *options, struct tt_plan **plan,
                           struct tt_error *err) {
    return new_plan(tape, bank, options, NULL, plan, err);
}

enum tt_status tt_plan_new_both_ways(const struct tt_tape *tape,
                                     const struct tt_plan_options *options,
                                     const struct tt_both_ways *back, struct tt_plan **plan,
                                     struct tt_error *err) {
    return new_plan(tape, NULL, options, back, plan, err);
}

void tt_plan_free(struct tt_plan *plan) {
    if (!plan) return;
    for (int i = 0; plan->bank && i < plan->steps.count; i++)
        put_weights(plan, &plan->steps.step[i]);
    end(plan);
    free(plan);
}

// ---- running ----

// One step between its observers.
static enum tt_status run_step(const struct tt_plan *plan, int index,
                               const struct tt_kernels *kernels,
                               const struct tt_observer *observers, size_t observer_count,
                               struct tt_error *err) {
    const struct tt_step *step = &plan->steps.step[index];
    const struct tt_places *at = &plan->places[index];
    const struct tt_op *op = tt_ops[step->op];
    for (size_t j = 0; j < observer_count; j++)
        if (observers[j].before && observers[j].before(observers[j].context, step))
            return tt_fail(err, TT_CANCELLED, "cancelled before %s", step->name);
    int threads = tt_team_size(plan->options.threads);
    if (at->plain)
        tt_form_pack(op->form, &step->node->param[0]->shape, at->plain, data_of(plan, at->packed),
                     threads);
    (step->back ? op->backward : op->run)(step, kernels, threads);
    for (size_t j = 0; j < observer_count; j++)
        if (observers[j].after) observers[j].after(observers[j].context, step);
    return TT_OK;
}

static enum tt_status run(struct tt_plan *plan, int first, int last,
                          const struct tt_kernels *kernels, const struct tt_observer *observers,
                          size_t observer_count, struct tt_error *err) {
    bool streams = plan->bank && tt_bank_streams(plan->bank);
    if (plan->base != plan->arena.memory->base) point(plan); // it has grown for another plan
    for (int i = first; i < last; i++) {
        struct tt_step *step = &plan->steps.step[i];
        if (cancelled(plan)) return tt_fail(err, TT_CANCELLED, "cancelled before %s", step->name);
        enum tt_status status = streams ? get_weights(plan, step, err) : TT_OK;
        if (!status) status = run_step(plan, i, kernels, observers, observer_count, err);
        if (streams) put_weights(plan, step);
        if (status) return status;
        if (plan->options.poison) tt_arena_poison(&plan->arena, tt_plan_time(plan, i));
    }
    return TT_OK;
}

enum tt_status tt_plan_run(struct tt_plan *plan, const struct tt_kernels *kernels,
                           const struct tt_observer *observers, size_t observer_count,
                           struct tt_error *err) {
    return run(plan, 0, plan->forward_count, kernels, observers, observer_count, err);
}

enum tt_status tt_plan_run_back(struct tt_plan *plan, const struct tt_kernels *kernels,
                                const struct tt_observer *observers, size_t observer_count,
                                struct tt_error *err) {
    return run(plan, plan->forward_count, plan->steps.count, kernels, observers, observer_count,
               err);
}
