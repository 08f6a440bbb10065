// SPDX-License-Identifier: MIT
#include "shape.h"
#include "prototypes.h"
#include "vec/vec_neon.h"

#include "shape_vec.inc"
