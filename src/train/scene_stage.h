// SPDX-License-Identifier: MIT
// A canvas seen from a subject: its own coordinates have their origin at the middle of its foot and
// y up; the light tints and shades what it paints, haze makes it fade.
#ifndef TT_TRAIN_SCENE_STAGE_H
#define TT_TRAIN_SCENE_STAGE_H

#include <math.h>

#include "train/canvas.h"
#include "train/scenes.h"

enum { TT_DAY, TT_SUNSET, TT_NIGHT, TT_FOG, TT_SNOW };
enum {
    TT_LIGHTHOUSE,
    TT_HOUSE,
    TT_TREE,
    TT_SAILBOAT,
    TT_MOUNTAIN,
    TT_CASTLE,
    TT_WINDMILL,
    TT_BALLOON,
    TT_CACTUS,
    TT_SNOWMAN,
    TT_TENT,
    TT_MUSHROOM,
};
enum { TT_RED, TT_BLUE, TT_YELLOW, TT_GREEN, TT_WHITE };

#define TT_INK(r, g, b) ((struct tt_ink){{r, g, b}})
#define TT_INK_SNOW TT_INK(0.93, 0.95, 0.99)

// What a time of day does to colours.
struct tt_light {
    struct tt_ink sky[3]; // at the top, in the middle and at the horizon
    struct tt_ink sun;    // multiplies every painted colour
    struct tt_ink haze;   // what far things fade into
    double near, far;     // how much the subject and distant hills fade
    struct tt_ink grass, sea, sand;
    struct tt_ink window; // a pane; lit after dark
    struct tt_ink hills;
};

struct tt_stage {
    struct tt_canvas *canvas;
    const struct tt_light *light;
    double x, y, scale;
    double lit[2]; // brightness of the left and of the right side
    struct tt_splitmix *rng;
    int time;
    bool dark;
};

static inline struct tt_ink tt_ink_mix(struct tt_ink a, struct tt_ink b, double t) {
    for (int c = 0; c < 3; c++) a.rgb[c] = a.rgb[c] + (b.rgb[c] - a.rgb[c]) * t;
    return a;
}

static inline struct tt_ink tt_ink_tint(struct tt_ink a, struct tt_ink b) {
    for (int c = 0; c < 3; c++) a.rgb[c] = a.rgb[c] * b.rgb[c];
    return a;
}

// Draws subject in colour (indices of scenes.h).
void tt_scene_subject(struct tt_stage *stage, int subject, int colour);

#endif
