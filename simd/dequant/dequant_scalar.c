// SPDX-License-Identifier: MIT
// Blocks as floats, one after the other; what they hold stands in base/quant.h.
#include "dequant.h"
#include "prototypes.h"

#include "base/quant.h"

static void each(enum tt_dtype dtype, const uint8_t *x, float *y, size_t n) {
    size_t elements = tt_dtype_block(dtype), size = tt_dtype_block_size(dtype);
    for (size_t i = 0; i < n; i++) tt_dequantise_block(dtype, x + i * size, y + i * elements);
}

void tt_dequant_q8_0_f32_scalar(const uint8_t *x, float *y, size_t n) { each(TT_Q8_0, x, y, n); }
void tt_dequant_q4_0_f32_scalar(const uint8_t *x, float *y, size_t n) { each(TT_Q4_0, x, y, n); }
void tt_dequant_q4_1_f32_scalar(const uint8_t *x, float *y, size_t n) { each(TT_Q4_1, x, y, n); }
void tt_dequant_q5_0_f32_scalar(const uint8_t *x, float *y, size_t n) { each(TT_Q5_0, x, y, n); }
void tt_dequant_q5_1_f32_scalar(const uint8_t *x, float *y, size_t n) { each(TT_Q5_1, x, y, n); }
void tt_dequant_q4_k_f32_scalar(const uint8_t *x, float *y, size_t n) { each(TT_Q4_K, x, y, n); }
void tt_dequant_q5_k_f32_scalar(const uint8_t *x, float *y, size_t n) { each(TT_Q5_K, x, y, n); }
void tt_dequant_q6_k_f32_scalar(const uint8_t *x, float *y, size_t n) { each(TT_Q6_K, x, y, n); }
