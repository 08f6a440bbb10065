// SPDX-License-Identifier: MIT
#include "vec/vec_avx512.h"

#define GEMM_ROWS 14
#define GEMM_VECTORS 2
#include "gemm/gemm_vec.inc"
