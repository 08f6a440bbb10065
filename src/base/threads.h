// SPDX-License-Identifier: MIT
// Threads before OpenMP makes them: its runtime ends the process, with exit status 1, when one
// cannot be made.
#ifndef TT_BASE_THREADS_H
#define TT_BASE_THREADS_H

#include "base/status.h"

// How many a team will have: `asked`, or when that is 0 what OpenMP takes, but no more than
// TT_MOST_THREADS, whoever asks. TT_BAD_INPUT names who asked for more than that.
enum tt_status tt_threads_count(size_t asked, int *threads, struct tt_error *err);

// Makes OpenMP's team of the calling thread, which keeps it for all regions of that many threads,
// after as many threads have been there at once for a moment. TT_SYSTEM: fewer could be started, or
// the stack of one of them is too small (base/stack.h).
enum tt_status tt_threads_make(int threads, struct tt_error *err);

#endif
