// SPDX-License-Identifier: MIT
// diffusers' own scheduler tests (huggingface/diffusers, tests/schedulers/), repeated through the
// public interface: their dummy sample and model, the sums and means they expect, their tolerances.
#include "tintype.h"
#include "util.h"

#include <math.h>
#include <stdlib.h>

enum { IMAGES = 4, MOST = IMAGES * 3 * 8 * 8, OPTIONS = 8 };
static const size_t picture = 3 * 8 * 8, line = 3 * 8; // elements of an image, in 2 dimensions or 1

// ---- what the tests begin with: get_scheduler_config() ----

#define BETAS "beta_start=0.0001", "beta_end=0.02", "beta_schedule=linear"
#define SOLVER BETAS, "solver_order=2", "final_sigmas_type=sigma_min"
static const char *const ddim[OPTIONS] = {BETAS, "clip_sample=true"};
static const char *const plain[OPTIONS] = {BETAS};
static const char *const euler[OPTIONS] = {BETAS, "num_train_timesteps=1100"};
static const char *const multistep[OPTIONS] = {SOLVER, "lower_order_final=false"};
static const char *const solver[OPTIONS] = {SOLVER};
static const char *const deis[OPTIONS] = {BETAS, "solver_order=2"};
static const char *const distilled[OPTIONS] = {"beta_schedule=scaled_linear"};

static const struct loop {
    const char *scheduler;
    const char *const *base;
    const char *options[3]; // on top of base
    double mean, sum;       // of absolute values; sum 0: not in the test
    size_t first;           // index of the first timestep of the loop
    bool noise;             // the sample is the dummy with noise of the first timestep
    size_t elements, steps; // 0: a picture, 10 steps
    double tolerance;       // of the sum; 0: 1e-2
} loops[] = {
    {"ddim", ddim, {0}, .mean = 0.223967, .sum = 172.0067},
    {"ddim", ddim, {"prediction_type=v_prediction"}, .mean = 0.0684, .sum = 52.5302},
    {"ddim", ddim, {"set_alpha_to_one=true", "beta_start=0.01"}, .mean = 0.1951, .sum = 149.8295},
    {"ddim", ddim, {"set_alpha_to_one=false", "beta_start=0.01"}, .mean = 0.1941, .sum = 149.0784},
    {"ddim", ddim, {0}, .mean = 0.4616, .sum = 354.5418, .first = 8, .noise = true},
    {"pndm", plain, {0}, .mean = 0.2580, .sum = 198.1318},
    {"pndm", plain, {"prediction_type=v_prediction"}, .mean = 0.0878, .sum = 67.3986},
    {"pndm", plain, {"set_alpha_to_one=true", "beta_start=0.01"}, .mean = 0.2995, .sum = 230.0399},
    {"pndm", plain, {"set_alpha_to_one=false", "beta_start=0.01"}, .mean = 0.2434, .sum = 186.9482},
    {"euler", euler, {0}, .mean = 0.0131, .sum = 10.0807},
    {"euler", euler, {"prediction_type=v_prediction"}, .mean = 2.2676e-06, .sum = 0.0002},
    {"euler", euler, {"use_karras_sigmas=true"}, .mean = 0.162139, .sum = 124.52299},
    {"euler", euler, {0}, .mean = 74.3007, .sum = 57062.9297, .first = 8, .noise = true},
    {"euler-ancestral", euler, {0}, .mean = 0.1983, .sum = 152.3192},
    {"euler-ancestral", euler, {"prediction_type=v_prediction"}, .mean = 0.1412, .sum = 108.4439},
    {"euler-ancestral", euler, {0}, .mean = 73.1290, .sum = 56163.0508, .first = 8, .noise = true},
    {"dpm++-2m", multistep, {0}, .mean = 0.3301},
    {"dpm++-2m", multistep, {0}, .mean = 0.4146, .sum = 318.4111, .first = 5, .noise = true},
    {"dpm++-2m", multistep,
     {"thresholding=true", "dynamic_thresholding_ratio=0.87", "sample_max_value=0.5"},
     .mean = 1.1364},
    {"dpm++-2m", multistep, {"prediction_type=v_prediction"}, .mean = 0.2251},
    {"dpm++-2m", multistep, {"prediction_type=v_prediction", "use_karras_sigmas=true"},
     .mean = 0.2096},
    {"dpm++-2m", multistep, {"prediction_type=v_prediction", "use_lu_lambdas=true"},
     .mean = 0.1554},
    {"dpm++-2s", solver, {0}, .mean = 0.2791},
    {"dpm++-2s", solver, {0}, .mean = 0.2574, .first = 3, .steps = 50},
    {"dpm++-2s", solver, {"use_karras_sigmas=true"}, .mean = 0.2248},
    {"dpm++-2s", solver, {"prediction_type=v_prediction"}, .mean = 0.1453},
    {"dpm++-2s", solver, {"prediction_type=v_prediction", "use_karras_sigmas=true"},
     .mean = 0.0649},
    {"dpm++-2s", solver, {0}, .mean = 0.3505, .sum = 269.2187, .first = 5, .noise = true},
    {"unipc", solver, {0}, .mean = 0.2464},
    {"unipc", solver, {"use_karras_sigmas=true"}, .mean = 0.2925},
    {"unipc", solver, {"prediction_type=v_prediction"}, .mean = 0.1014},
    {"unipc", solver, {"prediction_type=v_prediction", "use_karras_sigmas=true"}, .mean = 0.1966},
    {"unipc", solver, {0}, .mean = 0.4109, .sum = 315.5757, .first = 8, .noise = true},
    {"unipc", solver, {0}, .mean = 0.2441, .elements = line},
    {"unipc", solver, {"use_karras_sigmas=true"}, .mean = 0.2898, .elements = line},
    {"unipc", solver, {"prediction_type=v_prediction"}, .mean = 0.1014, .elements = line},
    {"unipc", solver, {"prediction_type=v_prediction", "use_karras_sigmas=true"},
     .mean = 0.1944, .elements = line},
    {"unipc", solver, {0}, .mean = 0.4072, .sum = 39.0870, .first = 8, .noise = true,
     .elements = line},
    {"deis", deis, {0}, .mean = 0.23916},
    {"deis", deis, {"prediction_type=v_prediction"}, .mean = 0.091},
    {"deis", deis, {0}, .mean = 0.41054, .sum = 315.3016, .first = 8, .noise = true},
    {"lcm", distilled, {0}, .mean = 0.0244, .sum = 18.7097, .steps = 1, .tolerance = 1e-3},
    {"lcm", distilled, {0}, .mean = 0.2575, .sum = 197.7616, .tolerance = 1e-3},
    {"tcd", distilled, {0}, .mean = 0.0389, .sum = 29.8715, .steps = 1, .tolerance = 1e-3},
    {"tcd", distilled, {0}, .mean = 0.2359, .sum = 181.2040, .tolerance = 1e-3},
};
enum { LOOPS = sizeof loops / sizeof *loops };

static struct tt_scheduler *open_scheduler(const struct loop *loop, struct tt_error *err) {
    const char *options[OPTIONS + 4] = {0};
    struct tt_scheduler *s = NULL;
    size_t n = 0;
    for (size_t i = 0; loop->base[i]; i++) options[n++] = loop->base[i];
    for (size_t i = 0; i < 3 && loop->options[i]; i++) options[n++] = loop->options[i];
    ck_assert_msg(!tt_scheduler_open(&s, loop->scheduler, NULL, options, err), "%s", err->message);
    return s;
}

START_TEST(sums_are_those_of_diffusers) {
    const struct loop *loop = &loops[_i];
    struct tt_error err = {0};
    struct tt_scheduler *s = open_scheduler(loop, &err);
    size_t elements = loop->elements ? loop->elements : picture, n = IMAGES * elements;
    float x[MOST], noise[MOST], output[MOST];
    struct tt_rng rng, *rngs[] = {&rng};
    tt_rng_seed(&rng, 0);
    ck_assert_int_eq(tt_scheduler_set_timesteps(s, loop->steps ? loop->steps : 10, &err), TT_OK);
    ck_assert_int_eq(tt_scheduler_start(s, IMAGES, elements, &err), TT_OK);
    for (size_t i = 0; i < n; i++) { // the number of an element runs over the images first
        size_t number = i % elements * IMAGES + i / elements;
        x[i] = (float)number / (float)n * tt_scheduler_init_noise_sigma(s);
        noise[i] = (float)(n - 1 - number) / (float)n;
    }
    if (loop->noise)
        ck_assert_int_eq(tt_scheduler_add_noise(s, loop->first, x, noise, x, &err), TT_OK);
    for (size_t k = loop->first; k < tt_scheduler_calls(s); k++) {
        float t = tt_scheduler_timesteps(s)[k];
        tt_scheduler_scale_input(s, k, x, x);
        for (size_t i = 0; i < n; i++) output[i] = x[i] * t / (t + 1.0f);
        ck_assert_msg(!tt_scheduler_step(s, k, output, x, rngs, 1, x, &err), "%s", err.message);
    }
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += fabs((double)x[i]);
    double tolerance = loop->tolerance > 0 ? loop->tolerance : 1e-2;
    ck_assert_msg(fabs(sum / (double)n - loop->mean) < 1e-3, "%s, line %d: mean %.7g, expected %g",
                  loop->scheduler, _i, sum / (double)n, loop->mean);
    if (loop->sum > 0)
        ck_assert_msg(fabs(sum - loop->sum) < tolerance, "%s, line %d: sum %.8g, expected %.8g",
                      loop->scheduler, _i, sum, loop->sum);
    tt_scheduler_free(s);
}
END_TEST

static Suite *loops_suite(void) {
    Suite *suite = suite_create("diffusers' loops");
    TCase *tcase = tcase_create("loops");
    tcase_add_loop_test(tcase, sums_are_those_of_diffusers, 0, LOOPS);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(loops_suite(), NULL); }
