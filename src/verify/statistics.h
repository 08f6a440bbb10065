// SPDX-License-Identifier: MIT
#ifndef TT_VERIFY_STATISTICS_H
#define TT_VERIFY_STATISTICS_H

#include "tintype.h"

// What a recording keeps of a tensor instead of its values: of the finite ones of n numbers, in any
// order. Without a finite one, zeros. TT_SYSTEM: out of memory.
enum tt_status tt_statistics_of(const float *x, size_t n, struct tt_recorded_statistics *out,
                                struct tt_error *err);

#endif
