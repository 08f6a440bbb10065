// SPDX-License-Identifier: MIT
// Every scheduler on three tiny pipelines with two prompts, through the public interface: the final
// latents against those of diffusers' pipelines (reference/golden/<model>/schedulers.json), and the
// same bits on every instruction set and thread count.
#include "tintype.h"

#include "kernels.h"
#include "util.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const models[] = {"sd15", "sd21", "wide"};
enum { MODELS = 3, SCHEDULERS = 15, CASES = 2 * SCHEDULERS, THREADS = 3 };

// Relative L2, measured at most 1.1e-5: diffusers computes in float32, with other orders of sums.
static const double LIMIT = 2e-5;

// Of all the latents of a model: the same on every machine.
static const char *const hashes[MODELS] = {
    "c5923c8c3be0ec2da3d64524d2356fccbee60f351a90d150c8cf5924c5502271",
    "5147026d18b44d457d158ede6b66c86af01142934d06579298503c61e641220e",
    "d04867062bd26acbaccace1abf9e7641c2f5e41f5c10a1b3e59d99ce5451f832",
};

struct recording {
    json_t *manifest;
    struct tt_safetensors *file;
    const float *latents; // (CASES, C, h, w)
    size_t elements;      // of one case
};

static struct recording open_recording(const char *model) {
    struct recording r;
    struct tt_error err = {0};
    char path[128];
    snprintf(path, sizeof path, "reference/golden/%s/schedulers.json", model);
    r.manifest = json_load_file(path, 0, NULL);
    ck_assert_msg(r.manifest, "%s: missing or no JSON", path);
    ck_assert_uint_eq(json_array_size(json_object_get(r.manifest, "cases")), CASES);
    snprintf(path, sizeof path, "reference/golden/%s/schedulers.safetensors", model);
    ck_assert_msg(!tt_safetensors_open(NULL, path, &r.file, &err), "%s", err.message);
    const struct tt_view *view = tt_safetensors_find(r.file, "latents");
    ck_assert(view && view->shape.dim[0] == CASES);
    r.latents = view->data;
    r.elements = tt_shape_count(&view->shape) / CASES;
    return r;
}

// The final latents of a case on a model that was opened on some engine.
static void draw(struct tt_session *session, const json_t *spec, float *latents) {
    struct tt_settings g;
    struct tt_error err = {0};
    char eta[32];
    double recorded_eta = json_number_value(json_object_get(spec, "eta"));
    const char *const options[] = {recorded_eta > 0 ? eta : NULL, NULL};
    snprintf(eta, sizeof eta, "eta=%g", recorded_eta);
    tt_settings_defaults(&g, sizeof g);
    g.prompt = json_string_value(json_object_get(spec, "prompt"));
    g.scheduler = json_string_value(json_object_get(spec, "scheduler"));
    g.scheduler_options = options;
    g.seed = (uint64_t)json_integer_value(json_object_get(spec, "seed"));
    g.steps = (size_t)json_integer_value(json_object_get(spec, "steps"));
    g.width = (size_t)json_integer_value(json_object_get(spec, "width"));
    g.height = (size_t)json_integer_value(json_object_get(spec, "height"));
    g.guidance_scale = json_number_value(json_object_get(spec, "guidance_scale"));
    ck_assert_msg(!tt_generate(session, &g, latents, NULL, &err), "%s: %s", g.scheduler,
                  err.message);
}

// |got - want| / |want|
static double relative_l2(const float *got, const float *want, size_t n) {
    double off = 0, norm = 0;
    for (size_t j = 0; j < n; j++) {
        off += ((double)got[j] - want[j]) * ((double)got[j] - want[j]);
        norm += (double)want[j] * want[j];
    }
    return sqrt(off / norm);
}

// NULL: not on this processor.
static struct tt_session *open_session(const char *name, const char *cpu, size_t threads,
                                       struct tt_engine **engine) {
    struct tt_engine_settings settings;
    struct tt_error err = {0};
    struct tt_model *model;
    struct tt_session *session;
    char path[64];
    snprintf(path, sizeof path, "reference/tiny/%s", name);
    tt_engine_defaults(&settings, sizeof settings);
    settings.cpu = cpu;
    settings.threads = threads;
    if (tt_engine_new(&settings, engine, &err)) return NULL;
    ck_assert_msg(!tt_model_open(path, *engine, &model, &err), "%s", err.message);
    ck_assert_msg(!tt_session_new(model, NULL, &session, &err), "%s", err.message);
    tt_model_close(model); // the session holds it
    return session;
}

START_TEST(equals_diffusers) {
    struct recording r = open_recording(models[_i]);
    struct tt_engine *engine;
    struct tt_session *session = open_session(models[_i], NULL, 2, &engine);
    float *latents = malloc(CASES * r.elements * sizeof *latents);
    double worst = 0;
    size_t i;
    json_t *spec;
    char hash[65];
    ck_assert_ptr_nonnull(session);
    json_array_foreach(json_object_get(r.manifest, "cases"), i, spec) {
        const char *name, *class_name, *scheduler =
            json_string_value(json_object_get(spec, "scheduler"));
        ck_assert(tt_scheduler_list(i / 2, &name, &class_name)); // all of them, in our order
        ck_assert_str_eq(name, scheduler);
        float *got = latents + i * r.elements;
        draw(session, spec, got);
        double off = relative_l2(got, r.latents + i * r.elements, r.elements);
        ck_assert_msg(off <= LIMIT, "%s %s: relative L2 %.3g, limit %g", models[_i], scheduler,
                      off, LIMIT);
        worst = fmax(worst, off);
        if (getenv("PIPELINE_REPORT"))
            printf("%s %-16s %.2g\n", models[_i], json_string_value(json_object_get(spec, "name")),
                   off);
    }
    ck_assert(!tt_scheduler_list(SCHEDULERS, NULL, NULL));
    printf("%s: %zu runs, relative L2 at most %.2g\n", models[_i], i, worst);
    test_sha256(latents, CASES * r.elements * sizeof *latents, hash);
    ck_assert_msg(!strcmp(hash, hashes[_i]), "%s: latents hash to %s", models[_i], hash);
    free(latents);
    tt_session_free(session);
    tt_engine_free(engine);
    tt_safetensors_close(r.file);
    json_decref(r.manifest);
}
END_TEST

// With --quick (sanitizers, emulators) three schedulers stand for all.
static bool quick = false;

// Whether case i of a model runs on an instruction set with some number of threads. Each scheduler
// meets each such pair, on some model and prompt; scalar kernels, which are slow, only one of them,
// and on one model.
static bool has_turn(size_t model, size_t i, bool scalar, size_t threads) {
    size_t scheduler = i / 2, prompt = i % 2;
    if (quick && scheduler % 5 != 0) return false;
    if (!scalar) return (2 * model + prompt + threads) % THREADS == 0;
    return prompt == 0 && (scheduler + threads) % THREADS == 0 &&
           (model == 0 || scheduler % 5 == 0);
}

START_TEST(same_bits_everywhere) {
    struct recording r = open_recording(models[_i]);
    const json_t *cases = json_object_get(r.manifest, "cases");
    float *want = malloc(CASES * r.elements * sizeof *want);
    float *got = malloc(r.elements * sizeof *got);
    struct tt_engine *engine;
    struct tt_session *session = open_session(models[_i], NULL, 1, &engine);
    ck_assert_ptr_nonnull(session);
    for (size_t i = 0; i < CASES; i++)
        if (!quick || i / 2 % 5 == 0)
            draw(session, json_array_get(cases, i), want + i * r.elements);
    tt_session_free(session);
    tt_engine_free(engine);
    for (size_t cpu = 0; cpu < TT_ISA_COUNT; cpu++)
        for (size_t threads = 1; threads <= THREADS; threads++) {
            session = open_session(models[_i], tt_isas[cpu].name, threads, &engine);
            if (!session) continue;
            for (size_t i = 0; i < CASES; i++) {
                if (!has_turn((size_t)_i, i, cpu == 0, threads)) continue;
                draw(session, json_array_get(cases, i), got);
                test_equal(tt_isas[cpu].name, got, want + i * r.elements, r.elements);
            }
            tt_session_free(session);
            tt_engine_free(engine);
        }
    free(want);
    free(got);
    tt_safetensors_close(r.file);
    json_decref(r.manifest);
}
END_TEST

static Suite *samplers_suite(void) {
    Suite *suite = suite_create("samplers");
    TCase *tcase = tcase_create("samplers");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, equals_diffusers, 0, MODELS);
    tcase_add_loop_test(tcase, same_bits_everywhere, 0, MODELS);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(int argc, char **argv) {
    quick = argc > 1 && !strcmp(argv[1], "--quick");
    return test_main(samplers_suite(), NULL);
}
