// SPDX-License-Identifier: MIT
#include "attention.h"
#include "prototypes.h"
#include "vec/vec_avx2.h"
#include "vec/math_vec.inc"

enum { TILE_ROWS = 6, TILE_VECTORS = 2 }; // 12 of 16 registers

#include "attention_vec.inc"
#include "attention_backward_vec.inc"
