// SPDX-License-Identifier: MIT
// The settings of a scheduler: scheduler_config.json of a model, and what a user sets on top.
#ifndef TT_NOISE_SCHEDULER_CONFIG_H
#define TT_NOISE_SCHEDULER_CONFIG_H

#include "base/note.h"
#include "base/status.h"
#include "noise/schedule.h"

#include <stdbool.h>
#include <stdint.h>

struct tt_json;

enum tt_prediction { TT_PREDICT_EPSILON, TT_PREDICT_V, TT_PREDICT_SAMPLE, TT_PREDICT_FLOW };
enum tt_spacing { TT_SPACING_LEADING, TT_SPACING_TRAILING, TT_SPACING_LINSPACE };
enum tt_interpolation { TT_INTERPOLATE_LINEAR, TT_INTERPOLATE_LOG_LINEAR };
enum tt_timestep_type { TT_TIMESTEP_DISCRETE, TT_TIMESTEP_CONTINUOUS };
enum tt_final_sigma { TT_FINAL_ZERO, TT_FINAL_SIGMA_MIN };
enum tt_algorithm {
    TT_DPMSOLVER,
    TT_DPMSOLVER_PP,
    TT_SDE_DPMSOLVER,
    TT_SDE_DPMSOLVER_PP,
    TT_ALGORITHM_DEIS,
};
enum tt_solver_type {
    TT_SOLVER_MIDPOINT,
    TT_SOLVER_HEUN,
    TT_SOLVER_LOGRHO,
    TT_SOLVER_BH1,
    TT_SOLVER_BH2,
};

struct tt_numbers {
    double *values; // NULL: none
    size_t count;
};

// One field per key, named like it; a number that may be null is then NaN.
struct tt_scheduler_values {
    size_t num_train_timesteps, steps_offset, solver_order, original_inference_steps;
    double beta_start, beta_end;
    double clip_sample_range, dynamic_thresholding_ratio, sample_max_value;
    double sigma_min, sigma_max, lambda_min_clipped, flow_shift, shift_terminal;
    double timestep_scaling;
    double eta; // no key of diffusers' files: its pipelines pass it to every step
    struct tt_numbers trained_betas, disable_corrector;
    int beta_schedule, prediction_type, timestep_spacing; // enums
    int interpolation_type, timestep_type, final_sigmas_type, algorithm_type, solver_type;
    int time_shift_type;
    bool rescale_betas_zero_snr, clip_sample, set_alpha_to_one, thresholding, skip_prk_steps;
    bool use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas, use_lu_lambdas;
    bool use_flow_sigmas, use_dynamic_shifting, lower_order_final, euler_at_final, predict_x0;
    char variance_type[16]; // empty: null
    char class_name[64];    // _class_name
};

// Zero-initialise.
struct tt_scheduler_config {
    struct tt_scheduler_values file, option; // what the file says, what the user set
    uint64_t in_file, in_option;             // which fields of them count, a bit for each key
    // Values of the file that no class takes: key -> what is wrong, or NULL. They matter to classes
    // that know the key.
    struct json_t *wrong;
    // StableDiffusionPipeline repairs old files when it loads them: steps_offset 1, clip_sample
    // off.
    bool stable_diffusion;
    const struct tt_notes *notes; // who is told of that; NULL: nobody
};

// Frees the lists inside and makes it empty again.
void tt_scheduler_config_free(struct tt_scheduler_config *config);

// Takes every key of a scheduler_config.json. A key that belongs to no scheduler of diffusers is
// noted; a value of the wrong type, or not among those allowed, is an error of the classes that
// read it: of tt_scheduler_config_resolve(). Keys that start with '_' other than _class_name are
// notes of the writer.
enum tt_status tt_scheduler_config_read(struct tt_scheduler_config *config, struct tt_json *json,
                                        struct tt_error *err);

// Takes "key=value" (lists as a,b,c; null where the file may say so), over the file's value.
enum tt_status tt_scheduler_config_set(struct tt_scheduler_config *config, const char *option,
                                       struct tt_error *err);

// The values for a class that knows the keys of defaults ("key=value" strings, NULL at the end):
// the user's, else the file's, else the default. As diffusers' from_config, keys of the file that
// the class does not know are dropped; for the user's they are an error. class_name: the name of
// the class in diffusers. Errors: a value of the file that the class reads and that is wrong. Free
// with tt_scheduler_values_free(), after an error too.
enum tt_status tt_scheduler_config_resolve(const struct tt_scheduler_config *config,
                                           const char *class_name, const char *const *defaults,
                                           struct tt_scheduler_values *values,
                                           struct tt_error *err);

// Frees the lists inside.
void tt_scheduler_values_free(struct tt_scheduler_values *values);

// The word a file uses for value of key, for messages: "v_prediction".
const char *tt_scheduler_config_word(const char *key, int value);

#endif
