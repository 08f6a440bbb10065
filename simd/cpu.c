// SPDX-License-Identifier: MIT
// What the processor can run. The operating system must save the wider registers too: CPUID alone
// says what the silicon has, XCR0 what survives a context switch.
#include "kernels.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// The words in which processor and system report. Of CPUID: leaf, subleaf where there are several,
// register. Of Linux for ARM: the auxiliary vector.
enum word {
    CPUID_1_ECX,
    CPUID_7_EBX,
    CPUID_7_ECX,
    CPUID_7_EDX,
    CPUID_7_1_EAX,
    CPUID_7_1_EDX,
    XCR0,
    HWCAP,
    HWCAP2,
    WORDS
};

static const uint64_t needs[TT_ISA_COUNT][WORDS] = {
#define ISA_NEEDS(with, name, architecture, rule, base, flags, marks, ...)                         \
    [TT_ISA_##name] = {__VA_ARGS__},
    TT_ISAS(ISA_NEEDS, )
};

enum {
    MASK_scalar = 0,
#define ISA_MASK(with, name, architecture, rule, base, ...)                                        \
    MASK_##name = TT_CPU_##name | MASK_##base,
    TT_ISAS(ISA_MASK, )
};

const struct tt_isa tt_isas[TT_ISA_COUNT] = {
    {"scalar", 0, 0},
#define ISA_LEVEL(with, name, ...) {#name, TT_CPU_##name, MASK_##name},
    TT_ISAS(ISA_LEVEL, )
};

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static void read_words(uint64_t have[WORDS]) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    have[CPUID_1_ECX] = c;
    if (c & bit_OSXSAVE) have[XCR0] = xcr0();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    have[CPUID_7_EBX] = b;
    have[CPUID_7_ECX] = c;
    have[CPUID_7_EDX] = d;
    if (!a || !__get_cpuid_count(7, 1, &a, &b, &c, &d)) return; // a: the last subleaf
    have[CPUID_7_1_EAX] = a;
    have[CPUID_7_1_EDX] = d;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

static void read_words(uint64_t have[WORDS]) {
    have[HWCAP] = getauxval(AT_HWCAP);
    have[HWCAP2] = getauxval(AT_HWCAP2);
}
#else
static void read_words(uint64_t have[WORDS]) {
    (void)have;
}
#endif

unsigned tt_cpu_detect(void) {
    uint64_t have[WORDS] = {0};
    unsigned found = 0;
    read_words(have);
    for (size_t i = 1; i < TT_ISA_COUNT; i++) {
        unsigned others = tt_isas[i].mask & ~tt_isas[i].flag;
        bool all = (tt_isas[i].flag & TT_CPU_HERE) && (found & others) == others;
        for (size_t w = 0; w < WORDS; w++) all = all && (have[w] & needs[i][w]) == needs[i][w];
        if (all) found |= tt_isas[i].flag;
    }
    return found;
}

int tt_cpu_mask(const char *name, unsigned detected, unsigned *mask) {
    for (size_t i = 0; i < TT_ISA_COUNT; i++) {
        if (strcmp(name, tt_isas[i].name)) continue;
        if ((tt_isas[i].flag & detected) != tt_isas[i].flag) return -2;
        *mask = tt_isas[i].mask & detected;
        return 0;
    }
    return -1;
}

const char *tt_cpu_names(char *text, size_t size) {
    size_t used = 0;
    for (size_t i = 0; i < TT_ISA_COUNT && used < size; i++) {
        const char *before = i == 0 ? "" : i + 1 < TT_ISA_COUNT ? ", " : " or ";
        used += (size_t)snprintf(text + used, size - used, "%s%s", before, tt_isas[i].name);
    }
    return text;
}

const char *tt_cpu_name(unsigned mask) {
    const char *name = "scalar";
    for (size_t i = 0; i < TT_ISA_COUNT; i++)
        if (mask & tt_isas[i].flag) name = tt_isas[i].name;
    return name;
}
