// SPDX-License-Identifier: MIT
#ifndef TT_BASE_CLOCK_H
#define TT_BASE_CLOCK_H

#include <time.h>

// Seconds on a clock that only goes forward.
static inline double tt_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
