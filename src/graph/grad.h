// SPDX-License-Identifier: MIT
// The second direction: a tape walked forward, keeping what the way back needs, and then backward.
// Reverse-mode differentiation (Linnainmaa, 1970) of the same nodes that inference runs: each
// operation has its `backward` beside its `run` (graph/op.h), values read by several nodes get the
// sum of their gradients in a fixed order, and gradients of parameters are added up in a table.
// Activations and gradients lie in one arena by lifetime; a run allocates nothing; the bits depend
// on neither threads, instruction set, observers nor checkpointing.
//
// To train a network in ten lines (errors left out; the loss is the caller's own code):
//
//     struct tt_tape tape = {0};
//     struct tt_unet u = tt_unet_tape(&tape, &config, batch, height, width, tokens);
//     tt_params_new((const struct tt_tape *const[]){&tape}, 1, &params, &err);
//     tt_params_load(params, &source, &err);
//     tt_grad_new(&tape, params, &(struct tt_grad_options){.plan = {.threads = 2, .fold = true},
//                 .outputs = &u.out, .output_count = 1}, &grad, &err);
//     for (each batch) {
//         write the batch to tt_grad_data(grad, u.sample), u.timestep, u.encoder_hidden_states
//         tt_grad_forward(grad, kernels, NULL, 0, &err);
//         write d loss / d out, computed from tt_grad_data(grad, u.out), to
//             tt_grad_seed(grad, u.out)
//         tt_grad_backward(grad, kernels, NULL, 0, &err);
//         move tt_params_value(params, i) along tt_params_gradient(params, i), all i
//         tt_params_zero_gradients(params);
//     }
//
// Batches accumulate by several forward and backward runs before one optimiser step. Networks in
// a chain (text encoder -> U-Net) have a tape, a table and a plan each: the gradient of the second
// one's input (options.inputs) is copied to the first one's output.
#ifndef TT_GRAPH_GRAD_H
#define TT_GRAPH_GRAD_H

#include "graph/arena.h"
#include "graph/params.h"
#include "graph/plan.h"

struct tt_grad_options {
    struct tt_plan_options plan; // keep_all keeps gradients, too
    // Keep only what the blocks of the network (ResNet blocks, transformers, the text encoder's
    // layers) hand to one another; inside a block, compute forward again on the way back.
    bool checkpoint_activations;
    const tt_value *outputs; // the values whose gradient the caller gives
    int output_count;
    const tt_value *inputs; // inputs of the tape whose gradient the caller wants
    int input_count;
    // Where activations and gradients lie, with those of other plans: one of these plans runs
    // forward and backward before the next is filled in or made. NULL: in memory of its own.
    struct tt_arena_memory *memory;
};

struct tt_grad;

// The tape and the table, which has all of the tape's parameters, must outlive the plan; the
// options' lists need not.
enum tt_status tt_grad_new(const struct tt_tape *tape, struct tt_params *params,
                           const struct tt_grad_options *options, struct tt_grad **grad,
                           struct tt_error *err);
// Takes NULL, too.
void tt_grad_free(struct tt_grad *grad);

// The buffer of a value, laid out as tt_plan_data says: inputs are written before the forward run,
// outputs of the tape and of the options read between the two. Others are there with keep_all.
float *tt_grad_data(const struct tt_grad *grad, tt_value value);

// Where the caller writes the gradient of an output (of the options) between the runs, laid out
// like the value. What the tape's own nodes add to it does not show here.
float *tt_grad_seed(const struct tt_grad *grad, tt_value value);

// The whole gradient of a value, laid out like the value: that of inputs (of the options) is read
// after the backward run; others are there with keep_all. NULL: no gradient reaches the value.
const float *tt_grad_gradient(const struct tt_grad *grad, tt_value value);

// Runs the steps one way. TT_CANCELLED when an observer or the options stop it; gradients of
// parameters are then only partly added.
enum tt_status tt_grad_forward(struct tt_grad *grad, const struct tt_kernels *kernels,
                               const struct tt_observer *observers, size_t observer_count,
                               struct tt_error *err);
enum tt_status tt_grad_backward(struct tt_grad *grad, const struct tt_kernels *kernels,
                                const struct tt_observer *observers, size_t observer_count,
                                struct tt_error *err);

// All steps in their order, forward, then backward.
const struct tt_step *tt_grad_steps(const struct tt_grad *grad, int *count);

// Bytes of activations, gradients of activations and scratch.
size_t tt_grad_arena_bytes(const struct tt_grad *grad);

#endif
