// SPDX-License-Identifier: MIT
// Prototypes of every kernel variant, made from kernels.def and isas.def. Included by the files
// that define kernels, so that a definition that strays from the lists does not compile.
#ifndef TT_SIMD_PROTOTYPES_H
#define TT_SIMD_PROTOTYPES_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

// Every kernel declares all names; only those that are defined are ever referred to.
#define PROTOTYPE(kernel, isa, ...) tt_##kernel##_function tt_##kernel##_##isa;
#define KERNEL(name, exactness, params)                                                            \
    typedef void tt_##name##_function params;                                                      \
    tt_##name##_function tt_##name##_scalar;                                                       \
    TT_ISAS(PROTOTYPE, name)
#include "kernels.def"
#undef PROTOTYPE

#endif
