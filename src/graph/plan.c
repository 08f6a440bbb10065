// SPDX-License-Identifier: MIT
#include "graph/plan.h"

#include <stdlib.h>

#include "base/team.h"
#include "graph/arena.h"
#include "graph/steps.h"

struct tt_plan {
    const struct tt_tape *tape;
    struct tt_bank *bank;
    struct tt_plan_options options;
    struct tt_steps steps;
    struct tt_arena arena; // a buffer per value, then one per step for its scratch
};

const struct tt_step *tt_plan_steps(const struct tt_plan *plan, int *count) {
    *count = plan->steps.count;
    return plan->steps.step;
}

size_t tt_plan_arena_bytes(const struct tt_plan *plan) {
    return plan->arena.bytes;
}

float *tt_plan_data(const struct tt_plan *plan, tt_value value) {
    return tt_arena_at(&plan->arena, value);
}

static bool cancelled(const struct tt_plan *plan) {
    return plan->options.cancelled && plan->options.cancelled(plan->options.context);
}

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

void tt_plan_free(struct tt_plan *plan) {
    if (!plan) return;
    for (int i = 0; plan->bank && i < plan->steps.count; i++)
        put_weights(plan, &plan->steps.step[i]);
    tt_arena_free(&plan->arena);
    tt_steps_free(&plan->steps);
    free(plan);
}

// Buffers and their lifetimes.
static enum tt_status add_buffers(struct tt_plan *plan, struct tt_error *err) {
    const struct tt_tape *tape = plan->tape;
    struct tt_arena *arena = &plan->arena;
    int count = plan->steps.count;
    for (int i = 0; i < tape->node_count; i++)
        if (tt_arena_add(arena, tt_shape_count(&tape->tensors[i].shape) *
                                   tt_dtype_size(tape->tensors[i].dtype)) < 0)
            return tt_fail(err, TT_SYSTEM, "out of memory for a plan");
    for (int i = 0; i < tape->node_count; i++) {
        arena->buffers[i].root = plan->steps.root[i];
        if (tape->nodes[i].op == TT_OP_input) tt_arena_touch(arena, i, -1);
    }
    for (int i = 0; i < count; i++) {
        struct tt_step *step = &plan->steps.step[i];
        for (int j = 0; j < TT_MAX_INPUTS; j++) tt_arena_touch(arena, step->input[j], i);
        tt_arena_touch(arena, step->image_bias, i);
        tt_arena_touch(arena, step->residual, i);
        tt_arena_touch(arena, step->output, i);
        int own = tt_arena_add(arena, tt_step_scratch(tt_ops[step->op]->scratch, step,
                                                      plan->options.threads));
        if (own < 0) return tt_fail(err, TT_SYSTEM, "out of memory for a plan");
        tt_arena_touch(arena, own, i);
    }
    for (int i = 0; i < tape->node_count; i++)
        if (tape->tensors[i].is_output || plan->options.keep_all) tt_arena_touch(arena, i, count);
    // An element-wise step may write over an input that nobody reads afterwards.
    for (int i = 0; i < count && !plan->options.keep_all; i++) {
        const struct tt_step *step = &plan->steps.step[i];
        if (tt_ops[step->op]->in_place) tt_arena_share(arena, step->input[0], step->output, i);
    }
    return TT_OK;
}

static const float *data_of(const struct tt_plan *plan, tt_value value) {
    return value == TT_NO_VALUE ? NULL : tt_plan_data(plan, value);
}

static void point(struct tt_plan *plan) {
    for (int i = 0; i < plan->steps.count; i++) {
        struct tt_step *step = &plan->steps.step[i];
        for (int j = 0; j < TT_MAX_INPUTS; j++) step->x[j] = data_of(plan, step->input[j]);
        step->image_bias_data = data_of(plan, step->image_bias);
        step->residual_data = data_of(plan, step->residual);
        step->y = tt_plan_data(plan, step->output);
        step->scratch = tt_arena_at(&plan->arena, plan->tape->node_count + i);
    }
}

static const char activations[] = "activations";

static enum tt_status begin(struct tt_plan *plan, const struct tt_tape *tape,
                            const struct tt_plan_options *options, struct tt_error *err) {
    *plan = (struct tt_plan){.tape = tape, .options = *options};
    enum tt_status status = tt_steps_make(tape, options->fold ? TT_FOLD_ALL : TT_FOLD_NOTHING,
                                          options->conv_direct, &plan->steps, err);
    return status ? status : add_buffers(plan, err);
}

enum tt_status tt_plan_measure(const struct tt_tape *tape, const struct tt_plan_options *options,
                               size_t *bytes, struct tt_error *err) {
    struct tt_plan plan;
    enum tt_status status = begin(&plan, tape, options, err);
    if (!status) status = tt_arena_measure(&plan.arena, activations, err);
    *bytes = plan.arena.bytes;
    tt_arena_free(&plan.arena);
    tt_steps_free(&plan.steps);
    return status;
}

enum tt_status tt_plan_new(const struct tt_tape *tape, struct tt_bank *bank,
                           const struct tt_plan_options *options, struct tt_plan **out,
                           struct tt_error *err) {
    struct tt_plan *plan = calloc(1, sizeof *plan);
    if (!plan) return tt_fail(err, TT_SYSTEM, "out of memory for a plan");
    enum tt_status status = begin(plan, tape, options, err);
    if (!status) status = tt_arena_lay_out(&plan->arena, NULL, activations, err);
    plan->bank = bank;
    if (!status) status = find_weights(plan, err);
    if (status) {
        tt_plan_free(plan);
        return status;
    }
    point(plan);
    *out = plan;
    return TT_OK;
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

enum tt_status tt_step_run(const struct tt_step *step, const struct tt_kernels *kernels,
                           int threads, const struct tt_observer *observers,
                           size_t observer_count, struct tt_error *err) {
    for (size_t j = 0; j < observer_count; j++)
        if (observers[j].before && observers[j].before(observers[j].context, step))
            return tt_fail(err, TT_CANCELLED, "cancelled before %s", step->name);
    const struct tt_op *op = tt_ops[step->op];
    threads = tt_team_size(threads);
    if (step->packed)
        tt_form_pack(op->form, &step->node->param[0]->shape, step->plain, step->packed, threads);
    (step->pass == TT_PASS_BACKWARD ? op->backward : op->run)(step, kernels, threads);
    for (size_t j = 0; j < observer_count; j++)
        if (observers[j].after) observers[j].after(observers[j].context, step);
    return TT_OK;
}

enum tt_status tt_plan_run(struct tt_plan *plan, const struct tt_kernels *kernels,
                           const struct tt_observer *observers, size_t observer_count,
                           struct tt_error *err) {
    for (int i = 0; i < plan->steps.count; i++) {
        struct tt_step *step = &plan->steps.step[i];
        bool streams = tt_bank_streams(plan->bank);
        if (cancelled(plan)) return tt_fail(err, TT_CANCELLED, "cancelled before %s", step->name);
        enum tt_status status = streams ? get_weights(plan, step, err) : TT_OK;
        if (!status)
            status = tt_step_run(step, kernels, plan->options.threads, observers, observer_count,
                                 err);
        if (streams) put_weights(plan, step);
        if (status) return status;
        if (plan->options.poison) tt_arena_poison(&plan->arena, i);
    }
    return TT_OK;
}
