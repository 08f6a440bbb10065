// SPDX-License-Identifier: MIT
// A scheduler walks from noise to a sample: it picks the timesteps at which the model is called and
// makes each next sample from the model's answer. Arithmetic is float32 in the order of diffusers.
//
//     tt_scheduler_new(&s, NULL, &config, err);
//     tt_scheduler_set_timesteps(s, 20, err);
//     tt_scheduler_start(s, images, elements, err);
//     x = randn() * tt_scheduler_init_noise_sigma(s);
//     for (size_t i = 0; i < tt_scheduler_calls(s); i++) {
//         tt_scheduler_scale_input(s, i, x, scaled);
//         model(scaled, tt_scheduler_timesteps(s)[i], output);
//         tt_scheduler_step(s, i, output, x, rngs, n_rngs, x, err);
//     }
#ifndef TT_NOISE_SCHEDULER_H
#define TT_NOISE_SCHEDULER_H

#include "noise/rng.h"
#include "noise/scheduler_config.h"

struct tt_scheduler;

// The list behind `tintype schedulers`: name and class in diffusers of entry i; false at the end.
bool tt_scheduler_list(size_t i, const char **name, const char **class_name);

// A scheduler by its name or its class in diffusers; NULL: the class that the file names. Errors:
// an unknown name, an option that the class does not know, a value that it does not support.
enum tt_status tt_scheduler_new(struct tt_scheduler **out, const char *name,
                                const struct tt_scheduler_config *config, struct tt_error *err);
void tt_scheduler_free(struct tt_scheduler *scheduler);

// The name on the command line; the settings after defaults, file and options; its noise schedule.
const char *tt_scheduler_name(const struct tt_scheduler *scheduler);
const struct tt_scheduler_values *tt_scheduler_settings(const struct tt_scheduler *scheduler);
const struct tt_schedule *tt_scheduler_schedule(const struct tt_scheduler *scheduler);

// Chooses timesteps for `steps` steps, and forgets the run before. Errors: 0 or too many steps.
enum tt_status tt_scheduler_set_timesteps(struct tt_scheduler *scheduler, size_t steps,
                                          struct tt_error *err);

// How often the model is called (steps, or more: pndm repeats one), and at which timesteps.
size_t tt_scheduler_calls(const struct tt_scheduler *scheduler);
const float *tt_scheduler_timesteps(const struct tt_scheduler *scheduler);

// The noise levels, `calls` of them and the last, final one; NULL for schedulers without (ddim,
// pndm).
const float *tt_scheduler_sigmas(const struct tt_scheduler *scheduler);

// The standard deviation of the first sample, which is this times randn.
float tt_scheduler_init_noise_sigma(const struct tt_scheduler *scheduler);

// Begins a run on samples of `images` times `elements` floats. All memory of the run is taken here.
enum tt_status tt_scheduler_start(struct tt_scheduler *scheduler, size_t images, size_t elements,
                                  struct tt_error *err);

// out = the model's input at call i. out may be sample.
void tt_scheduler_scale_input(const struct tt_scheduler *scheduler, size_t i, const float *sample,
                              float *out);

// Whether steps draw random numbers.
bool tt_scheduler_needs_noise(const struct tt_scheduler *scheduler);

// out = the sample after call i (calls are made in order, from any first i), given the model's
// output there. out may be sample. Noise: one generator draws randn(images, ...) at once, `images`
// generators draw for one image each, as in diffusers. Errors: no generator where one is needed, a
// timestep outside the schedule (from a large steps_offset).
enum tt_status tt_scheduler_step(struct tt_scheduler *scheduler, size_t i,
                                 const float *model_output, const float *sample,
                                 struct tt_rng *const *rngs, size_t n_rngs, float *out,
                                 struct tt_error *err);

// out = x0 with as much noise as call i expects, for runs that start from a picture. out may be x0.
enum tt_status tt_scheduler_add_noise(const struct tt_scheduler *scheduler, size_t i,
                                      const float *x0, const float *noise, float *out,
                                      struct tt_error *err);

#endif
