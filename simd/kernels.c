// SPDX-License-Identifier: MIT
#include "kernels.h"
#include "prototypes.h"

#define VARIANT(name, isa)

const char *const tt_kernel_names[TT_KERNEL_COUNT] = {
#define KERNEL(name, exactness, params) #name,
#include "kernels.def"
#undef KERNEL
};

const enum tt_exactness tt_kernel_exactness[TT_KERNEL_COUNT] = {
#define KERNEL(name, exactness, params) TT_##exactness,
#include "kernels.def"
#undef KERNEL
};

#undef VARIANT

// A variant exists only in a build for its architecture.
#define TAKE(kernel, isa)                                                                          \
    if (mask & TT_CPU_##isa) {                                                                     \
        k->kernel = tt_##kernel##_##isa;                                                           \
        k->variant[TT_KERNEL_##kernel] = #isa;                                                     \
    }
#if defined(__x86_64__)
#define TAKE_avx2(kernel) TAKE(kernel, avx2)
#define TAKE_avx512(kernel) TAKE(kernel, avx512)
#define TAKE_neon(kernel)
#elif defined(__aarch64__)
#define TAKE_avx2(kernel)
#define TAKE_avx512(kernel)
#define TAKE_neon(kernel) TAKE(kernel, neon)
#else
#define TAKE_avx2(kernel)
#define TAKE_avx512(kernel)
#define TAKE_neon(kernel)
#endif

void tt_kernels_init(struct tt_kernels *k, unsigned mask) {
    k->mask = mask;
#define KERNEL(name, exactness, params)                                                            \
    k->name = tt_##name##_scalar;                                                                  \
    k->variant[TT_KERNEL_##name] = "scalar";
#define VARIANT(name, isa) TAKE_##isa(name)
#include "kernels.def"
#undef KERNEL
#undef VARIANT
}
