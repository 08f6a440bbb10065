// SPDX-License-Identifier: MIT
// A square picture to draw on: shapes given by signed distances, blended by how much of each pixel
// they cover. Lengths are in units of 1/128 of the side, y points down. Numbers of a shape are
// double, pixels float32, in the order of reference/scenes.py, so that both give the same bytes.
#ifndef TT_TRAIN_CANVAS_H
#define TT_TRAIN_CANVAS_H

#include <stddef.h>
#include <stdint.h>

struct tt_ink {
    double rgb[3]; // 0 to 1
};

struct tt_canvas {
    size_t pixels; // the side
    double unit;   // of a pixel
    float *rgb;    // (3, pixels, pixels), owned by the caller
};

// Light from one side: colours are multiplied by left at x0 and before, by right at x1 and behind.
struct tt_shade {
    double x0, x1, left, right;
};

// How a shape is laid on. soft: width of its edge in pixels; shade may be NULL.
struct tt_brush {
    struct tt_ink ink;
    double alpha, soft;
    const struct tt_shade *shade;
};

struct tt_point {
    double x, y;
};

// What is left of an ellipse: the part above (y smaller) or below a height. INFINITY, -INFINITY:
// all of it.
struct tt_cut {
    double above, below;
};
#define TT_UNCUT ((struct tt_cut){INFINITY, -INFINITY})

// A canvas of pixels x pixels over rgb, which holds 3 pixels² floats and becomes black.
void tt_canvas_init(struct tt_canvas *canvas, float *rgb, size_t pixels);

// A convex polygon, its corners clockwise on the screen.
void tt_canvas_polygon(struct tt_canvas *canvas, const struct tt_point *corner, size_t corners,
                       const struct tt_brush *brush);
// The ellipse around c with the half-axes r.
void tt_canvas_ellipse(struct tt_canvas *canvas, struct tt_point c, struct tt_point r,
                       struct tt_cut cut, const struct tt_brush *brush);
// All points closer than r to the segment from a to b.
void tt_canvas_capsule(struct tt_canvas *canvas, struct tt_point a, struct tt_point b, double r,
                       const struct tt_brush *brush);
// A soft spot that fades to nothing on the ellipse around c with the half-axes r.
void tt_canvas_glow(struct tt_canvas *canvas, struct tt_point c, struct tt_point r,
                    struct tt_ink ink, double alpha);
// A band of the full width, from y0 to y1 through the three colours.
void tt_canvas_vertical(struct tt_canvas *canvas, double y0, double y1,
                        const struct tt_ink stops[3]);

// 8-bit RGB, rows from the top, rounded to nearest: 3 pixels² bytes.
void tt_canvas_bytes(const struct tt_canvas *canvas, uint8_t *rgb);

#endif
