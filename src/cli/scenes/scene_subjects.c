// SPDX-License-Identifier: MIT
// The twelve subjects.
#include "cli/scenes/scene_stage.h"

#define DARK INK(0.20, 0.19, 0.22)
#define WOOD INK(0.45, 0.29, 0.17)
#define STONE INK(0.62, 0.60, 0.58)
#define PALE INK(0.95, 0.93, 0.88)
#define LAMP INK(1.0, 0.92, 0.60)
#define GLEAM INK(1.0, 0.80, 0.40)

static const struct ink paints[SCENE_COLOURS] = {
    [RED] = {{0.84, 0.20, 0.17}},   [BLUE] = {{0.17, 0.38, 0.78}},
    [YELLOW] = {{0.96, 0.76, 0.18}}, [GREEN] = {{0.22, 0.58, 0.30}},
    [WHITE] = {{0.94, 0.93, 0.89}},
};

// ---- strokes in the subject's coordinates ----

// SHADED: brighter on the side of the sun. RAW: the colour as it is, for what shines itself.
enum { SHADED = 1, RAW = 2 };

static struct point at(const struct stage *s, double x, double y) {
    return (struct point){s->x + s->scale * x, s->y - s->scale * y};
}

static struct shade shade(const struct stage *s, double x0, double x1) {
    return (struct shade){s->x + s->scale * x0, s->x + s->scale * x1, 1.0 + (s->lit[0] - 1.0),
                          1.0 + (s->lit[1] - 1.0)};
}

static struct ink ink(const struct stage *s, struct ink colour) {
    return ink_mix(ink_tint(colour, s->light->sun), s->light->haze, s->light->near);
}

static struct brush brush(const struct stage *s, struct ink colour, int how,
                          const struct shade *shade) {
    return (struct brush){how & RAW ? colour : ink(s, colour), 1.0, 1.0,
                          how & SHADED ? shade : NULL};
}

static void poly(struct stage *s, const struct point *corner, size_t corners,
                 struct ink colour, int how) {
    struct point there[4];
    double x0 = corner[0].x, x1 = x0;
    for (size_t i = 0; i < corners; i++) {
        there[i] = at(s, corner[i].x, corner[i].y);
        x0 = fmin(x0, corner[i].x);
        x1 = fmax(x1, corner[i].x);
    }
    struct shade light = shade(s, x0, x1);
    struct brush b = brush(s, colour, how, &light);
    canvas_polygon(s->canvas, there, corners, &b);
}

static void triangle(struct stage *s, struct point a, struct point b, struct point c,
                     struct ink colour, int how) {
    poly(s, (struct point[]){a, b, c}, 3, colour, how);
}

static void quad(struct stage *s, struct point a, struct point b, struct point c,
                 struct point d, struct ink colour, int how) {
    poly(s, (struct point[]){a, b, c, d}, 4, colour, how);
}

#define P(x, y) ((struct point){x, y})

static void rect(struct stage *s, double x0, double y0, double x1, double y1,
                 struct ink colour, int how) {
    quad(s, P(x0, y1), P(x1, y1), P(x1, y0), P(x0, y0), colour, how);
}

static void cut_oval(struct stage *s, double x, double y, double rx, double ry, double above,
                     struct ink colour, int how) {
    struct shade light = shade(s, x - rx, x + rx);
    struct brush b = brush(s, colour, how, &light);
    struct cut cut = UNCUT;
    if (above > -INFINITY) cut.above = s->y - s->scale * above;
    canvas_ellipse(s->canvas, at(s, x, y), P(s->scale * rx, s->scale * ry), cut, &b);
}

static void oval(struct stage *s, double x, double y, double rx, double ry,
                 struct ink colour, int how) {
    cut_oval(s, x, y, rx, ry, -INFINITY, colour, how);
}

static void rod(struct stage *s, double ax, double ay, double bx, double by, double r,
                struct ink colour, const struct shade *light) {
    struct brush b = brush(s, colour, light ? SHADED : 0, light);
    canvas_capsule(s->canvas, at(s, ax, ay), at(s, bx, by), s->scale * r, &b);
}

static void glow(struct stage *s, double x, double y, double rx, double ry, struct ink colour,
                 double alpha) {
    canvas_glow(s->canvas, at(s, x, y), P(rx * s->scale, ry * s->scale), colour, alpha);
}

// A window: dark by day, lit when it is dark outside.
static void pane(struct stage *s, double x0, double y0, double x1, double y1) {
    rect(s, x0, y0, x1, y1, s->light->window, s->time != DAY ? RAW : 0);
}

static void shadow(struct stage *s, double width) {
    struct ink black = INK(0, 0, 0);
    canvas_glow(s->canvas, at(s, 0, 0), P(s->scale * width, s->scale * width * 0.22),
                ink_mix(black, s->light->haze, s->light->near + 0.1), 0.35);
}

// ---- the subjects ----

static void lighthouse(struct stage *s, int colour) {
    struct point lamp = at(s, 0, 60);
    struct brush beam = {LAMP, 0.22, 1.0, NULL};
    for (int side = -1; s->time == NIGHT && side <= 1; side += 2) {
        double x = lamp.x + side * 150.0;
        struct point tip[] = {P(lamp.x, lamp.y - 1.0 * s->scale), P(x, lamp.y - 20.0 * s->scale),
                              P(x, lamp.y + 16.0 * s->scale),
                              P(lamp.x, lamp.y + 1.0 * s->scale)};
        struct point mirrored[] = {tip[3], tip[2], tip[1], tip[0]};
        canvas_polygon(s->canvas, side > 0 ? tip : mirrored, 4, &beam);
    }
    oval(s, 0, -4, 26, 12, INK(0.40, 0.36, 0.36), SHADED);
    oval(s, 8, -3, 14, 7, INK(0.34, 0.31, 0.32), SHADED);
    struct ink band = colour == WHITE ? STONE : paints[colour];
    for (int i = 0; i < 5; i++) {
        double y0 = 4 + 9.6 * i, y1 = 4 + 9.6 * (i + 1);
        double low = 9.5 - 3.5 * i / 5, high = 9.5 - 3.5 * (i + 1) / 5;
        quad(s, P(-high, y1), P(high, y1), P(low, y0), P(-low, y0), i % 2 == 0 ? band : PALE,
             SHADED);
    }
    rect(s, -2, 4, 2, 11, DARK, 0);
    rect(s, -9, 52, 9, 55, DARK, SHADED);
    if (s->time == DAY) rect(s, -4.5, 55, 4.5, 64, INK(0.75, 0.85, 0.90), 0);
    else rect(s, -4.5, 55, 4.5, 64, INK(1.0, 0.93, 0.60), RAW);
    triangle(s, P(-7, 64), P(0, 73), P(7, 64), colour == WHITE ? DARK : band, SHADED);
    if (s->dark) glow(s, 0, 60, 17, 17, LAMP, 0.75);
}

static void house(struct stage *s, int colour) {
    shadow(s, 36);
    rect(s, 12, 36, 19, 58, INK(0.55, 0.32, 0.26), SHADED);
    rect(s, -24, 0, 24, 32, paints[colour], SHADED);
    struct ink roof = colour == RED ? INK(0.36, 0.30, 0.34) : INK(0.62, 0.26, 0.20);
    if (s->time == SNOW) roof = INK_SNOW;
    triangle(s, P(-30, 31), P(0, 56), P(30, 31), roof, SHADED);
    rect(s, -5, 0, 5, 18, WOOD, 0);
    for (int x = -15; x <= 15; x += 30) {
        rect(s, x - 5.5, 12.5, x + 5.5, 23.5, PALE, 0);
        pane(s, x - 4, 14, x + 4, 22);
    }
}

static void tree(struct stage *s, int colour) {
    (void)colour;
    struct ink leaf = INK(0.24, 0.50, 0.22), high = INK(0.36, 0.62, 0.26);
    struct ink behind = ink_mix(leaf, DARK, 0.15);
    if (s->time == SNOW) high = INK_SNOW;
    shadow(s, 28);
    quad(s, P(-3, 30), P(3, 30), P(5, 0), P(-5, 0), WOOD, SHADED);
    oval(s, -12, 34, 15, 13, behind, SHADED);
    oval(s, 13, 35, 15, 13, behind, SHADED);
    oval(s, 0, 43, 20, 18, leaf, SHADED);
    oval(s, -3, 52, 13, 10, high, SHADED);
    oval(s, 11, 42, 7, 5, high, SHADED);
    oval(s, -14, 39, 6, 4.5, high, SHADED);
}

static void sailboat(struct stage *s, int colour) {
    struct ink hull = INK(0.50, 0.27, 0.18);
    glow(s, 0, -3, 36, 6, ink(s, INK(0.08, 0.12, 0.20)), 0.5);
    rect(s, -1, 8, 1, 64, WOOD, 0);
    triangle(s, P(1.5, 62), P(26, 14), P(1.5, 12), paints[colour], SHADED);
    triangle(s, P(-2.0, 56), P(-2.0, 12), P(-20, 14), ink_mix(paints[colour], PALE, 0.45), 0);
    quad(s, P(-28, 10), P(30, 10), P(20, -2), P(-20, -2), hull, SHADED);
    quad(s, P(-28, 10), P(30, 10), P(28.3, 8), P(-26.6, 8), PALE, 0);
}

static void mountain(struct stage *s, int colour) {
    (void)colour;
    static const struct {
        double x, top, width;
    } peaks[] = {{22, 46, 34}, {-8, 68, 46}};
    struct ink rock[] = {INK(0.50, 0.49, 0.55), INK(0.38, 0.37, 0.45)};
    struct ink snow[] = {INK_SNOW, INK(0.76, 0.80, 0.88)};
    int left = s->lit[0] > s->lit[1] ? 0 : 1, right = 1 - left; // the brighter one is the first
    double cut = s->time == SNOW ? 0.40 : 0.62;
    for (int i = 0; i < 2; i++) {
        double x = peaks[i].x, top = peaks[i].top, width = peaks[i].width;
        triangle(s, P(x, top), P(x + 3, 0), P(x - width, 0), rock[left], 0);
        triangle(s, P(x, top), P(x + width, 0), P(x + 2, 0), rock[right], 0);
        double y = top * cut, w = width * (1 - cut), low = x + 3.0 * (1 - cut);
        quad(s, P(x, top), P(low, y - 5), P(x - w * 0.5, y + 3), P(x - w, y), snow[left], 0);
        quad(s, P(x, top), P(x + w, y), P(x + w * 0.5, y + 3), P(low - 0.6, y - 5), snow[right],
             0);
    }
}

static void castle(struct stage *s, int colour) {
    static const double merlons[] = {-14, -4.5, 5, 14.5};
    struct ink wall = INK(0.70, 0.67, 0.63);
    shadow(s, 42);
    rect(s, -9, 20, 9, 50, ink_mix(wall, DARK, 0.12), SHADED);
    triangle(s, P(-12, 50), P(0, 68), P(12, 50), paints[colour], SHADED);
    rect(s, -26, 0, 26, 27, wall, SHADED);
    for (int i = 0; i < 4; i++) rect(s, merlons[i] - 2.6, 26, merlons[i] + 2.6, 31.5, wall, 0);
    for (int x = -27; x <= 27; x += 54) {
        rect(s, x - 8, 0, x + 8, 40, ink_mix(wall, PALE, 0.15), SHADED);
        triangle(s, P(x - 11, 40), P(x, 58), P(x + 11, 40), paints[colour], SHADED);
        pane(s, x - 2, 24, x + 2, 32);
    }
    rect(s, -6, 0, 6, 11, DARK, 0);
    oval(s, 0, 11, 6, 6, DARK, 0);
    pane(s, -2.2, 37, 2.2, 44);
}

static void windmill(struct stage *s, int colour) {
    shadow(s, 28);
    quad(s, P(-8, 42), P(8, 42), P(14, 0), P(-14, 0), paints[colour], SHADED);
    cut_oval(s, 0, 42, 9.5, 10, 41, INK(0.48, 0.28, 0.22), SHADED);
    rect(s, -4, 0, 4, 13, WOOD, 0);
    pane(s, -2.6, 22, 2.6, 29);
    // The tangent of half the angle: the sails turn by a rational point of the circle.
    double t = scene_chance_real(s->rng, 0.08, 0.36);
    double cosine = (1 - t * t) / (1 + t * t), sine = 2 * t / (1 + t * t);
    struct ink sail = colour == WHITE ? INK(0.72, 0.30, 0.24) : INK(0.90, 0.84, 0.72);
    struct point arms[] = {P(cosine, sine), P(-sine, cosine), P(-cosine, -sine),
                           P(sine, -cosine)};
    static const struct point corners[] = {{7, 0}, {31, 0}, {31, 8}, {7, 7}};
    for (int i = 0; i < 4; i++) {
        struct point u = arms[i], v = P(u.y, -u.x), turned[4];
        for (int j = 0; j < 4; j++)
            turned[j] = P(u.x * corners[j].x + v.x * corners[j].y,
                          44 + u.y * corners[j].x + v.y * corners[j].y);
        poly(s, turned, 4, sail, 0);
        rod(s, 0, 44, u.x * 31, 44 + u.y * 31, 1.1, WOOD, NULL);
    }
    oval(s, 0, 44, 3, 3, DARK, 0);
}

static void balloon(struct stage *s, int colour) {
    struct ink paint = paints[colour], other = colour == WHITE ? paints[RED] : PALE;
    rod(s, -12, 31, -5, 17, 0.7, WOOD, NULL);
    rod(s, 12, 31, 5, 17, 0.7, WOOD, NULL);
    quad(s, P(-19.5, 42), P(19.5, 42), P(6, 24), P(-6, 24), paint, SHADED);
    oval(s, 0, 54, 24, 23, paint, SHADED);
    oval(s, 0, 54, 14.5, 23, other, SHADED);
    quad(s, P(-12, 42.4), P(12, 42.4), P(3.8, 24), P(-3.8, 24), other, SHADED);
    oval(s, 0, 54, 5.5, 23, paint, SHADED);
    quad(s, P(-4.6, 42.4), P(4.6, 42.4), P(1.5, 24), P(-1.5, 24), paint, SHADED);
    rect(s, -6, 8, 6, 17, INK(0.55, 0.36, 0.20), SHADED);
    if (s->dark) glow(s, 0, 26, 15, 17, GLEAM, 0.55);
}

static void cactus(struct stage *s, int colour) {
    (void)colour;
    struct ink body = INK(0.22, 0.55, 0.30), arm = INK(0.19, 0.48, 0.27);
    shadow(s, 22);
    for (int side = -1; side <= 1; side += 2) {
        double x = side * 17, y0 = side < 0 ? 26 : 20, y1 = side < 0 ? 42 : 50;
        struct shade light = shade(s, x - 4.6, x + 4.6);
        rod(s, 0, y0, x, y0, 4.6, arm, NULL);
        rod(s, x, y0, x, y1, 4.6, arm, &light);
    }
    struct shade light = shade(s, -8, 8);
    rod(s, 0, 3, 0, 58, 8, body, &light);
    if (s->time != SNOW) {
        oval(s, 0, 66, 4, 3, INK(0.93, 0.40, 0.52), 0);
        return;
    }
    oval(s, 0, 63, 6, 3, INK_SNOW, 0);
    oval(s, -17, 44, 4, 3, INK_SNOW, 0);
    oval(s, 17, 52, 4, 3, INK_SNOW, 0);
}

static void snowman(struct stage *s, int colour) {
    (void)colour;
    struct ink ball = s->time == SNOW ? INK(0.84, 0.89, 0.97) : INK(0.95, 0.96, 0.99);
    shadow(s, 28);
    rod(s, -12, 33, -28, 43, 1.2, WOOD, NULL);
    rod(s, 12, 33, 28, 43, 1.2, WOOD, NULL);
    oval(s, 0, 15, 19, 17, ball, SHADED);
    oval(s, 0, 37, 14, 13, ball, SHADED);
    oval(s, 0, 55, 10.5, 10.5, ball, SHADED);
    quad(s, P(-10, 49), P(10, 49), P(9, 44), P(-9, 44), INK(0.80, 0.20, 0.20), SHADED);
    quad(s, P(3, 47), P(9, 47), P(10, 33), P(5, 33), INK(0.72, 0.16, 0.18), SHADED);
    rect(s, -12, 62, 12, 65, DARK, 0);
    rect(s, -7.5, 64, 7.5, 76, DARK, SHADED);
    oval(s, -4, 58, 1.7, 1.7, DARK, 0);
    oval(s, 4, 58, 1.7, 1.7, DARK, 0);
    triangle(s, P(0, 56), P(11, 53.5), P(0, 52.5), INK(0.95, 0.52, 0.15), 0);
}

static void tent(struct stage *s, int colour) {
    bool lit = s->time == NIGHT || s->time == SUNSET;
    shadow(s, 40);
    quad(s, P(-6, 44), P(16, 44), P(38, 0), P(24, 0), ink_mix(paints[colour], DARK, 0.30), 0);
    triangle(s, P(-6, 44), P(22, 0), P(-34, 0), paints[colour], SHADED);
    triangle(s, P(-6, 33), P(6, 0), P(-18, 0), lit ? GLEAM : DARK, lit ? RAW : 0);
    if (s->time == NIGHT) glow(s, -6, 10, 30, 22, GLEAM, 0.45);
}

static void mushroom(struct stage *s, int colour) {
    struct ink spot = colour == WHITE ? INK(0.75, 0.58, 0.45) : PALE;
    shadow(s, 22);
    quad(s, P(-6, 32), P(6, 32), P(9.5, 0), P(-9.5, 0), INK(0.95, 0.90, 0.80), SHADED);
    oval(s, 0, 31, 25, 6, INK(0.84, 0.76, 0.66), 0);
    cut_oval(s, 0, 31, 28, 27, 30, paints[colour], SHADED);
    oval(s, 0, 46, 5.2, 5.2 * 0.85, spot, 0);
    oval(s, -15, 38, 4.0, 4.0 * 0.85, spot, 0);
    oval(s, 15.5, 39, 4.2, 4.2 * 0.85, spot, 0);
}

void scene_subject(struct stage *stage, int subject, int colour) {
    static void (*const draw[SCENE_SUBJECTS])(struct stage *, int) = {
        [LIGHTHOUSE] = lighthouse, [HOUSE] = house,       [TREE] = tree,
        [SAILBOAT] = sailboat,     [MOUNTAIN] = mountain, [CASTLE] = castle,
        [WINDMILL] = windmill,     [BALLOON] = balloon,   [CACTUS] = cactus,
        [SNOWMAN] = snowman,       [TENT] = tent,         [MUSHROOM] = mushroom,
    };
    draw[subject](stage, colour);
}
