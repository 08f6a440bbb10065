// SPDX-License-Identifier: MIT
// Small captioned scenes, one subject at one time of day or in one weather: the data that the
// shipped model learns from. A seed is a scene, the same on every machine, byte for byte what
// reference/scenes.py draws.
#ifndef TT_TRAIN_SCENES_H
#define TT_TRAIN_SCENES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { TT_SCENE_SUBJECTS = 12, TT_SCENE_TIMES = 5, TT_SCENE_COLOURS = 5, TT_SCENE_CAPTION = 160 };

// "lighthouse", ...; "day", "sunset", "night", "fog", "snow"; "red", ....
extern const char *const tt_scene_subjects[TT_SCENE_SUBJECTS];
extern const char *const tt_scene_times[TT_SCENE_TIMES];
extern const char *const tt_scene_colours[TT_SCENE_COLOURS];

// Indices into the lists above; size 0 small, 1 medium, 2 big; place 0 left, 1 middle, 2 right.
struct tt_scene {
    int subject, time, colour, size, place;
    uint64_t seed;
    bool named; // captions may name the colour
};

// splitmix64 (Steele, Lea and Flood 2014): one state, good enough for pictures.
struct tt_splitmix {
    uint64_t state;
};
// low to high with 24 bits; 0 to n - 1.
double tt_splitmix_real(struct tt_splitmix *rng, double low, double high);
int tt_splitmix_below(struct tt_splitmix *rng, int n);
// True with probability p.
bool tt_splitmix_chance(struct tt_splitmix *rng, double p);

// The scene of a seed; subject and time are drawn from it, too, where they are -1.
struct tt_scene tt_scene_of(uint64_t seed, int subject, int time);

// Whether this combination of subject and time is kept from training, to test what was learnt.
bool tt_scene_held_out(const struct tt_scene *scene);

// One of many true sentences about the scene.
void tt_scene_caption(const struct tt_scene *scene, struct tt_splitmix *rng,
                      char text[TT_SCENE_CAPTION]);

// Draws the scene: rgb (pixels, pixels, 3), rows from the top. work: 3 pixels² floats.
void tt_scene_draw(const struct tt_scene *scene, size_t pixels, float *work, uint8_t *rgb);

#endif
