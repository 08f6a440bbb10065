// SPDX-License-Identifier: MIT
#include "train/adamw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/team.h"
#include "optimiser/optimiser.h"
#include "reduce/reduce.h"

// A table's values, the means of its gradients and of their squares, and the average of values.
enum { VALUE, EXP_AVG, EXP_AVG_SQ, EMA, ARRAYS };
static const char *const array_names[ARRAYS] = {"value", "exp_avg", "exp_avg_sq", "ema"};
enum { MOST_TABLES = 4 };

struct tt_optimiser {
    struct tt_optimiser_options options;
    struct tt_params *params[MOST_TABLES];
    float *arrays[MOST_TABLES][ARRAYS];
    size_t count;
    uint64_t steps;
    struct tt_state states[MOST_TABLES * ARRAYS];
    size_t state_count;
    float *scratch; // for sums over the largest parameter
};

static size_t size_of(const struct tt_params *params, int i) {
    return tt_shape_count(&params->values[i].shape);
}

static size_t array_bytes(const struct tt_params *params) {
    return params->floats * sizeof(float);
}

static bool add_table(struct tt_optimiser *o, struct tt_params *params, const char *name) {
    float **arrays = o->arrays[o->count];
    o->params[o->count++] = params;
    arrays[VALUE] = params->value;
    for (int i = EXP_AVG; i < ARRAYS; i++) {
        if (i == EMA && !(o->options.ema_decay > 0)) continue;
        arrays[i] = tt_block_alloc(array_bytes(params));
        if (!arrays[i]) return false;
    }
    if (arrays[EMA]) memcpy(arrays[EMA], params->value, array_bytes(params));
    for (int i = 0; i < ARRAYS; i++)
        if (arrays[i])
            o->states[o->state_count++] =
                (struct tt_state){name, array_names[i], params, arrays[i]};
    return true;
}

enum tt_status tt_optimiser_new(struct tt_params *const *params, const char *const *names,
                                size_t count, const struct tt_optimiser_options *options,
                                struct tt_optimiser **out, struct tt_error *err) {
    struct tt_optimiser *o = calloc(1, sizeof *o);
    bool good = o && count <= MOST_TABLES;
    size_t most = 1;
    if (good) o->options = *options;
    for (size_t i = 0; good && i < count; i++) {
        good = add_table(o, params[i], names[i]);
        for (int j = 0; j < params[i]->count; j++)
            if (size_of(params[i], j) > most) most = size_of(params[i], j);
    }
    if (good)
        good = (o->scratch = malloc(tt_sum_scratch_floats(most) * sizeof *o->scratch)) != NULL;
    if (good) {
        *out = o;
        return TT_OK;
    }
    tt_optimiser_free(o);
    return tt_fail(err, TT_SYSTEM, "out of memory for the optimiser");
}

void tt_optimiser_free(struct tt_optimiser *o) {
    if (!o) return;
    for (size_t t = 0; t < o->count; t++)
        for (int i = EXP_AVG; i < ARRAYS; i++)
            tt_block_free(o->arrays[t][i], array_bytes(o->params[t]));
    free(o->scratch);
    free(o);
}

double tt_optimiser_norm(const struct tt_optimiser *o) {
    double all = 0;
    for (size_t t = 0; t < o->count; t++)
        for (int i = 0; i < o->params[t]->count; i++)
            all += tt_sum_squares(o->options.kernels, tt_params_gradient(o->params[t], i),
                                  size_of(o->params[t], i), o->scratch, o->options.threads);
    return sqrt(all);
}

// One parameter: n floats of each array.
static void move(const struct tt_kernels *kernels, float *const array[ARRAYS], float *g,
                 size_t offset, size_t n, const struct tt_adamw *step, float clip, float ema_rest) {
    float *value = array[VALUE] + offset;
    if (clip < 1) kernels->scale_f32(g, clip, g, n);
    kernels->adamw_f32(value, g, array[EXP_AVG] + offset, array[EXP_AVG_SQ] + offset, n, step);
    memset(g, 0, n * sizeof *g);
    if (!array[EMA]) return;
    float *ema = array[EMA] + offset;
    kernels->lerp_f32(ema, value, ema_rest, ema, n);
}

void tt_optimiser_step(struct tt_optimiser *o, double norm, double learning_rate) {
    const struct tt_optimiser_options *with = &o->options;
    double n = (double)++o->steps;
    double decay = o->steps < 2 ? 0 : n / (9 + n); // (1 + k) / (10 + k) of EMAModel, k = n - 1
    if (decay > with->ema_decay) decay = with->ema_decay;
    float clip = 1; // max / (norm + 1e-6), in PyTorch's steps: a reciprocal, then a product
    if (with->clip_norm > 0) clip = 1 / ((float)norm + 1e-6f) * (float)with->clip_norm;
    struct tt_adamw step = tt_adamw_step(learning_rate, with->beta1, with->beta2, with->epsilon,
                                         with->weight_decay, o->steps);
    for (size_t t = 0; t < o->count; t++) {
        const struct tt_params *params = o->params[t];
        int threads = tt_team_size(with->threads);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (int i = 0; i < params->count; i++)
            move(with->kernels, o->arrays[t], tt_params_gradient(params, i),
                 (size_t)(tt_params_value(params, i) - params->value), size_of(params, i), &step,
                 clip, (float)(1 - decay));
    }
}

uint64_t tt_optimiser_steps(const struct tt_optimiser *o) { return o->steps; }
void tt_optimiser_set_steps(struct tt_optimiser *o, uint64_t steps) { o->steps = steps; }

const struct tt_state *tt_optimiser_states(const struct tt_optimiser *o, size_t *count) {
    *count = o->state_count;
    return o->states;
}

void tt_optimiser_swap(struct tt_optimiser *o) {
    for (size_t t = 0; t < o->count; t++) {
        float *values = o->arrays[t][VALUE], *average = o->arrays[t][EMA], x;
        for (size_t i = 0; average && i < o->params[t]->floats; i++) {
            x = values[i];
            values[i] = average[i];
            average[i] = x;
        }
    }
}

const float *tt_optimiser_weights(const struct tt_optimiser *o, size_t i) {
    return o->arrays[i][EMA] ? o->arrays[i][EMA] : o->arrays[i][VALUE];
}
