// SPDX-License-Identifier: MIT
// Whole runs of the tiny SDXL pipelines against diffusers (reference/record_xl.py), by the public
// interface alone; and what of two models does not fit.
#include "util.h"

#include "io/json.h"
#include "tintype.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Of final latents, as issue after issue has it; XL_REPORT=1 prints each. What is recorded are
// float32 runs of PyTorch, which have an error of their own.
static const double MOST = 1e-4;

enum { MODELS = 3, OPTIONS = 4 };

// Models that a test has opened, each once.
struct place {
    struct tt_engine *engine;
    const char *name[MODELS];
    struct tt_session *session[MODELS];
    struct tt_error err;
};

static void open_place(struct place *p) {
    *p = (struct place){0};
    ck_assert_msg(!tt_engine_new(NULL, &p->engine, &p->err), "%s", p->err.message);
}

static void close_place(struct place *p) {
    for (size_t i = 0; i < MODELS; i++) tt_session_free(p->session[i]);
    tt_engine_free(p->engine);
}

static struct tt_session *session_of(struct place *p, const char *name) {
    size_t i = 0;
    char path[64];
    struct tt_model *model;
    while (p->name[i] && strcmp(p->name[i], name)) i++;
    if (p->name[i]) return p->session[i];
    ck_assert_uint_lt(i, MODELS);
    snprintf(path, sizeof path, "reference/tiny/%s", name);
    ck_assert_msg(!tt_model_open(path, p->engine, &model, &p->err), "%s", p->err.message);
    ck_assert_msg(!tt_session_new(model, NULL, &p->session[i], &p->err), "%s", p->err.message);
    tt_model_close(model);
    p->name[i] = name;
    return p->session[i];
}

static const char *text_of(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static double number_of(const json_t *object, const char *key, double fallback) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

// Two numbers of a list, as diffusers orders them: height and width, top and left.
static void read_two(const json_t *spec, const char *key, size_t *second, size_t *first) {
    const json_t *list = json_object_get(spec, key);
    if (!list) return;
    *first = (size_t)json_integer_value(json_array_get(list, 0));
    *second = (size_t)json_integer_value(json_array_get(list, 1));
}

// options: room for the scheduler's.
static struct tt_settings settings_of(struct place *p, const json_t *spec,
                                      char options[OPTIONS][64], const char **list) {
    struct tt_settings s;
    const char *key;
    json_t *value;
    size_t n = 0;
    tt_settings_defaults(&s, sizeof s);
    s.prompt = text_of(spec, "prompt");
    s.negative = text_of(spec, "negative_prompt");
    s.scheduler = text_of(spec, "scheduler");
    s.steps = (size_t)number_of(spec, "steps", 0);
    s.seed = (uint64_t)number_of(spec, "seed", 0);
    s.count = (size_t)number_of(spec, "count", 0);
    s.width = (size_t)number_of(spec, "width", 0);
    s.height = (size_t)number_of(spec, "height", 0);
    s.guidance_scale = number_of(spec, "guidance_scale", NAN);
    s.guidance_rescale = number_of(spec, "guidance_rescale", NAN);
    s.aesthetic_score = number_of(spec, "aesthetic_score", s.aesthetic_score);
    s.negative_aesthetic_score =
        number_of(spec, "negative_aesthetic_score", s.negative_aesthetic_score);
    read_two(spec, "original_size", &s.original_width, &s.original_height);
    read_two(spec, "crops_coords_top_left", &s.crop_left, &s.crop_top);
    read_two(spec, "target_size", &s.target_width, &s.target_height);
    read_two(spec, "negative_original_size", &s.negative_original_width,
             &s.negative_original_height);
    read_two(spec, "negative_crops_coords_top_left", &s.negative_crop_left, &s.negative_crop_top);
    read_two(spec, "negative_target_size", &s.negative_target_width, &s.negative_target_height);
    json_object_foreach((json_t *)(uintptr_t)json_object_get(spec, "options"), key, value) {
        ck_assert_uint_lt(n + 1, OPTIONS);
        snprintf(options[n], sizeof options[n], "%s=%s", key,
                 json_is_true(value) ? "true" : "false");
        list[n] = options[n];
        n++;
    }
    s.scheduler_options = list;
    if (!text_of(spec, "refiner")) return s;
    s.refiner = session_of(p, text_of(spec, "refiner"));
    s.refine_from = number_of(spec, "refine_from", NAN);
    return s;
}

static const struct tt_view *recorded(const struct tt_safetensors *file, const json_t *spec,
                                      const char *what) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", text_of(spec, "name"), what);
    const struct tt_view *view = tt_safetensors_find(file, name);
    ck_assert_msg(view != NULL, "%s is not in the recording", name);
    return view;
}

// The root of the sum of squares of what differs, relative to that of what was recorded.
static double distance(const float *got, const float *want, size_t n) {
    double off = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        off += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        all += (double)want[i] * want[i];
    }
    return sqrt(off / all);
}

// A byte may be off by one where the value lies near a half.
static void compare_picture(const struct tt_image *image, const uint8_t *want, const char *name) {
    size_t n = 3 * image->width * image->height, off = 0;
    for (size_t i = 0; i < n; i++) {
        int difference = abs((int)image->rgb[i] - (int)want[i]);
        ck_assert_msg(difference <= 1, "%s: byte %zu: %d, recorded %d", name, i, image->rgb[i],
                      want[i]);
        off += difference != 0;
    }
    ck_assert_msg(off <= n / 200, "%s: %zu of %zu bytes are off", name, off, n);
}

static double run_case(struct place *p, const json_t *spec, const struct tt_safetensors *file) {
    char options[OPTIONS][64];
    const char *list[OPTIONS] = {NULL}, *name = text_of(spec, "name");
    struct tt_session *session = session_of(p, text_of(spec, "model"));
    struct tt_settings s = settings_of(p, spec, options, list);
    const struct tt_view *view = recorded(file, spec, "latents");
    size_t n = tt_shape_count(&view->shape), pixels = 3 * s.width * s.height;
    float *latents = malloc(n * sizeof *latents);
    struct tt_image *images = calloc(s.count, sizeof *images);
    ck_assert_uint_eq(view->shape.dim[0], s.count);
    ck_assert_msg(!tt_generate(session, &s, latents, images, &p->err), "%s: %s", name,
                  p->err.message);
    double off = distance(latents, view->data, n);
    if (getenv("XL_REPORT")) printf("%-20s %.2e\n", name, off);
    ck_assert_msg(off <= MOST, "%s: final latents are off by %.3g", name, off);
    for (size_t k = 0; k < s.count; k++) {
        if (json_is_true(json_object_get(spec, "picture")))
            compare_picture(&images[k],
                            (const uint8_t *)recorded(file, spec, "image")->data + k * pixels,
                            name);
        tt_image_free(&images[k]);
    }
    free(images);
    free(latents);
    return off;
}

START_TEST(equals_diffusers) {
    struct place p;
    struct tt_safetensors *file;
    json_t *manifest, *spec;
    size_t i, size;
    double worst = 0;
    char *text = test_read("reference/golden/xl/runs.json", &size);
    open_place(&p);
    ck_assert_msg(!tt_json_parse("runs.json", text, size, &manifest, &p.err), "%s", p.err.message);
    free(text);
    ck_assert_msg(!tt_safetensors_open(NULL, "reference/golden/xl/runs.safetensors", &file, &p.err),
                  "%s", p.err.message);
    const json_t *cases = json_object_get(manifest, "cases");
    ck_assert_uint_gt(json_array_size(cases), 60);
    json_array_foreach(cases, i, spec) worst = fmax(worst, run_case(&p, spec, file));
    printf("%zu runs of SDXL: final latents within %.2e of diffusers\n", json_array_size(cases),
           worst);
    tt_safetensors_close(file);
    json_decref(manifest);
    close_place(&p);
}
END_TEST

// The stages, one by one, give what all of it does.
START_TEST(stages) {
    enum { N = 4 * 8 * 8 };
    struct place p;
    struct tt_settings s;
    struct tt_scheduler *scheduler[2];
    struct tt_embeddings embeddings[2] = {{0}};
    struct tt_rng rng;
    float whole[N], parts[N];
    struct tt_outline of;
    open_place(&p);
    struct tt_session *session[2] = {session_of(&p, "xl"), session_of(&p, "xl-refiner")};
    tt_settings_defaults(&s, sizeof s);
    s.prompt = "a lighthouse";
    s.steps = 5;
    s.scheduler = "euler-ancestral";
    s.refiner = session[1];
    s.refine_from = 0.6;
    s.seed = 3;
    ck_assert_msg(!tt_generate(session[0], &s, whole, NULL, &p.err), "%s", p.err.message);
    for (int i = 0; i < 2; i++) {
        ck_assert(!tt_scheduler_open(&scheduler[i], s.scheduler, tt_session_model(session[i]), NULL,
                                     &p.err));
        ck_assert_msg(!tt_encode_prompt(session[i], &s, &embeddings[i], &p.err), "%s",
                      p.err.message);
    }
    tt_rng_seed(&rng, s.seed);
    ck_assert_msg(!tt_denoise(session[0], scheduler[0], &s, &embeddings[0], &rng, parts, &p.err),
                  "%s", p.err.message);
    ck_assert_msg(!tt_refine(session[1], scheduler[1], &s, &embeddings[1], &rng, parts, &p.err),
                  "%s", p.err.message);
    test_equal("stages", parts, whole, N);
    ck_assert(!tt_settings_complete(tt_session_model(session[0]), &s, &of, &p.err));
    ck_assert_uint_eq(of.all_calls, 5);
    for (int i = 0; i < 2; i++) {
        tt_scheduler_free(scheduler[i]);
        tt_embeddings_free(&embeddings[i]);
    }
    close_place(&p);
}
END_TEST

static const struct {
    const char *model, *refiner;
    double from;
    size_t original[2], negative[2], crop;
    double score;
    const char *says;
} refused[] = {
    {"xl-refiner", NULL, 0.8, {0}, {0}, 0, 6, "found SDXL's refiner alone"},
    {"xl", "sd15", 0.8, {0}, {0}, 0, 6, "sd15 with reference/tiny/xl, expected two models of SDXL"},
    {"sd15", "xl-refiner", 0.8, {0}, {0}, 0, 6, "expected two models of SDXL: reference/tiny/sd15"},
    {"xl", "xl-refiner", 1, {0}, {0}, 0, 6, "refine_from: found 1, expected more than 0"},
    {"xl", "xl-refiner", 0.001, {0}, {0}, 0, 6, "refine_from: found 0.001, which leaves 0 calls"},
    {"xl", "xl-refiner", 0.999, {0}, {0}, 0, 6, "and 0 to the refiner, of 4 steps; expected"},
    {"sd15", NULL, 0.8, {64, 64}, {0}, 0, 6, "original size, crop, target size: found them"},
    {"sd15", NULL, 0.8, {0}, {0}, 3, 6, "original size, crop, target size: found them"},
    {"xl", NULL, 0.8, {64, 0}, {0}, 0, 6, "original size: found 64 x 0, expected sides of 1 to"},
    {"xl", NULL, 0.8, {40000, 64}, {0}, 0, 6, "original size: found 40000 x 64"},
    {"xl", NULL, 0.8, {0}, {64, 64}, 0, 6, "negative original size, negative target size: found"},
    {"xl", NULL, 0.8, {0}, {0}, 50000, 6, "crop: found 50000, expected 0 to 32768"},
    {"xl", NULL, 0.8, {0}, {0}, 0, 5, "aesthetic_score, negative_aesthetic_score: found 5, 2.5"},
    {"xl", "xl-refiner", 0.8, {0}, {0}, 0, NAN, "aesthetic_score, negative_aesthetic_score: found"},
};
enum { REFUSED = sizeof refused / sizeof *refused };

START_TEST(what_does_not_fit) {
    struct place p;
    struct tt_settings s;
    open_place(&p);
    struct tt_session *session = session_of(&p, refused[_i].model);
    tt_settings_defaults(&s, sizeof s);
    s.prompt = "a lighthouse";
    s.steps = 4;
    s.refiner = refused[_i].refiner ? session_of(&p, refused[_i].refiner) : NULL;
    s.refine_from = refused[_i].from;
    s.original_width = refused[_i].original[0];
    s.original_height = refused[_i].original[1];
    s.negative_original_width = refused[_i].negative[0];
    s.negative_original_height = refused[_i].negative[1];
    s.crop_left = refused[_i].crop;
    s.aesthetic_score = refused[_i].score;
    ck_assert_int_eq(tt_generate(session, &s, NULL, NULL, &p.err), TT_BAD_INPUT);
    ck_assert_msg(strstr(p.err.message, refused[_i].says) != NULL, "%s", p.err.message);
    close_place(&p);
}
END_TEST

// What a model tells of itself.
START_TEST(told) {
    struct place p;
    open_place(&p);
    const struct tt_model_info *base = tt_model_info(tt_session_model(session_of(&p, "xl")));
    ck_assert_uint_eq(base->text_width, 44);
    ck_assert_uint_eq(base->pooled_width, 14);
    ck_assert_uint_eq(base->time_ids, 6);
    ck_assert(base->force_zeros && !base->second_stage && !base->few_steps);
    ck_assert(base->guidance_scale == 5 && base->steps == 20);
    const struct tt_model *model = tt_session_model(session_of(&p, "xl-refiner"));
    const struct tt_model_info *refiner = tt_model_info(model);
    ck_assert_uint_eq(refiner->text_width, 20);
    ck_assert_uint_eq(refiner->time_ids, 5);
    ck_assert(refiner->second_stage && !refiner->force_zeros);
    ck_assert(!tt_model_has_part(model, tt_part_find("text")));
    ck_assert(tt_model_has_part(model, tt_part_find("text-2")));
    ck_assert(!tt_part_tokenizer(model, tt_part_find("text")));
    ck_assert(tt_part_tokenizer(model, tt_part_find("text-2")) == tt_model_tokenizer(model));
    ck_assert_int_eq(tt_tokenizer_padding(tt_model_tokenizer(model)), 0);
    const struct tt_model_info *few = tt_model_info(tt_session_model(session_of(&p, "xl-uneven")));
    ck_assert(few->few_steps && few->steps == 4 && few->guidance_scale == 5);
    ck_assert(few->latents_mean && few->latents_std[0] == 8.4927f);
    close_place(&p);
}
END_TEST

// The U-Net alone, by the names of what it takes: all of it, or none.
START_TEST(unet_alone) {
    struct place p;
    struct tt_port ports[TT_PORTS];
    struct tt_view in[TT_PORTS];
    const struct tt_size size = {1, 2, 3, 4};
    float *zeros = calloc(4096, sizeof *zeros), out[4 * 2 * 3];
    struct tt_room room = {"out", TT_F32, {4, {1, 4, 2, 3}}, out, sizeof out};
    size_t count, given = 0;
    open_place(&p);
    struct tt_session *session = session_of(&p, "xl");
    int unet = tt_part_find("unet");
    ck_assert(!tt_part_ports(tt_session_model(session), unet, size, ports, &count, &p.err));
    for (size_t i = 0; i < count; i++) {
        if (ports[i].output) continue;
        ck_assert(!ports[i].optional);
        in[given++] = (struct tt_view){ports[i].name, TT_F32, ports[i].shape, zeros,
                                       tt_shape_count(&ports[i].shape) * sizeof *zeros};
    }
    ck_assert_uint_eq(given, 5); // without timestep_cond, which this one does not have
    ck_assert_str_eq(in[3].name, "text_embeds");
    ck_assert_uint_eq(in[4].shape.dim[1], 6);
    ck_assert_msg(!tt_part_run(session, unet, in, 5, &room, 1, &p.err), "%s", p.err.message);
    ck_assert_int_eq(tt_part_run(session, unet, in, 4, &room, 1, &p.err), TT_BAD_INPUT);
    ck_assert_msg(strstr(p.err.message, "input 'time_ids': found none, expected F32 of shape") != 0,
                  "%s", p.err.message);
    p.err = (struct tt_error){0};
    ck_assert_int_eq(tt_session_unet(session, size, zeros, zeros, zeros, out, &p.err),
                     TT_BAD_INPUT);
    ck_assert_msg(strstr(p.err.message, "text_embeds, time_ids: found none") != 0, "%s",
                  p.err.message);
    free(zeros);
    close_place(&p);
}
END_TEST

static Suite *xl_suite(void) {
    Suite *suite = suite_create("xl");
    TCase *runs = tcase_create("runs");
    tcase_set_timeout(runs, 600);
    tcase_add_test(runs, equals_diffusers);
    tcase_add_test(runs, stages);
    tcase_add_test(runs, told);
    tcase_add_test(runs, unet_alone);
    tcase_add_loop_test(runs, what_does_not_fit, 0, REFUSED);
    suite_add_tcase(suite, runs);
    return suite;
}

int main(void) { return test_main(xl_suite(), NULL); }
