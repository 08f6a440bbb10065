// SPDX-License-Identifier: MIT
// A plan: a tape made ready to run for its batch and size. Nodes are folded together, buffers are
// laid into one arena by lifetime, weights are found and packed; running allocates nothing.
//
// There are two directions: forward, as inference goes, with weights from a bank; and both ways,
// for training, with values and gradients in a table of parameters. Going back is reverse-mode
// differentiation (Linnainmaa, 1970) of the same nodes: each operation has its `backward` beside
// its `run` (graph/op.h), values read by several nodes get the sum of their gradients in a fixed
// order, and gradients of parameters are added up in the table. The bits depend on neither threads,
// instruction set, observers nor on what is computed again.
//
// To train a network in ten lines (errors left out; the loss is the caller's own code):
//
//     struct tt_tape tape = {0};
//     struct tt_unet u = tt_unet_tape(&tape, &config, batch, height, width, tokens);
//     tt_params_new((const struct tt_tape *const[]){&tape}, 1, true, &params, &err);
//     tt_params_load(params, &source, &err);
//     tt_plan_new_both_ways(&tape, &options, &(struct tt_both_ways){.params = params,
//                           .outputs = &u.out, .output_count = 1}, &plan, &err);
//     for (each batch) {
//         write the batch to tt_plan_data(plan, u.sample), u.timestep, u.encoder_hidden_states
//         tt_plan_run(plan, kernels, NULL, 0, &err);
//         write d loss / d out, computed from tt_plan_data(plan, u.out), to
//             tt_plan_seed(plan, u.out)
//         tt_plan_run_back(plan, kernels, NULL, 0, &err);
//         move tt_params_value(params, i) along tt_params_gradient(params, i), all i
//         tt_params_zero_gradients(params);
//     }
//
// Batches accumulate by several runs there and back before one optimiser step. Networks in a chain
// (text encoder -> U-Net) have a tape, a table and a plan each: the gradient of the second one's
// input (tt_both_ways.inputs) is copied to the first one's output.
#ifndef TT_GRAPH_PLAN_H
#define TT_GRAPH_PLAN_H

#include "graph/arena.h"
#include "graph/bank.h"
#include "graph/params.h"

struct tt_plan_options {
    int threads;
    bool fold;        // join nodes that one pass can do; the bits stay the same
    bool conv_direct; // no Winograd
    bool keep_all;    // every value and gradient keeps its own buffer, for those who look back
    bool poison;      // fill a buffer with NaN when its last reader is done (tests)
    // Asked before every step and every weight; non-zero stops with TT_CANCELLED. May be NULL.
    int (*cancelled)(void *context);
    void *context;
};

// What a plan needs to know for a backward pass. The lists need not outlive the call.
struct tt_both_ways {
    // Has all of the tape's parameters and outlives the plan. Where it is frozen, gradients go only
    // to the wanted inputs, by the shortest way.
    struct tt_params *params;
    // Keep only what the blocks of the network (tt_push_block) hand to one another; inside a block,
    // compute forward again in the backward pass.
    bool checkpoint_activations;
    const tt_value *outputs; // the values whose gradient the caller gives
    int output_count;
    const tt_value *inputs; // inputs of the tape whose gradient the caller wants
    int input_count;
    // Where activations and gradients lie, with those of other plans: one of these plans runs
    // there and back before the next is filled in or made. NULL: in memory of its own.
    struct tt_arena_memory *memory;
};

struct tt_plan;

// The tape and the bank must outlive the plan.
enum tt_status tt_plan_new(const struct tt_tape *tape, struct tt_bank *bank,
                           const struct tt_plan_options *options, struct tt_plan **plan,
                           struct tt_error *err);
enum tt_status tt_plan_new_both_ways(const struct tt_tape *tape,
                                     const struct tt_plan_options *options,
                                     const struct tt_both_ways *back, struct tt_plan **plan,
                                     struct tt_error *err);
// The bytes of a forward plan's activations and scratch, without taking them: TT_SYSTEM when the
// machine has less memory. bank NULL: of weights that need not be dequantised.
enum tt_status tt_plan_measure(const struct tt_tape *tape, const struct tt_bank *bank,
                               const struct tt_plan_options *options, size_t *bytes,
                               struct tt_error *err);
// Takes NULL, too.
void tt_plan_free(struct tt_plan *plan);

// The buffer of a value: inputs are written here before a run, outputs of the tape and of the way
// back are read after it, before the backward pass. (N, C, H, W) is N*H*W rows of C. Other values
// are only there with keep_all. Int inputs hold int32.
float *tt_plan_data(const struct tt_plan *plan, tt_value value);

// Of a plan both ways: where the caller writes the gradient of an output (of the backward pass)
// between the runs, laid out like the value. What the tape's own nodes add to it does not show
// here.
float *tt_plan_seed(const struct tt_plan *plan, tt_value value);

// The whole gradient of a value, laid out like the value: that of inputs (of the backward pass) is
// read after the backward run; others are there with keep_all. NULL: no gradient reaches the value.
const float *tt_plan_gradient(const struct tt_plan *plan, tt_value value);

// Runs the forward steps in order, each between the hooks of the observers; or those of the way
// back. TT_CANCELLED when an observer or the options stop it; gradients of parameters are then only
// partly added.
enum tt_status tt_plan_run(struct tt_plan *plan, const struct tt_kernels *kernels,
                           const struct tt_observer *observers, size_t observer_count,
                           struct tt_error *err);
enum tt_status tt_plan_run_back(struct tt_plan *plan, const struct tt_kernels *kernels,
                                const struct tt_observer *observers, size_t observer_count,
                                struct tt_error *err);

// All steps in their order, forward, then the backward pass; and how many.
const struct tt_step *tt_plan_steps(const struct tt_plan *plan, int *count);

// Bytes of activations, their gradients and scratch: of the arena, and of what is alive in it while
// a step runs.
size_t tt_plan_arena_bytes(const struct tt_plan *plan);
size_t tt_plan_live_bytes(const struct tt_plan *plan, int step);

// The scratch that a step needs, in bytes, whatever size its team of at most so many threads has
// (base/team.h); less is not always enough for fewer. scratch NULL: none.
size_t tt_step_scratch(size_t (*scratch)(const struct tt_step *step, int threads),
                       const struct tt_step *step, int threads);

#endif
