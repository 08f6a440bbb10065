// SPDX-License-Identifier: MIT
// A part made ready to be called at one size: its tape, its plan, and calls. What is read from a
// model's folder is handed in.
#ifndef TT_NETWORK_H
#define TT_NETWORK_H

#include "engine.h"
#include "graph/plan.h"
#include "model/part.h"

// Zero-initialised: nothing is laid out or planned.
struct tt_network {
    const struct tt_part_network *of;
    const void *config; // borrowed, as the engine and the bank of the plan are
    struct tt_size size;
    struct tt_tape tape;
    tt_value inputs[TT_NAMED], outputs[TT_NAMED]; // TT_NO_VALUE: this configuration has none
    struct tt_plan *plan;     // NULL: none yet
    struct tt_params *params; // of a plan both ways: the weights as floats, and their gradients
    bool ran;                 // the plan has gone forward, so that it can go back
};

// Ends all that it holds and leaves it zero-initialised.
void tt_network_drop(struct tt_network *network);

// A side that every network can halve as often as it does, to lay one out when no size is known.
enum { TT_ANY_SIDE = 1024 };

// Lays it out; the first error of the tape.
enum tt_status tt_network_lay_out(struct tt_network *network, const struct tt_part_network *of,
                                  const void *config, const struct tt_size *size,
                                  struct tt_error *err);

// After that: a plan to call it by, or one with a backward pass.
enum tt_status tt_network_plan(struct tt_network *network, const struct tt_engine *engine,
                               struct tt_bank *bank, struct tt_error *err);
enum tt_status tt_network_plan_both_ways(struct tt_network *network,
                                         const struct tt_engine *engine,
                                         const struct tt_source *source, struct tt_error *err);
bool tt_network_is_planned(const struct tt_network *network);

// A call's arrays, in PyTorch's order of elements, by the network's lists of inputs and outputs;
// NULL where one is not given or not asked for.
struct tt_arrays {
    const void *in[TT_NAMED];
    void *out[TT_NAMED];
};

// Writes the inputs where the plan has them; TT_BAD_INPUT: what a network derives from them fails.
enum tt_status tt_network_feed(struct tt_network *network, const struct tt_engine *engine,
                               const struct tt_arrays *arrays, struct tt_error *err);
enum tt_status tt_network_run(struct tt_network *network, const struct tt_engine *engine,
                              const struct tt_observer *observers, size_t count,
                              struct tt_error *err);
// After a run: whether all that was asked for is finite; the outputs.
bool tt_network_is_finite(const struct tt_network *network, const struct tt_arrays *arrays);
void tt_network_get(const struct tt_network *network, const struct tt_engine *engine,
                    const struct tt_arrays *arrays);
// An output is not finite: runs it again, up to the first node where that begins, and says which.
enum tt_status tt_network_explain(struct tt_network *network, const struct tt_engine *engine,
                                  const struct tt_arrays *arrays, const char *name,
                                  struct tt_error *err);
// The backward pass, from the gradient of the main output.
enum tt_status tt_network_back(struct tt_network *network, const struct tt_engine *engine,
                               const float *dout, const struct tt_observer *observers,
                               size_t count, struct tt_error *err);

#endif
