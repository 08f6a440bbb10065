// SPDX-License-Identifier: MIT
// What all schedulers share: making one, memory, drawing noise.
#include "noise/scheduler_class.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct entry {
    const char *name, *class_name;
    const struct tt_scheduler_class *class;
} entries[] = {
#define SCHEDULER(symbol, name, class_name) {name, class_name, &tt_scheduler_##symbol},
#include "noise/schedulers.def"
#undef SCHEDULER
};
enum { ENTRIES = sizeof entries / sizeof entries[0] };

bool tt_scheduler_list(size_t i, const char **name, const char **class_name) {
    if (i >= ENTRIES) return false;
    *name = entries[i].name;
    *class_name = entries[i].class_name;
    return true;
}

static const struct entry *find(const char *name) {
    for (size_t i = 0; i < ENTRIES; i++)
        if (!strcmp(name, entries[i].name) || !strcmp(name, entries[i].class_name))
            return &entries[i];
    return NULL;
}

static enum tt_status unknown(const char *name, struct tt_error *err) {
    char list[512] = "";
    for (size_t i = 0; i < ENTRIES; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", entries[i].name);
    }
    return tt_fail(err, TT_BAD_INPUT, "scheduler: found '%s', expected one of %s", name, list);
}

static enum tt_status make_schedule(struct tt_scheduler *s, struct tt_error *err) {
    const struct tt_scheduler_values *v = &s->values;
    unsigned known = s->class->more_betas | 1u << TT_BETAS_LINEAR | 1u << TT_BETAS_SCALED_LINEAR |
                     1u << TT_BETAS_SQUAREDCOS_CAP_V2;
    if (!v->trained_betas.values && !(known >> v->beta_schedule & 1))
        return tt_scheduler_reject(s, "beta_schedule",
                                   tt_scheduler_config_word("beta_schedule", v->beta_schedule),
                                   "linear, scaled_linear or squaredcos_cap_v2", err);
    if (v->trained_betas.values && v->trained_betas.count != v->num_train_timesteps) {
        char found[32], expected[32];
        snprintf(found, sizeof found, "%zu values", v->trained_betas.count);
        snprintf(expected, sizeof expected, "num_train_timesteps = %zu", v->num_train_timesteps);
        return tt_scheduler_reject(s, "trained_betas", found, expected, err);
    }
    struct tt_schedule_options options = {
        v->num_train_timesteps, v->beta_start,    v->beta_end,
        v->beta_schedule,       v->trained_betas.values, v->rescale_betas_zero_snr,
    };
    return tt_schedule_init(&s->schedule, &options, err);
}

enum tt_status tt_scheduler_new(struct tt_scheduler **out, const char *name,
                                const struct tt_scheduler_config *config, struct tt_error *err) {
    *out = NULL;
    if (!name) name = config->file.class_name;
    const struct entry *entry = find(name);
    if (!entry) return unknown(name, err);
    struct tt_scheduler *s = calloc(1, sizeof *s);
    if (!s) return tt_fail(err, TT_SYSTEM, "no memory for a scheduler");
    s->class = entry->class;
    s->name = entry->name;
    s->class_name = entry->class_name;
    s->init_noise_sigma = 1.0f;
    enum tt_status status = tt_scheduler_config_resolve(config, entry->class_name,
                                                        s->class->defaults, &s->values, err);
    if (!status) status = make_schedule(s, err);
    if (!status && s->class->init) status = s->class->init(s, err);
    if (!status) *out = s;
    else tt_scheduler_free(s);
    return status;
}

void tt_scheduler_free(struct tt_scheduler *s) {
    if (!s) return;
    tt_scheduler_values_free(&s->values);
    tt_schedule_free(&s->schedule);
    free(s->timesteps);
    free(s->sigmas);
    free(s->buffers);
    free(s);
}

const char *tt_scheduler_name(const struct tt_scheduler *s) { return s->name; }
const struct tt_scheduler_values *tt_scheduler_settings(const struct tt_scheduler *s) {
    return &s->values;
}
const struct tt_schedule *tt_scheduler_schedule(const struct tt_scheduler *s) {
    return &s->schedule;
}
size_t tt_scheduler_calls(const struct tt_scheduler *s) { return s->calls; }
const float *tt_scheduler_timesteps(const struct tt_scheduler *s) { return s->timesteps; }
const float *tt_scheduler_sigmas(const struct tt_scheduler *s) {
    return s->class->has_sigmas ? s->sigmas : NULL;
}
float tt_scheduler_init_noise_sigma(const struct tt_scheduler *s) { return s->init_noise_sigma; }
size_t tt_scheduler_order(const struct tt_scheduler *s) { return s->class->two_calls ? 2 : 1; }
bool tt_scheduler_needs_noise(const struct tt_scheduler *s) { return s->needs_noise; }

static enum tt_status set_timesteps(struct tt_scheduler *s, size_t steps, double grid_strength,
                                    struct tt_error *err) {
    if (steps == 0 || steps > 1000000)
        return tt_fail(err, TT_BAD_INPUT, "steps: found %zu, expected 1 to 1000000", steps);
    size_t room = 3 * steps + 16; // the most that any class makes of steps: 3 calls for one
    float *timesteps = realloc(s->timesteps, room * sizeof *timesteps);
    if (timesteps) s->timesteps = timesteps;
    float *sigmas = realloc(s->sigmas, (room + 1) * sizeof *sigmas);
    if (sigmas) s->sigmas = sigmas;
    if (!timesteps || !sigmas) return tt_fail(err, TT_SYSTEM, "no memory for %zu steps", steps);
    s->steps = steps;
    s->calls = 0;
    s->done = 0;
    s->grid_strength = grid_strength;
    return s->class->set_timesteps(s, err);
}

enum tt_status tt_scheduler_set_timesteps(struct tt_scheduler *s, size_t steps,
                                          struct tt_error *err) {
    return set_timesteps(s, steps, 1, err);
}

enum tt_status tt_scheduler_set_strength(struct tt_scheduler *s, size_t steps, double strength,
                                         bool whole, size_t *first, struct tt_error *err) {
    if (!(strength > 0 && strength <= 1))
        return tt_fail(err, TT_BAD_INPUT, "strength: found %g, expected more than 0, up to 1",
                       strength);
    bool distilled = s->class->set_timesteps == tt_scheduler_space_distilled;
    *first = 0;
    if (whole && distilled) return set_timesteps(s, steps, strength, err);
    enum tt_status status = set_timesteps(s, steps, 1, err);
    if (status) return status;
    size_t kept = (size_t)((double)steps * strength); // as Python's int()
    if (!kept)
        return tt_fail(err, TT_BAD_INPUT, "strength, steps: found %g of %zu steps, which leaves "
                       "none, expected a strength of at least %g, or %.0f steps", strength, steps,
                       1.0 / (double)steps, ceil(1.0 / strength));
    *first = (steps - kept) * (s->class->two_calls ? 2 : 1);
    return TT_OK;
}

enum tt_status tt_scheduler_start(struct tt_scheduler *s, size_t images, size_t elements,
                                  struct tt_error *err) {
    size_t count, total, floats = s->history_count + 2;
    size_t each = floats * sizeof(float) + s->wide_count * sizeof(double);
    if (!tt_mul_size(images, elements, &count) || !tt_mul_size(count, each, &total))
        return tt_fail(err, TT_BAD_INPUT, "sample of %zu x %zu numbers: too large", images,
                       elements);
    free(s->buffers);
    s->buffers = calloc(total > 0 ? total : 1, 1);
    if (!s->buffers)
        return tt_fail(err, TT_SYSTEM, "no memory for a scheduler's history, %zu bytes", total);
    s->images = images;
    s->elements = elements;
    s->count = count;
    for (size_t k = 0; k < s->wide_count; k++)
        s->wide[k] = s->buffers + k * count;
    float *first = (float *)(s->buffers + s->wide_count * count);
    for (size_t k = 0; k < s->history_count; k++)
        s->history[k] = first + k * count;
    s->work = first + s->history_count * count;
    s->noise = s->work + count;
    s->done = 0;
    return TT_OK;
}

void tt_scheduler_scale_input(const struct tt_scheduler *s, size_t i, const float *sample,
                              float *out) {
    if (i >= s->calls)
        for (size_t k = 0; k < s->count; k++) out[k] = NAN;
    else if (s->class->scale_input) s->class->scale_input(s, i, sample, out);
    else if (out != sample) memcpy(out, sample, s->count * sizeof *out);
}

// Call i is one of a run that has begun.
static enum tt_status check_call(const struct tt_scheduler *s, size_t i, struct tt_error *err) {
    if (i >= s->calls)
        return tt_fail(err, TT_BAD_INPUT, "%s: found call %zu, expected one of %zu from 0 (see "
                       "tt_scheduler_set_timesteps)", s->name, i, s->calls);
    if (!s->buffers)
        return tt_fail(err, TT_BAD_INPUT, "%s: found no samples, expected tt_scheduler_start",
                       s->name);
    return TT_OK;
}

static enum tt_status draw(struct tt_scheduler *s, struct tt_rng *const *rngs, size_t n_rngs,
                           struct tt_error *err) {
    if (!rngs || (n_rngs != 1 && n_rngs != s->images))
        return tt_fail(err, TT_BAD_INPUT, "%s draws noise: found %zu generators, expected 1 or %zu",
                       s->name, rngs ? n_rngs : 0, s->images);
    if (n_rngs == 1) tt_rng_normal(rngs[0], s->noise, s->count);
    else
        for (size_t k = 0; k < n_rngs; k++)
            tt_rng_normal(rngs[k], s->noise + k * s->elements, s->elements);
    return TT_OK;
}

enum tt_status tt_scheduler_step(struct tt_scheduler *s, size_t i, const float *model_output,
                                 const float *sample, struct tt_rng *const *rngs, size_t n_rngs,
                                 float *out, struct tt_error *err) {
    enum tt_status status = check_call(s, i, err);
    if (status) return status;
    bool draws = s->needs_noise && (!s->class->draws_noise || s->class->draws_noise(s, i));
    status = draws ? draw(s, rngs, n_rngs, err) : TT_OK;
    if (!status) status = s->class->step(s, i, model_output, sample, out, err);
    if (!status) s->done++;
    return status;
}

enum tt_status tt_scheduler_add_noise(const struct tt_scheduler *s, size_t i, const float *x0,
                                      const float *noise, float *out, struct tt_error *err) {
    enum tt_status status = check_call(s, i, err);
    return status ? status : s->class->add_noise(s, i, x0, noise, out, err);
}
