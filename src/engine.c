// SPDX-License-Identifier: MIT
#include "engine.h"

#include <stdlib.h>

#include "base/growth.h"
#include "base/threads.h"

const char *tt_version(void) {
    return TT_VERSION;
}

void tt_engine_defaults(struct tt_engine_settings *settings, size_t size) {
    struct tt_engine_settings defaults = {0};
    tt_growth_give(settings, size, &defaults, sizeof defaults);
}

static enum tt_status choose(struct tt_engine *engine, const struct tt_engine_settings *s,
                             struct tt_error *err) {
    unsigned detected = tt_cpu_detect(), mask = detected;
    int result = s->cpu ? tt_cpu_mask(s->cpu, detected, &mask) : 0;
    char names[256];
    if (result == -1)
        return tt_fail(err, TT_BAD_INPUT, "cpu: found '%s', expected %s", s->cpu,
                       tt_cpu_names(names, sizeof names));
    if (result == -2)
        return tt_fail(err, TT_BAD_INPUT, "cpu: found '%s', but this processor goes up to %s",
                       s->cpu, tt_cpu_name(detected));
    int threads;
    enum tt_status status = tt_threads_count(s->threads, &threads, err);
    if (!status) status = tt_threads_make(threads, err);
    if (status) return status;
    tt_kernels_init(&engine->kernels, mask);
    engine->plan = (struct tt_plan_options){
        .threads = threads,
        .fold = !s->every_node,
        .conv_direct = s->conv_direct, .cancelled = s->cancelled, .context = s->context,
    };
    engine->notes = (struct tt_notes){s->note, s->context};
    engine->files = s->files;
    return TT_OK;
}

enum tt_status tt_engine_new(const struct tt_engine_settings *settings, struct tt_engine **out,
                             struct tt_error *err) {
    struct tt_engine_settings s = {0};
    enum tt_status status =
        settings ? tt_growth_take(&s, sizeof s, settings, "struct tt_engine_settings", err)
                 : TT_OK;
    if (status) return status;
    struct tt_engine *engine = calloc(1, sizeof *engine);
    if (!engine) return tt_fail(err, TT_SYSTEM, "out of memory");
    status = choose(engine, &s, err);
    if (!status) *out = engine;
    else free(engine);
    return status;
}

void tt_engine_free(struct tt_engine *engine) {
    free(engine);
}

const char *tt_engine_cpu(const struct tt_engine *engine) {
    return tt_cpu_name(engine->kernels.mask);
}

size_t tt_engine_threads(const struct tt_engine *engine) {
    return (size_t)engine->plan.threads;
}

bool tt_kernel_list(const struct tt_engine *engine, size_t i, const char **name,
                    const char **class_name, const char **variant) {
    static const char *const classes[] = {[TT_EXACT] = "exact", [TT_BOUNDED] = "bounded"};
    if (i >= TT_KERNEL_COUNT) return false;
    *name = tt_kernel_names[i];
    *class_name = classes[tt_kernel_exactness[i]];
    *variant = engine->kernels.variant[i];
    return true;
}

const char *tt_step_variant(const struct tt_step *step, const struct tt_engine *engine) {
    const struct tt_op *op = tt_ops[step->op];
    enum tt_kernel (*kernel)(const struct tt_step *) =
        step->back ? op->backward_kernel : op->kernel;
    return kernel ? engine->kernels.variant[kernel(step)] : "copy";
}
