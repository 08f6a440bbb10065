// SPDX-License-Identifier: MIT
#include "cli/scenes/scene_chance.h"

static uint64_t next(struct scene_chance *rng) {
    uint64_t z = rng->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

double scene_chance_real(struct scene_chance *rng, double low, double high) {
    return low + (high - low) * ((double)(next(rng) >> 40) / 16777216.0);
}

int scene_chance_below(struct scene_chance *rng, int n) {
    return (int)((next(rng) >> 32) * (uint64_t)n >> 32);
}

bool scene_chance_hit(struct scene_chance *rng, double p) {
    return scene_chance_real(rng, 0.0, 1.0) < p;
}
