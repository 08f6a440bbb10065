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
