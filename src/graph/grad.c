// SPDX-License-Identifier: MIT
#include "graph/grad_plan.h"

#include <stdlib.h>

void tt_grad_free(struct tt_grad *grad) {
    if (!grad) return;
    tt_arena_free(&grad->arena);
    tt_steps_free(&grad->steps);
    tt_pool_free(&grad->names);
    free(grad->events);
    free(grad->places);
    free(grad->seed);
    free(grad->gradient);
    free(grad);
}

const struct tt_step *tt_grad_steps(const struct tt_grad *grad, int *count) {
    *count = grad->count;
    return grad->events;
}

size_t tt_grad_arena_bytes(const struct tt_grad *grad) {
    return grad->arena.bytes;
}

float *tt_grad_data(const struct tt_grad *grad, tt_value value) {
    return tt_arena_at(&grad->arena, value);
}

float *tt_grad_seed(const struct tt_grad *grad, tt_value value) {
    return tt_arena_at(&grad->arena, grad->seed[grad->steps.root[value]]);
}

const float *tt_grad_gradient(const struct tt_grad *grad, tt_value value) {
    int buffer = grad->gradient[grad->steps.root[value]];
    return buffer < 0 ? NULL : tt_arena_at(&grad->arena, buffer);
}

// ---- making ----

static void *data_of(const struct tt_grad *grad, int buffer) {
    return buffer < 0 ? NULL : tt_arena_at(&grad->arena, buffer);
}

static void point(struct tt_grad *grad) {
    grad->base = grad->arena.memory->base;
    for (int i = 0; i < grad->count; i++) {
        struct tt_step *event = &grad->events[i];
        const struct tt_places *at = &grad->places[i];
        for (int j = 0; j < TT_MAX_INPUTS; j++) {
            event->x[j] = data_of(grad, at->x[j]);
            event->dx[j] = data_of(grad, at->dx[j]);
        }
        event->image_bias_data = data_of(grad, at->image_bias);
        event->residual_data = data_of(grad, at->residual);
        event->y = data_of(grad, at->y);
        event->saved = data_of(grad, at->saved);
        event->scratch = data_of(grad, at->scratch);
        event->dy = data_of(grad, at->dy);
        event->dimage_bias = data_of(grad, at->dimage_bias);
        event->packed = data_of(grad, at->packed);
        if (event->packed) event->weight.data = event->packed;
    }
}

enum tt_status tt_grad_new(const struct tt_tape *tape, struct tt_params *params,
                           const struct tt_grad_options *options, struct tt_grad **out,
                           struct tt_error *err) {
    struct tt_grad *grad = calloc(1, sizeof *grad);
    if (!grad) return tt_fail(err, TT_SYSTEM, "out of memory for a training plan");
    struct tt_error own = {0};
    *grad = (struct tt_grad){.tape = tape, .params = params, .options = options->plan};
    enum tt_status status = tt_steps_make(tape, options->plan.fold ? TT_FOLD_ALL : TT_FOLD_NOTHING,
                                          options->plan.conv_direct, &grad->steps, &own);
    grad->seed = calloc((size_t)tape->node_count + 1, sizeof *grad->seed);
    grad->gradient = calloc((size_t)tape->node_count + 1, sizeof *grad->gradient);
    if (!status && (!grad->seed || !grad->gradient))
        status = tt_fail(&own, TT_SYSTEM, "out of memory for a training plan");
    if (!status) status = tt_grad_plan(grad, options, &own);
    if (!status)
        status = tt_arena_lay_out(&grad->arena, options->memory,
                                  "activations and their gradients", &own);
    if (status) {
        tt_grad_free(grad);
        return tt_fail(err, status, "%s", own.message);
    }
    point(grad);
    *out = grad;
    return TT_OK;
}

// ---- running ----

static enum tt_status run(struct tt_grad *grad, int begin, int end,
                          const struct tt_kernels *kernels, const struct tt_observer *observers,
                          size_t observer_count, struct tt_error *err) {
    if (grad->base != grad->arena.memory->base) point(grad); // it has grown for another plan
    for (int i = begin; i < end; i++) {
        const struct tt_step *event = &grad->events[i];
        const struct tt_plan_options *with = &grad->options;
        if (with->cancelled && with->cancelled(with->context))
            return tt_fail(err, TT_CANCELLED, "cancelled before %s", event->name);
        enum tt_status status =
            tt_step_run(event, kernels, with->threads, observers, observer_count, err);
        if (status) return status;
        if (grad->options.poison) tt_arena_poison(&grad->arena, tt_grad_time(grad, i));
    }
    return TT_OK;
}

enum tt_status tt_grad_forward(struct tt_grad *grad, const struct tt_kernels *kernels,
                               const struct tt_observer *observers, size_t observer_count,
                               struct tt_error *err) {
    return run(grad, 0, grad->forward_count, kernels, observers, observer_count, err);
}

enum tt_status tt_grad_backward(struct tt_grad *grad, const struct tt_kernels *kernels,
                                const struct tt_observer *observers, size_t observer_count,
                                struct tt_error *err) {
    return run(grad, grad->forward_count, grad->count, kernels, observers, observer_count, err);
}
