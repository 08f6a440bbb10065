// SPDX-License-Identifier: MIT
// What training adds beside the gradients of arithmetic: tables and pictures backward, optimiser.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "optimiser/optimiser.h"
#include "reference.h"
#include "shape/shape.h"
#include "shape/shape_backward.h"

void check_upsample_nearest_backward_f32(struct check *c) {
    while (check_case(c, 80)) {
        size_t n = check_range(c, 1, 2), h = check_range(c, 1, 7), w = check_range(c, 1, 7);
        size_t width = c->index % 40 + 1, oh = 2 * h, ow = 2 * w;
        if (c->index % 3 == 1) oh = check_range(c, 1, 15), ow = check_range(c, 1, 15);
        if (c->bench) n = 1, h = w = 32, oh = ow = 64, width = 320;
        const float *dy = check_in(c, n * oh * ow * width, check_fill(c));
        struct check_out dx = check_out(c, n * h * w * width);
        check_describe(c, "n %zu, %zu x %zu to %zu x %zu, c %zu", n, h, w, oh, ow, width);
        check_work(c, (double)(n * oh * ow * width));
        c->scalar->upsample_nearest_backward_f32(dy, dx.want, n, h, w, width, oh, ow);
        CHECK_CALL(c, c->kernels->upsample_nearest_backward_f32(dy, dx.got, n, h, w, width, oh,
                                                                ow));
        if (!check_reference(c) || check_fill(c) >= FILL_FINITE) continue;
        struct sum *sums = calloc(dx.n, sizeof *sums);
        for (size_t i = 0; i < n * oh * ow * width; i++) {
            size_t pixel = i / width, r = pixel / ow % oh, image = pixel / (ow * oh);
            size_t row = image * h + nearest_pixel(r, h, oh);
            size_t at = (row * w + nearest_pixel(pixel % ow, w, ow)) * width + i % width;
            sum_product(&sums[at], (double)dy[i], 1);
        }
        for (size_t i = 0; i < dx.n; i++)
            check_within(c, &dx, i, sums[i].value, sum_limit(&sums[i]));
        free(sums);
    }
}

static int32_t *choose_ids(struct check *c, size_t t, size_t rows) {
    int32_t *ids = check_in_bytes(c, t * sizeof *ids);
    for (size_t i = 0; i < t; i++) ids[i] = (int32_t)check_range(c, 0, rows - 1);
    return ids;
}

static void table_reference(struct check *c, const struct check_out *table, const float *before,
                            const int32_t *ids, const float *dy, size_t t, size_t width,
                            size_t ld) {
    struct sum *sums = calloc(table->n, sizeof *sums);
    for (size_t i = 0; i < table->n; i++) sum_product(&sums[i], (double)before[i], 1);
    for (size_t i = 0; i < t * width; i++)
        sum_product(&sums[(size_t)ids[i / width] * ld + i % width],
                    (double)dy[i / width * ld + i % width], 1);
    for (size_t i = 0; i < table->n; i++)
        check_within(c, table, i, sums[i].value, sum_limit(&sums[i]));
    free(sums);
}

void check_embedding_backward_f32(struct check *c) {
    while (check_case(c, 80)) {
        size_t width = c->index % 40 + 1, t = check_range(c, 1, 30), rows = check_range(c, 1, 9);
        if (c->bench) width = 768, t = 308, rows = 1000;
        size_t ld = width + (c->index % 2 ? check_range(c, 0, 5) : 0);
        const int32_t *ids = choose_ids(c, t, rows);
        const float *dy = check_in(c, (t - 1) * ld + width, check_fill(c));
        float *before = check_in(c, (rows - 1) * ld + width, FILL_UNIT);
        struct check_out table = check_inout(c, (rows - 1) * ld + width, FILL_UNIT);
        memcpy(before, table.want, table.n * sizeof *before);
        check_describe(c, "t %zu, c %zu of %zu, %zu rows", t, width, ld, rows);
        check_work(c, (double)(t * width));
        c->scalar->embedding_backward_f32(ids, dy, table.want, t, width, ld);
        CHECK_CALL(c, c->kernels->embedding_backward_f32(ids, dy, table.got, t, width, ld));
        if (check_reference(c) && check_fill(c) < FILL_FINITE)
            table_reference(c, &table, before, ids, dy, t, width, ld);
    }
}

void check_embedding_backward(struct check *c) {
    while (check_case(c, 8)) {
        size_t width = check_range(c, 1, 300), t = check_range(c, 1, 100), rows = 9;
        if (c->bench) width = 768, t = 308, rows = 1000;
        const int32_t *ids = choose_ids(c, t, rows);
        const float *dy = check_in(c, t * width, FILL_UNIT);
        float *before = check_in(c, rows * width, FILL_UNIT);
        struct check_out table = check_inout(c, rows * width, FILL_UNIT);
        memcpy(before, table.want, table.n * sizeof *before);
        check_describe(c, "t %zu, c %zu", t, width);
        check_work(c, (double)(t * width));
        tt_embedding_backward(c->scalar, ids, dy, table.want, t, width, 1);
        CHECK_CALL(c, tt_embedding_backward(c->kernels, ids, dy, table.got, t, width, c->threads));
        if (check_reference(c)) table_reference(c, &table, before, ids, dy, t, width, width);
    }
}

void check_adamw_f32(struct check *c) {
    while (check_case(c, 140)) {
        size_t n = check_length(c, 1 << 14);
        struct tt_adamw a = tt_adamw_step(1e-3, c->index % 3 ? 0.9 : 0.3, 0.999, 1e-8, 0.01,
                                          1 + c->index * c->index);
        const float *g = check_in(c, n, check_fill(c));
        struct check_out p = check_inout(c, n, FILL_UNIT), m = check_inout(c, n, FILL_UNIT);
        struct check_out v = check_inout(c, n, FILL_UNIT);
        float *before[3];
        for (int k = 0; k < 3; k++) before[k] = check_in(c, n, FILL_UNIT);
        for (size_t i = 0; i < n; i++) v.got[i] = v.want[i] = v.want[i] * v.want[i];
        if (n) memcpy(before[0], p.want, n * sizeof *g);
        if (n) memcpy(before[1], m.want, n * sizeof *g);
        if (n) memcpy(before[2], v.want, n * sizeof *g);
        check_describe(c, "n %zu, step %zu", n, 1 + c->index * c->index);
        check_work(c, (double)n);
        c->scalar->adamw_f32(p.want, g, m.want, v.want, n, &a);
        CHECK_CALL(c, c->kernels->adamw_f32(p.got, g, m.got, v.got, n, &a));
        for (size_t i = 0; check_reference(c) && check_fill(c) == FILL_UNIT && i < n; i++) {
            double beta1 = c->index % 3 ? 0.9 : 0.3, t = 1 + (double)(c->index * c->index);
            double grad = (double)g[i], first = (double)before[1][i];
            double mean = beta1 * first + (1 - beta1) * grad;
            double square = 0.999 * (double)before[2][i] + 0.001 * grad * grad;
            double below = sqrt(square) / sqrt(1 - pow(0.999, t)) + 1e-8;
            double size = 1e-3 / (1 - pow(beta1, t)) / below, change = size * mean;
            double off = 0x1p-22 * (fabs(first) + fabs(grad));
            check_within(c, &m, i, mean, off);
            // 1 - beta2 and the correction's root are rounded to float
            check_within(c, &v, i, square, 0x1p-21 * square + 0x1p-140);
            double kept = (double)before[0][i] * (1 - 1e-3 * 0.01);
            check_within(c, &p, i, kept - change,
                         0x1p-22 * (fabs(kept) + 8 * fabs(change)) + size * off);
        }
    }
}

void check_lerp_f32(struct check *c) {
    static const float weights[] = {0.0001f, 0.25f, 0.5f, 0.9f, 1, 0};
    while (check_case(c, 140)) {
        size_t n = check_length(c, 1 << 14);
        float weight = weights[c->index % 6];
        bool in_place = c->index % 4 == 3;
        float *a = check_in(c, n, check_fill(c));
        const float *b = check_in(c, n, check_fill(c));
        struct check_out y = in_place ? check_inout(c, n, check_fill(c)) : check_out(c, n);
        if (n && in_place) memcpy(a, y.got, n * sizeof *a);
        check_describe(c, "n %zu, weight %g%s", n, (double)weight, in_place ? ", in place" : "");
        check_work(c, (double)n);
        c->scalar->lerp_f32(a, b, weight, y.want, n);
        CHECK_CALL(c, c->kernels->lerp_f32(in_place ? y.got : a, b, weight, y.got, n));
        for (size_t i = 0; check_reference(c) && check_fill(c) < FILL_FINITE && i < n; i++) {
            double from = (double)a[i], to = (double)b[i];
            check_within(c, &y, i, from + (double)weight * (to - from),
                         0x1p-23 * (fabs(from) + fabs(to)) + 0x1p-149);
        }
    }
}
