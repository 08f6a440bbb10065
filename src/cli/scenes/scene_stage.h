// SPDX-License-Identifier: MIT
// A canvas seen from a subject: its own coordinates have their origin at the middle of its foot and
// y up; the light tints and shades what it paints, haze makes it fade.
#ifndef TT_CLI_SCENE_STAGE_H
#define TT_CLI_SCENE_STAGE_H

#include <math.h>

#include "cli/scenes/canvas.h"
#include "cli/scenes/scene.h"

#define INK(r, g, b) ((struct ink){{r, g, b}})
#define INK_SNOW INK(0.93, 0.95, 0.99)

// What a time of day does to colours.
struct light {
    struct ink sky[3]; // at the top, in the middle and at the horizon
    struct ink sun;    // multiplies every painted colour
    struct ink haze;   // what far things fade into
    double near, far;  // how much the subject and distant hills fade
    struct ink grass, sea, sand;
    struct ink window; // a pane; lit after dark
    struct ink hills;
};

struct stage {
    struct canvas *canvas;
    const struct light *light;
    double x, y, scale;
    double lit[2]; // brightness of the left and of the right side
    struct scene_chance *rng;
    int time;
    bool dark;
};

static inline struct ink ink_mix(struct ink a, struct ink b, double t) {
    for (int c = 0; c < 3; c++) a.rgb[c] = a.rgb[c] + (b.rgb[c] - a.rgb[c]) * t;
    return a;
}

static inline struct ink ink_tint(struct ink a, struct ink b) {
    for (int c = 0; c < 3; c++) a.rgb[c] = a.rgb[c] * b.rgb[c];
    return a;
}

// Draws subject in colour (indices of scene.h).
void scene_subject(struct stage *stage, int subject, int colour);

#endif
