// SPDX-License-Identifier: MIT
// A scene from its seed: sky, land, subject, weather. The order in which numbers are drawn is part
// of what a seed means, so each draw has a line of its own.
#include "train/scenes.h"

#include "train/scene_stage.h"

const char *const tt_scene_subjects[TT_SCENE_SUBJECTS] = {
    "lighthouse", "house",   "tree",   "sailboat", "mountain", "castle",
    "windmill",   "balloon", "cactus", "snowman",  "tent",     "mushroom",
};
const char *const tt_scene_times[TT_SCENE_TIMES] = {"day", "sunset", "night", "fog", "snow"};
const char *const tt_scene_colours[TT_SCENE_COLOURS] = {"red", "blue", "yellow", "green", "white"};

// ---- chance ----

static uint64_t next(struct tt_splitmix *rng) {
    uint64_t z = rng->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

double tt_splitmix_real(struct tt_splitmix *rng, double low, double high) {
    return low + (high - low) * ((double)(next(rng) >> 40) / 16777216.0);
}

int tt_splitmix_below(struct tt_splitmix *rng, int n) {
    return (int)((next(rng) >> 32) * (uint64_t)n >> 32);
}

bool tt_splitmix_chance(struct tt_splitmix *rng, double p) {
    return tt_splitmix_real(rng, 0.0, 1.0) < p;
}

// ---- light ----

static const struct tt_light lights[TT_SCENE_TIMES] = {
    [TT_DAY] = {.sky = {{{0.25, 0.53, 0.90}}, {{0.50, 0.74, 0.96}}, {{0.82, 0.92, 0.98}}},
                .sun = {{1.0, 1.0, 1.0}}, .haze = {{0.74, 0.87, 0.95}}, .near = 0.0, .far = 0.55,
                .grass = {{0.42, 0.70, 0.28}}, .sea = {{0.13, 0.45, 0.70}},
                .sand = {{0.92, 0.80, 0.54}}, .window = {{0.35, 0.50, 0.65}},
                .hills = {{0.30, 0.55, 0.36}}},
    [TT_SUNSET] = {.sky = {{{0.30, 0.20, 0.46}}, {{0.86, 0.40, 0.36}}, {{1.00, 0.76, 0.36}}},
                   .sun = {{0.86, 0.64, 0.58}}, .haze = {{0.90, 0.50, 0.38}}, .near = 0.06,
                   .far = 0.50, .grass = {{0.40, 0.38, 0.24}}, .sea = {{0.48, 0.26, 0.42}},
                   .sand = {{0.86, 0.60, 0.44}}, .window = {{1.00, 0.86, 0.42}},
                   .hills = {{0.36, 0.20, 0.36}}},
    [TT_NIGHT] = {.sky = {{{0.02, 0.04, 0.14}}, {{0.05, 0.09, 0.25}}, {{0.13, 0.20, 0.40}}},
                  .sun = {{0.48, 0.54, 0.74}}, .haze = {{0.10, 0.15, 0.32}}, .near = 0.05,
                  .far = 0.45, .grass = {{0.30, 0.42, 0.32}}, .sea = {{0.14, 0.26, 0.44}},
                  .sand = {{0.52, 0.50, 0.50}}, .window = {{1.00, 0.85, 0.42}},
                  .hills = {{0.14, 0.20, 0.34}}},
    [TT_FOG] = {.sky = {{{0.70, 0.73, 0.75}}, {{0.76, 0.78, 0.79}}, {{0.82, 0.83, 0.83}}},
                .sun = {{0.84, 0.85, 0.86}}, .haze = {{0.80, 0.81, 0.81}}, .near = 0.42,
                .far = 0.84, .grass = {{0.50, 0.57, 0.46}}, .sea = {{0.46, 0.53, 0.56}},
                .sand = {{0.74, 0.70, 0.62}}, .window = {{0.92, 0.86, 0.66}},
                .hills = {{0.45, 0.52, 0.52}}},
    [TT_SNOW] = {.sky = {{{0.50, 0.62, 0.80}}, {{0.66, 0.76, 0.89}}, {{0.85, 0.90, 0.96}}},
                 .sun = {{0.92, 0.95, 1.0}}, .haze = {{0.82, 0.88, 0.95}}, .near = 0.08,
                 .far = 0.50, .grass = {{0.93, 0.95, 0.99}}, .sea = {{0.34, 0.50, 0.64}},
                 .sand = {{0.93, 0.95, 0.99}}, .window = {{0.98, 0.84, 0.50}},
                 .hills = {{0.62, 0.72, 0.82}}},
};

static struct tt_ink dim(struct tt_ink ink, double by) {
    return tt_ink_tint(ink, TT_INK(by, by, by));
}

// ---- sky and land ----

// What the parts of a scene share while it is drawn.
struct view {
    struct tt_canvas canvas;
    const struct tt_light *light;
    const struct tt_scene *scene;
    struct tt_splitmix rng;
    double horizon, sun; // heights and places on the canvas
};

static double draw(struct view *v, double low, double high) {
    return tt_splitmix_real(&v->rng, low, high);
}

static void disc(struct view *v, double x, double y, double r, struct tt_ink ink, double soft) {
    struct tt_brush brush = {ink, 1.0, soft, NULL};
    tt_canvas_ellipse(&v->canvas, (struct tt_point){x, y}, (struct tt_point){r, r}, TT_UNCUT,
                      &brush);
}

static void oval(struct view *v, double x, double y, double rx, double ry,
                 const struct tt_brush *brush) {
    tt_canvas_ellipse(&v->canvas, (struct tt_point){x, y}, (struct tt_point){rx, ry}, TT_UNCUT,
                      brush);
}

static void glow(struct view *v, double x, double y, double rx, double ry, struct tt_ink ink,
                 double alpha) {
    tt_canvas_glow(&v->canvas, (struct tt_point){x, y}, (struct tt_point){rx, ry}, ink, alpha);
}

static void moon_and_stars(struct view *v) {
    double y = draw(v, 18, 30);
    glow(v, v->sun, y, 30, 30, TT_INK(0.60, 0.68, 0.86), 0.40);
    disc(v, v->sun, y, 10, TT_INK(0.95, 0.94, 0.84), 1.0);
    disc(v, v->sun - 3, y + 2, 2.6, TT_INK(0.84, 0.83, 0.76), 1.0);
    disc(v, v->sun + 3.5, y - 3, 1.9, TT_INK(0.85, 0.84, 0.77), 1.0);
    for (int i = 0; i < 12; i++) {
        double star_x = i % 6 * 21.3 + draw(v, 4, 18);
        double star_y = i / 6 * 28 + draw(v, 5, 26);
        double dx = star_x - v->sun, dy = star_y - 24;
        if (dx * dx + dy * dy > 420) disc(v, star_x, star_y, 0.9, TT_INK(0.92, 0.93, 1.0), 1.6);
    }
}

static void clouds(struct view *v, int side, struct tt_ink ink, double alpha) {
    static const double puffs[3][3] = {{-0.55, 0.05, 0.45}, {0.5, 0.06, 0.5}, {0.0, -0.08, 0.62}};
    struct tt_brush brush = {ink, alpha, 5.0, NULL};
    for (int i = 0; i < 2; i++) {
        double x = i == 0 ? 64 + side * draw(v, 0, 60) : 64 - side * draw(v, 20, 50);
        double y = draw(v, 18, 44);
        double w = draw(v, 15, 24);
        for (int j = 0; j < 3; j++) {
            double r = puffs[j][2];
            oval(v, x + puffs[j][0] * w, y + puffs[j][1] * w, r * w, r * w * 0.42, &brush);
        }
    }
}

static void sky(struct view *v, double subject_x) {
    int side = subject_x < 64 ? 1 : -1;
    double y;
    tt_canvas_vertical(&v->canvas, 0, v->horizon + 1, v->light->sky);
    v->sun = 64 + side * draw(v, 22, 44);
    switch (v->scene->time) {
    case TT_DAY:
        y = draw(v, 16, 28);
        glow(v, v->sun, y, 30, 30, TT_INK(1.0, 0.98, 0.80), 0.55);
        disc(v, v->sun, y, 9, TT_INK(1.0, 0.94, 0.55), 1.0);
        clouds(v, side, TT_INK(1, 1, 1), 0.85);
        break;
    case TT_SUNSET:
        y = v->horizon - draw(v, 4, 14);
        glow(v, v->sun, y, 62, 46, TT_INK(1.0, 0.80, 0.36), 0.70);
        disc(v, v->sun, y, 13, TT_INK(1.0, 0.93, 0.62), 1.0);
        clouds(v, side, TT_INK(0.98, 0.62, 0.48), 0.6);
        break;
    case TT_NIGHT: moon_and_stars(v); break;
    case TT_SNOW: clouds(v, side, TT_INK(0.93, 0.95, 0.98), 0.6); break;
    default: break; // fog hides it all
    }
}

static void hills(struct view *v, bool sea) {
    struct tt_brush brush = {tt_ink_mix(v->light->hills, v->light->haze, v->light->far), 1.0, 1.0,
                             NULL};
    struct tt_cut cut = TT_UNCUT;
    cut.above = v->horizon + 1;
    for (int i = 0; i < 2; i++) {
        double x = i * 70 + draw(v, 0, 58);
        double width = draw(v, 38, 64);
        double height = (sea ? 0.5 : 1.0) * draw(v, 14, 26);
        tt_canvas_ellipse(&v->canvas, (struct tt_point){x, v->horizon + 4},
                          (struct tt_point){width, height}, cut, &brush);
    }
}

static void water(struct view *v) {
    static const struct {
        struct tt_ink ink;
        double strength;
    } glints[TT_SCENE_TIMES] = {
        [TT_DAY] = {{{0.90, 0.96, 1.0}}, 0.35},
        [TT_SUNSET] = {{{1.0, 0.80, 0.42}}, 0.75},
        [TT_NIGHT] = {{{0.72, 0.78, 0.90}}, 0.40},
    };
    struct tt_ink haze = v->light->haze, deep = tt_ink_mix(v->light->sea, haze,
                                                           v->light->near * 0.6);
    struct tt_ink stops[] = {tt_ink_mix(deep, haze, 0.45), deep, dim(deep, 0.8)};
    int time = v->scene->time;
    tt_canvas_vertical(&v->canvas, v->horizon, 129, stops);
    for (int i = 0; i < 4 && glints[time].strength > 0; i++)
        glow(v, v->sun, v->horizon + 3 + 9 * i, 16 + 3 * i, 3.4 + i, glints[time].ink,
             glints[time].strength);
}

static void land(struct view *v) {
    int time = v->scene->time, subject = v->scene->subject;
    bool sea = subject == TT_LIGHTHOUSE || subject == TT_SAILBOAT;
    if (!sea || tt_splitmix_chance(&v->rng, 0.5)) hills(v, sea);
    if (sea) {
        water(v);
        return;
    }
    struct tt_ink haze = v->light->haze;
    struct tt_ink base = tt_ink_mix(subject == TT_CACTUS ? v->light->sand : v->light->grass, haze,
                                    v->light->near * 0.6);
    if (time == TT_NIGHT && subject == TT_CACTUS) base = tt_ink_tint(base, TT_INK(0.75, 0.75, 0.9));
    struct tt_ink back = tt_ink_mix(base, haze, 0.35);
    if (time == TT_NIGHT || time == TT_SUNSET) {
        base = dim(base, 0.62);
        back = dim(back, 0.72);
    }
    struct tt_ink stops[] = {back, base, dim(base, 0.84)};
    tt_canvas_vertical(&v->canvas, v->horizon, 129, stops);
    double x = draw(v, 10, 118);
    double width = draw(v, 80, 110);
    double height = draw(v, 22, 26);
    struct tt_brush brush = {tt_ink_mix(base, back, 0.4), 1.0, 1.0, NULL};
    oval(v, x, v->horizon + 30, width, height, &brush);
    struct tt_shade shade = {0, 128, 1.03, 0.95};
    width = draw(v, 90, 120);
    height = draw(v, 26, 32);
    brush = (struct tt_brush){base, 0.9, 1.0, &shade};
    oval(v, 128 - x, v->horizon + 46, width, height, &brush);
}

// ---- what lies before the subject ----

static void foot_of_mountain(struct view *v) {
    int time = v->scene->time;
    struct tt_shade shade = {0, 128, 1.05, 0.92};
    struct tt_ink base = tt_ink_mix(v->light->grass, v->light->haze, v->light->near * 0.6);
    if (time == TT_NIGHT || time == TT_SUNSET) base = dim(base, 0.62);
    struct tt_brush brush = {base, 1.0, 1.0, &shade};
    oval(v, 64 + draw(v, -20, 20), 138, 130, 138 - v->horizon, &brush);
}

static void weather(struct view *v) {
    struct tt_brush flake = {TT_INK(1.0, 1.0, 1.0), 0.95, 1.6, NULL};
    for (int i = 0; i < 2 && v->scene->time == TT_FOG; i++) {
        double x = draw(v, 10, 118);
        double y = v->horizon + draw(v, -14, 22);
        glow(v, x, y, 70, 13, v->light->haze, 0.65);
    }
    for (int i = 0; i < 16 && v->scene->time == TT_SNOW; i++) {
        double x = i % 4 * 32 + draw(v, 4, 28);
        double y = i / 4 * 30 + draw(v, 3, 27);
        oval(v, x, y, 1.5, 1.5, &flake);
    }
}

void tt_scene_draw(const struct tt_scene *scene, size_t pixels, float *work, uint8_t *rgb) {
    static const double places[] = {37, 64, 91}, sizes[] = {0.62, 0.88, 1.14};
    int subject = scene->subject, time = scene->time;
    struct view v = {.light = &lights[time], .scene = scene,
                     .rng = {scene->seed * UINT64_C(0x2545F4914F6CDD1D) + 0x1234567}};
    tt_canvas_init(&v.canvas, work, pixels);
    v.horizon = draw(&v, 80, 88);
    double x = places[scene->place] + draw(&v, -5, 5);
    double scale = sizes[scene->size] * draw(&v, 0.95, 1.05);
    sky(&v, x);
    land(&v);
    double y = v.horizon + draw(&v, 9, 13) + 9 * (scale - 0.6);
    if (subject == TT_BALLOON) y = v.horizon - draw(&v, 0, 8) + 16 * (scale - 0.9);
    if (subject == TT_SAILBOAT) y -= 4;
    if (subject == TT_MOUNTAIN) {
        y = v.horizon + 4;
        scale *= 1.05;
    }
    bool lit_left = v.sun < x;
    struct tt_stage stage = {
        .canvas = &v.canvas, .light = v.light, .x = x, .y = y, .scale = scale,
        .lit = {lit_left ? 1.08 : 0.74, lit_left ? 0.74 : 1.08}, .rng = &v.rng, .time = time,
        .dark = time == TT_NIGHT || time == TT_SUNSET || time == TT_FOG,
    };
    tt_scene_subject(&stage, subject, scene->colour);
    if (subject == TT_MOUNTAIN) foot_of_mountain(&v);
    weather(&v);
    tt_canvas_bytes(&v.canvas, rgb);
}
