// SPDX-License-Identifier: MIT
#include "vec/vec_avx512.h"

#include "conv/winograd_vec.inc"
