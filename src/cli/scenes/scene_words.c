// SPDX-License-Identifier: MIT
// What a scene holds, and what is said about it.
#include <stdio.h>

#include "cli/scenes/scene.h"

const char *const scene_subjects[SCENE_SUBJECTS] = {
    "lighthouse", "house",   "tree",   "sailboat", "mountain", "castle",
    "windmill",   "balloon", "cactus", "snowman",  "tent",     "mushroom",
};
const char *const scene_times[SCENE_TIMES] = {"day", "sunset", "night", "fog", "snow"};
const char *const scene_colours[SCENE_COLOURS] = {"red", "blue", "yellow", "green", "white"};

enum { NOBODY = -1 };

// The colour a subject mostly wears when none is named; NOBODY: it has no colour to name.
static const int wears[SCENE_SUBJECTS] = {
    [LIGHTHOUSE] = RED, [HOUSE] = YELLOW, [TREE] = NOBODY,
    [SAILBOAT] = WHITE, [MOUNTAIN] = NOBODY, [CASTLE] = BLUE,
    [WINDMILL] = WHITE, [BALLOON] = RED, [CACTUS] = NOBODY,
    [SNOWMAN] = NOBODY, [TENT] = YELLOW, [MUSHROOM] = RED,
};

struct scene scene_of(uint64_t seed, int subject, int time) {
    static const int sizes[] = {0, 0, 1, 1, 1, 1, 2, 2, 2};
    static const int places[] = {0, 0, 0, 1, 1, 1, 1, 2, 2, 2};
    struct scene_chance rng = {seed};
    struct scene scene = {.seed = seed};
    scene.subject = subject >= 0 ? subject : scene_chance_below(&rng, SCENE_SUBJECTS);
    scene.time = time >= 0 ? time : scene_chance_below(&rng, SCENE_TIMES);
    scene.size = sizes[scene_chance_below(&rng, 9)];
    scene.place = places[scene_chance_below(&rng, 10)];
    int worn = wears[scene.subject];
    scene.named = worn != NOBODY && scene_chance_hit(&rng, 0.65);
    if (scene.named) scene.colour = scene_chance_below(&rng, SCENE_COLOURS);
    else scene.colour = worn == NOBODY ? WHITE : worn;
    return scene;
}

// One combination for every subject but the lighthouse and the mountain, spread over all times.
bool scene_held_out(const struct scene *scene) {
    static const int out[][2] = {
        {HOUSE, NIGHT},     {TREE, SNOW},     {SAILBOAT, SUNSET},
        {CASTLE, FOG},      {WINDMILL, SUNSET}, {BALLOON, NIGHT},
        {CACTUS, DAY},      {TENT, FOG},      {MUSHROOM, SNOW},
        {SNOWMAN, NIGHT},
    };
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        if (out[i][0] == scene->subject && out[i][1] == scene->time) return true;
    return false;
}

static const char *time_words(struct scene_chance *rng, int time) {
    static const char *const words[SCENE_TIMES][3] = {
        [DAY] = {"on a sunny day", "in daylight", "at noon"},
        [SUNSET] = {"at sunset", "in the evening", "at dusk"},
        [NIGHT] = {"at night", "in the moonlight", "under the stars"},
        [FOG] = {"in fog", "in the fog", "on a foggy morning"},
        [SNOW] = {"in the snow", "in winter", "on a snowy day"},
    };
    return words[time][scene_chance_hit(rng, 0.6) ? scene_chance_below(rng, 3) : 0];
}

static const char *noun_of(struct scene_chance *rng, int subject) {
    static const char *const second[SCENE_SUBJECTS] = {
        [HOUSE] = "cottage", [SAILBOAT] = "sailing boat", [BALLOON] = "balloon"};
    const char *first = subject == BALLOON ? "hot air balloon" : scene_subjects[subject];
    if (!scene_chance_hit(rng, 0.5)) return first;
    return scene_chance_below(rng, second[subject] ? 2 : 1) ? second[subject] : first;
}

void scene_caption(const struct scene *scene, struct scene_chance *rng,
                   char text[SCENE_CAPTION]) {
    static const char *const sizes[3][2] = {{"small ", "little "}, {"", ""}, {"big ", "large "}};
    static const char *const places[] = {" on the left", " in the middle", " on the right"};
    const char *when = time_words(rng, scene->time), *noun = noun_of(rng, scene->subject);
    const char *size = "", *colour = "", *place = "";
    if (scene->size != 1 && scene_chance_hit(rng, 0.7))
        size = sizes[scene->size][scene_chance_below(rng, 2)];
    // A colour nobody mentions is the usual one, or the caption would leave it to chance.
    if (scene->named && scene_chance_hit(rng, 0.9)) colour = scene_colours[scene->colour];
    char thing[64], placed[96];
    snprintf(thing, sizeof thing, "%s%s%s%s", size, colour, *colour ? " " : "", noun);
    if ((scene->place != 1 && scene_chance_hit(rng, 0.7)) || scene_chance_hit(rng, 0.15))
        place = places[scene->place];
    snprintf(placed, sizeof placed, "a %s%s", thing, place);
    int form = scene_chance_below(rng, 10);
    if (form < 5) snprintf(text, SCENE_CAPTION, "%s %s", placed, when);
    else if (form < 6) snprintf(text, SCENE_CAPTION, "%s, %s", when, placed);
    else if (form < 7) snprintf(text, SCENE_CAPTION, "a picture of %s %s", placed, when);
    else if (form < 8) snprintf(text, SCENE_CAPTION, "a painting of %s, %s", placed, when);
    else if (form < 9) snprintf(text, SCENE_CAPTION, "%s, %s", placed, when);
    else snprintf(text, SCENE_CAPTION, "%s %s", thing, when);
}
