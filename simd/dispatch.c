// SPDX-License-Identifier: MIT
#include "kernels.h"

#include <string.h>

#include "prototypes.h"

const char *const tt_kernel_names[TT_KERNEL_COUNT] = {
#define KERNEL(name, exactness, params) #name,
#include "kernels.def"
};

const enum tt_exactness tt_kernel_exactness[TT_KERNEL_COUNT] = {
#define KERNEL(name, exactness, params) TT_##exactness,
#include "kernels.def"
};

#define VARIANT_EVERY(kernel, isa) kernel##_##isa,
#define VARIANT_NAMED(kernel, isa)
#define VARIANT_BY_RULE(kernel, isa, architecture, rule, ...) VARIANT_##rule(kernel, isa)

// All variants that the lists promise: what the rule makes anyway, or what stands twice, does not
// compile as a VARIANT line.
enum {
#define KERNEL(name, exactness, params) TT_ISAS(VARIANT_BY_RULE, name)
#define PARTIAL(name, exactness, params)
#define VARIANT(name, isa) name##_##isa,
#include "kernels.def"
};

// A variant of another architecture does not exist; the constant keeps its name out of the object.
#define TAKE(kernel, isa)                                                                          \
    k->variants[TT_KERNEL_##kernel] |= TT_CPU_HERE & TT_CPU_##isa;                                 \
    if ((TT_CPU_HERE & TT_CPU_##isa) && (mask & TT_CPU_##isa) &&                                   \
        taken[TT_KERNEL_##kernel] < TT_ISA_##isa) {                                                \
        k->kernel = tt_##kernel##_##isa;                                                           \
        taken[TT_KERNEL_##kernel] = TT_ISA_##isa;                                                  \
    }
#define TAKE_EVERY(kernel, isa) TAKE(kernel, isa)
#define TAKE_NAMED(kernel, isa)
#define TAKE_BY_RULE(kernel, isa, architecture, rule, ...) TAKE_##rule(kernel, isa)

void tt_kernels_init(struct tt_kernels *k, unsigned mask) {
    enum tt_isa_number taken[TT_KERNEL_COUNT] = {TT_ISA_scalar};
    k->mask = mask;
    k->busy = NULL;
    memset(k->variants, 0, sizeof k->variants);
#define KERNEL(name, exactness, params)                                                            \
    k->name = tt_##name##_scalar;                                                                  \
    TT_ISAS(TAKE_BY_RULE, name)
#define PARTIAL(name, exactness, params) k->name = tt_##name##_scalar;
#define VARIANT(name, isa) TAKE(name, isa)
#include "kernels.def"
    for (int i = 0; i < TT_KERNEL_COUNT; i++) k->variant[i] = tt_isas[taken[i]].name;
}

void tt_kernels_why(const struct tt_kernels *k, enum tt_kernel kernel, struct tt_why *why) {
    unsigned here = k->variants[kernel];
    tt_why_add(why, "%s: %s", tt_kernel_names[kernel], k->variant[kernel]);
    for (int isa = TT_ISA_COUNT - 1; isa > TT_ISA_scalar; isa--) {
        const char *name = tt_isas[isa].name;
        if (!(here & tt_isas[isa].flag)) continue;
        if (!(k->mask & tt_isas[isa].flag))
            tt_why_add(why, "%s is left out: not of this processor, or not allowed", name);
        else if (strcmp(name, k->variant[kernel]))
            tt_why_add(why, "%s is less able", name);
    }
}
