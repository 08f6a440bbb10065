// SPDX-License-Identifier: MIT
// One node alone: a problem's tape, planned as any network is.
#include <stdlib.h>
#include <string.h>

#include "base/quant.h"
#include "graph/problem.h"
#include "profile/timed_steps.h"

struct tt_bench {
    struct tt_problem problem;
    struct tt_problem_values values;
    struct tt_engine engine; // a copy, whose threads tell how long they work
    struct tt_tape tape;
    struct tt_problem_weights weights;
    struct tt_source made; // of them
    float *given[TT_MAX_PARAMS]; // weights that were; NULL: made up
    struct tt_bank *bank;        // of a plan that goes forward
    struct tt_params *params;    // of one both ways
    struct tt_plan *plan;        // NULL: not yet
    struct tt_profile *profile;
    float *seed, *output; // the gradient of what it gives; what it gave, in PyTorch's order
    float *input[TT_MAX_INPUTS + 2]; // given or made up, as they lie: a run may write over them
};

void tt_bench_free(struct tt_bench *bench) {
    if (!bench) return;
    tt_plan_free(bench->plan);
    tt_params_free(bench->params);
    if (bench->bank) tt_bank_free(bench->bank);
    tt_tape_free(&bench->tape);
    tt_profile_free(bench->profile);
    for (int i = 0; i < TT_MAX_PARAMS; i++) free(bench->given[i]);
    for (int i = 0; i < TT_MAX_INPUTS + 2; i++) free(bench->input[i]);
    free(bench->seed);
    free(bench->output);
    free(bench);
}

static tt_value input_of(const struct tt_bench *bench, int i) {
    return i < TT_MAX_INPUTS ? bench->values.input[i]
           : i == TT_MAX_INPUTS ? bench->values.image_bias : bench->values.residual;
}

static struct tt_shape shape_of(const struct tt_bench *bench, tt_value value) {
    return tt_shape_of(&bench->tape, value);
}

enum tt_status tt_bench_new(const char *problem, const struct tt_engine *engine,
                            struct tt_bench **out, struct tt_error *err) {
    struct tt_problem parsed;
    enum tt_status status = tt_problem_parse(problem, &parsed, err);
    if (status) return status;
    struct tt_bench *bench = calloc(1, sizeof *bench);
    if (!bench) return tt_fail(err, TT_SYSTEM, "out of memory for a problem");
    bench->problem = parsed;
    bench->engine = *engine;
    bench->engine.plan.fold = true; // or it were not this problem
    tt_problem_tape(&parsed, tt_ops[parsed.op]->name, &bench->tape, &bench->values);
    status = tt_tape_status(&bench->tape, err);
    for (int i = 0; !status && i < TT_MAX_INPUTS + 2; i++) {
        tt_value value = input_of(bench, i);
        if (value == TT_NO_VALUE) continue;
        struct tt_shape shape = shape_of(bench, value);
        size_t n = tt_shape_count(&shape);
        bench->input[i] = tt_memory_has(n * sizeof(float)) ? calloc(n, sizeof(float)) : NULL;
        if (!bench->input[i])
            status = tt_fail(err, TT_SYSTEM, "out of memory: %zu floats of inputs", n);
        else if (bench->tape.tensors[value].dtype == TT_F32)
            tt_problem_fill(bench->input[i], n, (unsigned)i + 1);
    }
    if (status) tt_bench_free(bench);
    else *out = bench;
    return status;
}

// ---- what is given ----

static enum tt_status give_weight(struct tt_bench *bench, int i, const float *data, size_t n,
                                  struct tt_error *err) {
    const struct tt_node *node = NULL;
    for (int j = 0; j < bench->tape.node_count && !node; j++)
        if (bench->tape.nodes[j].op == bench->problem.op) node = &bench->tape.nodes[j];
    const struct tt_param *param = node ? node->param[i] : NULL;
    size_t expected = param ? tt_shape_count(&param->shape) : 0;
    if (n != expected)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu numbers, expected %zu",
                       i ? "bias" : "weight", n, expected);
    if (bench->plan)
        return tt_fail(err, TT_BAD_INPUT, "%s: given after the first run", param->name);
    float *copy = malloc(n * sizeof *copy);
    if (!copy) return tt_fail(err, TT_SYSTEM, "out of memory for '%s'", param->name);
    memcpy(copy, data, n * sizeof *copy);
    free(bench->given[i]);
    bench->given[i] = copy;
    return TT_OK;
}

enum tt_status tt_bench_give(struct tt_bench *bench, int which, const float *data, size_t n,
                             struct tt_error *err) {
    if (which == TT_BENCH_WEIGHT || which == TT_BENCH_BIAS)
        return give_weight(bench, which - TT_BENCH_WEIGHT, data, n, err);
    int i = which == TT_BENCH_IMAGE_BIAS ? TT_MAX_INPUTS
            : which == TT_BENCH_RESIDUAL ? TT_MAX_INPUTS + 1 : which;
    tt_value value = i >= 0 && i < TT_MAX_INPUTS + 2 ? input_of(bench, i) : TT_NO_VALUE;
    struct tt_shape s = shape_of(bench, value);
    size_t expected = value == TT_NO_VALUE ? 0 : tt_shape_count(&s);
    if (n != expected || !n)
        return tt_fail(err, TT_BAD_INPUT, "input %d: found %zu numbers, expected %zu", which, n,
                       expected);
    if (bench->tape.tensors[value].dtype != TT_F32) {
        for (size_t j = 0; j < n; j++) {
            int32_t id = data[j] >= 0 && data[j] < 1 << 24 ? (int32_t)data[j] : 0;
            memcpy(&bench->input[i][j], &id, sizeof id);
        }
    } else if (s.rank == 4) {
        bench->engine.kernels.nchw_to_nhwc_f32(data, bench->input[i], s.dim[0], s.dim[1],
                                               s.dim[2] * s.dim[3]);
    } else {
        memcpy(bench->input[i], data, n * sizeof *data);
    }
    return TT_OK;
}

// ---- running ----

// The made-up weights, but for those that were given.
static const struct tt_view *find(void *context, const char *name) {
    const struct tt_bench *bench = context;
    return bench->made.find(bench->made.context, name);
}

static enum tt_status acquire(void *context, const struct tt_view *found, struct tt_view *view,
                              struct tt_error *err) {
    const struct tt_bench *bench = context;
    enum tt_status status = tt_source_acquire(&bench->made, found, view, err);
    const float *given = bench->given[found - bench->weights.view];
    if (status || !given) return status;
    size_t n = tt_shape_count(&found->shape);
    // Nothing is quantised here: what was, is given as the floats that it stands for.
    if (tt_is_quantised(found->dtype)) view->dtype = TT_F32, view->bytes = n * sizeof *given;
    tt_problem_store((void *)(uintptr_t)view->data, given, n, view->dtype);
    return TT_OK;
}

static void release(void *context, const struct tt_view *view) {
    const struct tt_bench *bench = context;
    tt_source_release(&bench->made, view);
}

static enum tt_status plan_back(struct tt_bench *bench, const struct tt_source *source,
                                struct tt_error *err) {
    const struct tt_tape *tape = &bench->tape;
    tt_value wanted[TT_MAX_INPUTS + 2];
    int count = 0;
    for (int i = 0; !bench->problem.nodx && i < TT_MAX_INPUTS + 2; i++) {
        tt_value value = input_of(bench, i);
        if (value != TT_NO_VALUE && tape->tensors[value].dtype == TT_F32) wanted[count++] = value;
    }
    struct tt_both_ways back = {.outputs = &bench->values.output, .output_count = 1,
                               .inputs = wanted, .input_count = count};
    enum tt_status status =
        tt_params_new(&tape, 1, !bench->problem.nodw, &bench->params, err);
    if (!status) status = tt_params_load(bench->params, source, err);
    back.params = bench->params;
    return status ? status : tt_plan_new_both_ways(tape, &bench->engine.plan, &back, &bench->plan,
                                                   err);
}

static enum tt_status plan(struct tt_bench *bench, struct tt_error *err) {
    bench->made = tt_problem_source(&bench->problem, &bench->tape, &bench->weights);
    struct tt_source source = {bench, bench->made.name, find, acquire, release};
    struct tt_bank_options options = {0};
    enum tt_status status = TT_OK;
    if (bench->problem.backward) {
        status = plan_back(bench, &source, err);
    } else {
        bench->bank = tt_bank_new(&source, &options);
        if (!bench->bank) return tt_fail(err, TT_SYSTEM, "out of memory for a problem");
        status = tt_plan_new(&bench->tape, bench->bank, &bench->engine.plan, &bench->plan, err);
    }
    struct tt_shape shape = shape_of(bench, bench->values.output);
    size_t n = tt_shape_count(&shape);
    if (status) return status;
    bench->seed = malloc(n * sizeof *bench->seed);
    if (!bench->seed) return tt_fail(err, TT_SYSTEM, "out of memory for %zu gradients", n);
    tt_problem_fill(bench->seed, n, 9);
    return tt_profile_new_alone(&bench->engine, bench->plan, &bench->profile, err);
}

static enum tt_status run(struct tt_bench *bench, const struct tt_observer *observer,
                          struct tt_error *err) {
    for (int i = 0; i < TT_MAX_INPUTS + 2; i++) {
        tt_value value = input_of(bench, i);
        struct tt_shape shape = shape_of(bench, value);
        if (value != TT_NO_VALUE)
            memcpy(tt_plan_data(bench->plan, value), bench->input[i],
                   tt_shape_count(&shape) * sizeof(float));
    }
    const struct tt_kernels *kernels = &bench->engine.kernels;
    enum tt_status status = tt_plan_run(bench->plan, kernels, observer, 1, err);
    if (status || !bench->problem.backward) return status;
    struct tt_shape shape = shape_of(bench, bench->values.output);
    tt_params_zero_gradients(bench->params);
    memcpy(tt_plan_seed(bench->plan, bench->values.output), bench->seed,
           tt_shape_count(&shape) * sizeof(float));
    return tt_plan_run_back(bench->plan, kernels, observer, 1, err);
}

enum tt_status tt_bench_run(struct tt_bench *bench, size_t repeat,
                            const struct tt_profile_node **node, struct tt_error *err) {
    enum tt_status status = bench->plan ? TT_OK : plan(bench, err);
    if (status) return status;
    struct tt_observer observer = tt_profile_observer(bench->profile);
    bench->engine.kernels.busy = bench->profile->busy;
    status = run(bench, &observer, err);
    tt_profile_reset(bench->profile);
    for (size_t i = 0; !status && i < repeat; i++) status = run(bench, &observer, err);
    if (status) return status;
    // The backward pass is the last step, where it has any work.
    const struct tt_profile_node *last = tt_profile_at(bench->profile, bench->profile->count - 1);
    if (bench->problem.backward && !strstr(last->problem, " backward"))
        return tt_fail(err, TT_BAD_INPUT,
                       "problem: found no work in the backward pass: gradients pass "
                       "as they are");
    *node = last;
    return TT_OK;
}

const float *tt_bench_output(const struct tt_bench *const_bench, struct tt_shape *shape) {
    struct tt_bench *bench = (struct tt_bench *)(uintptr_t)const_bench;
    if (!bench->plan) return NULL;
    tt_value value = bench->problem.backward ? bench->values.input[0] : bench->values.output;
    const float *data = bench->problem.backward ? tt_plan_gradient(bench->plan, value)
                                                : tt_plan_data(bench->plan, value);
    struct tt_shape s = *shape = shape_of(bench, value);
    size_t n = tt_shape_count(&s);
    if (!data) return NULL;
    float *output = realloc(bench->output, n * sizeof *output);
    if (!output) return NULL;
    bench->output = output;
    if (s.rank == 4)
        bench->engine.kernels.nhwc_to_nchw_f32(data, output, s.dim[0], s.dim[1],
                                               s.dim[2] * s.dim[3]);
    else
        memcpy(output, data, n * sizeof *output);
    return output;
}
