// SPDX-License-Identifier: MIT
#include "group_norm.h"
#include "prototypes.h"
#include "vec/vec_neon.h"
#include "vec/math_vec.inc"

#include "group_norm_vec.inc"
#include "group_norm_backward_vec.inc"
