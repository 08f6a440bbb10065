// SPDX-License-Identifier: MIT
// A square picture to draw on: shapes given by signed distances, blended by how much of each pixel
// they cover. Lengths are in units of 1/128 of the side, y points down. Numbers of a shape are
// double, pixels float32, in the order of reference/scenes.py, so that both give the same bytes.
#ifndef TT_CLI_CANVAS_H
#define TT_CLI_CANVAS_H

#include <stddef.h>
#include <stdint.h>

struct ink {
    double rgb[3]; // 0 to 1
};

struct canvas {
    size_t pixels; // the side
    double unit;   // of a pixel
    float *rgb;    // (3, pixels, pixels), owned by the caller
};

// Light from one side: colours are multiplied by left at x0 and before, by right at x1 and behind.
struct shade {
    double x0, x1, left, right;
};

// How a shape is laid on. soft: width of its edge in pixels; shade may be NULL.
struct brush {
    struct ink ink;
    double alpha, soft;
    const struct shade *shade;
};

struct point {
    double x, y;
};

// What is left of an ellipse: the part above (y smaller) or below a height. INFINITY, -INFINITY:
// all of it.
struct cut {
    double above, below;
};
#define UNCUT ((struct cut){INFINITY, -INFINITY})

// A canvas of pixels x pixels over rgb, which holds 3 pixels² floats and becomes black.
void canvas_init(struct canvas *canvas, float *rgb, size_t pixels);

// A convex polygon, its corners clockwise on the screen.
void canvas_polygon(struct canvas *canvas, const struct point *corner, size_t corners,
                    const struct brush *brush);
// The ellipse around c with the half-axes r.
void canvas_ellipse(struct canvas *canvas, struct point c, struct point r,
                    struct cut cut, const struct brush *brush);
// All points closer than r to the segment from a to b.
void canvas_capsule(struct canvas *canvas, struct point a, struct point b, double r,
                    const struct brush *brush);
// A soft spot that fades to nothing on the ellipse around c with the half-axes r.
void canvas_glow(struct canvas *canvas, struct point c, struct point r,
                 struct ink ink, double alpha);
// A band of the full width, from y0 to y1 through the three colours.
void canvas_vertical(struct canvas *canvas, double y0, double y1,
                     const struct ink stops[3]);

// 8-bit RGB, rows from the top, rounded to nearest: 3 pixels² bytes.
void canvas_bytes(const struct canvas *canvas, uint8_t *rgb);

#endif
