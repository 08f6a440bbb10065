// SPDX-License-Identifier: MIT
#include "cli/scenes/canvas.h"

#include <math.h>
#include <string.h>

// Pixels that a shape may touch: rows top to bottom, columns left to right, the ends not included.
struct box {
    size_t top, bottom, left, right;
};

static float clamp(float x) { return x > 1.0f ? 1.0f : x > 0.0f ? x : 0.0f; }
static float larger(float a, float b) { return a > b ? a : b; }

// The middle of pixel i.
static float middle(const struct canvas *canvas, size_t i) {
    return ((float)i + 0.5f) * (float)canvas->unit;
}

static size_t pixel(double at, size_t least, size_t most) {
    return at < (double)least ? least : at > (double)most ? most : (size_t)at;
}

// With a margin for the soft edge.
static struct box window(const struct canvas *canvas, double x0, double y0, double x1,
                         double y1) {
    double u = canvas->unit;
    struct box box;
    box.left = pixel(floor(x0 / u) - 1, 0, canvas->pixels);
    box.top = pixel(floor(y0 / u) - 1, 0, canvas->pixels);
    box.right = pixel(ceil(x1 / u) + 1, box.left, canvas->pixels);
    box.bottom = pixel(ceil(y1 / u) + 1, box.top, canvas->pixels);
    return box;
}

void canvas_init(struct canvas *canvas, float *rgb, size_t pixels) {
    *canvas = (struct canvas){pixels, 128.0 / (double)pixels, rgb};
    memset(rgb, 0, 3 * pixels * pixels * sizeof *rgb);
}

static void blend(struct canvas *canvas, size_t row, size_t column, float cover,
                  const float ink[3]) {
    size_t n = canvas->pixels;
    float *at = canvas->rgb + row * n + column;
    for (size_t c = 0; c < 3; c++, at += n * n) *at += (ink[c] - *at) * cover;
}

// Lays the brush's colour on one pixel as far as it is covered.
static void lay(struct canvas *canvas, size_t row, size_t column, float cover,
                const struct brush *brush) {
    float ink[3];
    for (int c = 0; c < 3; c++) ink[c] = (float)brush->ink.rgb[c];
    if (brush->alpha != 1.0) cover = cover * (float)brush->alpha;
    if (brush->shade) {
        const struct shade *s = brush->shade;
        float t = (middle(canvas, column) - (float)s->x0) * (float)(1.0 / (s->x1 - s->x0));
        float factor = (float)s->left + clamp(t) * (float)(s->right - s->left);
        for (int c = 0; c < 3; c++) ink[c] = fminf(ink[c] * factor, 1.0f);
    }
    blend(canvas, row, column, cover, ink);
}

// 1 inside, 0 outside, a ramp `soft` pixels wide around distance 0.
static float cover_of(const struct canvas *canvas, float distance, double soft) {
    return clamp(0.5f - distance * (float)(1.0 / (canvas->unit * soft)));
}

void canvas_polygon(struct canvas *canvas, const struct point *corner, size_t corners,
                    const struct brush *brush) {
    enum { MOST = 8 };
    float nx[MOST], ny[MOST], offset[MOST];
    double x0 = corner[0].x, x1 = x0, y0 = corner[0].y, y1 = y0;
    for (size_t i = 0; i < corners && i < MOST; i++) {
        struct point a = corner[i], b = corner[(i + 1) % corners];
        double dx = b.x - a.x, dy = b.y - a.y, size = sqrt(dx * dx + dy * dy);
        double normal_x = dy / size, normal_y = -dx / size;
        nx[i] = (float)normal_x;
        ny[i] = (float)normal_y;
        offset[i] = (float)(a.x * normal_x + a.y * normal_y);
        x0 = fmin(x0, a.x);
        x1 = fmax(x1, a.x);
        y0 = fmin(y0, a.y);
        y1 = fmax(y1, a.y);
    }
    double grow = brush->soft * canvas->unit;
    struct box box = window(canvas, x0 - grow, y0 - grow, x1 + grow, y1 + grow);
    for (size_t row = box.top; row < box.bottom; row++)
        for (size_t column = box.left; column < box.right; column++) {
            float x = middle(canvas, column), y = middle(canvas, row), far = -INFINITY;
            for (size_t i = 0; i < corners && i < MOST; i++)
                far = larger(far, x * nx[i] + (y * ny[i] - offset[i]));
            lay(canvas, row, column, cover_of(canvas, far, brush->soft), brush);
        }
}

void canvas_ellipse(struct canvas *canvas, struct point c, struct point r,
                    struct cut cut, const struct brush *brush) {
    double grow = brush->soft * canvas->unit;
    double y0 = fmax(c.y - r.y - grow, cut.below - grow);
    double y1 = fmin(c.y + r.y + grow, cut.above + grow);
    struct box box = window(canvas, c.x - r.x - grow, y0, c.x + r.x + grow, y1);
    float ax = (float)(1.0 / r.x), ay = (float)(1.0 / r.y);
    for (size_t row = box.top; row < box.bottom; row++)
        for (size_t column = box.left; column < box.right; column++) {
            float y = middle(canvas, row), d;
            float dx = middle(canvas, column) - (float)c.x, dy = y - (float)c.y;
            if (r.x == r.y) {
                d = sqrtf(dx * dx + dy * dy) - (float)r.x;
            } else { // the first-order distance to the curve k = 1
                float qx = dx * ax, qy = dy * ay, k = sqrtf(qx * qx + qy * qy);
                float gx = qx * ax, gy = qy * ay;
                d = k * (k - 1.0f) / (sqrtf(gx * gx + gy * gy) + 1e-6f);
            }
            if (cut.above < INFINITY) d = larger(d, y - (float)cut.above);
            if (cut.below > -INFINITY) d = larger(d, (float)cut.below - y);
            lay(canvas, row, column, cover_of(canvas, d, brush->soft), brush);
        }
}

void canvas_capsule(struct canvas *canvas, struct point a, struct point b, double r,
                    const struct brush *brush) {
    double u = canvas->unit, dx = b.x - a.x, dy = b.y - a.y;
    double inverse = 1.0 / (dx * dx + dy * dy);
    struct box box = window(canvas, fmin(a.x, b.x) - r - u, fmin(a.y, b.y) - r - u,
                            fmax(a.x, b.x) + r + u, fmax(a.y, b.y) + r + u);
    for (size_t row = box.top; row < box.bottom; row++)
        for (size_t column = box.left; column < box.right; column++) {
            float px = middle(canvas, column) - (float)a.x, py = middle(canvas, row) - (float)a.y;
            float h = clamp(px * (float)(dx * inverse) + py * (float)(dy * inverse));
            float qx = px - h * (float)dx, qy = py - h * (float)dy;
            float d = sqrtf(qx * qx + qy * qy) - (float)r;
            lay(canvas, row, column, cover_of(canvas, d, 1.0), brush);
        }
}

void canvas_glow(struct canvas *canvas, struct point c, struct point r,
                 struct ink ink, double alpha) {
    struct brush brush = {ink, alpha, 1.0, NULL};
    struct box box = window(canvas, c.x - r.x, c.y - r.y, c.x + r.x, c.y + r.y);
    for (size_t row = box.top; row < box.bottom; row++)
        for (size_t column = box.left; column < box.right; column++) {
            float dx = (middle(canvas, column) - (float)c.x) * (float)(1.0 / r.x);
            float dy = (middle(canvas, row) - (float)c.y) * (float)(1.0 / r.y);
            float t = larger(1.0f - (dx * dx + dy * dy), 0.0f);
            lay(canvas, row, column, t * t, &brush);
        }
}

void canvas_vertical(struct canvas *canvas, double y0, double y1,
                     const struct ink stops[3]) {
    struct box box = window(canvas, 0, y0, 128, y1);
    for (size_t row = box.top; row < box.bottom; row++) {
        float y = middle(canvas, row), t = (y - (float)y0) * (float)(2 / (y1 - y0)), ink[3];
        float cover = cover_of(canvas, larger((float)y0 - y, y - (float)y1), 1.0);
        for (int c = 0; c < 3; c++) {
            ink[c] = (float)stops[0].rgb[c];
            for (int i = 0; i < 2; i++) {
                float part = clamp(t - (float)i);
                part = part * part * (3.0f - 2.0f * part);
                ink[c] = ink[c] + part * (float)(stops[i + 1].rgb[c] - stops[i].rgb[c]);
            }
        }
        for (size_t column = 0; column < canvas->pixels; column++)
            blend(canvas, row, column, cover, ink);
    }
}

void canvas_bytes(const struct canvas *canvas, uint8_t *rgb) {
    size_t n = canvas->pixels * canvas->pixels;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++)
            rgb[3 * i + c] = (uint8_t)floorf(clamp(canvas->rgb[c * n + i]) * 255.0f + 0.5f);
}
