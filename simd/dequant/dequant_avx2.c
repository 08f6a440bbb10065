// SPDX-License-Identifier: MIT
#include "vec/vec_avx2.h"

#include "dequant_vec.inc"
