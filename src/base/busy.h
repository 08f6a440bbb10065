// SPDX-License-Identifier: MIT
// What the threads of a team do inside one step: how long each works, and how long it waits for
// the others. Processor time does not tell: OpenMP's threads spin while they wait. Whoever wants to
// know hands down a table with a place for each thread (struct tt_kernels); to all others it is
// NULL, and a parallel region has one comparison for each of its threads.
//
//     #pragma omp parallel num_threads(threads)
//     {
//         struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
//     #pragma omp for nowait
//         for (...) ...
//         tt_busy_meet(&me);   // a barrier
//     #pragma omp for nowait
//         for (...) ...
//         tt_busy_end(&me);
//     }
#ifndef TT_BASE_BUSY_H
#define TT_BASE_BUSY_H

#include <omp.h>
#include <stddef.h>

#include "base/clock.h"

// One thread's, on a cache line of its own. Zeroed before a step.
struct tt_busy {
    double begun, ended; // the first region's begin, the last one's end; tt_seconds()
    double worked;       // seconds in between
    double unused[5];
};

struct tt_busy_thread {
    struct tt_busy *busy; // NULL: nobody asks
    double since;
};

// A team of one is not asked: in a region inside a region each thread would be thread 0.
static inline struct tt_busy_thread tt_busy_begin(struct tt_busy *busy, int threads) {
    if (!busy || threads < 2) return (struct tt_busy_thread){NULL, 0};
    struct tt_busy_thread me = {busy + omp_get_thread_num(), tt_seconds()};
    if (me.busy->begun == 0) me.busy->begun = me.since;
    return me;
}

static inline void tt_busy_end(struct tt_busy_thread *me) {
    if (!me->busy) return;
    me->busy->ended = tt_seconds();
    me->busy->worked += me->busy->ended - me->since;
}

static inline void tt_busy_meet(struct tt_busy_thread *me) {
    tt_busy_end(me);
#pragma omp barrier
    if (me->busy) me->since = tt_seconds();
}

#endif
