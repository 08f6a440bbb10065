// SPDX-License-Identifier: MIT
// The forward steps of a tape, in order, for the plans that run it: inputs and reshapes are none,
// and nodes that one pass can do are folded together.
#ifndef TT_GRAPH_STEPS_H
#define TT_GRAPH_STEPS_H

#include "graph/op.h"

struct tt_steps {
    struct tt_step *step; // pointers to data are not set
    int count;
    tt_value *root; // for each value, the one that it is a reshape of; itself when it is none
};

// Which nodes may be folded into the step that makes their first input; the bits stay the same.
enum tt_fold {
    TT_FOLD_NOTHING,
    TT_FOLD_SUMS, // the per-image bias and the residual of a product
    TT_FOLD_ALL,  // and silu into a group norm
};

// TT_SYSTEM when memory is short; the sticky error of the tape when it has one.
enum tt_status tt_steps_make(const struct tt_tape *tape, enum tt_fold fold, bool conv_direct,
                             struct tt_steps *steps, struct tt_error *err);
void tt_steps_free(struct tt_steps *steps);

#endif
