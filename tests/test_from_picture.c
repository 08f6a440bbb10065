// SPDX-License-Identifier: MIT
// What begins with a picture against diffusers and Pillow (reference/record_from_picture.py):
// sizes, blurs and overlays byte for byte, the first call of every scheduler, final latents of tiny
// pipelines; and what does not fit together.
#include "io/resample.h"
#include "masking.h"
#include "noise/scheduler.h"
#include "tintype.h"
#include "util.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "reference/from_picture/"

// Relative L2, measured at most 1.2e-5: diffusers computes in float32, with other orders of sums.
static const double LIMIT = 2e-5;

static json_t *open_json(const char *name) {
    char path[96];
    snprintf(path, sizeof path, FOLDER "%s.json", name);
    json_t *json = json_load_file(path, 0, NULL);
    ck_assert_msg(json, "%s: missing or no JSON", path);
    return json;
}

static struct tt_safetensors *open_tensors(const char *name) {
    struct tt_safetensors *file;
    struct tt_error err = {0};
    char path[96];
    snprintf(path, sizeof path, FOLDER "%s.safetensors", name);
    ck_assert_msg(!tt_safetensors_open(NULL, path, &file, &err), "%s", err.message);
    return file;
}

static struct tt_image open_picture(const char *name) {
    struct tt_image image;
    struct tt_error err = {0};
    char path[96];
    snprintf(path, sizeof path, FOLDER "%s.png", name);
    ck_assert_msg(!tt_image_read(NULL, path, &image, &err), "%s", err.message);
    return image;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static double number_of(const json_t *object, const char *key, double otherwise) {
    const json_t *value = json_object_get(object, key);
    return value ? json_number_value(value) : otherwise;
}

static size_t side(const json_t *pair, size_t i) {
    return (size_t)json_integer_value(json_array_get(pair, i));
}

// ---- pictures of another size ----

static void make_resized(const json_t *spec, const struct tt_image *picture,
                         const struct tt_image *mask, struct tt_image *got) {
    const char *what = text_of(spec, "what"), *how = text_of(spec, "how");
    const json_t *size = json_object_get(spec, "size"), *box = json_object_get(spec, "box");
    struct tt_error err = {0};
    enum tt_status status = TT_BAD_INPUT;
    if (!strcmp(what, "resample")) {
        struct tt_box part;
        double *edges[] = {&part.left, &part.top, &part.right, &part.bottom};
        for (size_t i = 0; box && i < 4; i++)
            *edges[i] = json_number_value(json_array_get(box, i));
        enum tt_filter filter =
            !strcmp(text_of(spec, "filter"), "lanczos") ? TT_FILTER_LANCZOS : TT_FILTER_BICUBIC;
        status = tt_resample(picture, box ? &part : NULL, filter, side(size, 0), side(size, 1), got,
                             &err);
    } else if (!strcmp(what, "resize")) {
        enum tt_resize fit = !strcmp(how, "crop")   ? TT_RESIZE_CROP
                             : !strcmp(how, "fill") ? TT_RESIZE_FILL
                                                    : TT_RESIZE_STRETCH;
        status = tt_image_resize(picture, fit, side(size, 0), side(size, 1), got, &err);
    } else if (!strcmp(what, "blur")) {
        const struct tt_image *of = !strcmp(text_of(spec, "of"), "mask") ? mask : picture;
        status = tt_resample(of, NULL, TT_FILTER_LANCZOS, of->width, of->height, got, &err);
        if (!status) status = tt_blur(got, number_of(spec, "radius", 0), &err);
    }
    ck_assert_msg(!status, "%s: %s", what, err.message);
}

START_TEST(pillows_bytes) {
    json_t *manifest = open_json("resized"), *spec;
    struct tt_safetensors *file = open_tensors("resized");
    struct tt_image picture = open_picture("picture"), mask = open_picture("mask");
    size_t i;
    json_array_foreach(json_object_get(manifest, "cases"), i, spec) {
        struct tt_image got;
        char name[24], *text = json_dumps(spec, JSON_COMPACT);
        snprintf(name, sizeof name, "%zu", i);
        const struct tt_view *want = tt_safetensors_find(file, name);
        ck_assert_ptr_nonnull(want);
        make_resized(spec, &picture, &mask, &got);
        ck_assert_msg(got.height == want->shape.dim[0] && got.width == want->shape.dim[1],
                      "%s: found %zu x %zu", text, got.width, got.height);
        ck_assert_msg(!memcmp(got.rgb, want->data, want->bytes), "%s: other bytes", text);
        tt_image_free(&got);
        free(text);
    }
    ck_assert_uint_ge(i, 60);
    tt_image_free(&picture);
    tt_image_free(&mask);
    tt_safetensors_close(file);
    json_decref(manifest);
}
END_TEST

// ---- the first call ----

static struct tt_scheduler *open_scheduler(const json_t *spec) {
    struct tt_scheduler *scheduler;
    struct tt_error err = {0};
    char spacing[48], *options[8] = {"beta_start=0.00085", "beta_end=0.012",
                                     "beta_schedule=scaled_linear"};
    size_t count = 3;
    const json_t *given = json_object_get(spec, "options");
    if (json_object_get(given, "timestep_spacing")) {
        snprintf(spacing, sizeof spacing, "timestep_spacing=%s",
                 text_of(given, "timestep_spacing"));
        options[count++] = spacing;
    }
    if (json_object_get(given, "skip_prk_steps")) options[count++] = "skip_prk_steps=true";
    ck_assert_msg(!tt_scheduler_open(&scheduler, text_of(spec, "scheduler"), NULL,
                                     (const char *const *)options, &err), "%s", err.message);
    return scheduler;
}

START_TEST(first_call) {
    json_t *manifest = open_json("strength"), *spec, *row;
    size_t i, j, rows = 0, refused = 0;
    json_array_foreach(json_object_get(manifest, "cases"), i, spec) {
        struct tt_scheduler *scheduler = open_scheduler(spec);
        bool whole = json_is_true(json_object_get(spec, "whole"));
        json_array_foreach(json_object_get(spec, "rows"), j, row) {
            const json_t *want = json_array_get(row, 2);
            size_t steps = side(row, 0), first = 0;
            double strength = json_number_value(json_array_get(row, 1));
            struct tt_error err = {0};
            enum tt_status status = tt_scheduler_set_strength(scheduler, steps, strength, whole,
                                                              &first, &err);
            char *text = json_dumps(row, JSON_COMPACT);
            rows++;
            if (json_is_null(want)) {
                ck_assert_msg(status == TT_BAD_INPUT && strstr(err.message, "strength"),
                              "%s %s: %s", text_of(spec, "scheduler"), text, err.message);
                refused++;
            } else {
                ck_assert_msg(!status, "%s %s: %s", text_of(spec, "scheduler"), text, err.message);
                size_t calls = tt_scheduler_calls(scheduler);
                float t = (float)json_number_value(json_array_get(want, 2));
                ck_assert_msg(first == side(want, 0) && calls - first == side(want, 1) &&
                              fabsf(tt_scheduler_timesteps(scheduler)[first] - t) <= 1e-6f * t,
                              "%s %s: found call %zu of %zu at %.9g", text_of(spec, "scheduler"),
                              text, first, calls, tt_scheduler_timesteps(scheduler)[first]);
            }
            free(text);
        }
        tt_scheduler_free(scheduler);
    }
    printf("%zu steps and strengths of %zu schedulers, %zu of them refused\n", rows, i, refused);
    ck_assert(rows >= 7000 && refused >= 100);
    json_decref(manifest);
}
END_TEST

// ---- whole runs ----

struct open_model {
    char name[64];
    struct tt_engine *engine;
    struct tt_session *session, *refiner;
};

static void close_model(struct open_model *open) {
    tt_session_free(open->session);
    tt_session_free(open->refiner);
    tt_engine_free(open->engine);
    *open = (struct open_model){0};
}

static struct tt_session *open_session(const struct tt_engine *engine, const char *model,
                                       const struct tt_model_settings *settings) {
    struct tt_model *made;
    struct tt_session *session;
    struct tt_error err = {0};
    char path[96];
    snprintf(path, sizeof path, "reference/tiny/%s", model);
    ck_assert_msg(!tt_model_open_with(path, engine, settings, &made, &err), "%s", err.message);
    ck_assert_msg(!tt_session_new(made, NULL, &session, &err), "%s", err.message);
    tt_model_close(made);
    return session;
}

// Models of neighbouring cases are the same.
static struct tt_session *session_for(struct open_model *open, const char *model, const char *vae,
                                      const char *unet, size_t threads) {
    char name[64], vae_path[96], unet_path[96];
    struct tt_engine_settings engine;
    struct tt_model_settings settings;
    struct tt_error err = {0};
    snprintf(name, sizeof name, "%s %s %s", model, vae, unet);
    if (!strcmp(name, open->name)) return open->session;
    close_model(open);
    strcpy(open->name, name);
    snprintf(vae_path, sizeof vae_path, "reference/tiny/%s", vae);
    snprintf(unet_path, sizeof unet_path, "reference/tiny/%s", unet);
    tt_engine_defaults(&engine, sizeof engine);
    engine.threads = threads;
    tt_model_defaults(&settings, sizeof settings);
    if (*vae) settings.vae = vae_path;
    if (*unet) settings.unet = unet_path;
    ck_assert_msg(!tt_engine_new(&engine, &open->engine, &err), "%s", err.message);
    open->session = open_session(open->engine, model, &settings);
    if (!strcmp(model, "xl")) open->refiner = open_session(open->engine, "xl-refiner", NULL);
    return open->session;
}

// Texts of the options, which the settings point to.
struct options {
    char eta[32], spacing[48];
    const char *list[5];
};

static struct tt_settings settings_of(const json_t *manifest, const json_t *spec,
                                      const struct tt_image *picture, const struct tt_image *mask,
                                      struct options *o) {
    struct tt_settings s;
    size_t count = 0;
    const char *kind = text_of(spec, "kind"), *how = text_of(spec, "resize");
    tt_settings_defaults(&s, sizeof s);
    *o = (struct options){0};
    if (number_of(spec, "eta", 0) > 0) {
        snprintf(o->eta, sizeof o->eta, "eta=%g", number_of(spec, "eta", 0));
        o->list[count++] = o->eta;
    }
    const json_t *given = json_object_get(spec, "options");
    if (json_object_get(given, "skip_prk_steps")) o->list[count++] = "skip_prk_steps=true";
    if (json_object_get(given, "clip_sample")) o->list[count++] = "clip_sample=false";
    if (json_object_get(given, "timestep_spacing")) {
        snprintf(o->spacing, sizeof o->spacing, "timestep_spacing=%s",
                 text_of(given, "timestep_spacing"));
        o->list[count++] = o->spacing;
    }
    s.prompt = text_of(manifest, "prompt");
    s.negative = text_of(manifest, "negative_prompt");
    s.scheduler = text_of(spec, "scheduler");
    s.scheduler_options = o->list;
    s.seed = (uint64_t)number_of(spec, "seed", 0);
    s.steps = (size_t)number_of(spec, "steps", 0);
    s.width = (size_t)number_of(spec, "width", 0);
    s.height = (size_t)number_of(spec, "height", 0);
    s.guidance_scale = number_of(spec, "guidance_scale", 0);
    s.image_guidance_scale = number_of(spec, "image_guidance_scale", -1);
    if (!strcmp(kind, "upscale")) {
        s.upscale = 2;
        s.upscale_strength = number_of(spec, "strength", 0);
        s.upscale_in = !strcmp(text_of(spec, "upscale_in"), "pixels") ? TT_UPSCALE_PIXELS
                                                                      : TT_UPSCALE_LATENTS;
        return s;
    }
    s.image = picture;
    s.strength = number_of(spec, "strength", -1);
    s.resize = !strcmp(how, "crop") ? TT_RESIZE_CROP
             : !strcmp(how, "fill") ? TT_RESIZE_FILL : TT_RESIZE_STRETCH;
    if (!strcmp(kind, "mask")) s.mask = mask;
    s.mask_blur = number_of(spec, "mask_blur", 0);
    s.inpaint_padding = (int)number_of(spec, "inpaint_padding", -1);
    return s;
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

// A decoder's value on the border between two bytes may fall to either side, and the filter that
// makes the region its own size again spreads that.
static void check_image(const char *text, const struct tt_image *got, const struct tt_view *want) {
    const uint8_t *bytes = want->data;
    int most = 0;
    ck_assert_uint_eq(got->height, want->shape.dim[0]);
    ck_assert_uint_eq(got->width, want->shape.dim[1]);
    for (size_t i = 0; i < want->bytes; i++)
        if (abs(got->rgb[i] - bytes[i]) > most) most = abs(got->rgb[i] - bytes[i]);
    ck_assert_msg(most <= 1, "%s: the picture differs by %d", text, most);
}

static const char *const recordings[] = {"runs", "xl"};

START_TEST(equals_diffusers) {
    json_t *manifest = open_json(recordings[_i]), *spec;
    struct tt_safetensors *file = open_tensors(recordings[_i]);
    struct tt_image picture = open_picture("picture"), mask = open_picture("mask");
    struct open_model open = {0};
    double worst = 0;
    size_t i;
    json_array_foreach(json_object_get(manifest, "cases"), i, spec) {
        struct options options;
        struct tt_outline of;
        struct tt_error err = {0};
        char name[32], *text = json_dumps(spec, JSON_COMPACT);
        struct tt_session *session =
            session_for(&open, text_of(spec, "model"), text_of(spec, "vae"),
                        text_of(spec, "unet"), 2);
        struct tt_settings s = settings_of(manifest, spec, &picture, &mask, &options);
        s.refine_from = number_of(spec, "refine_from", s.refine_from);
        if (json_object_get(spec, "refine_from")) s.refiner = open.refiner;
        snprintf(name, sizeof name, "%zu.latents", i);
        const struct tt_view *want = tt_safetensors_find(file, name);
        ck_assert_msg(!tt_settings_complete(tt_session_model(session), &s, &of, &err), "%s: %s",
                      text, err.message);
        ck_assert(want->shape.dim[1] == of.h && want->shape.dim[2] == of.w);
        size_t n = tt_shape_count(&want->shape);
        float *got = malloc(n * sizeof *got);
        ck_assert_msg(!tt_generate(session, &s, got, NULL, &err), "%s: %s", text, err.message);
        double off = relative_l2(got, want->data, n);
        if (getenv("PIPELINE_REPORT")) printf("%.2g %s\n", off, text);
        ck_assert_msg(off <= LIMIT, "%s: relative L2 %.3g, limit %g", text, off, LIMIT);
        worst = fmax(worst, off);
        snprintf(name, sizeof name, "%zu.image", i);
        if ((want = tt_safetensors_find(file, name))) {
            struct tt_image image;
            ck_assert_msg(!tt_develop(session, &s, got, &image, &err), "%s", err.message);
            check_image(text, &image, want);
            tt_image_free(&image);
        }
        free(got);
        free(text);
    }
    printf("%s: %zu, relative L2 at most %.2g\n", recordings[_i], i, worst);
    ck_assert_uint_ge(i, 100);
    close_model(&open);
    tt_image_free(&picture);
    tt_image_free(&mask);
    tt_safetensors_close(file);
    json_decref(manifest);
}
END_TEST

// ---- a second pass is a run of its own ----

START_TEST(second_pass_is_a_run) {
    struct open_model open = {0};
    struct tt_session *session = session_for(&open, "sd15", "", "", 1);
    struct tt_image small, larger;
    struct tt_settings s;
    struct tt_error err = {0};
    float whole[4 * 8 * 6], two[4 * 8 * 6];
    tt_settings_defaults(&s, sizeof s);
    s.prompt = "a boat";
    s.steps = 4;
    s.seed = 5;
    s.width = 24;
    s.height = 32;
    s.scheduler = "euler-ancestral";
    ck_assert(!tt_generate(session, &s, NULL, &small, &err));
    s.upscale = 2;
    s.upscale_in = TT_UPSCALE_PIXELS;
    ck_assert_msg(!tt_generate(session, &s, whole, NULL, &err), "%s", err.message);
    ck_assert(!tt_image_resize(&small, TT_RESIZE_STRETCH, 48, 64, &larger, &err));
    s.upscale = s.upscale_in = 0;
    s.image = &larger;
    s.width = s.height = 0;
    s.strength = 0.5;
    ck_assert_msg(!tt_generate(session, &s, two, NULL, &err), "%s", err.message);
    test_equal("second pass", whole, two, 4 * 8 * 6);
    tt_image_free(&small);
    tt_image_free(&larger);
    close_model(&open);
}
END_TEST

// ---- what the mask leaves ----

// Where a blurred mask is black, or a mask with padding, the picture is as it was.
START_TEST(kept_outside) {
    bool blurred = _i;
    struct open_model open = {0};
    struct tt_session *session = session_for(&open, "sd15", "", "", 1);
    struct tt_image picture = open_picture("picture"), mask = open_picture("mask"), got;
    struct tt_settings s;
    struct tt_error err = {0};
    size_t kept = 0, changed = 0;
    tt_settings_defaults(&s, sizeof s);
    s.prompt = "a boat";
    s.steps = 2;
    s.image = &picture;
    s.mask = &mask;
    s.mask_blur = blurred ? 2 : 0;
    s.inpaint_padding = blurred ? -1 : 3;
    ck_assert_msg(!tt_generate(session, &s, NULL, &got, &err), "%s", err.message);
    struct tt_image was, shown;
    ck_assert(!tt_blur(&mask, s.mask_blur, &err));
    ck_assert(!tt_image_resize(&picture, TT_RESIZE_STRETCH, got.width, got.height, &was, &err));
    ck_assert(!tt_image_resize(&mask, TT_RESIZE_STRETCH, got.width, got.height, &shown, &err));
    ck_assert_uint_eq(got.width, blurred ? 48 : 50);
    for (size_t i = 0; i < 3 * got.width * got.height; i++) {
        if (!shown.rgb[i]) ck_assert_uint_eq(got.rgb[i], was.rgb[i]);
        kept += !shown.rgb[i];
        changed += got.rgb[i] != was.rgb[i];
    }
    ck_assert(kept > 900 && changed > 300);
    tt_image_free(&picture);
    tt_image_free(&mask);
    tt_image_free(&got);
    tt_image_free(&was);
    tt_image_free(&shown);
    close_model(&open);
}
END_TEST

// ---- the same bits ----

START_TEST(same_bits_everywhere) {
    static const char *const models[] = {"sd15", "inpaint", "instruct"};
    const char *model = models[_i];
    struct tt_image picture = open_picture("picture"), mask = open_picture("mask");
    enum { MOST = 4 * 18 * 25 };
    float want[MOST], got[MOST];
    struct tt_error err = {0};
    size_t n = 0;
    for (int run = 0; run < 4; run++) { // scalar and not, one thread and three
        struct tt_engine_settings engine;
        struct tt_engine *made;
        struct tt_settings s;
        struct tt_outline of;
        tt_engine_defaults(&engine, sizeof engine);
        engine.cpu = run % 2 ? "scalar" : NULL;
        engine.threads = run < 2 ? 1 : 3;
        ck_assert_msg(!tt_engine_new(&engine, &made, &err), "%s", err.message);
        struct tt_session *session = open_session(made, model, NULL);
        tt_settings_defaults(&s, sizeof s);
        s.prompt = "a boat";
        s.steps = 2;
        s.scheduler = "euler-ancestral";
        s.image = &picture;
        if (_i < 2) s.mask = &mask;
        if (_i < 2) s.strength = 0.5;
        ck_assert(!tt_settings_complete(tt_session_model(session), &s, &of, &err));
        n = 4 * of.h * of.w;
        ck_assert_uint_le(n, MOST);
        ck_assert_msg(!tt_generate(session, &s, run ? got : want, NULL, &err), "%s", err.message);
        if (run) test_equal(model, got, want, n);
        tt_session_free(session);
        tt_engine_free(made);
    }
    tt_image_free(&picture);
    tt_image_free(&mask);
}
END_TEST

// ---- what does not fit ----

static const struct wrong {
    const char *model, *message;
    bool image, mask, small_mask;
    struct tt_settings s; // what differs from the defaults; 0: does not
} wrongs[] = {
    {"sd15", "strength: found 0, expected more than 0, up to 1", true, false, false,
     {.strength = 1e-320}},
    {"sd15", "strength: found 1.5, expected more than 0, up to 1", true, false, false,
     {.strength = 1.5}},
    {"sd15", "strength, steps: found 0.1 of 4 steps, which leaves none, expected a strength of at "
     "least 0.25, or 10 steps", true, false, false, {.strength = 0.1}},
    {"sd15", "strength: found it without a picture, expected an image to begin with", false, false,
     false, {.strength = 0.5}},
    {"sd15", "mask: found it without a picture, expected an image to begin with", false, true,
     false, {0}},
    {"sd15", "mask: found 4 x 3 pixels, expected 50 x 37, the picture's", true, true, true, {0}},
    {"sd15", "mask_blur: found it without a mask, expected a mask", true, false, false,
     {.mask_blur = 2}},
    {"sd15", "inpaint_padding: found it without a mask, expected a mask", true, false, false,
     {.inpaint_padding = 2}},
    {"sd15", "resize: found it with inpaint_padding, expected one of the two", true, true, false,
     {.inpaint_padding = 2, .resize = TT_RESIZE_CROP}},
    {"sd15", "image_guidance_scale: found 1.5, expected none: the U-Net of reference/tiny/sd15 "
     "takes 4 channels, that of an instruct-pix2pix 8", true, false, false,
     {.image_guidance_scale = 1.5}},
    {"sd15", "upscale: found 1, expected more than 1, up to 16", false, false, false,
     {.upscale = 1}},
    {"sd15", "upscale: found it with a mask, expected one of the two", true, true, false,
     {.upscale = 2}},
    {"sd15", "upscale_strength: found it without upscale, expected upscale", false, false, false,
     {.upscale_strength = 0.5}},
    {"sd15", "upscale_strength: strength, steps: found 0.1 of 4 steps", false, false, false,
     {.upscale = 2, .upscale_strength = 0.1}},
    {"ddpm", "image: found one, expected none: reference/tiny/ddpm is unconditional", true, false,
     false, {0}},
    {"inpaint", "mask: found none, expected one: the U-Net of reference/tiny/inpaint takes 9 "
     "channels, for inpainting", true, false, false, {0}},
    {"inpaint", "image: found none, expected a picture and a mask: the U-Net", false, false, false,
     {0}},
    {"instruct", "image: found none, expected a picture: the U-Net of reference/tiny/instruct "
     "takes 8 channels", false, false, false, {0}},
    {"instruct", "mask: found one, expected none", true, true, false, {0}},
    {"instruct", "strength: found 0.5, expected none: reference/tiny/instruct begins with noise",
     true, false, false, {.strength = 0.5}},
    {"lcm", "steps, strength: found 4, 0.05, expected at most 2 steps", true, false, false,
     {.strength = 0.05}},
};

START_TEST(wrong_mixes) {
    const struct wrong *w = &wrongs[_i];
    struct open_model open = {0};
    struct tt_session *session = session_for(&open, w->model, "", "", 1);
    struct tt_image picture = open_picture("picture"), mask = open_picture("mask"), little = {0};
    struct tt_error err = {0};
    struct tt_settings s;
    struct tt_outline of;
    ck_assert(!tt_image_resize(&mask, TT_RESIZE_STRETCH, 4, 3, &little, &err));
    tt_settings_defaults(&s, sizeof s);
    s.steps = 4;
    if (strcmp(w->model, "ddpm")) s.prompt = "a boat";
    if (w->s.strength != 0) s.strength = w->s.strength < 1e-300 ? 0 : w->s.strength;
    if (w->s.mask_blur != 0) s.mask_blur = w->s.mask_blur;
    if (w->s.inpaint_padding) s.inpaint_padding = w->s.inpaint_padding;
    if (w->s.resize) s.resize = w->s.resize;
    if (w->s.image_guidance_scale != 0) s.image_guidance_scale = w->s.image_guidance_scale;
    if (w->s.upscale != 0) s.upscale = w->s.upscale;
    if (w->s.upscale_strength != 0) s.upscale_strength = w->s.upscale_strength;
    if (w->image) s.image = &picture;
    if (w->mask) s.mask = w->small_mask ? &little : &mask;
    ck_assert_int_eq(tt_settings_complete(tt_session_model(session), &s, &of, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, w->message) == err.message, "found '%s', expected '%s'",
                  err.message, w->message);
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_generate(session, &s, NULL, NULL, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, w->message) == err.message, "found '%s', expected '%s'",
                  err.message, w->message);
    tt_image_free(&picture);
    tt_image_free(&mask);
    tt_image_free(&little);
    close_model(&open);
}
END_TEST

static Suite *from_picture_suite(void) {
    Suite *suite = suite_create("from picture");
    TCase *tcase = tcase_create("from picture");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, pillows_bytes);
    tcase_add_test(tcase, first_call);
    tcase_add_loop_test(tcase, equals_diffusers, 0, 2);
    tcase_add_test(tcase, second_pass_is_a_run);
    tcase_add_loop_test(tcase, kept_outside, 0, 2);
    tcase_add_loop_test(tcase, same_bits_everywhere, 0, 3);
    tcase_add_loop_test(tcase, wrong_mixes, 0, sizeof wrongs / sizeof *wrongs);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(from_picture_suite(), NULL);
}
