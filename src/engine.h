// SPDX-License-Identifier: MIT
// What networks run on: kernels, threads, convolutions; the same for all networks of a model.
#ifndef TT_ENGINE_H
#define TT_ENGINE_H

#include "base/note.h"
#include "graph/plan.h"

struct tt_engine {
    struct tt_kernels kernels;
    struct tt_plan_options plan;
    struct tt_notes notes;
    struct tt_files *files; // NULL: nobody asks
};

#endif
