// SPDX-License-Identifier: MIT
#include "shape.h"
#include "prototypes.h"

#include <string.h>

void tt_upsample_nearest_f32_scalar(const float *x, float *y, size_t n, size_t h, size_t w,
                                    size_t c, size_t oh, size_t ow) {
    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; r < oh; r++) {
            const float *row = x + (i * h + nearest_pixel(r, h, oh)) * w * c;
            for (size_t col = 0; col < ow; col++, y += c)
                memcpy(y, row + nearest_pixel(col, w, ow) * c, c * sizeof *y);
        }
}

void tt_embedding_f32_scalar(const float *table, const int32_t *ids, float *y, size_t t, size_t c) {
    for (size_t i = 0; i < t; i++) memcpy(y + i * c, table + (size_t)ids[i] * c, c * sizeof *y);
}

// y (columns, rows) = x (rows, columns) transposed, in squares that stay in the cache.
static void transpose(const float *x, float *y, size_t rows, size_t columns) {
    const size_t side = 32;
    for (size_t r0 = 0; r0 < rows; r0 += side)
        for (size_t c0 = 0; c0 < columns; c0 += side)
            for (size_t r = r0; r < rows && r < r0 + side; r++)
                for (size_t c = c0; c < columns && c < c0 + side; c++)
                    y[c * rows + r] = x[r * columns + c];
}

void tt_nchw_to_nhwc_f32_scalar(const float *x, float *y, size_t n, size_t c, size_t hw) {
    for (size_t i = 0; i < n; i++)
        transpose(x + i * c * hw, y + i * c * hw, c, hw);
}

void tt_nhwc_to_nchw_f32_scalar(const float *x, float *y, size_t n, size_t c, size_t hw) {
    for (size_t i = 0; i < n; i++)
        transpose(x + i * c * hw, y + i * c * hw, hw, c);
}
