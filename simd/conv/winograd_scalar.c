// SPDX-License-Identifier: MIT
// The transforms of Winograd convolution; contracts and order of operations in conv.h.
#include <math.h>

#include "base/half.h"
#include "conv/conv.h"
#include "gemm/gemm.h"
#include "prototypes.h"
#include "vec/math_scalar.h"

static void weights_1d(const float g[3], float u[6]) {
    float e = fmaf(-8.0f / 27, g[2], -128.0f / 243 * g[0]), o = -32.0f / 81 * g[1];
    float f = fmaf(8.0f / 27, g[2], 32.0f / 243 * g[0]), p = 16.0f / 81 * g[1];
    u[0] = 64.0f / 81 * g[0];
    u[1] = e + o;
    u[2] = e - o;
    u[3] = f + p;
    u[4] = f - p;
    u[5] = g[2];
}

static float weight_at(enum tt_dtype dtype, const void *w, size_t at) {
    if (dtype == TT_F32) return ((const float *)w)[at];
    uint16_t half = ((const uint16_t *)w)[at];
    return dtype == TT_F16 ? tt_half_to_float(half) : sf_from_bf16(half);
}

static void weights(enum tt_dtype dtype, const void *w, size_t tap_stride, size_t c, int pair,
                    float *u, size_t position_stride) {
    static const int rows[3][2] = {{0, 5}, {1, 2}, {3, 4}};
    for (size_t at = 0; at < c * TT_GEMM_PANEL; at++) {
        float down[3][6], along[6];
        for (size_t b = 0; b < 3; b++) {
            float column[3];
            for (size_t a = 0; a < 3; a++)
                column[a] = weight_at(dtype, w, (3 * a + b) * tap_stride + at);
            weights_1d(column, down[b]);
        }
        for (size_t i = 0; i < 2; i++) {
            int row = rows[pair][i];
            weights_1d((float[3]){down[0][row], down[1][row], down[2][row]}, along);
            for (size_t j = 0; j < 6; j++) u[(6 * i + j) * position_stride + at] = along[j];
        }
    }
}

void tt_winograd_weights_f32_scalar(const float *w, size_t tap_stride, size_t c, int pair, float *u,
                                    size_t position_stride) {
    weights(TT_F32, w, tap_stride, c, pair, u, position_stride);
}

void tt_winograd_weights_f16_scalar(const uint16_t *w, size_t tap_stride, size_t c, int pair,
                                    float *u, size_t position_stride) {
    weights(TT_F16, w, tap_stride, c, pair, u, position_stride);
}

void tt_winograd_weights_bf16_scalar(const uint16_t *w, size_t tap_stride, size_t c, int pair,
                                     float *u, size_t position_stride) {
    weights(TT_BF16, w, tap_stride, c, pair, u, position_stride);
}

static void input_1d(const float d[6], float v[6]) {
    float e = fmaf(-9.0f / 4, d[2], d[4]), o = fmaf(-9.0f / 4, d[1], d[3]);
    float f = fmaf(-9.0f / 16, d[2], d[4]), p = fmaf(-9.0f / 16, d[1], d[3]);
    v[0] = fmaf(81.0f / 64, d[0], fmaf(-45.0f / 16, d[2], d[4]));
    v[1] = fmaf(3.0f / 4, o, e);
    v[2] = fmaf(-3.0f / 4, o, e);
    v[3] = fmaf(3.0f / 2, p, f);
    v[4] = fmaf(-3.0f / 2, p, f);
    v[5] = fmaf(81.0f / 64, d[1], fmaf(-45.0f / 16, d[3], d[5]));
}

void tt_winograd_input_f32_scalar(const struct tt_winograd_input *g) {
    size_t padded = (g->c + TT_GEMM_LANES - 1) / TT_GEMM_LANES * TT_GEMM_LANES;
    for (size_t ch = 0; ch < padded; ch++) {
        float down[6][6], along[6];
        for (size_t j = 0; j < 6; j++) {
            float column[6] = {0};
            for (size_t i = g->top; i < g->bottom; i++)
                if (j >= g->left && j < g->right && ch < g->c)
                    column[i] =
                        g->x[(i - g->top) * g->row_stride + (j - g->left) * g->pixel_stride + ch];
            input_1d(column, down[j]);
        }
        for (size_t i = 0; i < 6; i++) {
            float row[6];
            for (size_t j = 0; j < 6; j++) row[j] = down[j][i];
            input_1d(row, along);
            for (size_t j = 0; j < 6; j++)
                g->v[(6 * i + j) * g->position_stride + ch / TT_GEMM_LANES * g->lane_stride +
                     ch % TT_GEMM_LANES] = along[j];
        }
    }
}

static void output_1d(const float m[6], float y[4]) {
    float s = m[1] + m[2], d = m[1] - m[2], t = m[3] + m[4], f = m[3] - m[4];
    y[0] = (m[0] + s) + t;
    y[1] = fmaf(3.0f / 2, f, 3.0f / 4 * d);
    y[2] = fmaf(9.0f / 4, t, 9.0f / 16 * s);
    y[3] = fmaf(27.0f / 8, f, 27.0f / 64 * d) + m[5];
}

void tt_winograd_output_f32_scalar(const struct tt_winograd_output *g) {
    for (size_t k = 0; k < g->n; k++) {
        float down[6][4], along[4];
        for (size_t j = 0; j < 6; j++) {
            float column[6];
            for (size_t i = 0; i < 6; i++) column[i] = g->m[(6 * i + j) * g->position_stride + k];
            output_1d(column, down[j]);
        }
        for (size_t i = 0; i < g->rows; i++) {
            float row[6];
            for (size_t j = 0; j < 6; j++) row[j] = down[j][i];
            output_1d(row, along);
            for (size_t j = 0; j < g->columns; j++) {
                size_t at = i * g->row_stride + j * g->pixel_stride + k;
                if (g->bias) along[j] += g->bias[k];
                if (g->image_bias) along[j] += g->image_bias[k];
                if (g->residual) along[j] += g->residual[at];
                g->y[at] = along[j];
            }
        }
    }
}

static void gradient_1d(const float d[4], float v[6]) {
    float e = fmaf(9.0f / 16, d[2], d[0]), o = fmaf(27.0f / 64, d[3], 3.0f / 4 * d[1]);
    float f = fmaf(9.0f / 4, d[2], d[0]), p = fmaf(27.0f / 8, d[3], 3.0f / 2 * d[1]);
    v[0] = d[0];
    v[1] = e + o;
    v[2] = e - o;
    v[3] = f + p;
    v[4] = f - p;
    v[5] = d[3];
}

void tt_winograd_gradient_f32_scalar(const struct tt_winograd_gradient *g) {
    size_t padded = (g->c + TT_GEMM_LANES - 1) / TT_GEMM_LANES * TT_GEMM_LANES;
    for (size_t ch = 0; ch < padded; ch++) {
        float down[4][6], along[6];
        for (size_t j = 0; j < 4; j++) {
            float column[4] = {0};
            for (size_t i = 0; i < g->rows; i++)
                if (j < g->columns && ch < g->c)
                    column[i] = g->dy[i * g->row_stride + j * g->pixel_stride + ch];
            gradient_1d(column, down[j]);
        }
        for (size_t i = 0; i < 6; i++) {
            gradient_1d((float[4]){down[0][i], down[1][i], down[2][i], down[3][i]}, along);
            for (size_t j = 0; j < 6; j++) g->v[(6 * i + j) * g->position_stride + ch] = along[j];
        }
    }
}

static void dw_1d(const float u[6], float g[3]) {
    float s = u[1] + u[2], d = u[1] - u[2], t = u[3] + u[4], f = u[3] - u[4];
    g[0] = fmaf(64.0f / 81, u[0], fmaf(32.0f / 243, t, -128.0f / 243 * s));
    g[1] = fmaf(16.0f / 81, f, -32.0f / 81 * d);
    g[2] = fmaf(8.0f / 27, t, fmaf(-8.0f / 27, s, u[5]));
}

void tt_winograd_dw_f32_scalar(const float *u, size_t position_stride, size_t n, float *dw,
                               int accumulate) {
    for (size_t ch = 0; ch < n; ch++, dw += 9) {
        float down[6][3], along[3];
        for (size_t j = 0; j < 6; j++) {
            float column[6];
            for (size_t i = 0; i < 6; i++) column[i] = u[(6 * i + j) * position_stride + ch];
            dw_1d(column, down[j]);
        }
        for (size_t a = 0; a < 3; a++) {
            float row[6];
            for (size_t j = 0; j < 6; j++) row[j] = down[j][a];
            dw_1d(row, along);
            for (size_t b = 0; b < 3; b++)
                dw[3 * a + b] = accumulate ? dw[3 * a + b] + along[b] : along[b];
        }
    }
}
