// SPDX-License-Identifier: MIT
// The kernel table: one function pointer per kernel of kernels.def, to the variant of the last
// instruction set of isas.def that the mask allows, or the scalar one. The mask is an argument, so
// that a test can hold two tables in one process.
#ifndef TT_SIMD_KERNELS_H
#define TT_SIMD_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/busy.h"
#include "base/why.h"
#include "isas.def"
#include "tintype.h"

// A weight as it is stored, laid out as its reader says: TT_F32, or half precision (TT_F16,
// TT_BF16) that the reader widens on the way. That is exact: the dtype never changes a bit of a
// result.
struct tt_weight {
    const void *data;
    enum tt_dtype dtype;
};

// The architecture of this build.
#ifdef __x86_64__
enum { TT_ON_x86_64 = 1 };
#else
enum { TT_ON_x86_64 = 0 };
#endif
#ifdef __aarch64__
enum { TT_ON_aarch64 = 1 };
#else
enum { TT_ON_aarch64 = 0 };
#endif

// The instruction sets that variants may use, by number; 0 is none, the scalar kernels' level.
enum tt_isa_number {
    TT_ISA_scalar,
#define ISA_NUMBER(with, name, ...) TT_ISA_##name,
    TT_ISAS(ISA_NUMBER, )
#undef ISA_NUMBER
    TT_ISA_COUNT
};

// Their flags in masks. TT_CPU_HERE: all that this build has variants for.
enum tt_cpu {
#define ISA_FLAG(with, name, ...) TT_CPU_##name = 1 << TT_ISA_##name,
    TT_ISAS(ISA_FLAG, )
#undef ISA_FLAG
#define ISA_HERE(with, name, architecture, ...) | TT_CPU_##name * TT_ON_##architecture
    TT_CPU_HERE = 0 TT_ISAS(ISA_HERE, )
#undef ISA_HERE
};

struct tt_isa {
    const char *name;
    unsigned flag, mask; // its own; with those of all it builds on
};
extern const struct tt_isa tt_isas[TT_ISA_COUNT]; // "scalar" first

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
struct tt_compare_tile;
struct tt_compared;

enum tt_kernel {
#define KERNEL(name, exactness, params) TT_KERNEL_##name,
#include "kernels.def"
    TT_KERNEL_COUNT
};

struct tt_kernels {
#define KERNEL(name, exactness, params) void(*name) params;
#include "kernels.def"
    const char *variant[TT_KERNEL_COUNT]; // "scalar", "avx2", ...: which one each pointer is
    unsigned variants[TT_KERNEL_COUNT];   // others than scalar in this build: enum tt_cpu
    struct tt_busy *busy; // where parallel regions tell how long each thread works; NULL: nowhere
    unsigned mask;
};

// What a kernel is called, and its class; index by enum tt_kernel.
extern const char *const tt_kernel_names[TT_KERNEL_COUNT];
extern const enum tt_exactness tt_kernel_exactness[TT_KERNEL_COUNT];

// Why the kernel is the variant that it is: which others there are, and what left them out.
void tt_kernels_why(const struct tt_kernels *kernels, enum tt_kernel kernel, struct tt_why *why);

// Fills the table from the mask, a subset of tt_cpu_detect().
void tt_kernels_init(struct tt_kernels *kernels, unsigned mask);

// What this processor and its operating system can run: CPUID and XCR0, or HWCAP.
unsigned tt_cpu_detect(void);

// Turns a name ("scalar", "avx2", ...) into the mask of it and all it builds on. Returns 0 on
// success; -1 for an unknown name, -2 for one this machine cannot run.
int tt_cpu_mask(const char *name, unsigned detected, unsigned *mask);

// "scalar, avx2, avx512 or neon", for messages; returns text, cut where size ends.
const char *tt_cpu_names(char *text, size_t size);

// "avx512": the highest instruction set of a mask.
const char *tt_cpu_name(unsigned mask);

#endif
