// SPDX-License-Identifier: MIT
#include "compare.h"
#include "prototypes.h"
#include "vec/vec_neon.h"
#include "vec/math_vec.inc"

#include "compare_vec.inc"
