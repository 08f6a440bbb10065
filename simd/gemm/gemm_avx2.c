// SPDX-License-Identifier: MIT
#include "vec/vec_avx2.h"

#define GEMM_ROWS 6
#define GEMM_VECTORS 2
#include "gemm/gemm_vec.inc"
