// SPDX-License-Identifier: MIT
// Chance in scenes: the numbers of a seed, in the order in which they are drawn.
#ifndef TT_CLI_SCENE_CHANCE_H
#define TT_CLI_SCENE_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

// splitmix64 (Steele, Lea and Flood 2014): one state, good enough for pictures.
struct scene_chance {
    uint64_t state;
};
// low to high with 24 bits; 0 to n - 1.
double scene_chance_real(struct scene_chance *rng, double low, double high);
int scene_chance_below(struct scene_chance *rng, int n);
// True with probability p.
bool scene_chance_hit(struct scene_chance *rng, double p);

#endif
