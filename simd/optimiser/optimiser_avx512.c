// SPDX-License-Identifier: MIT
#include "optimiser.h"
#include "prototypes.h"
#include "vec/vec_avx512.h"
#include "vec/math_vec.inc"

#include "optimiser_vec.inc"
