// SPDX-License-Identifier: MIT
// How schedulers are made from configurations, and what they refuse; test_steps compares their runs
// with recordings of diffusers.
#include "io/json.h"
#include "tintype.h"
#include "noise/scheduler.h"

#include "util.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Reads a scheduler_config.json given as text.
static enum tt_status read_config(struct tt_scheduler_config *config, const char *text,
                                  struct tt_error *err) {
    struct tt_json *json;
    enum tt_status status = tt_json_open("scheduler_config.json", text, strlen(text), &json, err);
    if (status != TT_OK) return status;
    status = tt_scheduler_config_read(config, json, err);
    tt_json_free(json);
    return status;
}

#define SD15                                                                                       \
    "\"_diffusers_version\":\"0.6.0\",\"beta_end\":0.012,\"beta_schedule\":\"scaled_linear\","     \
    "\"beta_start\":0.00085,\"num_train_timesteps\":1000,\"set_alpha_to_one\":false,"              \
    "\"skip_prk_steps\":true,\"steps_offset\":1,\"trained_betas\":null,\"clip_sample\":false"

static struct tt_scheduler *make(const char *name, const char *json, const char *const *options,
                                 bool stable_diffusion, struct tt_error *err) {
    struct tt_scheduler_config config = {.stable_diffusion = stable_diffusion};
    struct tt_scheduler *s = NULL;
    enum tt_status status = read_config(&config, json, err);
    for (; status == TT_OK && options && *options; options++)
        status = tt_scheduler_config_set(&config, *options, err);
    if (status == TT_OK) tt_scheduler_new(&s, name, &config, err);
    tt_scheduler_config_free(&config);
    return s;
}

START_TEST(file_decides_the_class) {
    struct tt_error err = {0};
    struct tt_scheduler *s = make(NULL, "{\"_class_name\":\"PNDMScheduler\"," SD15 "}", NULL, true,
                                  &err);
    ck_assert_msg(s, "%s", err.message);
    ck_assert_str_eq(tt_scheduler_name(s), "pndm");
    ck_assert_int_eq(tt_scheduler_set_timesteps(s, 20, &err), TT_OK);
    ck_assert_uint_eq(tt_scheduler_calls(s), 21);
    const float *t = tt_scheduler_timesteps(s);
    ck_assert(t[0] == 951 && t[1] == 901 && t[2] == 901 && t[20] == 1);
    ck_assert_ptr_null(tt_scheduler_sigmas(s));
    tt_scheduler_free(s);
}
END_TEST

// Class.from_config(pipe.scheduler.config): unknown keys dropped, own defaults for missing ones.
START_TEST(another_class_from_the_same_file) {
    struct tt_error err = {0};
    const char *json = "{\"_class_name\":\"PNDMScheduler\"," SD15 "}";
    struct tt_scheduler *s = make("euler", json, NULL, true, &err);
    ck_assert_msg(s, "%s", err.message);
    const struct tt_scheduler_values *v = tt_scheduler_settings(s);
    ck_assert_int_eq(v->timestep_spacing, TT_SPACING_LINSPACE);
    ck_assert_uint_eq(v->steps_offset, 1);
    ck_assert_double_eq(v->beta_end, 0.012);
    ck_assert_int_eq(tt_scheduler_set_timesteps(s, 20, &err), TT_OK);
    ck_assert_float_eq_tol(tt_scheduler_init_noise_sigma(s), 14.614647f, 2e-6f);
    tt_scheduler_free(s);
    s = make("DDIMScheduler", json, NULL, true, &err);
    ck_assert_msg(s, "%s", err.message);
    ck_assert(!tt_scheduler_settings(s)->set_alpha_to_one);
    ck_assert(!tt_scheduler_settings(s)->clip_sample);
    tt_scheduler_free(s);
}
END_TEST

START_TEST(stable_diffusion_repairs_old_files) {
    struct tt_error err = {0};
    const char *json = "{\"_class_name\":\"DDIMScheduler\",\"steps_offset\":0}";
    struct tt_scheduler *s = make(NULL, json, NULL, true, &err);
    ck_assert_uint_eq(tt_scheduler_settings(s)->steps_offset, 1);
    ck_assert(!tt_scheduler_settings(s)->clip_sample);
    tt_scheduler_free(s);
    s = make("euler", json, NULL, true, &err); // the repaired value goes along
    ck_assert_uint_eq(tt_scheduler_settings(s)->steps_offset, 1);
    tt_scheduler_free(s);
    // A repaired default does not.
    s = make("euler", "{\"_class_name\":\"DDIMScheduler\"}", NULL, true, &err);
    ck_assert_uint_eq(tt_scheduler_settings(s)->steps_offset, 0);
    tt_scheduler_free(s);
    s = make(NULL, json, (const char *[]){"steps_offset=0", "clip_sample=true", NULL}, true, &err);
    ck_assert_uint_eq(tt_scheduler_settings(s)->steps_offset, 0); // what the user says counts
    ck_assert(tt_scheduler_settings(s)->clip_sample);
    tt_scheduler_free(s);
    s = make(NULL, json, NULL, false, &err);
    ck_assert_uint_eq(tt_scheduler_settings(s)->steps_offset, 0);
    ck_assert(tt_scheduler_settings(s)->clip_sample);
    tt_scheduler_free(s);
}
END_TEST

static void keep_note(void *context, const char *text) {
    char *noted = context;
    snprintf(noted + strlen(noted), 1024 - strlen(noted), "%s\n", text);
}

// What no scheduler knows is noted; what another one than the chosen knows does not matter, be it
// as wrong as it may.
START_TEST(what_the_class_does_not_read) {
    static const struct {
        const char *name, *json, *noted;
    } cases[] = {
        {"ddim", "{\"beta_begin\":0.1}", "scheduler_config.json: beta_begin: no key of "},
        {"ddpm", "{\"timestep_values\":null,\"tensor_format\":\"pt\",\"predict_epsilon\":false}",
         "timestep_values, tensor_format, predict_epsilon: no keys of diffusers' schedulers"},
        {"ddim", "{\"eta\":0.5}", "eta: no key of"},
        {"euler", "{\"variance_type\":\"learned\",\"solver_order\":\"x\",\"solver_p\":{}}", ""},
        {"ddim", "{\"num_train_timesteps\":1000.0,\"steps_offset\":1.0}", ""},
        {"ddpm", "{\"beta_schedule\":\"laplace\"}", ""},
        {"heun", "{\"beta_schedule\":\"exp\"}", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char noted[1024] = "";
        struct tt_notes notes = {keep_note, noted};
        struct tt_scheduler_config config = {0};
        struct tt_scheduler *s = NULL;
        struct tt_json *json;
        struct tt_error err = {0};
        ck_assert(!tt_json_open("scheduler_config.json", cases[i].json, strlen(cases[i].json),
                                &json, &err));
        tt_json_tell(json, &notes);
        ck_assert_msg(!tt_scheduler_config_read(&config, json, &err) &&
                      !tt_scheduler_new(&s, cases[i].name, &config, &err), "%s", err.message);
        ck_assert_msg(*cases[i].noted ? strstr(noted, cases[i].noted) != NULL : !*noted,
                      "case %zu: noted '%s'", i, noted);
        if (i == 2) ck_assert(tt_scheduler_settings(s)->eta == 0.0);
        if (i == 4) ck_assert_uint_eq(tt_scheduler_settings(s)->num_train_timesteps, 1000);
        tt_scheduler_free(s);
        tt_scheduler_config_free(&config);
        tt_json_free(json);
    }
}
END_TEST

START_TEST(bad_settings_are_named) {
    static const struct {
        const char *name, *json, *option, *message;
    } cases[] = {
        {NULL, "{\"_class_name\":\"NoScheduler\"}", NULL, "'NoScheduler'"},
        {"foo", "{}", NULL, "'foo'"},
        {"ddim", "{\"beta_start\":\"0.1\"}", NULL, "beta_start"},
        {"ddim", "{\"beta_schedule\":\"sigmoid\"}", NULL, "beta_schedule: found sigmoid"},
        {"heun", "{\"beta_schedule\":\"laplace\"}", NULL, "beta_schedule: found laplace"},
        {"ddpm", "{\"beta_schedule\":\"exp\"}", NULL, "beta_schedule: found exp"},
        {"ddpm", "{\"beta_schedule\":\"cosine\"}", NULL, "beta_schedule: found \"cosine\", exp"},
        {"ddpm", "{\"num_train_timesteps\":1000.5}", NULL, "found 1000.5, expected an integer"},
        {"ddim", "{\"num_train_timesteps\":0}", NULL, "num_train_timesteps"},
        {"ddim", "{\"num_train_timesteps\":-5}", NULL, "num_train_timesteps"},
        {"ddim", "{\"trained_betas\":[0.1,0.2]}", NULL, "trained_betas: found 2 values"},
        {"ddim", "{\"trained_betas\":[0.1,\"x\"]}", NULL, "trained_betas"},
        {"ddim", "{\"clip_sample\":1}", NULL, "clip_sample"},
        {"ddim", "{\"prediction_type\":\"flow_prediction\"}", NULL, "prediction_type: found flow"},
        {"pndm", "{\"prediction_type\":\"sample\"}", NULL, "prediction_type: found sample"},
        {"euler-ancestral", "{\"prediction_type\":\"sample\"}", NULL, "prediction_type"},
        {"euler", "{\"use_beta_sigmas\":true,\"use_karras_sigmas\":true}", NULL,
         "use_beta_sigmas: found true, expected false beside use_karras_sigmas"},
        {"kdpm2", "{\"prediction_type\":\"sample\"}", NULL, "prediction_type: found sample"},
        {"ddpm", "{\"variance_type\":\"learned\"}", NULL, "variance_type: found learned"},
        {"ddpm", "{\"variance_type\":\"fixed_large_log\"}", NULL, "variance_type: found fixed_l"},
        {"unipc", "{\"use_dynamic_shifting\":true}", NULL, "use_dynamic_shifting"},
        {"dpm++-2m", "{\"variance_type\":\"learned\"}", NULL, "variance_type: found learned"},
        {"dpm++-2m", "{\"solver_order\":4}", NULL, "solver_order: found 4"},
        {"dpm++-2m", "{\"algorithm_type\":\"dpmsolver\"}", NULL, "final_sigmas_type: found zero"},
        {"dpm++-2m", "{\"algorithm_type\":\"ode\"}", NULL, "algorithm_type"},
        {"dpm++-2m", "{\"use_karras_sigmas\":true,\"use_exponential_sigmas\":true}", NULL,
         "use_exponential_sigmas: found true, expected false beside use_karras_sigmas"},
        {"dpm++-2s", "{\"algorithm_type\":\"sde-dpmsolver\"}", NULL, "algorithm_type: found sde"},
        {"dpm++-2s", "{\"algorithm_type\":\"dpmsolver\"}", NULL, "final_sigmas_type: found zero"},
        {"dpm++-2s", "{\"solver_order\":4}", NULL, "solver_order: found 4, expected 1 to 3"},
        {"dpm++-2s", "{}", "timestep_spacing=leading", "not a key of DPMSolverSinglestepScheduler"},
        {"unipc", "{\"solver_p\":{\"_class_name\":\"DDIMScheduler\"}}", NULL, "solver_p"},
        {"unipc", "{\"solver_order\":0}", NULL, "solver_order: found 0"},
        {"unipc", "{\"shift_terminal\":0.1}", NULL, "shift_terminal: found a number"},
        {"unipc", "{\"predict_x0\":false}", NULL, "final_sigmas_type: found zero"},
        {"unipc", "{\"disable_corrector\":2}", NULL, "disable_corrector"},
        {"deis", "{\"algorithm_type\":\"sde-dpmsolver\"}", NULL, "algorithm_type: found sde-dpm"},
        {"deis", "{}", "final_sigmas_type=zero", "not a key of DEISMultistepScheduler"},
        {"lcm", "{\"original_inference_steps\":0}", NULL, "original_inference_steps: found 0"},
        {"lcm", "{\"num_train_timesteps\":20}", NULL, "original_inference_steps: found 50"},
        {"lcm", "{\"timestep_scaling\":null}", NULL, "timestep_scaling"},
        {"tcd", "{}", "eta=1.5", "eta: found 1.5"},
        {"tcd", "{\"prediction_type\":\"flow_prediction\"}", NULL, "prediction_type: found flow"},
        {"ddim", "{}", "skip_prk_steps=true", "'skip_prk_steps': not a key of DDIMScheduler"},
        {"ddim", "{}", "eta", "expected key=value"},
        {"ddim", "{}", "eta=-1", "eta"},
        {"ddim", "{}", "no_key=1", "'no_key'"},
        {"ddim", "{}", "timestep_spacing=even", "found even, expected leading or trailing"},
        {"ddim", "{}", "steps_offset=1.5", "steps_offset"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tt_error err = {0};
        const char *options[] = {cases[i].option, NULL};
        struct tt_scheduler *s = make(cases[i].name, cases[i].json, options, false, &err);
        ck_assert_msg(!s && err.status == TT_BAD_INPUT, "case %zu is taken", i);
        bool named = strstr(err.message, cases[i].message) != NULL;
        ck_assert_msg(named, "case %zu: %s", i, err.message);
    }
}
END_TEST

START_TEST(keys_of_other_classes_are_dropped) {
    struct tt_error err = {0};
    struct tt_scheduler *s =
        make("ddim", "{\"use_beta_sigmas\":true,\"solver_p\":null,\"predict_x0\":true,"
                     "\"_notes\":1,\"lambda_min_clipped\":-Infinity,\"sigma_min\":null}",
             NULL, false, &err);
    ck_assert_msg(s, "%s", err.message);
    tt_scheduler_free(s);
}
END_TEST

START_TEST(options_parse) {
    struct tt_error err = {0};
    const char *options[] = {"trained_betas=0.1,0.2,0.3", "num_train_timesteps=3", NULL};
    struct tt_scheduler *s = make("euler", "{}", options, false, &err);
    ck_assert_msg(s, "%s", err.message);
    ck_assert_float_eq(tt_scheduler_schedule(s)->betas[2], 0.3f);
    tt_scheduler_free(s);
    const char *nulls[] = {"sigma_max=null", "use_karras_sigmas=true", "use_karras_sigmas=false",
                           "final_sigmas_type=sigma_min", NULL};
    s = make("euler", "{\"sigma_max\":5}", nulls, false, &err);
    ck_assert_msg(s, "%s", err.message);
    ck_assert(isnan(tt_scheduler_settings(s)->sigma_max));
    ck_assert(!tt_scheduler_settings(s)->use_karras_sigmas); // the last one wins
    tt_scheduler_free(s);
}
END_TEST

START_TEST(bad_numbers_of_steps) {
    struct tt_error err = {0};
    struct tt_scheduler *s = make("pndm", "{}", NULL, false, &err);
    ck_assert_int_eq(tt_scheduler_set_timesteps(s, 0, &err), TT_BAD_INPUT);
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_scheduler_set_timesteps(s, 3, &err), TT_BAD_INPUT); // Runge-Kutta needs 4
    ck_assert_ptr_nonnull(strstr(err.message, "steps: found 3"));
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_scheduler_set_timesteps(s, 1001, &err), TT_BAD_INPUT);
    ck_assert_ptr_nonnull(strstr(err.message, "steps: found 1001"));
    tt_scheduler_free(s);
}
END_TEST

// Two images with a generator each are what either alone would be.
START_TEST(a_generator_for_each_image) {
    struct tt_error err = {0};
    enum { N = 20 };
    float both[2 * N], one[N], output[2 * N];
    uint64_t state = 1;
    for (size_t j = 0; j < 2 * N; j++) both[j] = test_random_f32(&state);
    for (size_t j = 0; j < 2 * N; j++) output[j] = test_random_f32(&state);
    memcpy(one, both + N, sizeof one);
    struct tt_rng a, b, *rngs[] = {&a, &b};
    tt_rng_seed(&a, 1);
    tt_rng_seed(&b, 2);
    struct tt_scheduler *s = make("euler-ancestral", "{}", NULL, false, &err);
    ck_assert(tt_scheduler_needs_noise(s));
    tt_scheduler_set_timesteps(s, 5, &err);
    tt_scheduler_start(s, 2, N, &err);
    ck_assert_int_eq(tt_scheduler_step(s, 0, output, both, rngs, 2, both, &err), TT_OK);
    tt_rng_seed(&b, 2);
    tt_scheduler_start(s, 1, N, &err);
    ck_assert_int_eq(tt_scheduler_step(s, 0, output + N, one, rngs + 1, 1, one, &err), TT_OK);
    test_equal("second image", both + N, one, N);
    ck_assert_int_eq(tt_scheduler_step(s, 1, output, one, NULL, 0, one, &err), TT_BAD_INPUT);
    ck_assert_ptr_nonnull(strstr(err.message, "generators"));
    tt_scheduler_free(s);
}
END_TEST

START_TEST(noise_for_runs_from_a_picture) {
    struct tt_error err = {0};
    const float x0[2] = {0.5f, -1.0f}, noise[2] = {1.0f, 2.0f};
    const char *name, *class_name;
    for (size_t k = 0; tt_scheduler_list(k, &name, &class_name); k++) {
        struct tt_scheduler *s = make(name, "{" SD15 "}", NULL, true, &err);
        ck_assert_msg(s, "%s", err.message);
        ck_assert_int_eq(tt_scheduler_set_timesteps(s, 10, &err), TT_OK);
        ck_assert_int_eq(tt_scheduler_start(s, 1, 2, &err), TT_OK);
        float out[2], want[2], sigma = 1.0f;
        ck_assert_int_eq(tt_scheduler_add_noise(s, 4, x0, noise, out, &err), TT_OK);
        size_t t = (size_t)lrintf(tt_scheduler_timesteps(s)[4]);
        tt_add_noise(tt_scheduler_schedule(s), t, x0, noise, want, 2);
        // Euler's samples are those of the others divided by the signal's share.
        if (tt_scheduler_settings(s)->timestep_spacing == TT_SPACING_LINSPACE &&
            strncmp(name, "dpm", 3) && strcmp(name, "unipc") && strcmp(name, "deis"))
            sigma = sqrtf(tt_scheduler_schedule(s)->alphas_cumprod[t]);
        for (size_t j = 0; j < 2; j++) want[j] /= sigma;
        test_close(name, out, want, 2, 0, 1e-6);
        tt_scheduler_free(s);
    }
}
END_TEST

// Consistency models finish in their last step, so that it draws nothing.
START_TEST(the_last_step_of_few_draws_no_noise) {
    struct tt_error err = {0};
    const char *eta[] = {"eta=0.3", NULL};
    for (size_t k = 0; k < 2; k++) {
        struct tt_scheduler *s = make(k ? "tcd" : "lcm", "{}", k ? eta : NULL, false, &err);
        ck_assert_msg(s, "%s", err.message);
        float x[2] = {0.5f, -1.0f};
        const float output[2] = {0.1f, 0.2f};
        struct tt_rng rng, *rngs[] = {&rng};
        tt_rng_seed(&rng, 3);
        ck_assert_int_eq(tt_scheduler_set_timesteps(s, 2, &err), TT_OK);
        ck_assert_int_eq(tt_scheduler_start(s, 1, 2, &err), TT_OK);
        ck_assert(tt_scheduler_needs_noise(s));
        ck_assert_int_eq(tt_scheduler_step(s, 0, output, x, NULL, 0, x, &err), TT_BAD_INPUT);
        err = (struct tt_error){0};
        ck_assert_int_eq(tt_scheduler_step(s, 0, output, x, rngs, 1, x, &err), TT_OK);
        struct tt_rng before = rng;
        ck_assert_int_eq(tt_scheduler_step(s, 1, output, x, rngs, 1, x, &err), TT_OK);
        ck_assert_mem_eq(&before, &rng, sizeof rng);
        ck_assert_int_eq(tt_scheduler_set_timesteps(s, 51, &err), TT_BAD_INPUT);
        ck_assert_ptr_nonnull(strstr(err.message, "expected at most 50, the original_inference"));
        err = (struct tt_error){0};
        tt_scheduler_free(s);
    }
}
END_TEST

static Suite *schedulers_suite(void) {
    Suite *suite = suite_create("schedulers");
    TCase *tcase = tcase_create("schedulers");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, file_decides_the_class);
    tcase_add_test(tcase, another_class_from_the_same_file);
    tcase_add_test(tcase, stable_diffusion_repairs_old_files);
    tcase_add_test(tcase, bad_settings_are_named);
    tcase_add_test(tcase, what_the_class_does_not_read);
    tcase_add_test(tcase, keys_of_other_classes_are_dropped);
    tcase_add_test(tcase, options_parse);
    tcase_add_test(tcase, bad_numbers_of_steps);
    tcase_add_test(tcase, a_generator_for_each_image);
    tcase_add_test(tcase, noise_for_runs_from_a_picture);
    tcase_add_test(tcase, the_last_step_of_few_draws_no_noise);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(schedulers_suite(), NULL); }
