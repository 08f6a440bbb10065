// SPDX-License-Identifier: MIT
// What tintype.h promises whatever it is given: indices, enums and sizes beyond all that there is
// are told or NULL; memory of a caller stays as it was; threads and stacks that are too small, and
// plans that are too large, are TT_SYSTEM.
#include "util.h"

#include <limits.h>
#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/stack.h"
#include "graph/arena.h"
#include "graph/params.h"
#include "io/weights.h"
#include "tintype.h"

#define UNET tt_part_find("unet")

static const char tiny[] = "reference/tiny/sd15";

struct place {
    struct tt_engine *engine;
    struct tt_model *model;
    struct tt_session *session;
    struct tt_error err;
};

static void open_place(struct place *p, const char *path, size_t threads) {
    struct tt_engine_settings with;
    tt_engine_defaults(&with, sizeof with);
    with.threads = threads;
    *p = (struct place){0};
    ck_assert_msg(!tt_engine_new(&with, &p->engine, &p->err), "%s", p->err.message);
    ck_assert_msg(!tt_model_open(path, p->engine, &p->model, &p->err), "%s", p->err.message);
    ck_assert_msg(!tt_session_new(p->model, NULL, &p->session, &p->err), "%s", p->err.message);
}

static void close_place(struct place *p) {
    tt_session_free(p->session);
    tt_model_close(p->model);
    tt_engine_free(p->engine);
}

// The call failed with this status and these words.
static void expect(struct place *p, enum tt_status found, enum tt_status status,
                   const char *words) {
    ck_assert_msg(found == status && strstr(p->err.message, words),
                  "status %d, expected %d and '%s': %s", (int)found, (int)status, words,
                  p->err.message);
    p->err = (struct tt_error){0};
}

// ---- indices ----

static const size_t beyond[] = {1 << 20, (size_t)INT_MAX, (size_t)INT_MAX + 1, UINT_MAX,
                                SIZE_MAX / 2, SIZE_MAX / sizeof(struct tt_view) + 1, SIZE_MAX - 1,
                                SIZE_MAX};
enum { BEYOND = sizeof beyond / sizeof *beyond };
static const int no_enum[] = {-1, TT_Q6_K + 1, 1 << 20, INT_MAX, INT_MIN};
enum { NO_ENUM = sizeof no_enum / sizeof *no_enum };

START_TEST(dtypes_and_shapes) {
    struct tt_shape wrong = {.rank = SIZE_MAX, .dim = {1, 2, 3, 4, 5, 6, 7, 8}};
    char text[64], data[8] = {0};
    float out[4];
    for (int i = 0; i < NO_ENUM; i++) {
        enum tt_dtype dtype = (enum tt_dtype)no_enum[i];
        struct tt_view view = {"x", dtype, {1, {2}}, data, 8};
        ck_assert_uint_eq(tt_dtype_size(dtype), 0);
        ck_assert_str_eq(tt_dtype_name(dtype), "?");
        tt_view_floats(&view, 0, 4, out);
        ck_assert(isnan(out[0]) && isnan(out[3]));
    }
    ck_assert_uint_eq(tt_shape_count(&wrong), 40320);
    ck_assert(tt_shape_equal(&wrong, &wrong));
    ck_assert_str_eq(tt_shape_text(&wrong, text, sizeof text), "(1, 2, 3, 4, 5, 6, 7, 8)");
    struct tt_view view = {"x", TT_F32, {1, {2}}, data, 8};
    for (int i = 0; i < BEYOND; i++) {
        tt_view_floats(&view, beyond[i], 4, out);
        ck_assert(isnan(out[0]) && isnan(out[3]));
    }
    tt_view_floats(&view, 1, 4, out);
    ck_assert(out[0] == 0 && isnan(out[1]));
}
END_TEST

START_TEST(parts_that_there_are_not) {
    struct place p;
    struct tt_size size = {1, 16, 16, 4};
    struct tt_profile *profile = NULL;
    const struct tt_weights *weights = NULL;
    struct tt_shape shape;
    float dout = 0;
    open_place(&p, tiny, 1);
    for (int i = 0; i <= NO_ENUM; i++) {
        int part = i < NO_ENUM ? no_enum[i] : (int)tt_part_count();
        ck_assert_str_eq(tt_part_name(part), "?");
        expect(&p, tt_session_prepare(p.session, part, size, &p.err), TT_BAD_INPUT, "part: found");
        expect(&p, tt_session_prepare_training(p.session, part, size, &p.err), TT_BAD_INPUT,
               "part: f");
        expect(&p, tt_session_backward(p.session, part, &dout, &p.err), TT_BAD_INPUT,
               "part: found");
        expect(&p, tt_model_weights(p.model, part, &weights, &p.err), TT_BAD_INPUT, "part: found");
        expect(&p, tt_profile_new(p.session, part, &profile, &p.err), TT_BAD_INPUT, "part: found");
        ck_assert_uint_eq(tt_session_activations(p.session, part), 0);
        ck_assert_ptr_null(tt_session_gradient(p.session, part, "conv_in.weight", &shape));
        ck_assert(tt_recorded_factor(part, true) == 0 && tt_recorded_factor(part, false) == 0);
    }
    ck_assert_ptr_null(profile);
    ck_assert_ptr_null(weights);
    close_place(&p);
}
END_TEST

static int see_step(void *context, const struct tt_step *step) {
    struct tt_shape shape;
    (*(int *)context)++;
    for (int i = 0; i < BEYOND; i++) {
        ck_assert_ptr_null(tt_step_input(step, beyond[i], &shape));
        ck_assert_ptr_null(tt_step_module(step, beyond[i]));
    }
    return 0;
}

START_TEST(lists_end) {
    struct place p;
    struct tt_size size = {1, 4, 4, 4};
    struct tt_profile *profile = NULL;
    const struct tt_weights *weights = NULL;
    struct tt_safetensors *file = NULL;
    struct tt_recording *recording = NULL;
    const char *name = "unchanged", *class = name, *variant = name;
    open_place(&p, tiny, 1);
    ck_assert(!tt_session_prepare(p.session, UNET, size, &p.err));
    ck_assert(!tt_profile_new(p.session, UNET, &profile, &p.err));
    ck_assert(!tt_model_weights(p.model, UNET, &weights, &p.err));
    ck_assert(!tt_recording_open(NULL, "reference/golden/sd15/square", &recording, &p.err));
    size_t bytes;
    char *data = test_read("reference/tiny/sd15/vae/diffusion_pytorch_model.safetensors", &bytes);
    ck_assert(!tt_safetensors_open_memory("vae", data, bytes, &file, &p.err));
    ck_assert_ptr_nonnull(tt_safetensors_at(file, tt_safetensors_count(file) - 1));
    ck_assert_ptr_nonnull(tt_weights_at(weights, tt_weights_count(weights) - 1));
    ck_assert_ptr_null(tt_safetensors_at(file, tt_safetensors_count(file)));
    ck_assert_ptr_null(tt_weights_at(weights, tt_weights_count(weights)));
    ck_assert_uint_eq(tt_recording_calls(recording), 4);
    ck_assert_ptr_null(tt_recording_call(recording, 4));
    ck_assert_ptr_null(tt_recording_at(recording, 1, 0));
    ck_assert_ptr_null(tt_recording_find(recording, 1, "conv_in"));
    ck_assert_ptr_null(tt_recording_file(recording, 1));
    ck_assert(!tt_recording_load(recording, 1, &p.err));
    ck_assert_ptr_null(tt_recording_at(recording, 1, tt_recording_count(recording, 1)));
    const struct tt_tokenizer *tokenizer = tt_model_tokenizer(p.model);
    char text[8] = "x";
    for (int i = 0; i < BEYOND; i++) {
        ck_assert_ptr_null(tt_safetensors_at(file, beyond[i]));
        ck_assert_ptr_null(tt_weights_at(weights, beyond[i]));
        ck_assert_ptr_null(tt_profile_at(profile, beyond[i]));
        ck_assert_ptr_null(tt_recording_at(recording, 1, beyond[i]));
        expect(&p, tt_recording_load(recording, beyond[i], &p.err), TT_BAD_INPUT, "call: found");
        ck_assert_ptr_null(tt_recording_call(recording, beyond[i]));
        ck_assert_uint_eq(tt_recording_count(recording, beyond[i]), 0);
        ck_assert_ptr_null(tt_recording_find(recording, beyond[i], "conv_in"));
        ck_assert_ptr_null(tt_recording_find_gradient(recording, beyond[i], "conv_in"));
        ck_assert_ptr_null(tt_recording_file(recording, beyond[i]));
        ck_assert_ptr_null(tt_recording_weight_at(recording, beyond[i]));
        ck_assert(!tt_kernel_list(p.engine, beyond[i], &name, &class, &variant));
        ck_assert(!tt_scheduler_list(beyond[i], &name, &class));
    }
    for (int i = 0; i < NO_ENUM; i++) {
        int32_t id = no_enum[i] == TT_Q6_K + 1 ? tt_tokenizer_size(tokenizer) : no_enum[i];
        ck_assert_ptr_null(tt_tokenizer_token(tokenizer, id));
        ck_assert_str_eq(tt_tokenizer_text(tokenizer, id, text, sizeof text), "");
    }
    ck_assert_str_eq(name, "unchanged");
    int steps = 0;
    float sample[4 * 16] = {0}, t = 1, out[4 * 16], context[4 * 24] = {0};
    struct tt_observer observer = {&steps, see_step, NULL};
    tt_session_observe(p.session, &observer, 1);
    ck_assert_uint_eq(tt_model_info(p.model)->text_width, 24);
    ck_assert(!tt_session_unet(p.session, size, sample, &t, context, out, &p.err));
    ck_assert_int_gt(steps, 100);
    tt_recording_close(recording);
    tt_safetensors_close(file);
    free(data);
    tt_profile_free(profile);
    close_place(&p);
}
END_TEST

START_TEST(calls_of_schedulers) {
    struct place p = {0};
    const char *name, *class;
    for (size_t k = 0; tt_scheduler_list(k, &name, &class); k++) {
        struct tt_scheduler *s = NULL;
        float x[16] = {0}, out[16];
        struct tt_rng rng, *rngs = &rng;
        tt_rng_seed(&rng, 1);
        ck_assert_msg(!tt_scheduler_open(&s, name, NULL, NULL, &p.err), "%s", p.err.message);
        expect(&p, tt_scheduler_step(s, 0, x, x, &rngs, 1, out, &p.err), TT_BAD_INPUT, "of 0");
        expect(&p, tt_scheduler_start(s, SIZE_MAX, 2, &p.err), TT_BAD_INPUT, "too large");
        expect(&p, tt_scheduler_set_timesteps(s, 0, &p.err), TT_BAD_INPUT, "steps: found 0");
        ck_assert(tt_scheduler_set_timesteps(s, SIZE_MAX, NULL) == TT_BAD_INPUT);
        ck_assert_msg(!tt_scheduler_set_timesteps(s, 4, &p.err), "%s", p.err.message);
        expect(&p, tt_scheduler_step(s, 0, x, x, &rngs, 1, out, &p.err), TT_BAD_INPUT, "no samp");
        ck_assert(!tt_scheduler_start(s, 1, 16, &p.err));
        size_t calls = tt_scheduler_calls(s);
        for (int i = 0; i <= BEYOND; i++) {
            size_t call = i < BEYOND ? beyond[i] : calls;
            tt_scheduler_scale_input(s, call, x, out);
            ck_assert(isnan(out[0]) && isnan(out[15]));
            expect(&p, tt_scheduler_step(s, call, x, x, &rngs, 1, out, &p.err), TT_BAD_INPUT,
                   "found call");
            expect(&p, tt_scheduler_add_noise(s, call, x, x, out, &p.err), TT_BAD_INPUT,
                   "found call");
            const struct tt_schedule *schedule = tt_scheduler_schedule(s);
            size_t t = i < BEYOND ? beyond[i] : schedule->count;
            tt_add_noise(schedule, t, x, x, out, 16);
            ck_assert(isnan(out[0]) && isnan(out[15]));
            out[0] = out[15] = 0;
            tt_velocity(schedule, t, x, x, out, 16);
            ck_assert(isnan(out[0]) && isnan(out[15]));
        }
        tt_scheduler_free(s);
    }
}
END_TEST

START_TEST(sizes_of_pictures) {
    static const size_t wrong[][2] = {
        {0, 8}, {8, 0}, {SIZE_MAX, SIZE_MAX}, {SIZE_MAX / 3 + 1, 8}, {(size_t)1 << 33, 8},
        {(size_t)1 << 32, (size_t)1 << 32}, {TT_IMAGE_SIDE + 8, 8}, {TT_IMAGE_SIDE, TT_IMAGE_SIDE},
    };
    static const char *const models[] = {tiny, "reference/tiny/ddim"};
    for (int m = 0; m < 2; m++) {
        struct place p;
        float latents[4] = {0};
        uint8_t rgb[4] = {0};
        open_place(&p, models[m], 1);
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            size_t h = wrong[i][0], w = wrong[i][1];
            expect(&p, tt_latents_to_pixels(p.session, latents, h, w, rgb, &p.err), TT_BAD_INPUT,
                   "found a batch of 1");
            expect(&p, tt_pixels_to_latents(p.session, rgb, h, w, NULL, latents, &p.err),
                   TT_BAD_INPUT, "found a batch of 1");
        }
        close_place(&p);
    }
}
END_TEST

START_TEST(settings_have_ranges) {
    static const double wrong[] = {-1, -1e-9, 1.0000001, 1e30, NAN, INFINITY, -INFINITY};
    struct place p;
    struct tt_settings s;
    open_place(&p, tiny, 1);
    tt_settings_defaults(&s, sizeof s);
    s.prompt = "x", s.steps = 1, s.width = s.height = 16;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        s.guidance_rescale = wrong[i];
        expect(&p, tt_generate(p.session, &s, NULL, NULL, &p.err), TT_BAD_INPUT,
               "guidance_rescale: found");
        s.guidance_rescale = 0;
        s.guidance_scale = i < 3 ? (i % 2 ? 1000.5 : -1000.5) : wrong[i];
        expect(&p, tt_generate(p.session, &s, NULL, NULL, &p.err), TT_BAD_INPUT,
               "guidance_scale: found");
        s.guidance_scale = 7.5;
    }
    s.guidance_rescale = 1;
    s.guidance_scale = TT_GUIDANCE_MOST;
    ck_assert_msg(!tt_generate(p.session, &s, NULL, NULL, &p.err), "%s", p.err.message);
    int32_t ids[1];
    for (size_t max = 0; max < 2; max++)
        expect(&p, tt_tokenizer_encode(tt_model_tokenizer(p.model), "x", ids, max, NULL, &p.err),
               TT_BAD_INPUT, "at least 2");
    close_place(&p);
}
END_TEST

// ---- what is not finite ----

START_TEST(no_picture_of_nan) {
    static const char *const models[] = {tiny, "reference/tiny/ddim"};
    static const float wrong[] = {NAN, INFINITY, -INFINITY};
    for (int m = 0; m < 2; m++) {
        struct place p;
        open_place(&p, models[m], 1);
        size_t c = tt_model_info(p.model)->latent_channels, f = tt_model_info(p.model)->factor;
        size_t h = 32 / f, n = c * h * h;
        float *latents = calloc(n, sizeof *latents);
        uint8_t *rgb = calloc(3, 32 * 32);
        ck_assert(!tt_latents_to_pixels(p.session, latents, h, h, rgb, &p.err));
        rgb[0] = 77;
        for (int i = 0; i < 3; i++) {
            latents[n - 1] = wrong[i];
            expect(&p, tt_latents_to_pixels(p.session, latents, h, h, rgb, &p.err), TT_BAD_INPUT,
                   "latents: found ");
            ck_assert_uint_eq(rgb[0], 77);
        }
        free(latents);
        free(rgb);
        close_place(&p);
    }
}
END_TEST

// ---- memory of a caller ----

enum { SIDE = 1024 };

static const struct tt_view *find_in(void *file, const char *name) {
    return tt_safetensors_find(file, name);
}

START_TEST(callers_memory_stays) {
    static const char header[] =
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[1024,1024],\"data_offsets\":[0,4194304]}}    ";
    size_t head = sizeof header - 1, size = 8 + head + 4 * SIDE * SIDE;
    ck_assert_uint_eq((8 + head) % 4, 0);
    unsigned char *data = malloc(size), *copy = malloc(size);
    uint64_t state = 1;
    memset(data, 0, 8);
    data[0] = (unsigned char)head;
    memcpy(data + 8, header, head);
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++) {
        float x = test_random_f32(&state);
        memcpy(data + 8 + head + 4 * i, &x, 4);
    }
    memcpy(copy, data, size);
    struct tt_safetensors *file;
    struct tt_error err = {0};
    const struct tt_param param = {"w", {2, {SIDE, SIDE}}};
    struct tt_weight packed;
    ck_assert_msg(!tt_safetensors_open_memory("mine", data, size, &file, &err), "%s", err.message);
    struct tt_source source = {.context = file, .name = "mine", .find = find_in};
    const struct tt_bank_options hold = {0};
    struct tt_bank *bank = tt_bank_new(&source, &hold);
    ck_assert(!tt_bank_get(bank, &param, TT_FORM_GEMM, 1u << TT_F32, 1, &packed, &err));
    ck_assert(!tt_bank_get(bank, &param, TT_FORM_PLAIN, 1u << TT_F32, 1, &packed, &err));
    ck_assert_msg(!memcmp(data, copy, size), "a caller's memory has changed");
    tt_bank_free(bank);
    tt_safetensors_close(file);

    // The use that params.h describes: a bank on values that are being trained.
    struct tt_tape tape = {0};
    struct tt_params *params;
    const struct tt_tape *tapes[] = {&tape};
    tt_value x = tt_nn_input(&tape, "x", (struct tt_shape){2, {1, SIDE}}, TT_F32);
    tt_set_output(&tape, tt_nn_linear(&tape, "w", x, SIDE, false));
    ck_assert_msg(!tt_params_new(tapes, 1, true, &params, &err), "%s", err.message);
    float *value = tt_params_value(params, 0);
    memcpy(value, data + 8 + head, 4 * SIDE * SIDE);
    source = tt_params_source(params, "params");
    bank = tt_bank_new(&source, &hold);
    const struct tt_param weight = {"w.weight", {2, {SIDE, SIDE}}};
    for (enum tt_form form = TT_FORM_PLAIN; form <= TT_FORM_GEMM; form++)
        ck_assert_msg(!tt_bank_get(bank, &weight, form, 1u << TT_F32, 1, &packed, &err), "%s",
                      err.message);
    ck_assert_msg(!memcmp(value, data + 8 + head, 4 * SIDE * SIDE), "parameters were erased");
    tt_bank_free(bank);
    tt_params_free(params);
    tt_tape_free(&tape);
    free(data);
    free(copy);
}
END_TEST

// Bytes in memory of what is mapped from files with such an end; -1: not told here.
static long resident(const char *ending) {
    const char *emulator = getenv("RUN"); // whose own maps those are
    FILE *maps = emulator && *emulator ? NULL : fopen("/proc/self/smaps", "r");
    char line[512];
    long sum = maps ? 0 : -1, rss;
    bool ours = false, any = false;
    while (maps && fgets(line, sizeof line, maps)) {
        if (strchr(line, '-') && strchr(line, '-') < line + 20) ours = strstr(line, ending) != NULL;
        if (!ours || sscanf(line, "Rss: %ld kB", &rss) != 1) continue;
        any = true;
        sum += rss * 1024;
    }
    if (maps) fclose(maps);
    return any ? sum : -1;
}

START_TEST(mapped_pages_are_let_go) {
    struct tt_folder *folder = NULL;
    struct tt_weights *weights = NULL;
    struct tt_error err = {0};
    ck_assert_msg(!tt_folder_open("reference/models/scenes", &folder, &err), "%s", err.message);
    ck_assert_msg(!tt_weights_open(folder, "unet", &weights, &err), "%s", err.message);
    const struct tt_view *largest = tt_weights_at(weights, 0);
    for (size_t i = 0; i < tt_weights_count(weights); i++)
        if (tt_weights_at(weights, i)->bytes > largest->bytes) largest = tt_weights_at(weights, i);
    ck_assert_uint_gt(largest->bytes, 1 << 20);
    unsigned sum = 0;
    for (size_t i = 0; i < largest->bytes; i++) sum += ((const unsigned char *)largest->data)[i];
    long before = resident("unet/diffusion_pytorch_model.safetensors");
    tt_weights_release(weights, largest);
    long after = resident("unet/diffusion_pytorch_model.safetensors");
    if (before < 0)
        test_skip("/proc/self/smaps does not tell what is in memory");
    else
        ck_assert_msg(before - after >= (long)largest->bytes - 3 * sysconf(_SC_PAGESIZE),
                      "%ld bytes, then %ld, of %zu (%u)", before, after, largest->bytes, sum);
    tt_weights_close(weights);
    tt_folder_close(folder);
}
END_TEST

START_TEST(more_than_the_machine_has) {
    struct tt_arena arena = {0};
    struct tt_error err = {0};
    size_t most = tt_memory_most();
    ck_assert(most > 0 && most < SIZE_MAX / 8); // the machine tells
    ck_assert_int_eq(tt_arena_add(&arena, most + 4096), 0);
    tt_arena_touch(&arena, 0, 0);
    ck_assert_int_eq(tt_arena_lay_out(&arena, NULL, "activations", &err), TT_SYSTEM);
    char numbers[128];
    snprintf(numbers, sizeof numbers, "found %zu bytes, expected %zu bytes for activations", most,
             (most + 4096 + 63) / 64 * 64);
    ck_assert_msg(strstr(err.message, numbers) != NULL, "%s", err.message);
    ck_assert_ptr_null(arena.memory->base);
    tt_arena_free(&arena);
}
END_TEST

// ---- threads and stacks ----

START_TEST(one_bound_for_threads) {
    struct place p = {0};
    struct tt_engine_settings with;
    static const size_t wrong[] = {TT_MOST_THREADS + 1, INT_MAX, UINT_MAX, SIZE_MAX};
    tt_engine_defaults(&with, sizeof with);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        with.threads = wrong[i];
        expect(&p, tt_engine_new(&with, &p.engine, &p.err), TT_BAD_INPUT,
               "expected at most 1024");
    }
    omp_set_num_threads(TT_MOST_THREADS + 1);
    if (omp_get_max_threads() > TT_MOST_THREADS) // LLVM's runtime may have a bound of its own
        expect(&p, tt_engine_new(NULL, &p.engine, &p.err), TT_BAD_INPUT,
               "omp_set_num_threads: found 1025, expected at most 1024");
    omp_set_num_threads(3);
    ck_assert_msg(!tt_engine_new(NULL, &p.engine, &p.err), "%s", p.err.message);
    ck_assert_uint_eq(tt_engine_threads(p.engine), 3);
    tt_engine_free(p.engine);
}
END_TEST

// What a thread does with its stack, all with two threads: it makes an engine, draws a picture and
// goes back through the U-Net; or uses a model that another thread has opened.
struct visit {
    struct place *given; // NULL: its own
    struct place own;
    enum tt_status made, drawn, trained;
};

static void *stay(void *context) {
    struct visit *v = context;
    struct place *p = v->given ? v->given : &v->own;
    struct tt_engine_settings with;
    struct tt_image image = {0};
    struct tt_settings s;
    tt_settings_defaults(&s, sizeof s);
    s.prompt = "x", s.steps = 2, s.width = s.height = 64;
    tt_engine_defaults(&with, sizeof with);
    with.threads = 2;
    if (!v->given) {
        v->made = tt_engine_new(&with, &p->engine, &p->err);
        if (!v->made) v->made = tt_model_open(tiny, p->engine, &p->model, &p->err);
        if (!v->made) v->made = tt_session_new(p->model, NULL, &p->session, &p->err);
    }
    if (v->made) return NULL;
    v->drawn = tt_generate(p->session, &s, NULL, &image, &p->err);
    tt_image_free(&image);
    if (v->drawn) return NULL;
    struct tt_size size = {1, 16, 16, 8};
    float *x = calloc(2 * 4 * 256 + 8 * 24, sizeof *x), t = 3;
    v->trained = tt_session_prepare_training(p->session, UNET, size, &p->err);
    if (!v->trained)
        v->trained = tt_session_unet(p->session, size, x, &t, x + 2048, x + 1024, &p->err);
    if (!v->trained) v->trained = tt_session_backward(p->session, UNET, x, &p->err);
    free(x);
    if (!v->given) close_place(p);
    return NULL;
}

static void visit_with(size_t kib, struct visit *v) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    ck_assert_int_eq(pthread_attr_setstacksize(&attributes, kib << 10), 0);
    ck_assert_int_eq(pthread_create(&thread, &attributes, stay, v), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
}

START_TEST(small_stacks) {
    const char *emulator = getenv("RUN");
    if (emulator && *emulator) {
        test_skip("teams of threads that come and go do not end in time in an emulator");
        return;
    }
    struct visit v;
    static const size_t small[] = {64, 128, 192}; // upwards: a stack that is free is taken again
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        v = (struct visit){0};
        visit_with(small[i], &v);
        expect(&v.own, v.made, TT_SYSTEM, "KiB left, expected 222 KiB");
    }
    struct place p;
    open_place(&p, tiny, 1); // one: a team's threads would have left larger stacks
    v = (struct visit){.given = &p};
    visit_with(128, &v);
    expect(&p, v.drawn, TT_SYSTEM, "KiB left, expected 192 KiB");
    v = (struct visit){.given = &p};
    visit_with(256, &v);
    ck_assert_msg(!v.drawn && !v.trained, "%s", p.err.message);
    close_place(&p);
    v = (struct visit){0};
    visit_with(256, &v);
    ck_assert_msg(!v.made && !v.drawn && !v.trained, "%s", v.own.err.message);
    size_t left = tt_stack_left(); // of a thread with a stack of megabytes
    ck_assert_uint_gt(left, 512 << 10);
}
END_TEST

static Suite *contract_suite(void) {
    Suite *suite = suite_create("contract");
    TCase *tcase = tcase_create("contract");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, dtypes_and_shapes);
    tcase_add_test(tcase, parts_that_there_are_not);
    tcase_add_test(tcase, lists_end);
    tcase_add_test(tcase, calls_of_schedulers);
    tcase_add_test(tcase, sizes_of_pictures);
    tcase_add_test(tcase, settings_have_ranges);
    tcase_add_test(tcase, no_picture_of_nan);
    tcase_add_test(tcase, callers_memory_stays);
    tcase_add_test(tcase, mapped_pages_are_let_go);
    tcase_add_test(tcase, more_than_the_machine_has);
    tcase_add_test(tcase, one_bound_for_threads);
    tcase_add_test(tcase, small_stacks);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(contract_suite(), NULL); }
