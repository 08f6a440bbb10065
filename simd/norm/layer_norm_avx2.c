// SPDX-License-Identifier: MIT
#include "layer_norm.h"
#include "prototypes.h"
#include "vec/vec_avx2.h"
#include "vec/math_vec.inc"

#include "layer_norm_vec.inc"
#include "layer_norm_backward_vec.inc"
