// SPDX-License-Identifier: MIT
// Why something was chosen, in words, told by what chooses: it takes a struct tt_why, which is NULL
// where nobody asks.
#ifndef TT_BASE_WHY_H
#define TT_BASE_WHY_H

#include <stddef.h>

// Zero-initialise.
struct tt_why {
    char text[512];
    size_t used;
};

// Appends a reason, after "; " where there is one already; what does not fit is cut. why may be
// NULL.
void tt_why_add(struct tt_why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
