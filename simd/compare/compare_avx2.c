// SPDX-License-Identifier: MIT
#include "compare.h"
#include "prototypes.h"
#include "vec/vec_avx2.h"
#include "vec/math_vec.inc"

#include "compare_vec.inc"
