// SPDX-License-Identifier: MIT
#include "train/optimiser.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "noise/numeric.h"

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
    double *squares; // of each parameter of the largest table
};

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
    int most = 1;
    if (good) o->options = *options;
    for (size_t i = 0; good && i < count; i++) {
        good = add_table(o, params[i], names[i]);
        if (params[i]->count > most) most = params[i]->count;
    }
    if (good) good = (o->squares = malloc((size_t)most * sizeof *o->squares)) != NULL;
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
    free(o->squares);
    free(o);
}

static size_t size_of(const struct tt_params *params, int i) {
    return tt_shape_count(&params->values[i].shape);
}

double tt_optimiser_norm(const struct tt_optimiser *o) {
    double all = 0;
    for (size_t t = 0; t < o->count; t++) {
        const struct tt_params *params = o->params[t];
#pragma omp parallel for schedule(dynamic) num_threads(o->options.threads)
        for (int i = 0; i < params->count; i++) {
            const float *g = tt_params_gradient(params, i);
            double sum = 0;
            for (size_t j = 0; j < size_of(params, i); j++) sum += (double)g[j] * g[j];
            o->squares[i] = sum;
        }
        for (int i = 0; i < params->count; i++) all += o->squares[i];
    }
    return sqrt(all);
}

// The numbers of a step, rounded to float where PyTorch hands them to a float kernel.
struct step {
    float clip, keep, beta1_rest, beta2, beta2_rest, correction, epsilon, size, ema_rest;
};

static void move(float *const array[ARRAYS], float *g, size_t offset, size_t n,
                 const struct step *s) {
    float *p = array[VALUE] + offset, *m = array[EXP_AVG] + offset, *v = array[EXP_AVG_SQ] + offset;
    for (size_t j = 0; j < n; j++) {
        float d = g[j] * s->clip;
        float value = p[j] * s->keep;
        m[j] = m[j] + s->beta1_rest * (d - m[j]);
        v[j] = v[j] * s->beta2 + s->beta2_rest * d * d;
        float denominator = sqrtf(v[j]) / s->correction + s->epsilon;
        p[j] = value + s->size * m[j] / denominator;
        g[j] = 0;
    }
    if (!array[EMA]) return;
    float *e = array[EMA] + offset;
    for (size_t j = 0; j < n; j++) e[j] = e[j] - s->ema_rest * (e[j] - p[j]);
}

void tt_optimiser_step(struct tt_optimiser *o, double norm, double learning_rate) {
    const struct tt_optimiser_options *with = &o->options;
    double n = (double)++o->steps;
    double decay = o->steps < 2 ? 0 : n / (9 + n); // (1 + k) / (10 + k) of EMAModel, k = n - 1
    if (decay > with->ema_decay) decay = with->ema_decay;
    double clip = with->clip_norm > 0 ? with->clip_norm / (norm + 1e-6) : 1;
    const struct step s = {
        .clip = (float)(clip < 1 ? clip : 1),
        .keep = (float)(1 - learning_rate * with->weight_decay),
        .beta1_rest = (float)(1 - with->beta1),
        .beta2 = (float)with->beta2,
        .beta2_rest = (float)(1 - with->beta2),
        .correction = (float)sqrt(1 - tt_pow(with->beta2, n)),
        .epsilon = (float)with->epsilon,
        .size = (float)-(learning_rate / (1 - tt_pow(with->beta1, n))),
        .ema_rest = (float)(1 - decay),
    };
    for (size_t t = 0; t < o->count; t++) {
        const struct tt_params *params = o->params[t];
#pragma omp parallel for schedule(dynamic) num_threads(with->threads)
        for (int i = 0; i < params->count; i++)
            move(o->arrays[t], tt_params_gradient(params, i),
                 (size_t)(tt_params_value(params, i) - params->value), size_of(params, i), &s);
    }
}

uint64_t tt_optimiser_steps(const struct tt_optimiser *o) { return o->steps; }
void tt_optimiser_set_steps(struct tt_optimiser *o, uint64_t steps) { o->steps = steps; }

const struct tt_state *tt_optimiser_states(const struct tt_optimiser *o, size_t *count) {
    *count = o->state_count;
    return o->states;
}

const float *tt_optimiser_weights(const struct tt_optimiser *o, size_t i) {
    return o->arrays[i][EMA] ? o->arrays[i][EMA] : o->arrays[i][VALUE];
}
