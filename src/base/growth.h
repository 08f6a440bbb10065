// SPDX-License-Identifier: MIT
// Structs of settings that may grow: each begins with a size_t `size`, which says how much of it
// the program that fills it in knows.
#ifndef TT_BASE_GROWTH_H
#define TT_BASE_GROWTH_H

#include "tintype.h"

// Writes the defaults, `known` bytes, into the caller's struct of `size` bytes, and its size.
void tt_growth_give(void *given, size_t size, const void *defaults, size_t known);

// full, `known` bytes that hold the defaults, takes what the caller's struct says. TT_BAD_INPUT
// when that is larger and says something this library does not know, or has no size at all. what
// names the struct in messages.
enum tt_status tt_growth_take(void *full, size_t known, const void *given, const char *what,
                                struct tt_error *err);

#endif
