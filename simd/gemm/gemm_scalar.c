// SPDX-License-Identifier: MIT
#include "gemm/gemm.h"

#include <math.h>

#include "prototypes.h"

// One tile, one panel, one k-block; contract in gemm.h. Value i of row r lies at
// i / 16 * line + r * row + i % 16 * step.
static void tile(const struct tt_gemm_tile *g, size_t line, size_t row, size_t step) {
    for (size_t r = 0; r < g->rows; r++) {
        for (size_t j = 0; j < g->n; j++) {
            float sum = 0, chain = 0;
            for (size_t i = 0; i < g->k; i++) {
                float x = g->x[i / TT_GEMM_LANES * line + r * row + i % TT_GEMM_LANES * step];
                chain = fmaf(x, g->w[i * TT_GEMM_PANEL + j], chain);
                if ((i + 1) % g->chain && i + 1 < g->k) continue;
                sum = i < g->chain ? chain : sum + chain;
                chain = 0;
            }
            float *y = g->y + r * g->ldy + j;
            if (g->accumulate) sum = *y + sum;
            if (g->bias) sum += g->bias[j];
            if (g->image_bias) sum += g->image_bias[j];
            if (g->residual) sum += g->residual[r * g->ldr + j];
            *y = sum;
        }
    }
}

void tt_gemm_tile_f32_scalar(const struct tt_gemm_tile *g) {
    tile(g, TT_GEMM_ROWS * TT_GEMM_LANES, TT_GEMM_LANES, 1);
}

void tt_gemm_outer_f32_scalar(const struct tt_gemm_tile *g) {
    tile(g, TT_GEMM_LANES * g->ldx, 1, g->ldx);
}
