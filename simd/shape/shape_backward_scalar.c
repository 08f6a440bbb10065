// SPDX-License-Identifier: MIT
#include "shape_backward.h"
#include "prototypes.h"
#include "shape.h"

#include <string.h>

void tt_upsample_nearest_backward_f32_scalar(const float *dy, float *dx, size_t n, size_t h,
                                             size_t w, size_t c, size_t oh, size_t ow) {
    memset(dx, 0, n * h * w * c * sizeof *dx);
    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; r < oh; r++)
            for (size_t col = 0; col < ow; col++, dy += c) {
                size_t row = i * h + nearest_pixel(r, h, oh);
                float *to = dx + (row * w + nearest_pixel(col, w, ow)) * c;
                for (size_t j = 0; j < c; j++) to[j] += dy[j];
            }
}

void tt_embedding_backward_f32_scalar(const int32_t *ids, const float *dy, float *dtable, size_t t,
                                      size_t c, size_t ld) {
    for (size_t i = 0; i < t; i++)
        for (size_t j = 0; j < c; j++) dtable[(size_t)ids[i] * ld + j] += dy[i * ld + j];
}
