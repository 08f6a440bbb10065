// SPDX-License-Identifier: MIT
// What training adds beside the gradients of arithmetic: the optimiser.
#include <math.h>
#include <string.h>

#include "check.h"
#include "optimiser/optimiser.h"

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
