// SPDX-License-Identifier: MIT
// What a scheduler's file sees: the class it fills in, the state it works on, shared steps.
#ifndef TT_NOISE_SCHEDULER_CLASS_H
#define TT_NOISE_SCHEDULER_CLASS_H

#include "noise/scheduler.h"

enum { TT_SCHEDULER_HISTORY = 6, TT_SCHEDULER_WIDE = 8 };

struct tt_scheduler_class {
    // Every key the class knows in diffusers, with its default there: "key=value", NULL at the end.
    const char *const *defaults;
    // Checks the values and changes the schedule where the class does; may be NULL.
    enum tt_status (*init)(struct tt_scheduler *s, struct tt_error *err);
    // Fills timesteps, calls, sigmas (if has_sigmas) and init_noise_sigma for s->steps.
    enum tt_status (*set_timesteps)(struct tt_scheduler *s, struct tt_error *err);
    // NULL: the sample as it is.
    void (*scale_input)(const struct tt_scheduler *s, size_t i, const float *sample, float *out);
    enum tt_status (*step)(struct tt_scheduler *s, size_t i, const float *model_output,
                           const float *sample, float *out, struct tt_error *err);
    enum tt_status (*add_noise)(const struct tt_scheduler *s, size_t i, const float *x0,
                                const float *noise, float *out, struct tt_error *err);
    // Whether step i draws noise, for a scheduler with needs_noise; NULL: every step does.
    bool (*draws_noise)(const struct tt_scheduler *s, size_t i);
    bool has_sigmas;
    bool two_calls; // a step: diffusers' order 2
    // Beta schedules beside linear, scaled_linear and squaredcos_cap_v2: a bit for each.
    unsigned more_betas;
};

struct tt_scheduler {
    const struct tt_scheduler_class *class;
    const char *name, *class_name;
    struct tt_scheduler_values values;
    struct tt_schedule schedule;
    bool needs_noise;       // set by init
    size_t history_count;   // set by init: float buffers of the sample's size, <= HISTORY
    size_t wide_count;      // set by init: double buffers of the sample's size, <= WIDE
    float init_noise_sigma; // 1 unless set_timesteps says otherwise

    size_t steps, calls;
    double grid_strength; // of models distilled to few steps: the part of their grid that is used
    float *timesteps, *sigmas;

    size_t images, elements, count; // count = images * elements
    double *buffers;
    float *history[TT_SCHEDULER_HISTORY]; // zero at the start of a run; a class may permute them
    double *wide[TT_SCHEDULER_WIDE];      // the same; wide[0] is tt_scheduler_carry()'s
    float *work;                          // one more buffer: thresholds sort in it
    float *noise;                         // filled before a step when needs_noise
    size_t done;                          // steps of this run so far
};

// Fills timesteps (and calls) as timestep_spacing says, descending: `steps` of them below `last`,
// every (last / points)-th for leading, of `points` equidistant ones for linspace; rounded to
// integers unless keep_fractions. trailing may give one more.
void tt_scheduler_space(struct tt_scheduler *s, size_t last, size_t points, bool keep_fractions);

// set_timesteps of classes without noise levels: integers, at most num_train_timesteps of them.
enum tt_status tt_scheduler_space_whole(struct tt_scheduler *s, struct tt_error *err);

// For models distilled to few steps. Refuses what they do not support; fills timesteps and calls:
// evenly chosen from the original_inference_steps timesteps that the distillation used.
enum tt_status tt_scheduler_check_distilled(const struct tt_scheduler *s, struct tt_error *err);
enum tt_status tt_scheduler_space_distilled(struct tt_scheduler *s, struct tt_error *err);

// draws_noise for them: the last step does not.
bool tt_scheduler_draws_but_last(const struct tt_scheduler *s, size_t i);

// alphas_cumprod at t; a negative t counts from the end, as in Python. Fails for t outside.
enum tt_status tt_scheduler_alpha(const struct tt_scheduler *s, long t, float *alpha,
                                  struct tt_error *err);

// tt_add_noise at timestep i.
enum tt_status tt_scheduler_add_noise_at_timestep(const struct tt_scheduler *s, size_t i,
                                                  const float *x0, const float *noise, float *out,
                                                  struct tt_error *err);

// A run carries its sample in double, so that rounding errors do not add up over the steps: wide[0]
// = x, more exactly what tt_scheduler_combine() last had where that still rounds to x.
const double *tt_scheduler_carry(struct tt_scheduler *s, const float *x);

struct tt_term {
    double weight;
    const double *x;
};

// The next sample, the sum of weight·x over the terms, in their order, and of fresh·noise: into
// wide[0], which may be one of the terms, and rounded into out.
void tt_scheduler_combine(struct tt_scheduler *s, const struct tt_term *terms, size_t count,
                          double fresh, float *out);

// x0 from the model's output m for sample x at a timestep with alphas_cumprod alpha, thresholded
// or clipped as the settings say. Works in history[0].
void tt_scheduler_predict_x0(struct tt_scheduler *s, double alpha, const float *m, const double *x,
                             double *x0);

// Dynamic thresholding (Saharia et al. 2022) of each image of x in place.
void tt_scheduler_threshold(const struct tt_scheduler *s, float *x);

// The same for doubles, which it rounds to float. Works in history[0].
void tt_scheduler_threshold_wide(struct tt_scheduler *s, double *x);

// Fails for flow_prediction, which only the solvers of solver.h know.
enum tt_status tt_scheduler_refuse_flow(const struct tt_scheduler *s, struct tt_error *err);

// Fails with "CLASS: key: found VALUE, expected EXPECTED".
enum tt_status tt_scheduler_reject(const struct tt_scheduler *s, const char *key, const char *found,
                                   const char *expected, struct tt_error *err);

// Sets of sigmas for the classes that have them: whether the settings choose one; an error when
// they choose two; and n of them, from highest to lowest. Karras: equation 5 of Karras et al. 2022,
// rho = 7; exponential: equal steps of log sigma; beta: quantiles of a beta distribution (Lee et
// al. 2024, arXiv 2407.12173).
bool tt_sigmas_chosen(const struct tt_scheduler_values *values);
enum tt_status tt_scheduler_check_sets(const struct tt_scheduler *s, struct tt_error *err);
void tt_sigmas_fill(const struct tt_scheduler_values *values, double *sigmas, size_t n,
                    double highest, double lowest);

// The (fractional) timestep whose log sigma is that of sigma; log_sigmas of the whole schedule,
// ascending. And the same in float32 throughout, as diffusers computes it for levels in tensors.
double tt_sigma_to_timestep(double sigma, const float *log_sigmas, size_t n);
float tt_sigma_to_timestep_f32(float sigma, const float *log_sigmas, size_t n);

// numpy's float32 log of the schedule's sigmas; the caller frees. NULL: no memory.
float *tt_scheduler_log_sigmas(const struct tt_scheduler *s);

#define SCHEDULER(symbol, name, class_name) \
    extern const struct tt_scheduler_class tt_scheduler_##symbol;
#include "noise/schedulers.def"
#undef SCHEDULER

#endif
