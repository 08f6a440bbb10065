// SPDX-License-Identifier: MIT
#include "attention.h"
#include "prototypes.h"
#include "vec/vec_neon.h"
#include "vec/math_vec.inc"

enum { TILE_ROWS = 6, TILE_VECTORS = 4 }; // 24 of 32 registers

#include "attention_vec.inc"
#include "attention_backward_vec.inc"
