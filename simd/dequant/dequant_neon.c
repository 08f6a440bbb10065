// SPDX-License-Identifier: MIT
#include "vec/vec_neon.h"

#include "dequant_vec.inc"
