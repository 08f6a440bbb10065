// SPDX-License-Identifier: MIT
// What a recording keeps of a tensor instead of its values.
#ifndef TT_VERIFY_STATISTICS_H
#define TT_VERIFY_STATISTICS_H

#include "tintype.h"

// Exact statistics of n floats, in any order but for the last bits of sums; the room is made when
// it is needed and freed with tt_statistics_free(). Zero-initialise it. False: no memory.
struct tt_statistics_room {
    size_t *upper;
    uint32_t *lower;
};
bool tt_statistics_of(struct tt_statistics_room *room, const float *x, size_t n,
                      struct tt_recorded_statistics *statistics);
void tt_statistics_free(struct tt_statistics_room *room);

// The largest magnitude; NaN when not every element is finite.
double tt_largest(const float *x, size_t n);

#endif
