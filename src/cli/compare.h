// SPDX-License-Identifier: MIT
// A run of a part beside its recording: an observer that compares every module's output, and what
// modules are given, as the run goes along.
#ifndef TT_CLI_COMPARE_H
#define TT_CLI_COMPARE_H

#include <jansson.h>

#include "cli/cli.h"

// What became of a recorded tensor.
struct comparison {
    // Left out are whole numbers, what a module is given beside its first input, and padded
    // pictures, which we never make.
    enum { NOT_SEEN, COMPARED, LEFT_OUT } state;
    double difference; // the largest
    double needed;     // how many times err32 it is, beside the floor; infinite where err32 is 0
    bool agrees;
    size_t at; // where the largest difference is, in PyTorch's order
    float ours, recorded;
};

struct compare {
    const struct tt_recording *recording;
    size_t call;
    double factor;
    struct comparison *results; // of each recorded tensor
    size_t count;
    float *values;        // room for those of one
    json_t *unrecorded;   // names of the model's modules that the recording lacks
    struct tt_error error; // a tensor of another shape
};

// Free with compare_free(), also after an error.
enum tt_status compare_new(struct compare *c, const struct tt_recording *recording,
                           size_t call, double factor, struct tt_error *err);
void compare_free(struct compare *c);

// To be shown a run in which every node is a step.
struct tt_observer compare_observer(struct compare *c);

// What is no module's output but made of one: mean, logvar and std of the encoder's moments, of
// shape (N, 2C, h, w). TT_SYSTEM: out of memory.
enum tt_status compare_moments(struct compare *c, const float *moments,
                               const struct tt_shape *shape, struct tt_error *err);

#endif
