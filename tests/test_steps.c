// SPDX-License-Identifier: MIT
// Every scheduler against recordings of diffusers: timesteps for every number of steps
// (reference/noise/timesteps/), and every step of runs of every combination of settings
// (reference/noise/steps/). Prints how many combinations were tried, and refused.
#include "io/json.h"
#include "noise/scheduler_class.h"
#include "tintype.h"

#include "util.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Every sample of a run, and every input made from one, is at most this many units in the last
// place of its largest number from the float64 truth, with the tables (sigmas, alphas_cumprod) that
// diffusers has; and with our own, whose last bits differ: measured, at most 19 (lms, 50 steps).
// kdpm2-ancestral has a table that cannot be taken over: where a step is large, the float32 roots
// behind its lower level cancel (measured: 136).
static const double ULPS = 4.0, ULPS_OWN = 24.0, ULPS_CANCELLED = 160.0;

// NULL: the recording is missing.
static json_t *load(const char *folder, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "reference/noise/%s/%s.json", folder, name);
    if (access(path, R_OK) != 0) return NULL;
    size_t size;
    char *text = test_read(path, &size);
    json_t *root;
    struct tt_error err = {0};
    ck_assert_msg(tt_json_parse(path, text, size, &root, &err) == TT_OK, "%s", err.message);
    free(text);
    return root;
}

static const char *string(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static size_t size_of(const json_t *object, const char *key) {
    return (size_t)json_integer_value(json_object_get(object, key));
}

// The scheduler of a case: the settings that all cases of the file share, and its own. NULL: err.
static struct tt_scheduler *scheduler_of(const json_t *root, const json_t *recorded,
                                         struct tt_error *err) {
    struct tt_scheduler_config config = {0};
    struct tt_scheduler *s = NULL;
    json_t *settings = json_copy(json_object_get(root, "base"));
    json_object_update(settings, json_object_get(recorded, "options"));
    char eta[32], *text = json_dumps(settings, 0);
    struct tt_json *json;
    enum tt_status status = tt_json_open("options", text, strlen(text), &json, err);
    if (status == TT_OK) status = tt_scheduler_config_read(&config, json, err);
    tt_json_free(json);
    const char *name = string(root, "scheduler");
    snprintf(eta, sizeof eta, "eta=%g", json_number_value(json_object_get(recorded, "eta")));
    if (status == TT_OK && (!strcmp(name, "ddim") || !strcmp(name, "tcd")))
        status = tt_scheduler_config_set(&config, eta, err);
    if (status == TT_OK) tt_scheduler_new(&s, name, &config, err);
    tt_scheduler_config_free(&config);
    free(text);
    json_decref(settings);
    return s;
}

static uint32_t crc32(uint32_t crc, const void *data, size_t size) { // ISO 3309, as in PNG
    crc = ~crc;
    for (const unsigned char *p = data; size > 0; size--, p++) {
        crc ^= *p;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

// The integer timesteps of a set of sigmas are rounded logarithms: where one falls on an integer or
// a half, the last bit of diffusers' square roots decides. So many checksums of a hundred (each
// of ten numbers of steps) may differ for a set; without one, none.
enum { LENIENT = 4 };

// Folds the timesteps for n steps into *crc, or into *sum those that are known but for last bits.
static void fold(const json_t *recorded, struct tt_scheduler *s, size_t n, uint32_t *crc,
                 double *sum) {
    struct tt_error err = {0};
    const char *about = string(recorded, "about");
    bool integers = !strcmp(string(recorded, "dtype"), "I32");
    bool good = tt_scheduler_set_timesteps(s, n, &err) == TT_OK;
    int32_t calls = good ? (int32_t)tt_scheduler_calls(s) : -1;
    *crc = crc32(*crc, &calls, sizeof calls);
    for (int32_t k = 0; k < calls; k++) {
        float t = tt_scheduler_timesteps(s)[k];
        int32_t bits = (int32_t)t;
        if (!integers) memcpy(&bits, &t, sizeof bits);
        if (about && (k % 2 == 1 || !strcmp(about, "all"))) *sum += (double)t;
        else *crc = crc32(*crc, &bits, sizeof bits);
    }
}

// Of the hundred blocks of ten numbers of steps, one in so many is compared: all, or with --quick
// (sanitizers, emulators) one in ten.
static size_t stride = 1;

static void check_timesteps(const json_t *root, const json_t *recorded) {
    struct tt_error err = {0};
    char *label = json_dumps(json_object_get(recorded, "options"), 0);
    struct tt_scheduler *s = scheduler_of(root, recorded, &err);
    ck_assert_msg(s, "%s", err.message);
    const json_t *checks = json_object_get(recorded, "crc32");
    const json_t *sums = json_object_get(recorded, "sums");
    size_t differ = 0;
    ck_assert_uint_eq(json_array_size(checks), 100);
    for (size_t k = 0; k < 100; k += stride) {
        uint32_t crc = 0;
        double sum = 0;
        for (size_t n = 10 * k + 1; n <= 10 * k + 10; n++) fold(recorded, s, n, &crc, &sum);
        bool same = crc == json_integer_value(json_array_get(checks, k));
        if (!same && ++differ <= LENIENT && strstr(label, "_sigmas")) same = true;
        ck_assert_msg(same, "%s %s: timesteps differ for some of %zu to %zu steps",
                      string(root, "scheduler"), label, 10 * k + 1, 10 * k + 10);
        double want = sums ? json_number_value(json_array_get(sums, k)) : 0;
        ck_assert_msg(fabs(sum - want) <= 1e-6 * want, "%s %s, %zu to %zu steps: sum %.9g, "
                      "expected %.9g", string(root, "scheduler"), label, 10 * k + 1, 10 * k + 10,
                      sum, want);
    }
    tt_scheduler_free(s);
    free(label);
}

START_TEST(timesteps) {
    const char *name, *class_name;
    for (size_t k = 0; tt_scheduler_list(k, &name, &class_name); k++) {
        json_t *root = load("timesteps", name), *recorded;
        size_t i;
        if (!root) {
            test_skip("golden reference/noise/timesteps/%s.json is missing", name);
            continue;
        }
        json_array_foreach(json_object_get(root, "cases"), i, recorded)
            check_timesteps(root, recorded);
        ck_assert_uint_gt(i, 0);
        json_decref(root);
    }
}
END_TEST

enum { ELEMENTS = 2 * 3 * 3, OUTPUTS = 8 };

struct recording {
    json_t *root;
    struct tt_safetensors *file;
    float start[ELEMENTS], outputs[OUTPUTS * ELEMENTS];
};

// How combinations of settings fared.
struct tally {
    size_t compared, refused, lenient, not_finite;
    double worst, worst_own; // units in the last place, with diffusers' tables and our own
};

static void floats(const struct tt_safetensors *file, const char *name, size_t n, float *out) {
    const struct tt_view *view = tt_safetensors_find(file, name);
    ck_assert_msg(view && tt_shape_count(&view->shape) >= n, "%s: missing or too small", name);
    tt_view_floats(view, 0, n, out);
}

// A unit in the last place of the largest number of x.
static double unit(const float *x) {
    float most = 0;
    for (size_t j = 0; j < ELEMENTS; j++) most = fmaxf(most, fabsf(x[j]));
    return (double)(nextafterf(most, INFINITY) - most);
}

static void check_tables(const struct recording *r, const json_t *recorded,
                         const struct tt_scheduler *s) {
    const char *name = string(recorded, "name"), *sigmas = string(recorded, "sigmas");
    const json_t *list = json_object_get(recorded, "timesteps");
    size_t calls = tt_scheduler_calls(s);
    ck_assert_msg(json_array_size(list) == calls, "%s: %zu calls", name, calls);
    for (size_t i = 0; i < calls; i++) {
        float want = (float)json_number_value(json_array_get(list, i));
        // Levels between those of the schedule (karras) fall on fractions, where last bits may
        // differ; and those of kdpm2 come from float32 logarithms.
        bool between = !strncmp(tt_scheduler_name(s), "kdpm2", 5);
        double limit = want == rintf(want) ? 0 : 1e-6;
        double absolute = between && i % 2 == 1 ? 1e-2 : 0;
        test_close(name, &tt_scheduler_timesteps(s)[i], &want, 1, absolute, limit);
    }
    float init = (float)json_number_value(json_object_get(recorded, "init_noise_sigma"));
    float got = tt_scheduler_init_noise_sigma(s);
    ck_assert_uint_le(test_error_f32(&got, &init, 1).max_ulp, 1);
    if (!sigmas || !tt_scheduler_sigmas(s)) return;
    float *want = malloc((calls + 1) * sizeof *want);
    floats(r->file, sigmas, calls + 1, want);
    struct test_error error = test_error_f32(tt_scheduler_sigmas(s), want, calls + 1);
    bool steep = tt_scheduler_settings(s)->rescale_betas_zero_snr; // the rescaling cancels
    ck_assert_msg(error.max_ulp <= (steep ? 8 : 1), "%s: sigmas[%zu] is %u ulp off", name,
                  error.worst, (unsigned)error.max_ulp);
    free(want);
}

// Takes over the tables of diffusers: float32 square roots of its differ from ours in the last bit,
// and high orders and the steep ends of a schedule magnify that.
static void take_tables(const struct recording *r, const json_t *recorded,
                        struct tt_scheduler *s) {
    const char *sigmas = string(recorded, "sigmas");
    if (sigmas && s->class->has_sigmas) floats(r->file, sigmas, s->calls + 1, s->sigmas);
    const char *alphas = string(recorded, "alphas_cumprod");
    if (alphas) floats(r->file, alphas, s->schedule.count, s->schedule.alphas_cumprod);
}

// How far got is from want, in units in the last place of the largest number; at most limit.
static double distance(const char *name, const char *what, size_t i, const float *got,
                       const float *want, double limit) {
    double error = test_error_f32(got, want, ELEMENTS).max_abs / unit(want);
    ck_assert_msg(error <= limit, "%s: %s %zu is %.1f units in the last place off, limit %.1f",
                  name, what, i, error, limit);
    return error;
}

// Runs a case; false where it is refused, into err. *worst: the largest error, where recorded.
static bool run(const struct recording *r, const json_t *recorded, bool own, double *worst,
                struct tt_error *err) {
    struct tt_scheduler *s = scheduler_of(r->root, recorded, err);
    bool good = s && tt_scheduler_set_timesteps(s, size_of(recorded, "steps"), err) == TT_OK &&
                tt_scheduler_start(s, 1, ELEMENTS, err) == TT_OK;
    const char *name = string(recorded, "name"), *samples = string(recorded, "samples");
    const char *inputs = string(recorded, "scaled");
    size_t calls = good ? tt_scheduler_calls(s) : 0;
    float *want = malloc((2 * calls + 1) * ELEMENTS * sizeof *want);
    float *want_inputs = want + calls * ELEMENTS, x[ELEMENTS], scaled[ELEMENTS];
    struct tt_rng rng, *rngs[] = {&rng};
    tt_rng_seed(&rng, size_of(r->root, "seed"));
    if (good && samples) {
        check_tables(r, recorded, s);
        if (!own) take_tables(r, recorded, s);
        floats(r->file, samples, calls * ELEMENTS, want);
        if (inputs) floats(r->file, inputs, calls * ELEMENTS, want_inputs);
    }
    float init = (float)json_number_value(json_object_get(recorded, "init_noise_sigma"));
    for (size_t j = 0; j < ELEMENTS; j++) x[j] = r->start[j] * init;
    double limit = own ? ULPS_OWN : ULPS, error = 0;
    if (s && s->class == &tt_scheduler_kdpm2_ancestral) limit = ULPS_CANCELLED;
    for (size_t i = 0; good && i < calls; i++) {
        tt_scheduler_scale_input(s, i, x, scaled);
        if (samples && inputs)
            error = distance(name, "input", i, scaled, want_inputs + i * ELEMENTS, limit);
        else if (samples) test_equal(name, scaled, x, ELEMENTS);
        *worst = fmax(*worst, error);
        const float *output = r->outputs + i % OUTPUTS * ELEMENTS;
        good = tt_scheduler_step(s, i, output, x, rngs, 1, x, err) == TT_OK;
        if (!good || !samples) continue;
        *worst = fmax(*worst, distance(name, "step", i, x, want + i * ELEMENTS, limit));
    }
    free(want);
    tt_scheduler_free(s);
    return good;
}

static void check_case(const struct recording *r, const json_t *recorded, struct tally *tally) {
    struct tt_error err = {0};
    bool good = run(r, recorded, false, &tally->worst, &err);
    const char *name = string(recorded, "name"), *raises = string(recorded, "raises");
    if (json_object_get(recorded, "not_finite")) { // may be refused, or give what diffusers gives
        tally->not_finite++;
    } else if (!good && !strncmp(name, "solver_order=4", 14)) {
        tally->refused++; // diffusers takes any order, and means the highest that it knows
    } else if (!raises) {
        ck_assert_msg(good, "%s: %s", name, err.message);
        tally->compared++;
        run(r, recorded, true, &tally->worst_own, &err);
    } else if (!good) {
        ck_assert_int_eq(err.status, TT_BAD_INPUT);
        tally->refused++;
    } else {
        // diffusers also fails where two timesteps of a run are the same: it looks up the index of
        // the first one, finds the second, and is an entry short at the end. Here that runs.
        bool short_of_one =
            !strncmp(raises, "IndexError", 10) || !strcmp(raises, "AssertionError: ");
        ck_assert_msg(short_of_one, "%s: diffusers refuses this", name);
        tally->lenient++;
    }
}

START_TEST(every_combination) {
    const char *name, *class_name;
    printf("%-16s %9s %8s %9s %11s %10s %10s\n", "scheduler", "compared", "refused", "only here",
           "not finite", "worst ulp", "own tables");
    for (size_t k = 0; tt_scheduler_list(k, &name, &class_name); k++) {
        struct recording r;
        struct tally tally = {0};
        struct tt_error err = {0};
        char path[128];
        size_t i;
        json_t *recorded;
        r.root = load("steps", name);
        if (!r.root) {
            test_skip("golden reference/noise/steps/%s.json is missing", name);
            continue;
        }
        snprintf(path, sizeof path, "reference/noise/steps/%s.safetensors", name);
        ck_assert_msg(!tt_safetensors_open(path, &r.file, &err), "%s", err.message);
        floats(r.file, "start", ELEMENTS, r.start);
        floats(r.file, "model", OUTPUTS * ELEMENTS, r.outputs);
        json_array_foreach(json_object_get(r.root, "cases"), i, recorded)
            check_case(&r, recorded, &tally);
        ck_assert_uint_ge(tally.compared, 9); // prediction types and spacings at least
        printf("%-16s %9zu %8zu %9zu %11zu %10.2f %10.2f\n", name, tally.compared, tally.refused,
               tally.lenient, tally.not_finite, tally.worst, tally.worst_own);
        tt_safetensors_close(r.file);
        json_decref(r.root);
    }
}
END_TEST

static Suite *steps_suite(void) {
    Suite *suite = suite_create("steps");
    TCase *tcase = tcase_create("steps");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, timesteps);
    tcase_add_test(tcase, every_combination);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--quick")) stride = 10;
    return test_main(steps_suite(), NULL);
}
