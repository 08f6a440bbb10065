// SPDX-License-Identifier: MIT
#include "conv/winograd.h"

#include "split.h"

// Which of six inputs from `start` (counted from `pad` before the image) lie inside `size`.
static void inside(size_t start, size_t pad, size_t size, size_t *begin, size_t *end) {
    *begin = start < pad ? min(pad - start, 6) : 0;
    *end = size + pad > start ? min(size + pad - start, 6) : 0;
    if (*end < *begin) *end = *begin;
}

struct tt_winograd_input tt_winograd_patch(const struct tt_conv *c, size_t image, size_t y,
                                           size_t x, size_t ch) {
    struct tt_winograd_input input = {
        .x = c->x + image * c->h * c->w * c->c, .row_stride = c->w * c->c, .pixel_stride = c->c,
    };
    inside(y, c->pad_top, c->h, &input.top, &input.bottom);
    inside(x, c->pad_left, c->w, &input.left, &input.right);
    if (input.top < input.bottom && input.left < input.right)
        input.x += ((y + input.top - c->pad_top) * c->w + x + input.left - c->pad_left) * c->c + ch;
    return input;
}
