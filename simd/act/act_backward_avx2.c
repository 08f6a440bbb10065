// SPDX-License-Identifier: MIT
#include "act_backward.h"
#include "prototypes.h"
#include "vec/vec_avx2.h"
#include "vec/math_vec.inc"

#include "act_backward_vec.inc"
