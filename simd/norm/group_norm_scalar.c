// SPDX-License-Identifier: MIT
#include "group_norm.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

void tt_group_norm_stats_f32_scalar(const float *x, float *sum, float *m2, float *lanes,
                                    size_t rows, size_t c, size_t groups) {
    size_t width = c / groups;
    memset(lanes, 0, c * sizeof *lanes);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < c; j++) lanes[j] += x[r * c + j];
    for (size_t g = 0; g < groups; g++) {
        float total = 0;
        for (size_t j = g * width; j < (g + 1) * width; j++) total += lanes[j];
        sum[g] = total;
    }
    for (size_t g = 0; g < groups; g++) {
        float mean = sum[g] / (float)(rows * width), total = 0;
        for (size_t j = g * width; j < (g + 1) * width; j++) {
            float chain = 0;
            for (size_t r = 0; r < rows; r++) {
                float d = x[r * c + j] - mean;
                chain = fmaf(d, d, chain);
            }
            total += chain;
        }
        m2[g] = total;
    }
}

void tt_group_norm_apply_f32_scalar(const float *x, const float *mean, const float *scale,
                                    const float *beta, float *y, size_t rows, size_t c, int silu) {
    for (size_t r = 0; r < rows; r++, x += c, y += c)
        for (size_t j = 0; j < c; j++) {
            float v = fmaf(x[j] - mean[j], scale[j], beta[j]);
            y[j] = sf_canon(silu ? sf_silu(v) : v);
        }
}

// x in two floats, the second `ld` after the first.
static void split(double x, float *to, size_t ld) {
    to[0] = (float)x;
    to[ld] = (float)(x - (double)to[0]);
}

static double joined(const float *from, size_t ld) { return (double)from[0] + (double)from[ld]; }

void tt_group_norm_backward_sums_f32_scalar(const float *x, const float *dy, const float *mean,
                                            const float *scale, const float *beta, float *g,
                                            float *sums, size_t rows, size_t c, int silu) {
    for (size_t j = 0; j < c; j++) {
        double normal = 0, plain = 0, shift = 0;
        for (size_t i = j; i < rows * c; i += c) {
            float z = fmaf(x[i] - mean[j], scale[j], beta[j]);
            g[i] = silu ? dy[i] * sf_silu_slope(z) : dy[i];
            double d = (double)x[i] - (double)mean[j];
            normal += (double)g[i] * d;
            plain += (double)g[i];
            shift += d;
        }
        split(normal, sums + j, c);
        split(plain, sums + 2 * c + j, c);
        split(shift, sums + 4 * c + j, c);
    }
}

void tt_group_norm_backward_apply_f32_scalar(const float *x, const float *g,
                                             const float *coefficients, float *dx, size_t rows,
                                             size_t c) {
    for (size_t j = 0; j < c; j++) {
        const float *own = coefficients + j;
        double scale = joined(own, c), slope = joined(own + 2 * c, c);
        double offset = joined(own + 4 * c, c);
        for (size_t i = j; i < rows * c; i += c)
            dx[i] = sf_canon((float)((double)g[i] * scale + ((double)x[i] * slope + offset)));
    }
}
