// SPDX-License-Identifier: MIT
// The CPU random generator of PyTorch, bit for bit: seed S here is torch.Generator("cpu") with
// manual_seed(S). Every draw of a run (first latents, noise inside a step) comes from one of these.
#ifndef TT_NOISE_RNG_H
#define TT_NOISE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A Mersenne twister (MT19937) and the second half of the last pair of normal numbers that was
// drawn one by one. A plain value: copying it forks the stream.
struct tt_rng {
    uint32_t state[624];
    size_t next;   // index of the next word of state; 624: state must be renewed first
    bool has_spare;
    double spare;
};

// Starts the stream of seed. As in PyTorch only its low 32 bits count.
void tt_rng_seed(struct tt_rng *rng, uint64_t seed);

// The next 32 bits, and the next 64 (two draws, the first is the high word).
uint32_t tt_rng_u32(struct tt_rng *rng);
uint64_t tt_rng_u64(struct tt_rng *rng);

// torch.rand: n floats in [0, 1), multiples of 2^-24.
void tt_rng_uniform(struct tt_rng *rng, float *out, size_t n);

// torch.randn: n standard normal floats. Sizes below 16 are drawn one by one in double precision
// (and leave or take the spare); from 16 on, blocks of 16, and for a size that is no multiple of 16
// the last 16 numbers are drawn anew. So one call for n + m numbers is not two calls for n and m.
void tt_rng_normal(struct tt_rng *rng, float *out, size_t n);

#endif
