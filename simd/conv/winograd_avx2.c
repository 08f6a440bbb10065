// SPDX-License-Identifier: MIT
#include "vec/vec_avx2.h"

#include "conv/winograd_vec.inc"
