// SPDX-License-Identifier: MIT
// What the processor can run. The operating system must save the wider registers too: CPUID alone
// says what the silicon has, XCR0 what survives a context switch.
#include "kernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

unsigned tt_cpu_detect(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const unsigned fma = 1u << 12, osxsave = 1u << 27, f16c = 1u << 29;
    if ((c & (fma | osxsave | f16c)) != (fma | osxsave | f16c)) return 0;
    uint64_t saved = xcr0();
    if ((saved & 0x6) != 0x6) return 0; // xmm, ymm
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    unsigned mask = b & 1u << 5 ? TT_CPU_avx2 : 0;
    const unsigned f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    if (mask && (b & (f | dq | bw | vl)) == (f | dq | bw | vl) && (saved & 0xe6) == 0xe6)
        mask |= TT_CPU_avx512; // opmask, upper halves, zmm16-31
    return mask;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

unsigned tt_cpu_detect(void) {
    const unsigned long asimd = 1ul << 1;
    return getauxval(AT_HWCAP) & asimd ? TT_CPU_neon : 0;
}
#else
unsigned tt_cpu_detect(void) {
    return 0;
}
#endif

static const struct {
    const char *name;
    unsigned flag, mask;
} levels[] = {
    {"scalar", 0, 0},
    {"avx2", TT_CPU_avx2, TT_CPU_avx2},
    {"avx512", TT_CPU_avx512, TT_CPU_avx2 | TT_CPU_avx512},
    {"neon", TT_CPU_neon, TT_CPU_neon},
};

const char tt_cpu_names[] = "scalar, avx2, avx512 or neon";

int tt_cpu_mask(const char *name, unsigned detected, unsigned *mask) {
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(name, levels[i].name)) continue;
        if ((levels[i].flag & detected) != levels[i].flag) return -2;
        *mask = levels[i].mask & detected;
        return 0;
    }
    return -1;
}

const char *tt_cpu_name(unsigned mask) {
    const char *name = "scalar";
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (mask & levels[i].flag) name = levels[i].name;
    return name;
}
