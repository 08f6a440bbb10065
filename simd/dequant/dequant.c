// SPDX-License-Identifier: MIT
#include "dequant/dequant.h"

#include <string.h>

#include "base/quant.h"
#include "gemm/gemm.h"
#include "split.h"

static void blocks(const struct tt_kernels *kernels, enum tt_dtype dtype, const uint8_t *x,
                   float *y, size_t n) {
    switch (dtype) {
    case TT_Q8_0: kernels->dequant_q8_0_f32(x, y, n); break;
    case TT_Q4_0: kernels->dequant_q4_0_f32(x, y, n); break;
    case TT_Q4_1: kernels->dequant_q4_1_f32(x, y, n); break;
    case TT_Q5_0: kernels->dequant_q5_0_f32(x, y, n); break;
    case TT_Q5_1: kernels->dequant_q5_1_f32(x, y, n); break;
    case TT_Q4_K: kernels->dequant_q4_k_f32(x, y, n); break;
    case TT_Q5_K: kernels->dequant_q5_k_f32(x, y, n); break;
    default: kernels->dequant_q6_k_f32(x, y, n);
    }
}

void tt_dequant_elements(const struct tt_kernels *kernels, const struct tt_weight *w, size_t first,
                         size_t count, float *y) {
    size_t block = tt_dtype_block(w->dtype), size = tt_dtype_block_size(w->dtype);
    _Alignas(64) float values[TT_BLOCK_MOST];
    while (count) {
        const uint8_t *x = (const uint8_t *)w->data + first / block * size;
        size_t skip = first % block, n = skip ? 0 : count / block * block;
        if (n) {
            blocks(kernels, w->dtype, x, y, n / block);
        } else {
            n = min(block - skip, count);
            blocks(kernels, w->dtype, x, values, 1);
            memcpy(y, values + skip, n * sizeof *y);
        }
        first += n;
        count -= n;
        y += n;
    }
}

// Elements of each of the 32 rows that are dequantised before they are transposed: what the first
// cache holds, and a block of every kind.
enum { PIECE = TT_BLOCK_MOST };

void tt_dequant_panel(const struct tt_kernels *kernels, const struct tt_quantised *q, size_t panel,
                      size_t first, size_t count, float *out, size_t tap_stride) {
    _Alignas(64) float rows[TT_GEMM_PANEL * PIECE], turned[PIECE * TT_GEMM_PANEL];
    const size_t line = TT_GEMM_PANEL * sizeof(float);
    size_t row = panel * TT_GEMM_PANEL, there = min(TT_GEMM_PANEL, q->n - row);
    size_t length = q->channels * q->taps, begin = first * q->taps, end = (first + count) * q->taps;
    for (size_t at = begin, n; at < end; at += n) {
        n = min(PIECE, end - at);
        for (size_t r = 0; r < there; r++)
            tt_dequant_elements(kernels, &q->w, (row + r) * length + at, n, rows + r * n);
        memset(rows + there * n, 0, (TT_GEMM_PANEL - there) * n * sizeof *rows);
        if (q->taps == 1) {
            kernels->nchw_to_nhwc_f32(rows, out + (at - begin) * TT_GEMM_PANEL, 1, TT_GEMM_PANEL,
                                      n);
            continue;
        }
        kernels->nchw_to_nhwc_f32(rows, turned, 1, TT_GEMM_PANEL, n);
        for (size_t i = 0; i < n; i++) {
            size_t channel = (at + i) / q->taps - first, tap = (at + i) % q->taps;
            memcpy(out + (tap * tap_stride + channel) * TT_GEMM_PANEL, turned + i * TT_GEMM_PANEL,
                   line);
        }
    }
}

void tt_dequant_packed(const struct tt_kernels *kernels, const struct tt_quantised *q, float *out,
                       int threads) {
    size_t panels = ceil_div(q->n, TT_GEMM_PANEL), size = q->channels * q->taps * TT_GEMM_PANEL;
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for schedule(dynamic) nowait
        for (size_t panel = 0; panel < panels; panel++)
            tt_dequant_panel(kernels, q, panel, 0, q->channels, out + panel * size, q->channels);
        tt_busy_end(&me);
    }
}
