// SPDX-License-Identifier: MIT
#include "vec/vec_avx512.h"

#include "dequant_vec.inc"
