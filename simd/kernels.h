// SPDX-License-Identifier: MIT
// The kernel table: one function pointer per line of kernels.def, filled scalar first, each variant
// that the mask allows overriding the one before. The mask is an argument, so that a test can hold
// two tables in one process.
#ifndef TT_SIMD_KERNELS_H
#define TT_SIMD_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "tintype.h"

// A weight as it is stored, laid out as its reader says: TT_F32, or half precision (TT_F16,
// TT_BF16) that the reader widens on the way. That is exact: the dtype never changes a bit of a
// result.
struct tt_weight {
    const void *data;
    enum tt_dtype dtype;
};

// Instruction sets that variants may use; each names all it needs (avx2 means AVX2, FMA and F16C;
// avx512 means F, BW, DQ and VL on top).
enum tt_cpu { TT_CPU_avx2 = 1, TT_CPU_avx512 = 2, TT_CPU_neon = 4 };

// EXACT: every variant gives the scalar variant's bits. BOUNDED: within a limit stated beside the
// kernel's contract.
enum tt_exactness { TT_EXACT, TT_BOUNDED };

// Arguments of kernels that take many; see the contract in <group>/<group>.h.
struct tt_gemm_tile;
struct tt_winograd_gradient;
struct tt_winograd_input;
struct tt_winograd_output;
struct tt_attention;
struct tt_attention_backward;
struct tt_adamw;

#define VARIANT(name, isa)

enum tt_kernel {
#define KERNEL(name, exactness, params) TT_KERNEL_##name,
#include "kernels.def"
#undef KERNEL
    TT_KERNEL_COUNT
};

struct tt_kernels {
#define KERNEL(name, exactness, params) void(*name) params;
#include "kernels.def"
#undef KERNEL
    const char *variant[TT_KERNEL_COUNT]; // "scalar", "avx2", ...: which one each pointer is
    unsigned mask;
};

#undef VARIANT

// What a kernel is called, and its class; index by enum tt_kernel.
extern const char *const tt_kernel_names[TT_KERNEL_COUNT];
extern const enum tt_exactness tt_kernel_exactness[TT_KERNEL_COUNT];

// Fills the table from the mask, a subset of tt_cpu_detect().
void tt_kernels_init(struct tt_kernels *kernels, unsigned mask);

// What this processor and its operating system can run: CPUID and XCR0, or HWCAP.
unsigned tt_cpu_detect(void);

// Turns a name ("scalar", "avx2", "avx512", "neon") into the mask of it and all before it.
// Returns 0 on success; -1 for an unknown name, -2 for one this machine cannot run.
int tt_cpu_mask(const char *name, unsigned detected, unsigned *mask);

// "scalar, avx2, avx512 or neon", for messages.
extern const char tt_cpu_names[];

// "avx512": the highest instruction set of a mask.
const char *tt_cpu_name(unsigned mask);

#endif
