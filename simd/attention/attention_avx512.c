// SPDX-License-Identifier: MIT
#include "attention.h"
#include "prototypes.h"
#include "vec/vec_avx512.h"
#include "vec/math_vec.inc"

enum { TILE_ROWS = 8, TILE_VECTORS = 2 }; // 16 of 32 registers

#include "attention_vec.inc"
#include "attention_backward_vec.inc"
