// SPDX-License-Identifier: MIT
// What a scene holds, and what is said about it.
#include <stdio.h>

#include "train/scene_stage.h"

enum { NOBODY = -1 };

// The colour a subject mostly wears when none is named; NOBODY: it has no colour to name.
static const int wears[TT_SCENE_SUBJECTS] = {
    [TT_LIGHTHOUSE] = TT_RED, [TT_HOUSE] = TT_YELLOW, [TT_TREE] = NOBODY,
    [TT_SAILBOAT] = TT_WHITE, [TT_MOUNTAIN] = NOBODY, [TT_CASTLE] = TT_BLUE,
    [TT_WINDMILL] = TT_WHITE, [TT_BALLOON] = TT_RED,  [TT_CACTUS] = NOBODY,
    [TT_SNOWMAN] = NOBODY,    [TT_TENT] = TT_YELLOW,  [TT_MUSHROOM] = TT_RED,
};

struct tt_scene tt_scene_of(uint64_t seed, int subject, int time) {
    static const int sizes[] = {0, 0, 1, 1, 1, 1, 2, 2, 2};
    static const int places[] = {0, 0, 0, 1, 1, 1, 1, 2, 2, 2};
    struct tt_splitmix rng = {seed};
    struct tt_scene scene = {.seed = seed};
    scene.subject = subject >= 0 ? subject : tt_splitmix_below(&rng, TT_SCENE_SUBJECTS);
    scene.time = time >= 0 ? time : tt_splitmix_below(&rng, TT_SCENE_TIMES);
    scene.size = sizes[tt_splitmix_below(&rng, 9)];
    scene.place = places[tt_splitmix_below(&rng, 10)];
    int worn = wears[scene.subject];
    scene.named = worn != NOBODY && tt_splitmix_chance(&rng, 0.65);
    if (scene.named) scene.colour = tt_splitmix_below(&rng, TT_SCENE_COLOURS);
    else scene.colour = worn == NOBODY ? TT_WHITE : worn;
    return scene;
}

// One combination for every subject but the lighthouse and the mountain, spread over all times.
bool tt_scene_held_out(const struct tt_scene *scene) {
    static const int out[][2] = {
        {TT_HOUSE, TT_NIGHT},     {TT_TREE, TT_SNOW},     {TT_SAILBOAT, TT_SUNSET},
        {TT_CASTLE, TT_FOG},      {TT_WINDMILL, TT_SUNSET}, {TT_BALLOON, TT_NIGHT},
        {TT_CACTUS, TT_DAY},      {TT_TENT, TT_FOG},      {TT_MUSHROOM, TT_SNOW},
        {TT_SNOWMAN, TT_NIGHT},
    };
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        if (out[i][0] == scene->subject && out[i][1] == scene->time) return true;
    return false;
}

static const char *time_words(struct tt_splitmix *rng, int time) {
    static const char *const words[TT_SCENE_TIMES][3] = {
        [TT_DAY] = {"on a sunny day", "in daylight", "at noon"},
        [TT_SUNSET] = {"at sunset", "in the evening", "at dusk"},
        [TT_NIGHT] = {"at night", "in the moonlight", "under the stars"},
        [TT_FOG] = {"in fog", "in the fog", "on a foggy morning"},
        [TT_SNOW] = {"in the snow", "in winter", "on a snowy day"},
    };
    return words[time][tt_splitmix_chance(rng, 0.6) ? tt_splitmix_below(rng, 3) : 0];
}

static const char *noun_of(struct tt_splitmix *rng, int subject) {
    static const char *const second[TT_SCENE_SUBJECTS] = {
        [TT_HOUSE] = "cottage", [TT_SAILBOAT] = "sailing boat", [TT_BALLOON] = "balloon"};
    const char *first = subject == TT_BALLOON ? "hot air balloon" : tt_scene_subjects[subject];
    if (!tt_splitmix_chance(rng, 0.5)) return first;
    return tt_splitmix_below(rng, second[subject] ? 2 : 1) ? second[subject] : first;
}

void tt_scene_caption(const struct tt_scene *scene, struct tt_splitmix *rng,
                      char text[TT_SCENE_CAPTION]) {
    static const char *const sizes[3][2] = {{"small ", "little "}, {"", ""}, {"big ", "large "}};
    static const char *const places[] = {" on the left", " in the middle", " on the right"};
    const char *when = time_words(rng, scene->time), *noun = noun_of(rng, scene->subject);
    const char *size = "", *colour = "", *place = "";
    if (scene->size != 1 && tt_splitmix_chance(rng, 0.7))
        size = sizes[scene->size][tt_splitmix_below(rng, 2)];
    // A colour nobody mentions is the usual one, or the caption would leave it to chance.
    if (scene->named && tt_splitmix_chance(rng, 0.9)) colour = tt_scene_colours[scene->colour];
    char thing[64], placed[96];
    snprintf(thing, sizeof thing, "%s%s%s%s", size, colour, *colour ? " " : "", noun);
    if ((scene->place != 1 && tt_splitmix_chance(rng, 0.7)) || tt_splitmix_chance(rng, 0.15))
        place = places[scene->place];
    snprintf(placed, sizeof placed, "a %s%s", thing, place);
    int form = tt_splitmix_below(rng, 10);
    if (form < 5) snprintf(text, TT_SCENE_CAPTION, "%s %s", placed, when);
    else if (form < 6) snprintf(text, TT_SCENE_CAPTION, "%s, %s", when, placed);
    else if (form < 7) snprintf(text, TT_SCENE_CAPTION, "a picture of %s %s", placed, when);
    else if (form < 8) snprintf(text, TT_SCENE_CAPTION, "a painting of %s, %s", placed, when);
    else if (form < 9) snprintf(text, TT_SCENE_CAPTION, "%s, %s", placed, when);
    else snprintf(text, TT_SCENE_CAPTION, "%s %s", thing, when);
}
