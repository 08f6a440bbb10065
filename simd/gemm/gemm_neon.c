// SPDX-License-Identifier: MIT
#include "vec/vec_neon.h"

#define GEMM_ROWS 6
#define GEMM_VECTORS 4
#include "gemm/gemm_vec.inc"
