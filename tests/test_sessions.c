// SPDX-License-Identifier: MIT
// Several callers of one model: each gives the bits that it gives alone, none waits for another,
// one copy of the weights serves all; and what a session keeps of its plans.
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "parts.h"
#include "util.h"

static const char tiny[] = "reference/tiny/sd15";
enum { SESSIONS = 3, SIDE = 32 };

struct place {
    struct tt_engine *engine;
    struct tt_model *model;
    struct tt_error err;
};

static void open_place(struct place *p) {
    struct tt_engine_settings with;
    tt_engine_defaults(&with, sizeof with);
    with.threads = 1; // of each session
    *p = (struct place){0};
    ck_assert_msg(!tt_engine_new(&with, &p->engine, &p->err), "%s", p->err.message);
    ck_assert_msg(!tt_model_open(tiny, p->engine, &p->model, &p->err), "%s", p->err.message);
}

static void close_place(struct place *p) {
    tt_model_close(p->model);
    tt_engine_free(p->engine);
}

// What each session draws: other words, sizes and schedulers.
struct job {
    struct tt_model *model;
    size_t which;
    int (*progress)(void *context, const struct tt_progress *seen);
    void *context;
    struct tt_image image;
    enum tt_status status;
    struct tt_error err;
};

static void *run_job(void *context) {
    static const char *const schedulers[SESSIONS] = {"ddim", "euler-ancestral", "dpm++-2m"};
    struct job *job = context;
    struct tt_session *session = NULL;
    struct tt_settings s;
    tt_settings_defaults(&s, sizeof s);
    s.prompt = job->which ? "a castle on a hill" : "a lighthouse";
    s.seed = job->which;
    s.steps = 3;
    s.width = SIDE + 16 * job->which;
    s.height = SIDE;
    s.scheduler = schedulers[job->which];
    s.progress = job->progress;
    s.context = job->context;
    job->status = tt_session_new(job->model, NULL, &session, &job->err);
    if (!job->status) job->status = tt_generate(session, &s, NULL, &job->image, &job->err);
    tt_session_free(session);
    return NULL;
}

static void expect_same(const struct job *got, const struct job *want) {
    ck_assert_msg(!got->status, "%s", got->err.message);
    ck_assert_uint_eq(got->image.width, want->image.width);
    ck_assert(!memcmp(got->image.rgb, want->image.rgb, 3 * want->image.width * SIDE));
}

// Each in a place of its own.
static void draw_alone(struct job *jobs) {
    for (size_t i = 0; i < SESSIONS; i++) {
        struct place p;
        open_place(&p);
        jobs[i] = (struct job){.model = p.model, .which = i};
        run_job(&jobs[i]);
        ck_assert_msg(!jobs[i].status, "%s", jobs[i].err.message);
        close_place(&p);
    }
}

START_TEST(bits_are_those_alone) {
    struct job alone[SESSIONS], jobs[SESSIONS];
    pthread_t threads[SESSIONS];
    struct place p;
    draw_alone(alone);
    open_place(&p);
    for (int round = 0; round < 2; round++) { // weights are opened and laid out in the first
        for (size_t i = 0; i < SESSIONS; i++) {
            jobs[i] = (struct job){.model = p.model, .which = i};
            ck_assert(!pthread_create(&threads[i], NULL, run_job, &jobs[i]));
        }
        for (size_t i = 0; i < SESSIONS; i++) {
            ck_assert(!pthread_join(threads[i], NULL));
            expect_same(&jobs[i], &alone[i]);
            tt_image_free(&jobs[i].image);
        }
    }
    for (size_t i = 0; i < SESSIONS; i++) tt_image_free(&alone[i].image);
    close_place(&p);
}
END_TEST

// A session that stays in a callback until it is let go.
struct hold {
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool held, let_go;
};

static int stay(void *context, const struct tt_progress *seen) {
    struct hold *hold = context;
    if (seen->step > 1) return 0;
    pthread_mutex_lock(&hold->lock);
    hold->held = true;
    pthread_cond_broadcast(&hold->change);
    while (!hold->let_go) pthread_cond_wait(&hold->change, &hold->lock);
    pthread_mutex_unlock(&hold->lock);
    return 0;
}

START_TEST(none_waits_for_one_in_a_callback) {
    struct hold hold = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};
    struct job alone[SESSIONS];
    pthread_t thread;
    struct place p;
    draw_alone(alone);
    open_place(&p);
    struct job held = {.model = p.model, .progress = stay, .context = &hold};
    struct job other = {.model = p.model, .which = 1};
    ck_assert(!pthread_create(&thread, NULL, run_job, &held));
    pthread_mutex_lock(&hold.lock);
    while (!hold.held) pthread_cond_wait(&hold.change, &hold.lock);
    pthread_mutex_unlock(&hold.lock);
    run_job(&other); // its autoencoder's weights are opened while the first one stays
    expect_same(&other, &alone[1]);
    pthread_mutex_lock(&hold.lock);
    hold.let_go = true;
    pthread_cond_broadcast(&hold.change);
    pthread_mutex_unlock(&hold.lock);
    ck_assert(!pthread_join(thread, NULL));
    expect_same(&held, &alone[0]);
    tt_image_free(&held.image);
    tt_image_free(&other.image);
    for (size_t i = 0; i < SESSIONS; i++) tt_image_free(&alone[i].image);
    close_place(&p);
}
END_TEST

START_TEST(sessions_hold_their_model) {
    struct place p;
    struct tt_session *sessions[2];
    open_place(&p);
    ck_assert_ptr_eq(tt_model_keep(p.model), p.model);
    for (int i = 0; i < 2; i++)
        ck_assert(!tt_session_new(p.model, NULL, &sessions[i], &p.err));
    tt_model_close(p.model);
    tt_model_close(p.model);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_gt(tt_model_info(tt_session_model(sessions[i]))->factor, 0);
        tt_session_free(sessions[i]);
    }
    tt_engine_free(p.engine);
    tt_session_free(NULL);
}
END_TEST

// What the weights of a model take in memory, beside what they take in its files.
static double kept_of_stored(const char *path, enum tt_weights_kept weights) {
    struct place p;
    struct tt_model_settings as;
    struct tt_session *session;
    size_t kept = 0, stored = 0;
    open_place(&p);
    tt_model_close(p.model);
    tt_model_defaults(&as, sizeof as);
    as.weights = weights;
    ck_assert(!tt_model_open_with(path, p.engine, &as, &p.model, &p.err));
    ck_assert(!tt_session_new(p.model, NULL, &session, &p.err));
    for (int part = 0; part < TT_PARTS; part++) {
        struct tt_size size;
        if (!tt_model_has_part(p.model, part)) continue;
        ck_assert(!tt_part_size_for(p.model, part, 1, 0, 0, &size, &p.err));
        ck_assert_msg(!tt_session_prepare(session, part, size, &p.err), "%s", p.err.message);
    }
    for (int part = 0; part < TT_PARTS; part++) {
        if ((int)tt_part_first((enum tt_part)part) != part) continue;
        if (!tt_model_has_part(p.model, part)) continue;
        const struct tt_held *held = &p.model->parts[part];
        kept += tt_bank_bytes(held->bank);
        for (size_t i = 0; i < tt_weights_count(held->weights); i++)
            stored += tt_weights_at(held->weights, i)->bytes;
    }
    tt_session_free(session);
    close_place(&p);
    return (double)kept / (double)stored;
}

// The built-in model's files are of float16, and its panels nearly full.
START_TEST(weights_take_what_their_files_take) {
    double stored = kept_of_stored(NULL, TT_WEIGHTS_STORED);
    double widened = kept_of_stored(NULL, TT_WEIGHTS_F32);
    ck_assert_msg(stored <= 1.05, "%.3f times the files", stored);
    ck_assert_msg(widened > 1.9, "%.3f times the files", widened);
}
END_TEST

static int decode(void *context, const struct tt_progress *seen) {
    struct tt_session *session = context;
    static uint8_t rgb[3 * SIDE * SIDE];
    return tt_latents_to_pixels(session, seen->latents, seen->shape.dim[2], seen->shape.dim[3], rgb,
                                NULL) != TT_OK;
}

// Whether the plans of U-Net and decoder are both there after each was called in turn.
static bool stay_side_by_side(struct place *p, size_t plan_bytes) {
    const int unet = tt_part_find("unet"), decoder = tt_part_find("vae-decode");
    struct tt_session_settings with;
    struct tt_session *session;
    struct tt_settings s;
    tt_session_defaults(&with, sizeof with);
    if (plan_bytes) with.plan_bytes = plan_bytes;
    ck_assert_msg(!tt_session_new(p->model, &with, &session, &p->err), "%s", p->err.message);
    tt_settings_defaults(&s, sizeof s);
    s.prompt = "a lighthouse";
    s.steps = 2;
    s.width = s.height = SIDE;
    s.progress = decode;
    s.context = session;
    ck_assert_msg(!tt_generate(session, &s, NULL, NULL, &p->err), "%s", p->err.message);
    bool both = tt_session_activations(session, unet) && tt_session_activations(session, decoder);
    ck_assert(tt_session_activations(session, decoder)); // the last that was called
    tt_session_free(session);
    return both;
}

START_TEST(plans_keep_within_their_bytes) {
    struct place p;
    open_place(&p);
    ck_assert(stay_side_by_side(&p, 0));
    ck_assert(!stay_side_by_side(&p, 1));
    struct tt_session_settings with;
    struct tt_session *session;
    tt_session_defaults(&with, sizeof with);
    ck_assert_uint_eq(with.plan_bytes, (size_t)512 << 20);
    // The oldest goes first: three sizes of one part in room for two of the largest.
    const int part = tt_part_find("text");
    ck_assert(!tt_session_new(p.model, NULL, &session, &p.err));
    ck_assert(!tt_session_prepare(session, part, (struct tt_size){.n = 4, .tokens = 77}, &p.err));
    with.plan_bytes = 2 * tt_session_activations(session, part);
    tt_session_free(session);
    ck_assert(!tt_session_new(p.model, &with, &session, &p.err));
    for (size_t n = 2; n <= 4; n++)
        ck_assert(!tt_session_prepare(session, part, (struct tt_size){.n = n, .tokens = 77},
                                      &p.err));
    size_t last = tt_session_activations(session, part);
    ck_assert_uint_le(last, with.plan_bytes / 2);
    ck_assert(!tt_session_prepare(session, tt_part_find("vae-decode"),
                                  (struct tt_size){.n = 1, .height = 4, .width = 4}, &p.err));
    tt_session_free(session);
    with.size = 1;
    ck_assert_int_eq(tt_session_new(p.model, &with, &session, &p.err), TT_BAD_INPUT);
    close_place(&p);
}
END_TEST

static Suite *sessions_suite(void) {
    Suite *suite = suite_create("sessions");
    TCase *tcase = tcase_create("sessions");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, bits_are_those_alone);
    tcase_add_test(tcase, none_waits_for_one_in_a_callback);
    tcase_add_test(tcase, sessions_hold_their_model);
    tcase_add_test(tcase, weights_take_what_their_files_take);
    tcase_add_test(tcase, plans_keep_within_their_bytes);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(sessions_suite(), NULL); }
