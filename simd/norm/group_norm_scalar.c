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

void tt_group_norm_backward_sums_f32_scalar(const float *x, const float *dy, const float *mean,
                                            const float *scale, const float *beta, float *g,
                                            float *sums, size_t rows, size_t c, int silu) {
    memset(sums, 0, 2 * c * sizeof *sums);
    for (size_t r = 0; r < rows; r++, x += c, dy += c, g += c)
        for (size_t j = 0; j < c; j++) {
            float d = x[j] - mean[j];
            g[j] = silu ? dy[j] * sf_silu_slope(fmaf(d, scale[j], beta[j])) : dy[j];
            sums[j] = fmaf(g[j], d, sums[j]);
            sums[c + j] += g[j];
        }
}

void tt_group_norm_backward_apply_f32_scalar(const float *x, const float *g, const float *mean,
                                             const float *scale, const float *slope,
                                             const float *offset, float *dx, size_t rows,
                                             size_t c) {
    for (size_t r = 0; r < rows; r++, x += c, g += c, dx += c)
        for (size_t j = 0; j < c; j++)
            dx[j] = sf_canon(fmaf(g[j], scale[j], fmaf(x[j] - mean[j], slope[j], offset[j])));
}
