// SPDX-License-Identifier: MIT
// Prototypes of every kernel variant, made from kernels.def. Included by the files that define
// kernels, so that a definition that strays from the list does not compile.
#ifndef TT_SIMD_PROTOTYPES_H
#define TT_SIMD_PROTOTYPES_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

// VARIANT cannot see its kernel's parameters, so every kernel declares all four names; only those
// that are defined are ever referred to.
#define VARIANT(name, isa)
#define KERNEL(name, exactness, params)                                                            \
    void tt_##name##_scalar params;                                                                \
    void tt_##name##_avx2 params;                                                                  \
    void tt_##name##_avx512 params;                                                                \
    void tt_##name##_neon params;
#include "kernels.def"
#undef KERNEL
#undef VARIANT

#endif
