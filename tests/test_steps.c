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
#include <zlib.h>

// Every sample of a run, and every input made from one, is at most this many units in the last
// place of its largest number from the truth: diffusers' steps in float64, from its float32 tables.
static const double ULPS = 1.0;

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

// Where the last bits of numpy and scipy in double precision decide to which of two integers or
// floats a timestep of a set of sigmas is rounded, or a sigma that one is made from, it is listed
// beside the checksums, in which it counts as 0: it may lie on the other side. That is the next
// integer or float, or for a level of kdpm2 between two sigmas up to 1.3e-4 away, as measured.
struct border {
    size_t all, other_side;
};

static void pass_border(const char *where, bool integers, const json_t *listed, size_t n,
                        float *timesteps, size_t calls, struct border *borders) {
    size_t i;
    json_t *entry;
    json_array_foreach(listed, i, entry) {
        size_t k = (size_t)json_integer_value(json_array_get(entry, 1));
        float want = (float)json_number_value(json_array_get(entry, 2));
        if ((size_t)json_integer_value(json_array_get(entry, 0)) != n) continue;
        ck_assert_uint_lt(k, calls);
        float got = timesteps[k];
        ck_assert_msg(fabsf(got - want) <= (integers ? 1.0f : 2e-4f),
                      "%s: timestep %zu of %zu is %.9g, expected %.9g", where, k, n, (double)got,
                      (double)want);
        borders->all++;
        borders->other_side += got != want;
        timesteps[k] = 0;
    }
}

// 16 bits of the checksum of the timesteps for n steps; -1 where n is refused.
static int fold(const char *where, const json_t *recorded, struct tt_scheduler *s, size_t n,
                struct border *borders) {
    bool integers = !strcmp(string(recorded, "dtype"), "I32");
    if (tt_scheduler_set_timesteps(s, n, NULL) != TT_OK) return -1;
    int32_t calls = (int32_t)tt_scheduler_calls(s);
    float *timesteps = malloc((size_t)calls * sizeof *timesteps);
    memcpy(timesteps, tt_scheduler_timesteps(s), (size_t)calls * sizeof *timesteps);
    pass_border(where, integers, json_object_get(recorded, "borders"), n, timesteps,
                (size_t)calls, borders);
    for (int32_t k = 0; integers && k < calls; k++) {
        int32_t whole = (int32_t)timesteps[k];
        memcpy(&timesteps[k], &whole, sizeof whole);
    }
    uLong crc = crc32(0, (const Bytef *)&calls, sizeof calls);
    crc = crc32(crc, (const Bytef *)timesteps, (uInt)calls * sizeof *timesteps);
    free(timesteps);
    return (int)(crc & 0xffff);
}

// Of the numbers of steps, one in so many is compared: all, or with --quick (sanitizers, emulators)
// one in eleven.
static size_t stride = 1;

static void check_timesteps(const json_t *root, const json_t *recorded, struct border *borders) {
    struct tt_error err = {0};
    char where[256], *label = json_dumps(json_object_get(recorded, "options"), 0);
    snprintf(where, sizeof where, "%s %s", string(root, "scheduler"), label);
    struct tt_scheduler *s = scheduler_of(root, recorded, &err);
    ck_assert_msg(s, "%s", err.message);
    const char *checks = string(recorded, "crc16");
    ck_assert_uint_eq(strlen(checks), 4 * 1000);
    for (size_t n = 1; n <= 1000; n += stride) {
        char digits[5] = "";
        memcpy(digits, checks + 4 * (n - 1), 4);
        int want = digits[0] == '-' ? -1 : (int)strtol(digits, NULL, 16);
        int got = fold(where, recorded, s, n, borders);
        ck_assert_msg(got == want, "%s: timesteps differ for %zu steps", where, n);
    }
    tt_scheduler_free(s);
    free(label);
}

START_TEST(timesteps) {
    const char *name, *class_name;
    printf("%-16s %8s %10s %14s\n", "timesteps", "settings", "at borders", "the other side");
    for (size_t k = 0; tt_scheduler_list(k, &name, &class_name); k++) {
        json_t *root = load("timesteps", name), *recorded;
        size_t i;
        if (!root) {
            test_skip("golden reference/noise/timesteps/%s.json is missing", name);
            continue;
        }
        struct border borders = {0};
        json_array_foreach(json_object_get(root, "cases"), i, recorded)
            check_timesteps(root, recorded, &borders);
        ck_assert_uint_gt(i, 0);
        printf("%-16s %8zu %10zu %14zu\n", name, i, borders.all, borders.other_side);
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
    double worst; // units in the last place
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

// Timesteps, the sigmas where there are some, and alphas_cumprod where it is not that of the
// schedule: the same bits.
static void check_tables(const struct recording *r, const json_t *recorded,
                         const struct tt_scheduler *s) {
    const char *name = string(recorded, "name"), *sigmas = string(recorded, "sigmas");
    const char *alphas = string(recorded, "alphas_cumprod");
    const json_t *list = json_object_get(recorded, "timesteps");
    size_t calls = tt_scheduler_calls(s), n = s->schedule.count;
    float *want = malloc((calls + 1 + n) * sizeof *want);
    ck_assert_msg(json_array_size(list) == calls, "%s: %zu calls", name, calls);
    for (size_t i = 0; i < calls; i++)
        want[i] = (float)json_number_value(json_array_get(list, i));
    test_equal(name, tt_scheduler_timesteps(s), want, calls);
    float init = (float)json_number_value(json_object_get(recorded, "init_noise_sigma"));
    float got = tt_scheduler_init_noise_sigma(s);
    test_equal(name, &got, &init, 1);
    if (sigmas && tt_scheduler_sigmas(s)) {
        floats(r->file, sigmas, calls + 1, want);
        test_equal(name, tt_scheduler_sigmas(s), want, calls + 1);
    }
    if (alphas) {
        floats(r->file, alphas, n, want);
        test_equal(name, s->schedule.alphas_cumprod, want, n);
    }
    free(want);
}

// How far got is from want, in units in the last place of the largest number.
static double distance(const char *name, const char *what, size_t i, const float *got,
                       const float *want) {
    double error = test_error_f32(got, want, ELEMENTS).max_abs / unit(want);
    ck_assert_msg(error <= ULPS, "%s: %s %zu is %.1f units in the last place off, limit %.1f",
                  name, what, i, error, ULPS);
    return error;
}

// Runs a case; false where it is refused, into err. *worst: the largest error, where recorded.
static bool run(const struct recording *r, const json_t *recorded, double *worst,
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
        floats(r->file, samples, calls * ELEMENTS, want);
        if (inputs) floats(r->file, inputs, calls * ELEMENTS, want_inputs);
    }
    float init = (float)json_number_value(json_object_get(recorded, "init_noise_sigma"));
    for (size_t j = 0; j < ELEMENTS; j++) x[j] = r->start[j] * init;
    double error = 0;
    for (size_t i = 0; good && i < calls; i++) {
        tt_scheduler_scale_input(s, i, x, scaled);
        if (samples && inputs)
            error = distance(name, "input", i, scaled, want_inputs + i * ELEMENTS);
        else if (samples) test_equal(name, scaled, x, ELEMENTS);
        *worst = fmax(*worst, error);
        const float *output = r->outputs + i % OUTPUTS * ELEMENTS;
        good = tt_scheduler_step(s, i, output, x, rngs, 1, x, err) == TT_OK;
        if (!good || !samples) continue;
        *worst = fmax(*worst, distance(name, "step", i, x, want + i * ELEMENTS));
    }
    free(want);
    tt_scheduler_free(s);
    return good;
}

static void check_case(const struct recording *r, const json_t *recorded, struct tally *tally) {
    struct tt_error err = {0};
    bool good = run(r, recorded, &tally->worst, &err);
    const char *name = string(recorded, "name"), *raises = string(recorded, "raises");
    if (json_object_get(recorded, "not_finite")) { // may be refused, or give what diffusers gives
        tally->not_finite++;
    } else if (!good && !strncmp(name, "solver_order=4", 14)) {
        tally->refused++; // diffusers takes any order, and means the highest that it knows
    } else if (!raises) {
        ck_assert_msg(good, "%s: %s", name, err.message);
        tally->compared++;
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
    printf("%-16s %9s %8s %9s %11s %10s\n", "scheduler", "compared", "refused", "only here",
           "not finite", "worst ulp");
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
        ck_assert_msg(!tt_safetensors_open(NULL, path, &r.file, &err), "%s", err.message);
        floats(r.file, "start", ELEMENTS, r.start);
        floats(r.file, "model", OUTPUTS * ELEMENTS, r.outputs);
        json_array_foreach(json_object_get(r.root, "cases"), i, recorded)
            check_case(&r, recorded, &tally);
        ck_assert_uint_ge(tally.compared, 9); // prediction types and spacings at least
        printf("%-16s %9zu %8zu %9zu %11zu %10.2f\n", name, tally.compared, tally.refused,
               tally.lenient, tally.not_finite, tally.worst);
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
    if (argc > 1 && !strcmp(argv[1], "--quick")) stride = 11;
    return test_main(steps_suite(), NULL);
}
