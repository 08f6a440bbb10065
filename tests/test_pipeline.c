// SPDX-License-Identifier: MIT
// Whole runs, prompt to picture, of the tiny pipelines against diffusers (reference/README.md):
// token ids, embeddings, the latents after every step, the picture; and the same bits on every
// instruction set, thread count and plan.
#include "util.h"

#include "io/json.h"
#include "tintype.h"
#include "session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// "few": models and schedulers for few steps, without guidance of two passes. "unconditional": in
// pixel space, without a prompt.
static const struct {
    const char *model, *file;
    double shift; // of the autoencoder, with which pictures are recorded
} recordings[] = {
    {"sd15", "pipeline", 0}, {"sd21", "pipeline", 0}, {"wide", "pipeline", 0.1159},
    {"sd15", "few", 0},      {"sd21", "few", 0},      {"lcm", "few", 0},
    {"ddpm", "unconditional", 0}, {"ddim", "unconditional", 0},
};
enum { RECORDINGS = sizeof recordings / sizeof *recordings };

// How many times PyTorch's own float32 error a value of a run may be off, with the errors of all
// steps before it: as measured, rounded up (PIPELINE_REPORT=1 prints what each case needs).
static const double FACTOR = 2.75;

struct recording {
    json_t *manifest;
    struct tt_safetensors *file;
    struct tt_error err;
};

static struct recording open_recording(const char *model, const char *file) {
    struct recording r = {0};
    char path[128];
    size_t size;
    snprintf(path, sizeof path, "reference/golden/%s/%s.json", model, file);
    char *text = test_read(path, &size);
    ck_assert_msg(!tt_json_parse(path, text, size, &r.manifest, &r.err), "%s", r.err.message);
    free(text);
    snprintf(path, sizeof path, "reference/golden/%s/%s.safetensors", model, file);
    ck_assert_msg(!tt_safetensors_open(NULL, path, &r.file, &r.err), "%s", r.err.message);
    return r;
}

static void close_recording(struct recording *r) {
    tt_safetensors_close(r->file);
    json_decref(r->manifest);
}

// One case: its settings, and what the loop hands out.
struct run {
    const struct recording *recording;
    const json_t *spec;
    struct tt_model *model;
    struct tt_session *session;
    struct tt_settings g;
    double shift;
    float *latents; // of all pictures
    size_t elements, step, picture;
    double needed;
    char worst[96];
};

static const char *text_of(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static double number_of(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static const struct tt_view *recorded(const struct run *run, const char *tensor,
                                      const json_t **entry) {
    char name[128];
    size_t i;
    json_t *one;
    snprintf(name, sizeof name, "%s.%s", text_of(run->spec, "name"), tensor);
    json_array_foreach(json_object_get(run->spec, "tensors"), i, one)
        if (!strcmp(text_of(one, "name"), name)) *entry = one;
    const struct tt_view *view = tt_safetensors_find(run->recording->file, name);
    ck_assert_msg(view != NULL, "%s is not in the recording", name);
    return view;
}

// Element `first` on of the recorded tensor against n values of ours.
static void compare(struct run *run, const char *tensor, size_t first, const float *ours,
                    size_t n) {
    const json_t *entry = NULL;
    const float *truth = recorded(run, tensor, &entry)->data;
    double err32 = number_of(entry, "err32"), floor32 = ldexp(number_of(entry, "maxabs"), -23);
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double off = fabs((double)ours[i] - (double)truth[first + i]);
        if (!(off <= worst)) worst = off;
        if (isnan(off)) break;
    }
    double needed = err32 > 0 ? (worst - floor32) / err32 : worst > floor32 ? INFINITY : 0;
    if (!(needed <= run->needed)) {
        run->needed = needed;
        snprintf(run->worst, sizeof run->worst, "%s", tensor);
    }
    ck_assert_msg(worst <= FACTOR * err32 + floor32, "%s.%s: off by %.3g, PyTorch by %.3g",
                  text_of(run->spec, "name"), tensor, worst, err32);
}

static void compare_ids(struct run *run, const char *tensor, const char *text) {
    const json_t *entry = NULL;
    const int64_t *want = recorded(run, tensor, &entry)->data;
    size_t tokens = run->model->info.tokens;
    int32_t ids[256];
    struct tt_error err = {0};
    ck_assert_uint_le(tokens, sizeof ids / sizeof *ids);
    ck_assert_int_eq(tt_tokenizer_encode(run->model->tokenizer, text, ids, tokens, NULL, &err), 0);
    for (size_t i = 0; i < tokens; i++) ck_assert_int_eq(ids[i], want[i]);
}

static int after_step(void *context, const struct tt_progress *seen) {
    struct run *run = context;
    char name[32];
    snprintf(name, sizeof name, "latents.%zu", seen->step);
    compare(run, name, run->picture * run->elements, seen->latents, run->elements);
    return 0;
}

static void set_up(struct run *run) {
    const json_t *spec = run->spec;
    tt_settings_defaults(&run->g, sizeof run->g);
    run->g.prompt = text_of(spec, "prompt");
    run->g.negative = text_of(spec, "negative_prompt");
    run->g.seed = (uint64_t)number_of(spec, "seed");
    run->g.steps = (size_t)number_of(spec, "steps");
    run->g.width = (size_t)number_of(spec, "width");
    run->g.height = (size_t)number_of(spec, "height");
    run->g.guidance_scale = number_of(spec, "guidance_scale");
    run->g.guidance_rescale = number_of(spec, "guidance_rescale");
    run->g.progress = after_step;
    run->g.context = run;
    size_t factor = run->model->info.factor;
    run->elements = run->model->info.latent_channels * (run->g.height / factor) *
                    (run->g.width / factor);
}

static struct tt_scheduler *open_scheduler(struct run *run) {
    struct tt_scheduler *scheduler;
    struct tt_error err = {0};
    const char *key;
    json_t *value;
    char setting[128];
    json_object_foreach(json_object_get(run->spec, "scheduler_options"), key, value) {
        char *text = json_is_string(value) ? strdup(json_string_value(value))
                                           : json_dumps(value, JSON_ENCODE_ANY);
        snprintf(setting, sizeof setting, "%s=%s", key, text);
        free(text);
        ck_assert_msg(!tt_scheduler_config_set(&run->model->scheduler, setting, &err), "%s",
                      err.message);
    }
    if (number_of(run->spec, "eta") > 0) {
        snprintf(setting, sizeof setting, "eta=%.17g", number_of(run->spec, "eta"));
        ck_assert_msg(!tt_scheduler_config_set(&run->model->scheduler, setting, &err), "%s",
                      err.message);
    }
    ck_assert_msg(!tt_scheduler_new(&scheduler, text_of(run->spec, "scheduler"),
                                    &run->model->scheduler, &err), "%s", err.message);
    return scheduler;
}

static void compare_embeddings(struct run *run, const struct tt_embeddings *context) {
    size_t n = context->tokens * run->model->info.text_width;
    if (run->model->unconditional) {
        ck_assert(context->n == 1 && !context->tokens && !context->data);
        return;
    }
    compare_ids(run, "prompt_ids", run->g.prompt);
    compare(run, "prompt_embeds", 0, context->data + (context->n - 1) * n, n);
    if (context->n == 1) return;
    compare_ids(run, "negative_ids", run->g.negative);
    compare(run, "negative_embeds", 0, context->data, n);
}

// The picture is recorded with the autoencoder's shift. StableDiffusionPipeline ignores it, and so
// does tt_latents_to_pixels(): then it is made of the decoder alone.
static enum tt_status shifted_picture(struct run *run, uint8_t *rgb, struct tt_error *err) {
    size_t factor = run->model->info.factor, n = run->elements;
    struct tt_size size = {.n = 1, .height = run->g.height / factor,
                           .width = run->g.width / factor};
    size_t pixels = run->g.height * run->g.width;
    float *scaled = malloc((n + 3 * pixels) * sizeof *scaled), *image = scaled + n;
    float scaling = (float)run->model->info.scaling_factor;
    for (size_t i = 0; i < n; i++)
        scaled[i] = run->latents[run->picture * n + i] / scaling + (float)run->shift;
    enum tt_status status = tt_session_decode(run->session, size, scaled, image, err);
    for (size_t i = 0; i < 3 * pixels; i++) {
        float v = image[i % 3 * pixels + i / 3] * 0.5f + 0.5f;
        rgb[i] = (uint8_t)rintf((v < 0 ? 0 : v > 1 ? 1 : v) * 255.0f);
    }
    free(scaled);
    return status;
}

// A byte may be off by one where the value lies within the tolerance of a half.
static void compare_picture(struct run *run) {
    const json_t *entry = NULL;
    const uint8_t *want = recorded(run, "image", &entry)->data;
    size_t factor = run->model->info.factor, n = 3 * run->g.width * run->g.height, off = 0;
    uint8_t *rgb = malloc(n);
    struct tt_error err = {0};
    if (run->shift != 0) ck_assert_int_eq(shifted_picture(run, rgb, &err), TT_OK);
    else ck_assert_int_eq(tt_latents_to_pixels(run->session,
                                               run->latents + run->picture * run->elements,
                                               run->g.height / factor, run->g.width / factor, rgb,
                                               &err), TT_OK);
    for (size_t i = 0; i < n; i++) {
        int difference = abs((int)rgb[i] - (int)want[run->picture * n + i]);
        ck_assert_int_le(difference, 1);
        off += difference != 0;
    }
    ck_assert_uint_le(off, n / 1000);
    free(rgb);
}

static void run_case(const struct recording *recording, const char *name, double shift,
                     const json_t *spec) {
    struct tt_error err = {0};
    struct tt_embeddings context = {0};
    struct run run = {.recording = recording, .spec = spec, .shift = shift};
    struct tt_engine engine = {.plan = {.threads = 2, .fold = true}};
    char path[64];
    snprintf(path, sizeof path, "reference/tiny/%s", name);
    tt_kernels_init(&engine.kernels, test_cpu());
    ck_assert_msg(!tt_model_open(path, &engine, &run.model, &err), "%s", err.message);
    ck_assert_msg(!tt_session_new(run.model, NULL, &run.session, &err), "%s", err.message);
    set_up(&run);
    struct tt_scheduler *scheduler = open_scheduler(&run);
    size_t count = (size_t)number_of(spec, "count");
    run.latents = calloc(count * run.elements, sizeof *run.latents);
    ck_assert_msg(!tt_encode_prompt(run.session, &run.g, &context, &err), "%s", err.message);
    compare_embeddings(&run, &context);
    for (run.picture = 0; run.picture < count; run.picture++) {
        struct tt_rng rng;
        tt_rng_seed(&rng, run.g.seed + run.picture);
        ck_assert_msg(!tt_denoise(run.session, scheduler, &run.g, &context, &rng,
                                  run.latents + run.picture * run.elements, &err), "%s",
                      err.message);
        compare_picture(&run);
    }
    if (getenv("PIPELINE_REPORT"))
        printf("%s %-28s F %.2f at %s\n", name, text_of(spec, "name"), run.needed, run.worst);
    tt_embeddings_free(&context);
    free(run.latents);
    tt_scheduler_free(scheduler);
    tt_session_free(run.session);
    tt_model_close(run.model);
}

START_TEST(equals_diffusers) {
    const char *model = recordings[_i].model;
    struct recording recording = open_recording(model, recordings[_i].file);
    size_t i;
    json_t *spec;
    const json_t *cases = json_object_get(recording.manifest, "cases");
    ck_assert_uint_gt(json_array_size(cases), 0);
    json_array_foreach(cases, i, spec)
        run_case(&recording, model, recordings[_i].shift, spec);
    close_recording(&recording);
}
END_TEST

// ---- the same bits everywhere ----

// The latents of three steps of a model on some processor and plan; *n floats.
static float *final_latents(const char *path, unsigned cpu, struct tt_plan_options options,
                            size_t *n) {
    struct tt_error err = {0};
    struct tt_embeddings context = {0};
    struct tt_scheduler *scheduler = NULL;
    struct tt_model *model = NULL;
    struct tt_session *session = NULL;
    struct tt_rng rng;
    struct tt_engine engine = {.plan = options};
    struct tt_settings g;
    tt_settings_defaults(&g, sizeof g);
    g.prompt = "a lighthouse";
    g.steps = 3;
    g.guidance_scale = 5;
    tt_kernels_init(&engine.kernels, cpu);
    ck_assert_msg(!tt_model_open(path, &engine, &model, &err), "%s", err.message);
    ck_assert_msg(!tt_session_new(model, NULL, &session, &err), "%s", err.message);
    ck_assert_int_eq(tt_scheduler_new(&scheduler, "euler-ancestral", &model->scheduler, &err), 0);
    ck_assert_msg(!tt_encode_prompt(session, &g, &context, &err), "%s", err.message);
    size_t factor = model->info.factor, h = 8, w = 6;
    g.height = h * factor;
    g.width = w * factor;
    *n = model->info.latent_channels * h * w;
    float *latents = malloc(*n * sizeof *latents);
    tt_rng_seed(&rng, 11);
    ck_assert_msg(!tt_denoise(session, scheduler, &g, &context, &rng, latents, &err), "%s",
                  err.message);
    tt_embeddings_free(&context);
    tt_scheduler_free(scheduler);
    tt_session_free(session);
    tt_model_close(model);
    return latents;
}

// The hash holds for every compiler, architecture and emulator: whoever changes it changes the
// pictures that users get for their seeds.
static const char sd15_hash[] =
    "e70f889ccd4cc0af98e1001b53244f82d51c1d113e5226dc319369f75cda125f";

START_TEST(same_bits_everywhere) {
    static const int threads[] = {1, 2, 3, 5};
    size_t n;
    unsigned mask;
    char hash[65];
    for (int cpu = 0; cpu < TT_ISA_COUNT; cpu++) {
        const char *name = tt_isas[cpu].name;
        if (tt_cpu_mask(name, tt_cpu_detect(), &mask)) {
            printf("not on this processor: %s\n", name);
            continue;
        }
        for (int t = 0; t < 4; t++) {
            struct tt_plan_options options = {.threads = threads[t], .fold = t % 2, .poison = true};
            float *latents = final_latents("reference/tiny/sd15", mask, options, &n);
            test_sha256(latents, n * sizeof *latents, hash);
            ck_assert_msg(!strcmp(hash, sd15_hash), "%s, %d threads: latents hash to %s", name,
                          threads[t], hash);
            free(latents);
        }
    }
}
END_TEST

// One model written in five ways (reference/README.md, "Folders for the loader").
START_TEST(same_bits_however_stored) {
    static const char *const variants[] = {"base", "hub", "sharded", "fp16", "bf16"};
    struct tt_plan_options options = {.threads = 2, .fold = true};
    float *want = NULL;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        char path[64];
        size_t n;
        snprintf(path, sizeof path, "reference/tiny/variants/%s", variants[i]);
        float *got = final_latents(path, test_cpu(), options, &n);
        if (want) test_equal(variants[i], got, want, n);
        if (want) free(got);
        else want = got;
    }
    free(want);
}
END_TEST

// ---- the guidance interval ----

enum { STEPS = 4, MOST = 4 * 8 * 6 };

struct steps {
    float latents[STEPS][MOST];
};

static int keep_step(void *context, const struct tt_progress *seen) {
    struct steps *steps = context;
    memcpy(steps->latents[seen->step - 1], seen->latents,
           tt_shape_count(&seen->shape) * sizeof(float));
    return 0;
}

static void run_interval(struct tt_session *session, double start, double stop, double scale,
                         struct steps *steps) {
    struct tt_settings g;
    struct tt_error err = {0};
    tt_settings_defaults(&g, sizeof g);
    g.prompt = "a lighthouse";
    g.steps = STEPS;
    g.scheduler = "ddim";
    g.height = 8 * session->model->info.factor;
    g.width = 6 * session->model->info.factor;
    g.guidance_scale = scale;
    g.guidance_start = start;
    g.guidance_stop = stop;
    g.progress = keep_step;
    g.context = steps;
    ck_assert_msg(!tt_generate(session, &g, NULL, NULL, &err), "%s", err.message);
}

// ddim keeps nothing of earlier steps: from the sample before it, a step without guidance is the
// U-Net's answer to the prompt alone, put into the scheduler.
static void step_alone(struct tt_session *session, const float *before, size_t call, size_t n,
                       float *after) {
    struct tt_settings g;
    struct tt_embeddings embeddings;
    struct tt_scheduler *s;
    float predicted[MOST];
    tt_settings_defaults(&g, sizeof g);
    g.prompt = "a lighthouse";
    g.guidance_scale = 1;
    ck_assert_int_eq(tt_encode_prompt(session, &g, &embeddings, NULL), TT_OK);
    ck_assert_int_eq(tt_scheduler_open(&s, "ddim", session->model, NULL, NULL), TT_OK);
    ck_assert_int_eq(tt_scheduler_set_timesteps(s, STEPS, NULL), TT_OK);
    ck_assert_int_eq(tt_scheduler_start(s, 1, n, NULL), TT_OK);
    struct tt_size size = {1, 8, 6, embeddings.tokens};
    ck_assert_int_eq(tt_session_unet(session, size, before, &tt_scheduler_timesteps(s)[call],
                                     embeddings.data, predicted, NULL), TT_OK);
    ck_assert_int_eq(tt_scheduler_step(s, call, predicted, before, NULL, 0, after, NULL), TT_OK);
    tt_scheduler_free(s);
    tt_embeddings_free(&embeddings);
}

// A step that begins anew from a stored sample lacks what the scheduler keeps unrounded in a run.
static void test_alone(const char *what, const float *got, const float *want, size_t n) {
    test_close(what, got, want, n, 0, 0x1p-22);
}

START_TEST(guided_in_an_interval) {
    static struct steps all, none, some;
    float after[MOST];
    struct tt_engine engine = {.plan = {.threads = 2, .fold = true}};
    struct tt_model *model;
    struct tt_session *session;
    tt_kernels_init(&engine.kernels, tt_cpu_detect());
    ck_assert_int_eq(tt_model_open("reference/tiny/sd15", &engine, &model, NULL), TT_OK);
    ck_assert_int_eq(tt_session_new(model, NULL, &session, NULL), TT_OK);
    size_t n = model->info.latent_channels * 8 * 6;
    ck_assert_uint_le(n, MOST);
    run_interval(session, 0, 1, 7.5, &all);
    run_interval(session, 0, 1, 1, &none);
    run_interval(session, 0, 0, 7.5, &some);
    test_equal("empty interval", some.latents[3], none.latents[3], n);

    run_interval(session, 0, 0.5, 7.5, &some);
    test_equal("guided at first", some.latents[1], all.latents[1], n);
    for (size_t call = 2; call < STEPS; call++) {
        step_alone(session, some.latents[call - 1], call, n, after);
        test_alone("then alone", some.latents[call], after, n);
    }
    run_interval(session, 0.3, 0.7, 7.5, &some); // calls 1 and 2
    test_equal("alone at first", some.latents[0], none.latents[0], n);
    step_alone(session, some.latents[0], 1, n, after);
    ck_assert(test_error_f32(some.latents[1], after, n).max_abs > 0.01);
    step_alone(session, some.latents[1], 2, n, after);
    ck_assert(test_error_f32(some.latents[2], after, n).max_abs > 0.01);
    step_alone(session, some.latents[2], 3, n, after);
    test_alone("alone at last", some.latents[3], after, n);
    tt_session_free(session);
    tt_model_close(model);
}
END_TEST

START_TEST(intervals_refused) {
    static const double bad[][2] = {{-0.1, 1}, {0, 1.1}, {0.6, 0.5}, {NAN, 1}, {0, NAN}};
    struct tt_engine engine = {.plan = {.threads = 1}};
    struct tt_model *model;
    struct tt_session *session;
    tt_kernels_init(&engine.kernels, tt_cpu_detect());
    ck_assert_int_eq(tt_model_open("reference/tiny/sd15", &engine, &model, NULL), TT_OK);
    ck_assert_int_eq(tt_session_new(model, NULL, &session, NULL), TT_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tt_settings g;
        struct tt_error err = {0};
        tt_settings_defaults(&g, sizeof g);
        g.prompt = "x";
        g.guidance_start = bad[i][0];
        g.guidance_stop = bad[i][1];
        ck_assert_int_eq(tt_generate(session, &g, NULL, NULL, &err), TT_BAD_INPUT);
        ck_assert_ptr_nonnull(strstr(err.message, "guidance_start, guidance_stop: found"));
    }
    tt_session_free(session);
    tt_model_close(model);
}
END_TEST

static Suite *pipeline_suite(void) {
    Suite *suite = suite_create("pipeline");
    TCase *runs = tcase_create("runs");
    tcase_set_timeout(runs, 600);
    tcase_add_loop_test(runs, equals_diffusers, 0, RECORDINGS);
    tcase_add_test(runs, same_bits_everywhere);
    tcase_add_test(runs, same_bits_however_stored);
    tcase_add_test(runs, guided_in_an_interval);
    tcase_add_test(runs, intervals_refused);
    suite_add_tcase(suite, runs);
    return suite;
}

int main(void) { return test_main(pipeline_suite(), NULL); }
