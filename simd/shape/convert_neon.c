// SPDX-License-Identifier: MIT
#include "shape.h"
#include "prototypes.h"
#include "vec/vec_neon.h"
#include "vec/math_vec.inc"

#include "convert_vec.inc"
