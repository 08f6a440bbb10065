// SPDX-License-Identifier: MIT
#include "reduce.h"
#include "prototypes.h"
#include "vec/vec_neon.h"
#include "vec/math_vec.inc"

#include "reduce_vec.inc"
