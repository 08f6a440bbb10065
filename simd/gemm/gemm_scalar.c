// SPDX-License-Identifier: MIT
#include "gemm/gemm.h"

#include <math.h>

#include "prototypes.h"

// One tile, one panel, one k-block; contract in gemm.h.
void tt_gemm_tile_f32_scalar(const struct tt_gemm_tile *g) {
    for (size_t r = 0; r < g->rows; r++) {
        for (size_t j = 0; j < g->n; j++) {
            float sum = 0, chain = 0;
            for (size_t i = 0; i < g->k; i++) {
                size_t line = i / TT_GEMM_LANES * TT_GEMM_ROWS + r;
                float x = g->x[line * TT_GEMM_LANES + i % TT_GEMM_LANES];
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
