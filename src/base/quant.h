// SPDX-License-Identifier: MIT
// ggml's blocks of quantised numbers, as GGUF files hold them. q: whole numbers of a few bits, d
// and m: float16; everything is widened to float32, and each operation rounded once.
//
//   Q8_0  32: d, 32 bytes q (signed)                             q d
//   Q4_0  32: d, 16 bytes; low halves are q0..15, high q16..31   d (q - 8)
//   Q4_1  32: d, m, 16 bytes, likewise                           (d q) + m
//   Q5_0  32: d, 4 bytes: bit 4 of each q, 16 bytes              d (q - 16)
//   Q5_1  32: d, m, 4 bytes, 16 bytes                            (d q) + m
//   Q4_K 256: d, m, 12 bytes: 8 s and 8 t of 6 bits, 128 bytes   ((d s) q) - (m t)
//             32 q to each s and t; 32 bytes are 32 q low, then 32 q high
//   Q5_K 256: d, m, 12 bytes, 32 bytes: bit 4 of each q, 128     the same
//             bit j of its byte i is of q[32 j + i]
//   Q6_K 256: 128 bytes: low 4 bits, 64 bytes: high 2 bits of q, (d s) (q - 32)
//             16 s (signed bytes), d; 16 q to each s
//
// Source: gguf.quants of the Python package gguf 0.19, which is what diffusers and ComfyUI compute.
#ifndef TT_BASE_QUANT_H
#define TT_BASE_QUANT_H

#include <stdbool.h>

#include "tintype.h"

// Elements of the largest block.
enum { TT_BLOCK_MOST = 256 };

static inline bool tt_is_quantised(enum tt_dtype dtype) {
    return dtype >= TT_Q8_0 && dtype <= TT_Q6_K;
}

// One block; y: as many floats as it has elements. dtype is one of blocks.
void tt_dequantise_block(enum tt_dtype dtype, const unsigned char *block, float *y);

// Elements first .. first+count-1 of the blocks at data, which need no alignment.
void tt_dequantise(enum tt_dtype dtype, const void *data, size_t first, size_t count, float *y);

// The first of n blocks at data that has a d or m which is not finite, or n. All elements of the
// others are finite.
size_t tt_blocks_finite(enum tt_dtype dtype, const void *data, size_t n);

// The 8 s and 8 t of Q4_K and Q5_K, from their 12 bytes.
void tt_quant_scales(const unsigned char *packed, unsigned char s[8], unsigned char t[8]);

#endif
