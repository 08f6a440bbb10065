// SPDX-License-Identifier: MIT
// The public interface by itself, as a program that embeds the library sees it: every stage alone
// adds up to the whole, settings and errors, cancelling, several models and threads.
#include "util.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tintype.h"

#define UNET tt_part_find("unet")
#define VAE_DECODE tt_part_find("vae-decode")

static const char tiny[] = "reference/tiny/sd15";
enum { WIDTH = 48, HEIGHT = 32 };

struct place {
    struct tt_engine *engine;
    struct tt_model *model;
    struct tt_session *session;
    struct tt_error err;
};

static void open_place(struct place *p, const char *path, const struct tt_engine_settings *with) {
    *p = (struct place){0};
    ck_assert_msg(!tt_engine_new(with, &p->engine, &p->err), "%s", p->err.message);
    ck_assert_msg(!tt_model_open(path, p->engine, &p->model, &p->err), "%s", p->err.message);
    ck_assert_msg(!tt_session_new(p->model, NULL, &p->session, &p->err), "%s", p->err.message);
}

static void close_place(struct place *p) {
    tt_session_free(p->session);
    tt_model_close(p->model);
    tt_engine_free(p->engine);
}

static struct tt_settings settings_of(const char *scheduler) {
    struct tt_settings s;
    tt_settings_defaults(&s, sizeof s);
    s.prompt = "a lighthouse";
    s.negative = "fog";
    s.steps = 3;
    s.seed = 5;
    s.width = WIDTH;
    s.height = HEIGHT;
    s.scheduler = scheduler;
    return s;
}

static size_t latents_of(const struct tt_model *model) {
    const struct tt_model_info *info = tt_model_info(model);
    return info->latent_channels * (WIDTH / info->factor) * (HEIGHT / info->factor);
}

// A prompt's ids and embeddings, one text a call.
static void embed(struct place *p, const char *text, float *out) {
    size_t tokens = tt_model_info(p->model)->tokens;
    int32_t *ids = malloc(tokens * sizeof *ids);
    ck_assert_int_eq(tt_tokenizer_encode(tt_model_tokenizer(p->model), text, ids, tokens, NULL,
                                         &p->err), TT_OK);
    ck_assert_int_eq(tt_session_text(p->session, ids, 1, tokens, out, &p->err), TT_OK);
    free(ids);
}

// The loop of pipeline.c out of the stages alone, without guidance.
static void by_hand(struct place *p, const struct tt_settings *s, float *latents) {
    const struct tt_model_info *info = tt_model_info(p->model);
    size_t n = latents_of(p->model);
    float *context = malloc(info->tokens * info->text_width * sizeof *context);
    float *input = malloc(2 * n * sizeof *input), *predicted = input + n;
    struct tt_rng rng, *rngs[] = {&rng};
    struct tt_scheduler *scheduler;
    struct tt_size size = {1, HEIGHT / info->factor, WIDTH / info->factor, info->tokens};
    embed(p, s->prompt, context);
    ck_assert_int_eq(tt_scheduler_open(&scheduler, s->scheduler, p->model, s->scheduler_options,
                                       &p->err), TT_OK);
    ck_assert_int_eq(tt_scheduler_set_timesteps(scheduler, s->steps, &p->err), TT_OK);
    ck_assert_int_eq(tt_scheduler_start(scheduler, 1, n, &p->err), TT_OK);
    tt_rng_seed(&rng, s->seed);
    tt_rng_normal(&rng, latents, n);
    for (size_t i = 0; i < n; i++) latents[i] *= tt_scheduler_init_noise_sigma(scheduler);
    for (size_t i = 0; i < tt_scheduler_calls(scheduler); i++) {
        float t = tt_scheduler_timesteps(scheduler)[i];
        tt_scheduler_scale_input(scheduler, i, latents, input);
        ck_assert_int_eq(tt_session_unet(p->session, size, input, &t, context, predicted,
                                         &p->err), TT_OK);
        ck_assert_int_eq(tt_scheduler_step(scheduler, i, predicted, latents, rngs, 1, latents,
                                           &p->err), TT_OK);
    }
    tt_scheduler_free(scheduler);
    free(context);
    free(input);
}

START_TEST(stages_add_up) {
    static const char *const schedulers[] = {NULL, "ddim", "euler-ancestral", "dpm++-2m"};
    static const char *const karras[] = {"use_karras_sigmas=true", NULL};
    struct place p;
    open_place(&p, tiny, NULL);
    size_t n = latents_of(p.model);
    float *whole = malloc(2 * n * sizeof *whole), *mine = whole + n;
    for (size_t i = 0; i < 4; i++) {
        struct tt_settings s = settings_of(schedulers[i]);
        struct tt_image image = {0};
        uint8_t rgb[3 * WIDTH * HEIGHT];
        s.guidance_scale = 1;
        if (i == 3) s.scheduler_options = karras;
        ck_assert_msg(!tt_generate(p.session, &s, whole, &image, &p.err), "%s", p.err.message);
        by_hand(&p, &s, mine);
        test_equal("latents", mine, whole, n);
        size_t factor = tt_model_info(p.model)->factor;
        ck_assert_int_eq(tt_latents_to_pixels(p.session, mine, HEIGHT / factor, WIDTH / factor, rgb,
                                              &p.err), TT_OK);
        ck_assert_uint_eq(image.width, WIDTH);
        ck_assert_uint_eq(image.height, HEIGHT);
        ck_assert_int_eq(memcmp(rgb, image.rgb, sizeof rgb), 0);
        tt_image_free(&image);
    }
    free(whole);
    close_place(&p);
}
END_TEST

// ---- callbacks ----

struct watch {
    struct place *place;
    size_t calls, stop_at;
    bool decode;
};

static int on_step(void *context, const struct tt_progress *seen) {
    struct watch *w = context;
    uint8_t rgb[3 * WIDTH * HEIGHT];
    ck_assert_uint_eq(seen->step, w->calls % seen->steps + 1);
    ck_assert_uint_eq(seen->picture, w->calls / seen->steps);
    ck_assert(seen->timestep == tt_scheduler_timesteps(seen->scheduler)[seen->step - 1]);
    ck_assert_uint_eq(tt_shape_count(&seen->shape), latents_of(w->place->model));
    w->calls++;
    if (w->decode)
        ck_assert_int_eq(tt_latents_to_pixels(w->place->session, seen->latents, seen->shape.dim[2],
                                              seen->shape.dim[3], rgb, &w->place->err), TT_OK);
    return w->calls == w->stop_at;
}

// A decoding inside the callback alters nothing; a non-zero answer stops the run.
START_TEST(progress_sees_and_stops) {
    struct place p;
    open_place(&p, tiny, NULL);
    struct watch w = {.place = &p};
    struct tt_settings s = settings_of("euler");
    size_t n = latents_of(p.model);
    float *plain = malloc(4 * n * sizeof *plain), *seen = plain + 2 * n;
    struct tt_image images[2] = {{0}};
    s.count = 2;
    ck_assert_int_eq(tt_generate(p.session, &s, plain, NULL, &p.err), TT_OK);
    s.progress = on_step;
    s.context = &w;
    w.decode = true;
    ck_assert_int_eq(tt_generate(p.session, &s, seen, images, &p.err), TT_OK);
    ck_assert_uint_eq(w.calls, 6);
    test_equal("latents", seen, plain, 2 * n);
    for (int i = 0; i < 2; i++) tt_image_free(&images[i]);
    w = (struct watch){.place = &p, .stop_at = 4};
    ck_assert_int_eq(tt_generate(p.session, &s, NULL, images, &p.err), TT_CANCELLED);
    ck_assert_uint_eq(w.calls, 4);
    ck_assert_str_eq(p.err.message, "cancelled after step 1 of 3");
    ck_assert_ptr_null(images[0].rgb);
    free(plain);
    close_place(&p);
}
END_TEST

static int count_down(void *context) {
    int *left = context;
    return (*left)-- <= 0;
}

// The engine asks before every node and every weight: wherever it is told to stop, the call stops,
// and the model works afterwards.
START_TEST(engine_stops) {
    int left = 1 << 30;
    struct tt_engine_settings with;
    tt_engine_defaults(&with, sizeof with);
    with.cancelled = count_down;
    with.context = &left;
    struct place p;
    open_place(&p, tiny, &with);
    struct tt_settings s = settings_of("ddim");
    s.steps = 1;
    struct tt_image image = {0};
    for (int after = 0; after < 400; after = 2 * after + 1) {
        left = after;
        p.err = (struct tt_error){0};
        ck_assert_int_eq(tt_generate(p.session, &s, NULL, &image, &p.err), TT_CANCELLED);
        ck_assert_int_eq(left, -1);
        ck_assert_ptr_null(image.rgb);
    }
    left = 1 << 30;
    p.err = (struct tt_error){0};
    ck_assert_int_eq(tt_generate(p.session, &s, NULL, &image, &p.err), TT_OK);
    tt_image_free(&image);
    close_place(&p);
}
END_TEST

static int count_nodes(void *context, const struct tt_step *step) {
    ck_assert_ptr_nonnull(tt_step_name(step));
    ++*(size_t *)context;
    return 0;
}

START_TEST(observers_and_profile) {
    struct place p;
    open_place(&p, tiny, NULL);
    const struct tt_model_info *info = tt_model_info(p.model);
    struct tt_size size = {1, HEIGHT / info->factor, WIDTH / info->factor, 0};
    size_t n = latents_of(p.model), nodes = 0, listed = 0;
    float *latents = calloc(n, sizeof *latents), *image = malloc(3 * WIDTH * HEIGHT * 4);
    struct tt_profile *profile;
    ck_assert_int_eq(tt_profile_new(p.session, VAE_DECODE, &profile, NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_session_prepare(p.session, VAE_DECODE, size, &p.err), TT_OK);
    ck_assert_int_eq(tt_profile_new(p.session, VAE_DECODE, &profile, &p.err), TT_OK);
    struct tt_observer both[] = {{&nodes, count_nodes, NULL}, tt_profile_observer(profile)};
    tt_session_observe(p.session, both, 2);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(tt_session_decode(p.session, size, latents, image, &p.err), TT_OK);
    const struct tt_profile_node *node;
    for (; (node = tt_profile_at(profile, listed)); listed++) ck_assert_uint_eq(node->runs, 2);
    ck_assert_uint_eq(nodes, 2 * listed);
    ck_assert_uint_gt(tt_session_activations(p.session, VAE_DECODE), 0);
    tt_profile_free(profile);
    free(latents);
    free(image);
    close_place(&p);
}
END_TEST

// ---- settings and errors ----

static void refuse(struct place *p, const struct tt_settings *s, const char *message) {
    p->err = (struct tt_error){0};
    ck_assert_int_eq(tt_generate(p->session, s, NULL, NULL, &p->err), TT_BAD_INPUT);
    ck_assert_msg(strstr(p->err.message, message) != NULL, "%s", p->err.message);
    ck_assert_int_eq(tt_generate(p->session, s, NULL, NULL, NULL), TT_BAD_INPUT); // without an err
}

START_TEST(errors) {
    static const char *const bad_option[] = {"no_such_key=1", NULL};
    struct place p;
    open_place(&p, tiny, NULL);
    struct tt_settings good = settings_of("euler"), s = good;
    s.prompt = NULL, refuse(&p, &s, "prompt: found none"), s = good;
    s.prompt = "\xff", refuse(&p, &s, "UTF-8"), s = good;
    s.count = 0, refuse(&p, &s, "count: found 0"), s = good;
    s.steps = 0, refuse(&p, &s, "steps: found 0"), s = good;
    s.guidance_scale = 1e300, refuse(&p, &s, "guidance_scale: found 1e+300"), s = good;
    s.width = 33, refuse(&p, &s, "expected multiples of"), s = good;
    s.width = 1u << 24, refuse(&p, &s, "expected sides of at most"), s = good;
    s.scheduler = "nothing", refuse(&p, &s, "found 'nothing'"), s = good;
    s.scheduler_options = bad_option, refuse(&p, &s, "no_such_key"), s = good;
    s.size = 0, refuse(&p, &s, "found size 0"), s = good;
    struct tt_model *model;
    ck_assert_int_eq(tt_model_open("nowhere", p.engine, &model, NULL), TT_BAD_INPUT);
    struct tt_scheduler *scheduler;
    ck_assert_int_eq(tt_scheduler_open(&scheduler, NULL, NULL, NULL, NULL), TT_BAD_INPUT);
    struct tt_engine_settings e;
    struct tt_engine *engine;
    tt_engine_defaults(&e, sizeof e);
    e.cpu = "mmx";
    ck_assert_int_eq(tt_engine_new(&e, &engine, NULL), TT_BAD_INPUT);
    float x = 0;
    struct tt_size none = {0};
    for (int part = 0; part < (int)tt_part_count(); part++)
        ck_assert_int_eq(tt_session_prepare(p.session, part, none, NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_session_decode(p.session, (struct tt_size){1, 40000, 40000, 0}, &x,
                                       &x, NULL), TT_BAD_INPUT);
    close_place(&p);
}
END_TEST

// A program that was built when struct tt_settings ended earlier, and one that knows more.
START_TEST(settings_grow) {
    struct {
        struct tt_settings known;
        char later[16];
    } larger;
    struct place p;
    open_place(&p, tiny, NULL);
    tt_settings_defaults(&larger.known, sizeof larger);
    ck_assert_uint_eq(larger.known.size, sizeof larger);
    struct tt_settings s = settings_of("euler");
    larger.known = s;
    larger.known.size = sizeof larger;
    ck_assert_int_eq(tt_generate(p.session, &larger.known, NULL, NULL, &p.err), TT_OK);
    larger.later[3] = 1;
    refuse(&p, &larger.known, "a later version");
    s.size = offsetof(struct tt_settings, width); // then the model's own size
    s.width = s.height = 33;
    ck_assert_int_eq(tt_generate(p.session, &s, NULL, NULL, &p.err), TT_OK);
    close_place(&p);
}
END_TEST

// ---- several at once ----

struct job {
    const char *path;
    float *latents;
    size_t n;
    enum tt_status status;
};

static void *run_job(void *context) {
    struct job *job = context;
    struct tt_engine_settings with;
    struct tt_engine *engine = NULL;
    struct tt_model *model = NULL;
    struct tt_session *session = NULL;
    struct tt_settings s = settings_of("dpm++-2m");
    tt_engine_defaults(&with, sizeof with);
    with.threads = 1;
    job->status = tt_engine_new(&with, &engine, NULL);
    if (!job->status) job->status = tt_model_open(job->path, engine, &model, NULL);
    if (!job->status) job->status = tt_session_new(model, NULL, &session, NULL);
    if (!job->status) {
        job->n = latents_of(model);
        job->latents = malloc(job->n * sizeof *job->latents);
        job->status = tt_generate(session, &s, job->latents, NULL, NULL);
    }
    tt_session_free(session);
    tt_model_close(model);
    tt_engine_free(engine);
    return NULL;
}

START_TEST(two_threads_two_models) {
    struct job alone[2] = {{.path = tiny}, {.path = "reference/tiny/sd21"}};
    struct job at_once[2] = {{.path = tiny}, {.path = "reference/tiny/sd21"}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) run_job(&alone[i]);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_job, &at_once[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(alone[i].status, TT_OK);
        ck_assert_int_eq(at_once[i].status, TT_OK);
        test_equal(tiny, at_once[i].latents, alone[i].latents, alone[i].n);
        free(alone[i].latents);
        free(at_once[i].latents);
    }
}
END_TEST

// ---- two models on one engine ----

struct inner {
    struct place *place; // the other model, on the same engine
    float *latents;      // what it draws
    size_t times;
};

// Between two steps of one model the other draws a whole picture.
static int draw_inside(void *context, const struct tt_progress *seen) {
    struct inner *inner = context;
    struct tt_settings s = settings_of("euler");
    (void)seen;
    inner->times++;
    return tt_generate(inner->place->session, &s, inner->latents, NULL, &inner->place->err);
}

START_TEST(two_models_by_turns) {
    struct tt_engine_settings with;
    tt_engine_defaults(&with, sizeof with);
    with.threads = 2;
    struct place one, other;
    open_place(&one, tiny, &with);
    other = (struct place){.engine = one.engine};
    ck_assert_int_eq(tt_model_open("reference/tiny/lcm", one.engine, &other.model, &other.err), 0);
    ck_assert_int_eq(tt_session_new(other.model, NULL, &other.session, &other.err), TT_OK);
    size_t n = latents_of(one.model), m = latents_of(other.model);
    float *latents = calloc(2 * (n + m), sizeof *latents), *alone = latents + n + m;
    struct tt_settings s = settings_of("dpm++-2m"), t = settings_of("euler");
    ck_assert_int_eq(tt_generate(one.session, &s, alone, NULL, &one.err), TT_OK);
    ck_assert_int_eq(tt_generate(other.session, &t, alone + n, NULL, &other.err), TT_OK);
    struct inner inner = {&other, latents + n, 0};
    s.progress = draw_inside;
    s.context = &inner;
    ck_assert_int_eq(tt_generate(one.session, &s, latents, NULL, &one.err), TT_OK);
    ck_assert_uint_eq(inner.times, s.steps);
    test_equal("both models by turns", latents, alone, n + m);
    free(latents);
    tt_session_free(other.session);
    tt_model_close(other.model);
    close_place(&one);
}
END_TEST

// A call prepared for training gives the plain call's bits, and the backward pass gradients, which
// test_gradients.c compares; here the last bias's, which are sums of what was given.
START_TEST(backward) {
    struct place p;
    open_place(&p, tiny, NULL);
    const struct tt_model_info *info = tt_model_info(p.model);
    size_t h = HEIGHT / info->factor, w = WIDTH / info->factor, n = latents_of(p.model);
    struct tt_size size = {1, h, w, 4};
    float *in = malloc(4 * n * sizeof *in), *plain = in + n, *out = plain + n, *dout = out + n;
    float *context = malloc(size.tokens * info->text_width * sizeof *context), t = 7;
    uint64_t state = 3;
    for (size_t i = 0; i < n; i++) in[i] = test_random_f32(&state);
    for (size_t i = 0; i < n; i++) dout[i] = test_random_f32(&state);
    for (size_t i = 0; i < size.tokens * info->text_width; i++)
        context[i] = test_random_f32(&state);
    ck_assert_int_eq(tt_session_backward(p.session, UNET, dout, NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_session_unet(p.session, size, in, &t, context, plain, &p.err), TT_OK);
    ck_assert_int_eq(tt_session_backward(p.session, UNET, dout, NULL), TT_BAD_INPUT);
    ck_assert(!tt_session_gradient(p.session, UNET, "conv_out.bias", NULL));
    ck_assert_int_eq(tt_session_prepare_training(p.session, UNET, size, &p.err), TT_OK);
    ck_assert_int_eq(tt_session_backward(p.session, UNET, dout, NULL), TT_BAD_INPUT);
    for (int round = 0; round < 2; round++) { // gradients do not add up
        ck_assert_int_eq(tt_session_unet(p.session, size, in, &t, context, out, &p.err), TT_OK);
        ck_assert(!memcmp(out, plain, n * sizeof *out));
        ck_assert_int_eq(tt_session_backward(p.session, UNET, dout, &p.err), TT_OK);
        ck_assert_int_eq(tt_session_backward(p.session, UNET, dout, NULL), TT_BAD_INPUT);
    }
    struct tt_shape shape;
    const float *bias = tt_session_gradient(p.session, UNET, "conv_out.bias", &shape);
    ck_assert(bias && shape.rank == 1 && shape.dim[0] == info->latent_channels);
    for (size_t c = 0; c < shape.dim[0]; c++) {
        double sum = 0;
        for (size_t i = 0; i < h * w; i++) sum += (double)dout[c * h * w + i];
        ck_assert_float_eq(bias[c], (float)sum);
    }
    const float *weight = tt_session_gradient(p.session, UNET, "conv_in.weight", &shape);
    ck_assert(weight && shape.rank == 4 && shape.dim[1] == info->latent_channels);
    ck_assert(!tt_session_gradient(p.session, UNET, "conv_in.nothing", NULL));
    ck_assert(!tt_session_gradient(p.session, tt_part_find("text"), "conv_in.weight", NULL));
    free(in);
    free(context);
    close_place(&p);
}
END_TEST

// A model without a text, in pixel space: its stages, and those it has not.
START_TEST(unconditional) {
    enum { N = 3 * 8 * 12 };
    struct place p;
    struct tt_settings s;
    float hand[N], whole[N], predicted[N], hidden[1];
    int32_t ids[1] = {0};
    open_place(&p, "reference/tiny/ddpm", NULL);
    const struct tt_model_info *info = tt_model_info(p.model);
    ck_assert(info->unconditional && info->factor == 1 && info->latent_channels == 3);
    ck_assert(!info->tokens && !info->text_width && !tt_model_tokenizer(p.model));
    tt_settings_defaults(&s, sizeof s);
    s.steps = 3;
    s.seed = 5;
    s.width = 12;
    s.height = 8;
    ck_assert_int_eq(tt_generate(p.session, &s, whole, NULL, &p.err), TT_OK);

    struct tt_scheduler *scheduler;
    struct tt_rng rng, *rngs[] = {&rng};
    tt_rng_seed(&rng, s.seed);
    ck_assert_int_eq(tt_scheduler_open(&scheduler, NULL, p.model, NULL, &p.err), TT_OK);
    ck_assert_int_eq(tt_scheduler_set_timesteps(scheduler, s.steps, &p.err), TT_OK);
    ck_assert_int_eq(tt_scheduler_start(scheduler, 1, N, &p.err), TT_OK);
    tt_rng_normal(&rng, hand, N);
    for (size_t i = 0; i < tt_scheduler_calls(scheduler); i++) {
        struct tt_size size = {.n = 1, .height = 8, .width = 12};
        const float *timestep = tt_scheduler_timesteps(scheduler) + i;
        ck_assert_int_eq(tt_session_unet(p.session, size, hand, timestep, NULL, predicted, &p.err),
                         TT_OK);
        ck_assert_int_eq(tt_scheduler_step(scheduler, i, predicted, hand, rngs, 1, hand, &p.err),
                         TT_OK);
    }
    test_equal("by hand", hand, whole, N);
    tt_scheduler_free(scheduler);

    uint8_t rgb[N];
    float back[N];
    ck_assert_int_eq(tt_latents_to_pixels(p.session, whole, 8, 12, rgb, &p.err), TT_OK);
    ck_assert_int_eq(tt_pixels_to_latents(p.session, rgb, 8, 12, NULL, back, &p.err), TT_OK);
    for (int i = 0; i < N; i++) {
        float x = whole[i] < -1 ? -1 : whole[i] > 1 ? 1 : whole[i];
        ck_assert_float_eq_tol(back[i], x, 1.01f / 255.0f);
    }
    ck_assert_int_eq(tt_session_text(p.session, ids, 1, 1, hidden, &p.err), TT_BAD_INPUT);
    ck_assert_ptr_nonnull(strstr(p.err.message, "text: found no such part"));
    p.err = (struct tt_error){0};
    s.prompt = "a tree";
    ck_assert_int_eq(tt_generate(p.session, &s, whole, NULL, &p.err), TT_BAD_INPUT);
    ck_assert_ptr_nonnull(strstr(p.err.message, "prompt: found 'a tree', expected none"));
    close_place(&p);
}
END_TEST

// ---- every node a step ----

struct nodes {
    size_t steps, folded, inputs;
    bool conv1, resnet, text; // seen: a module, one that ends with a sum, what is none
};

static int see_inputs(void *context, const struct tt_step *step) {
    struct nodes *nodes = context;
    struct tt_shape shape = {0};
    const float *x = tt_step_input(step, 0, &shape);
    if (x) nodes->inputs++;
    if (!strcmp(tt_step_name(step), "up_blocks.0.cat")) {
        struct tt_shape skip;
        ck_assert(x && tt_step_input(step, 1, &skip) && !tt_step_input(step, 2, &skip));
        ck_assert(shape.rank == 4 && skip.dim[2] == shape.dim[2] && skip.dim[3] == shape.dim[3]);
    }
    return 0;
}

static void see_modules(void *context, const struct tt_step *step) {
    struct nodes *nodes = context;
    const char *name;
    char text[96];
    nodes->steps++;
    nodes->folded += strchr(tt_step_text(step, text, sizeof text), '+') != NULL;
    for (size_t i = 0; (name = tt_step_module(step, i)); i++) {
        if (!strcmp(name, "down_blocks.0.resnets.0.conv1"))
            nodes->conv1 = !strcmp(tt_step_name(step), name);
        if (!strcmp(name, "down_blocks.0.resnets.0"))
            nodes->resnet = !strcmp(tt_step_name(step), "down_blocks.0.resnets.0.residual");
        nodes->text |= strstr(name, "residual") || strstr(name, "cat");
    }
}

// An engine that folds nothing shows more steps and gives the same bits.
START_TEST(every_node) {
    struct tt_size size = {1, 4, 6, 5};
    struct nodes seen[2] = {{0}};
    float *out[2];
    for (int every = 0; every < 2; every++) {
        struct place p;
        struct tt_engine_settings with;
        tt_engine_defaults(&with, sizeof with);
        with.every_node = every;
        open_place(&p, tiny, &with);
        const struct tt_model_info *info = tt_model_info(p.model);
        size_t n = info->latent_channels * size.height * size.width;
        float *in = malloc(n * sizeof *in), t = 7;
        float *context = malloc(size.tokens * info->text_width * sizeof *context);
        uint64_t state = 3;
        for (size_t i = 0; i < n; i++) in[i] = test_random_f32(&state);
        for (size_t i = 0; i < size.tokens * info->text_width; i++)
            context[i] = test_random_f32(&state);
        out[every] = malloc(n * sizeof *in);
        struct tt_observer observer = {&seen[every], see_inputs, see_modules};
        tt_session_observe(p.session, &observer, 1);
        ck_assert_int_eq(tt_session_unet(p.session, size, in, &t, context, out[every], &p.err),
                         TT_OK);
        if (every) test_equal("every node", out[1], out[0], n);
        free(in);
        free(context);
        close_place(&p);
    }
    ck_assert(seen[0].folded && !seen[1].folded && seen[1].steps > seen[0].steps);
    ck_assert_uint_eq(seen[1].inputs, seen[1].steps);
    ck_assert(seen[1].conv1 && seen[1].resnet && !seen[1].text && !seen[0].text);
    ck_assert(!seen[0].conv1); // it ends with the time's sum
    free(out[0]);
    free(out[1]);
}
END_TEST

static struct tt_view view_of(const char *name, struct tt_shape shape, const float *data) {
    return (struct tt_view){name, TT_F32, shape, data, tt_shape_count(&shape) * sizeof *data};
}

static void run_conditioned(struct place *p, struct tt_size size, const float *in, const float *t,
                            const float *context, const float *conditions, float *out) {
    const struct tt_model_info *info = tt_model_info(p->model);
    struct tt_shape sample = {4, {size.n, info->latent_channels, size.height, size.width}};
    const struct tt_view inputs[] = {
        view_of("timestep_cond", (struct tt_shape){2, {size.n, info->guidance_width}}, conditions),
        view_of("sample", sample, in), view_of("timestep", (struct tt_shape){1, {size.n}}, t),
        view_of("encoder_hidden_states",
                (struct tt_shape){3, {size.n, size.tokens, info->text_width}}, context),
    };
    const struct tt_room room = {"out", TT_F32, sample, out, inputs[1].bytes};
    ck_assert_msg(!tt_part_run(p->session, UNET, inputs, 4, &room, 1, &p->err), "%s",
                  p->err.message);
}

// A guidance embedding for each row: rows are independent, and zeros are no guidance.
START_TEST(conditioned) {
    enum { N = 2, H = 4, W = 4, T = 3 };
    struct place p;
    open_place(&p, "reference/tiny/lcm", NULL);
    const struct tt_model_info *info = tt_model_info(p.model);
    size_t each = info->latent_channels * H * W, g = info->guidance_width;
    ck_assert(g > 0);
    size_t text = T * info->text_width;
    float *in = calloc(N * (3 * each + text + g), sizeof *in), *out = in + N * each;
    float *alone = out + N * each, *context = alone + N * each, *conditions = context + N * text;
    const float t[N] = {7, 300};
    uint64_t state = 5;
    for (size_t i = 0; i < N * each; i++) in[i] = test_random_f32(&state);
    for (size_t i = 0; i < N * text; i++) context[i] = test_random_f32(&state);
    struct tt_size one = {1, H, W, T}, both = {N, H, W, T};
    ck_assert_int_eq(tt_session_unet(p.session, both, in, t, context, alone, &p.err), TT_OK);
    run_conditioned(&p, both, in, t, context, conditions, out);
    test_equal("zeros", out, alone, N * each);
    for (size_t i = 0; i < N * g; i++) conditions[i] = test_random_f32(&state);
    run_conditioned(&p, both, in, t, context, conditions, out);
    ck_assert(memcmp(out, alone, N * each * sizeof *out) != 0);
    for (size_t i = 0; i < N; i++)
        run_conditioned(&p, one, in + i * each, t + i, context + i * text, conditions + i * g,
                        alone + i * each);
    test_equal("row by row", out, alone, N * each);
    free(in);
    close_place(&p);
}
END_TEST

static Suite *api_suite(void) {
    Suite *suite = suite_create("api");
    TCase *tcase = tcase_create("api");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, stages_add_up);
    tcase_add_test(tcase, progress_sees_and_stops);
    tcase_add_test(tcase, engine_stops);
    tcase_add_test(tcase, observers_and_profile);
    tcase_add_test(tcase, backward);
    tcase_add_test(tcase, errors);
    tcase_add_test(tcase, settings_grow);
    tcase_add_test(tcase, two_threads_two_models);
    tcase_add_test(tcase, two_models_by_turns);
    tcase_add_test(tcase, unconditional);
    tcase_add_test(tcase, every_node);
    tcase_add_test(tcase, conditioned);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(api_suite(), NULL); }
