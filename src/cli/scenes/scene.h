// SPDX-License-Identifier: MIT
// Small captioned scenes, one subject at one time of day or in one weather: the data that the
// shipped model learns from. A seed is a scene, the same on every machine, byte for byte what
// reference/scenes.py draws.
#ifndef TT_CLI_SCENE_H
#define TT_CLI_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/scenes/scene_chance.h"

enum { SCENE_SUBJECTS = 12, SCENE_TIMES = 5, SCENE_COLOURS = 5, SCENE_CAPTION = 160 };

enum { DAY, SUNSET, NIGHT, FOG, SNOW };
enum {
    LIGHTHOUSE,
    HOUSE,
    TREE,
    SAILBOAT,
    MOUNTAIN,
    CASTLE,
    WINDMILL,
    BALLOON,
    CACTUS,
    SNOWMAN,
    TENT,
    MUSHROOM,
};
enum { RED, BLUE, YELLOW, GREEN, WHITE };

// "lighthouse", ...; "day", "sunset", "night", "fog", "snow"; "red", ....
extern const char *const scene_subjects[SCENE_SUBJECTS];
extern const char *const scene_times[SCENE_TIMES];
extern const char *const scene_colours[SCENE_COLOURS];

// Indices into the lists above; size 0 small, 1 medium, 2 big; place 0 left, 1 middle, 2 right.
struct scene {
    int subject, time, colour, size, place;
    uint64_t seed;
    bool named; // captions may name the colour
};

// The scene of a seed; subject and time are drawn from it, too, where they are -1.
struct scene scene_of(uint64_t seed, int subject, int time);

// Whether this combination of subject and time is kept from training, to test what was learnt.
bool scene_held_out(const struct scene *scene);

// One of many true sentences about the scene.
void scene_caption(const struct scene *scene, struct scene_chance *rng,
                   char text[SCENE_CAPTION]);

#endif
