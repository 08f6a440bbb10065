// SPDX-License-Identifier: MIT
#include "softmax.h"
#include "prototypes.h"
#include "vec/vec_avx2.h"
#include "vec/math_vec.inc"

#include "softmax_vec.inc"
