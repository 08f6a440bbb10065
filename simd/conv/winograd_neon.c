// SPDX-License-Identifier: MIT
#include "vec/vec_neon.h"

#include "conv/winograd_vec.inc"
