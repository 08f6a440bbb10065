// SPDX-License-Identifier: MIT
// Numbers that look like chance and follow from others.
#ifndef TT_BASE_MIX_H
#define TT_BASE_MIX_H

#include <stdint.h>

// splitmix64 (Steele, Lea and Flood 2014): a state goes on by this each time,
#define TT_MIX_STEP UINT64_C(0x9E3779B97F4A7C15)

// and this is what it gives: a permutation of all 64-bit numbers that looks like chance.
static inline uint64_t tt_mix(uint64_t z) {
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

// FNV-1a: the hash of a text goes on with another one.
#define TT_FNV_BEGIN UINT64_C(0xcbf29ce484222325)
static inline uint64_t tt_fnv(uint64_t hash, const char *text) {
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

#endif
