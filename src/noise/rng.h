// SPDX-License-Identifier: MIT
// The generator's words; seeds and floats are in tintype.h.
#ifndef TT_NOISE_RNG_H
#define TT_NOISE_RNG_H

#include "tintype.h"

// The next 32 bits, and the next 64 (two draws, the first is the high word).
uint32_t tt_rng_u32(struct tt_rng *rng);
uint64_t tt_rng_u64(struct tt_rng *rng);

#endif
