// SPDX-License-Identifier: MIT
// A scene from its seed: sky, land, subject, weather. The order in which numbers are drawn is part
// of what a seed means, so each draw has a line of its own.
#include "cli/scenes/scene_draw.h"

#include "cli/scenes/scene_stage.h"

// ---- light ----

static const struct light lights[SCENE_TIMES] = {
    [DAY] = {.sky = {{{0.25, 0.53, 0.90}}, {{0.50, 0.74, 0.96}}, {{0.82, 0.92, 0.98}}},
             .sun = {{1.0, 1.0, 1.0}}, .haze = {{0.74, 0.87, 0.95}}, .near = 0.0, .far = 0.55,
             .grass = {{0.42, 0.70, 0.28}}, .sea = {{0.13, 0.45, 0.70}},
             .sand = {{0.92, 0.80, 0.54}}, .window = {{0.35, 0.50, 0.65}},
             .hills = {{0.30, 0.55, 0.36}}},
    [SUNSET] = {.sky = {{{0.30, 0.20, 0.46}}, {{0.86, 0.40, 0.36}}, {{1.00, 0.76, 0.36}}},
                .sun = {{0.86, 0.64, 0.58}}, .haze = {{0.90, 0.50, 0.38}}, .near = 0.06,
                .far = 0.50, .grass = {{0.40, 0.38, 0.24}}, .sea = {{0.48, 0.26, 0.42}},
                .sand = {{0.86, 0.60, 0.44}}, .window = {{1.00, 0.86, 0.42}},
                .hills = {{0.36, 0.20, 0.36}}},
    [NIGHT] = {.sky = {{{0.02, 0.04, 0.14}}, {{0.05, 0.09, 0.25}}, {{0.13, 0.20, 0.40}}},
               .sun = {{0.48, 0.54, 0.74}}, .haze = {{0.10, 0.15, 0.32}}, .near = 0.05,
               .far = 0.45, .grass = {{0.30, 0.42, 0.32}}, .sea = {{0.14, 0.26, 0.44}},
               .sand = {{0.52, 0.50, 0.50}}, .window = {{1.00, 0.85, 0.42}},
               .hills = {{0.14, 0.20, 0.34}}},
    [FOG] = {.sky = {{{0.70, 0.73, 0.75}}, {{0.76, 0.78, 0.79}}, {{0.82, 0.83, 0.83}}},
             .sun = {{0.84, 0.85, 0.86}}, .haze = {{0.80, 0.81, 0.81}}, .near = 0.42,
             .far = 0.84, .grass = {{0.50, 0.57, 0.46}}, .sea = {{0.46, 0.53, 0.56}},
             .sand = {{0.74, 0.70, 0.62}}, .window = {{0.92, 0.86, 0.66}},
             .hills = {{0.45, 0.52, 0.52}}},
    [SNOW] = {.sky = {{{0.50, 0.62, 0.80}}, {{0.66, 0.76, 0.89}}, {{0.85, 0.90, 0.96}}},
              .sun = {{0.92, 0.95, 1.0}}, .haze = {{0.82, 0.88, 0.95}}, .near = 0.08,
              .far = 0.50, .grass = {{0.93, 0.95, 0.99}}, .sea = {{0.34, 0.50, 0.64}},
              .sand = {{0.93, 0.95, 0.99}}, .window = {{0.98, 0.84, 0.50}},
              .hills = {{0.62, 0.72, 0.82}}},
};

static struct ink dim(struct ink ink, double by) {
    return ink_tint(ink, INK(by, by, by));
}

// ---- sky and land ----

// What the parts of a scene share while it is drawn.
struct view {
    struct canvas canvas;
    const struct light *light;
    const struct scene *scene;
    struct scene_chance rng;
    double horizon, sun; // heights and places on the canvas
};

static double draw(struct view *v, double low, double high) {
    return scene_chance_real(&v->rng, low, high);
}

static void disc(struct view *v, double x, double y, double r, struct ink ink, double soft) {
    struct brush brush = {ink, 1.0, soft, NULL};
    canvas_ellipse(&v->canvas, (struct point){x, y}, (struct point){r, r}, UNCUT,
                   &brush);
}

static void oval(struct view *v, double x, double y, double rx, double ry,
                 const struct brush *brush) {
    canvas_ellipse(&v->canvas, (struct point){x, y}, (struct point){rx, ry}, UNCUT,
                   brush);
}

static void glow(struct view *v, double x, double y, double rx, double ry, struct ink ink,
                 double alpha) {
    canvas_glow(&v->canvas, (struct point){x, y}, (struct point){rx, ry}, ink, alpha);
}

static void moon_and_stars(struct view *v) {
    double y = draw(v, 18, 30);
    glow(v, v->sun, y, 30, 30, INK(0.60, 0.68, 0.86), 0.40);
    disc(v, v->sun, y, 10, INK(0.95, 0.94, 0.84), 1.0);
    disc(v, v->sun - 3, y + 2, 2.6, INK(0.84, 0.83, 0.76), 1.0);
    disc(v, v->sun + 3.5, y - 3, 1.9, INK(0.85, 0.84, 0.77), 1.0);
    for (int i = 0; i < 12; i++) {
        double star_x = i % 6 * 21.3 + draw(v, 4, 18);
        double star_y = i / 6 * 28 + draw(v, 5, 26);
        double dx = star_x - v->sun, dy = star_y - 24;
        if (dx * dx + dy * dy > 420) disc(v, star_x, star_y, 0.9, INK(0.92, 0.93, 1.0), 1.6);
    }
}

static void clouds(struct view *v, int side, struct ink ink, double alpha) {
    static const double puffs[3][3] = {{-0.55, 0.05, 0.45}, {0.5, 0.06, 0.5}, {0.0, -0.08, 0.62}};
    struct brush brush = {ink, alpha, 5.0, NULL};
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
    canvas_vertical(&v->canvas, 0, v->horizon + 1, v->light->sky);
    v->sun = 64 + side * draw(v, 22, 44);
    switch (v->scene->time) {
    case DAY:
        y = draw(v, 16, 28);
        glow(v, v->sun, y, 30, 30, INK(1.0, 0.98, 0.80), 0.55);
        disc(v, v->sun, y, 9, INK(1.0, 0.94, 0.55), 1.0);
        clouds(v, side, INK(1, 1, 1), 0.85);
        break;
    case SUNSET:
        y = v->horizon - draw(v, 4, 14);
        glow(v, v->sun, y, 62, 46, INK(1.0, 0.80, 0.36), 0.70);
        disc(v, v->sun, y, 13, INK(1.0, 0.93, 0.62), 1.0);
        clouds(v, side, INK(0.98, 0.62, 0.48), 0.6);
        break;
    case NIGHT: moon_and_stars(v); break;
    case SNOW: clouds(v, side, INK(0.93, 0.95, 0.98), 0.6); break;
    default: break; // fog hides it all
    }
}

static void hills(struct view *v, bool sea) {
    struct brush brush = {ink_mix(v->light->hills, v->light->haze, v->light->far), 1.0, 1.0,
                          NULL};
    struct cut cut = UNCUT;
    cut.above = v->horizon + 1;
    for (int i = 0; i < 2; i++) {
        double x = i * 70 + draw(v, 0, 58);
        double width = draw(v, 38, 64);
        double height = (sea ? 0.5 : 1.0) * draw(v, 14, 26);
        canvas_ellipse(&v->canvas, (struct point){x, v->horizon + 4},
                       (struct point){width, height}, cut, &brush);
    }
}

static void water(struct view *v) {
    static const struct {
        struct ink ink;
        double strength;
    } glints[SCENE_TIMES] = {
        [DAY] = {{{0.90, 0.96, 1.0}}, 0.35},
        [SUNSET] = {{{1.0, 0.80, 0.42}}, 0.75},
        [NIGHT] = {{{0.72, 0.78, 0.90}}, 0.40},
    };
    struct ink haze = v->light->haze, deep = ink_mix(v->light->sea, haze,
                                                     v->light->near * 0.6);
    struct ink stops[] = {ink_mix(deep, haze, 0.45), deep, dim(deep, 0.8)};
    int time = v->scene->time;
    canvas_vertical(&v->canvas, v->horizon, 129, stops);
    for (int i = 0; i < 4 && glints[time].strength > 0; i++)
        glow(v, v->sun, v->horizon + 3 + 9 * i, 16 + 3 * i, 3.4 + i, glints[time].ink,
             glints[time].strength);
}

static void land(struct view *v) {
    int time = v->scene->time, subject = v->scene->subject;
    bool sea = subject == LIGHTHOUSE || subject == SAILBOAT;
    if (!sea || scene_chance_hit(&v->rng, 0.5)) hills(v, sea);
    if (sea) {
        water(v);
        return;
    }
    struct ink haze = v->light->haze;
    struct ink base = ink_mix(subject == CACTUS ? v->light->sand : v->light->grass, haze,
                              v->light->near * 0.6);
    if (time == NIGHT && subject == CACTUS) base = ink_tint(base, INK(0.75, 0.75, 0.9));
    struct ink back = ink_mix(base, haze, 0.35);
    if (time == NIGHT || time == SUNSET) {
        base = dim(base, 0.62);
        back = dim(back, 0.72);
    }
    struct ink stops[] = {back, base, dim(base, 0.84)};
    canvas_vertical(&v->canvas, v->horizon, 129, stops);
    double x = draw(v, 10, 118);
    double width = draw(v, 80, 110);
    double height = draw(v, 22, 26);
    struct brush brush = {ink_mix(base, back, 0.4), 1.0, 1.0, NULL};
    oval(v, x, v->horizon + 30, width, height, &brush);
    struct shade shade = {0, 128, 1.03, 0.95};
    width = draw(v, 90, 120);
    height = draw(v, 26, 32);
    brush = (struct brush){base, 0.9, 1.0, &shade};
    oval(v, 128 - x, v->horizon + 46, width, height, &brush);
}

// ---- what lies before the subject ----

static void foot_of_mountain(struct view *v) {
    int time = v->scene->time;
    struct shade shade = {0, 128, 1.05, 0.92};
    struct ink base = ink_mix(v->light->grass, v->light->haze, v->light->near * 0.6);
    if (time == NIGHT || time == SUNSET) base = dim(base, 0.62);
    struct brush brush = {base, 1.0, 1.0, &shade};
    oval(v, 64 + draw(v, -20, 20), 138, 130, 138 - v->horizon, &brush);
}

static void weather(struct view *v) {
    struct brush flake = {INK(1.0, 1.0, 1.0), 0.95, 1.6, NULL};
    for (int i = 0; i < 2 && v->scene->time == FOG; i++) {
        double x = draw(v, 10, 118);
        double y = v->horizon + draw(v, -14, 22);
        glow(v, x, y, 70, 13, v->light->haze, 0.65);
    }
    for (int i = 0; i < 16 && v->scene->time == SNOW; i++) {
        double x = i % 4 * 32 + draw(v, 4, 28);
        double y = i / 4 * 30 + draw(v, 3, 27);
        oval(v, x, y, 1.5, 1.5, &flake);
    }
}

void scene_draw(const struct scene *scene, size_t pixels, float *work, uint8_t *rgb) {
    static const double places[] = {37, 64, 91}, sizes[] = {0.62, 0.88, 1.14};
    int subject = scene->subject, time = scene->time;
    struct view v = {.light = &lights[time], .scene = scene,
                     .rng = {scene->seed * UINT64_C(0x2545F4914F6CDD1D) + 0x1234567}};
    canvas_init(&v.canvas, work, pixels);
    v.horizon = draw(&v, 80, 88);
    double x = places[scene->place] + draw(&v, -5, 5);
    double scale = sizes[scene->size] * draw(&v, 0.95, 1.05);
    sky(&v, x);
    land(&v);
    double y = v.horizon + draw(&v, 9, 13) + 9 * (scale - 0.6);
    if (subject == BALLOON) y = v.horizon - draw(&v, 0, 8) + 16 * (scale - 0.9);
    if (subject == SAILBOAT) y -= 4;
    if (subject == MOUNTAIN) {
        y = v.horizon + 4;
        scale *= 1.05;
    }
    bool lit_left = v.sun < x;
    struct stage stage = {
        .canvas = &v.canvas, .light = v.light, .x = x, .y = y, .scale = scale,
        .lit = {lit_left ? 1.08 : 0.74, lit_left ? 0.74 : 1.08}, .rng = &v.rng, .time = time,
        .dark = time == NIGHT || time == SUNSET || time == FOG,
    };
    scene_subject(&stage, subject, scene->colour);
    if (subject == MOUNTAIN) foot_of_mountain(&v);
    weather(&v);
    canvas_bytes(&v.canvas, rgb);
}
