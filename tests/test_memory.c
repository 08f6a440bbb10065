// SPDX-License-Identifier: MIT
// What the instruments take beside a run: a recorder and a comparison hold no more than the run and
// twice its largest tensor. Blocks are counted, not what the system makes of them: this program's
// malloc and mmap stand before the C library's for all code in the process.
#include "engine.h"
#include "graph/plan.h"
#include "io/json.h"
#include "model/unet.h"
#include "model/vae.h"
#include "util.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SIDE = 256, MIB = 1 << 20 };

// ---- the allocator ----

static struct {
    bool on;
    long now, most; // bytes; from before it was on some may be freed
} held;

#ifndef TT_SANITIZED
#pragma GCC visibility push(default) // hidden functions would stand before no other's
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);

static void count(long bytes) {
    if (!held.on) return;
    long now = __atomic_add_fetch(&held.now, bytes, __ATOMIC_RELAXED);
    if (now > held.most) held.most = now;
}

static void *take(void *block) {
    if (block) count((long)malloc_usable_size(block));
    return block;
}

void *malloc(size_t size) { return take(__libc_malloc(size)); }

void *calloc(size_t n, size_t size) { return take(__libc_calloc(n, size)); }

void *realloc(void *old, size_t size) {
    long before = old ? (long)malloc_usable_size(old) : 0;
    void *block = __libc_realloc(old, size);
    if (block || !size) count(-before);
    return take(block);
}

void free(void *block) {
    if (block) count(-(long)malloc_usable_size(block));
    __libc_free(block);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    void *map = (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
    if (map != MAP_FAILED && fd < 0) count((long)size);
    return map;
}

int munmap(void *address, size_t size) {
    count(-(long)size); // of a file that was mapped, too: it is let go at the end
    return (int)syscall(SYS_munmap, address, size);
}
#pragma GCC visibility pop
#endif

// ---- a recorded run beside one that is not recorded ----

struct place {
    struct tt_engine *engine;
    struct tt_model *model;
    struct tt_session *session;
    struct tt_settings run;
    struct tt_error err;
};

static void open_place(struct place *p, bool every_node) {
    struct tt_engine_settings settings;
    *p = (struct place){0};
    tt_engine_defaults(&settings, sizeof settings);
    settings.threads = 1;
    settings.every_node = every_node;
    ck_assert(!tt_engine_new(&settings, &p->engine, &p->err));
    ck_assert_msg(!tt_model_open(NULL, p->engine, &p->model, &p->err), "%s", p->err.message);
    ck_assert(!tt_session_new(p->model, NULL, &p->session, &p->err));
    tt_settings_defaults(&p->run, sizeof p->run);
    p->run.prompt = "a castle";
    p->run.steps = 1;
    p->run.width = p->run.height = SIDE;
}

static void close_place(struct place *p) {
    tt_session_free(p->session);
    tt_model_close(p->model);
    tt_engine_free(p->engine);
}

static void record(struct place *p, const char *path, bool statistics) {
    struct tt_recorder_settings settings;
    struct tt_recorder *recorder;
    double seconds;
    tt_recorder_defaults(&settings, sizeof settings);
    settings.statistics = statistics;
    ck_assert_msg(!tt_recorder_new(p->session, NULL, path, &settings, &p->run, &recorder, &p->err),
                  "%s", p->err.message);
    ck_assert(!tt_recorder_estimate(recorder, &seconds, &p->err));
    ck_assert_msg(!tt_recorder_run(recorder, &p->err), "%s", p->err.message);
    tt_recorder_free(recorder);
}

// The most bytes of a run, which is recorded at path, where that is not NULL.
static long most_of(const char *path, bool statistics) {
    struct tt_image image = {0};
    struct place p;
    held.now = held.most = 0;
    held.on = true;
    open_place(&p, path != NULL);
    if (path) record(&p, path, statistics);
    else ck_assert_msg(!tt_generate(p.session, &p.run, NULL, &image, &p.err), "%s", p.err.message);
    held.on = false;
    tt_image_free(&image);
    close_place(&p);
    return held.most;
}

// The bytes of the largest tensor that was recorded.
static size_t largest_of(const char *path) {
    struct tt_recording *recording;
    struct tt_error err = {0};
    const struct tt_recorded *r;
    size_t most = 0;
    ck_assert_msg(!tt_recording_open(NULL, path, &recording, &err), "%s", err.message);
    for (size_t i = 0; i < tt_recording_calls(recording); i++) {
        ck_assert(!tt_recording_load(recording, i, &err));
        for (size_t k = 0; (r = tt_recording_at(recording, i, k)); k++)
            if (tt_shape_count(&r->shape) * sizeof(float) > most)
                most = tt_shape_count(&r->shape) * sizeof(float);
        tt_recording_unload(recording, i);
    }
    tt_recording_close(recording);
    return most;
}

// Counting for quantiles takes room of one size for any tensor.
START_TEST(recorders) {
    enum { ROOM = 18 * MIB };
    const char *path = test_path(_i ? "statistics" : "whole");
#ifdef TT_SANITIZED
    test_skip("%s: a sanitizer has an allocator of its own", path);
    return;
#endif
    most_of(NULL, false); // what libraries keep for good
    long run = most_of(NULL, false), recorded = most_of(path, _i);
    long largest = (long)largest_of(path), allowed = run + 2 * largest + (_i ? ROOM : 0);
    printf("run %ld, recorded %ld, largest %ld\n", run, recorded, largest);
    ck_assert_int_gt(run, 4 * largest);
    ck_assert_msg(recorded <= allowed, "found %ld bytes, expected at most %ld: a run's %ld and "
                  "twice the largest tensor's %ld", recorded, allowed, run, largest);
}
END_TEST

// ---- plans that show every node, at full size ----

static const char unet_json[] =
    "{\"_class_name\": \"UNet2DConditionModel\", \"cross_attention_dim\": 768,"
    " \"attention_head_dim\": 8, \"block_out_channels\": [320, 640, 1280, 1280]}";
static const char vae_json[] =
    "{\"_class_name\": \"AutoencoderKL\", \"block_out_channels\": [128, 256, 512, 512],"
    " \"layers_per_block\": 2, \"sample_size\": 512, \"down_block_types\":"
    " [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\", \"DownEncoderBlock2D\","
    " \"DownEncoderBlock2D\"], \"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\","
    " \"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}";

static size_t arena_of(const struct tt_tape *tape, bool fold) {
    const struct tt_plan_options options = {.threads = 2, .fold = fold};
    struct tt_error err = {0};
    size_t bytes;
    ck_assert_msg(!tt_plan_measure(tape, NULL, &options, &bytes, &err), "%s", err.message);
    return bytes;
}

// Stable Diffusion 1.5 at 512x512. A recorder, and whoever compares, takes one tensor beside it.
START_TEST(arenas) {
    struct tt_tape tape = {0};
    struct tt_unet_config unet;
    struct tt_vae_config vae;
    struct tt_json *json;
    struct tt_error err = {0};
    const char *text = _i ? vae_json : unet_json;
    ck_assert(!tt_json_open("config", text, strlen(text), &json, &err));
    if (_i) {
        ck_assert_msg(!tt_vae_config_read(json, &vae, &err), "%s", err.message);
        tt_vae_decoder_tape(&tape, &vae, 1, 64, 64);
    } else {
        ck_assert_msg(!tt_unet_config_read(json, &unet, &err), "%s", err.message);
        tt_unet_tape(&tape, &unet, 2, 64, 64, 77);
    }
    tt_json_free(json);
    ck_assert(!tt_tape_status(&tape, &err));
    size_t run = arena_of(&tape, true), shown = arena_of(&tape, false), largest = 0;
    for (int i = 0; i < tape.node_count; i++) {
        size_t bytes = tt_shape_count(&tape.tensors[i].shape) * sizeof(float);
        if (bytes > largest) largest = bytes;
    }
    printf("folded %zu, every node %zu, largest %zu\n", run, shown, largest);
    ck_assert_msg(shown + largest <= run + 2 * largest, "found %zu and %zu bytes, expected at most "
                  "%zu and twice that", shown, largest, run);
    tt_tape_free(&tape);
}
END_TEST

// ---- pages of a recording ----

// The bytes of a mapped file that are in memory.
static size_t resident(const char *file) {
    char line[4096];
    size_t kib, sum = 0;
    bool inside = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        if (line[strcspn(line, "- ")] == '-') inside = strstr(line, file) != NULL;
        else if (inside && sscanf(line, "Rss: %zu", &kib) == 1) sum += kib << 10;
    }
    if (maps) fclose(maps);
    return sum;
}

// Read whole, a call's file is in memory; when each tensor is let go of, the largest alone is.
START_TEST(recordings) {
    const char *file = "00003.vae_decoder.safetensors";
    char path[256];
    struct tt_recording *recording;
    const struct tt_recorded *r;
    struct place p;
    size_t most[2] = {0}, call = 3;
    snprintf(path, sizeof path, "%s", test_path("read"));
    open_place(&p, true);
    record(&p, path, false);
    size_t largest = largest_of(path);
    ck_assert(!tt_recording_open(NULL, path, &recording, &p.err));
    for (int release = 0; release < 2; release++) {
        ck_assert(!tt_recording_load(recording, call, &p.err));
        ck_assert_ptr_nonnull(strstr(tt_recording_file(recording, call), file));
        for (size_t k = 0; (r = tt_recording_at(recording, call, k)); k++) {
            struct tt_difference d;
            size_t n = tt_shape_count(&r->shape);
            float *values = malloc(n * sizeof *values);
            ck_assert_ptr_nonnull(values);
            tt_view_floats(r->view, 0, n, values);
            ck_assert(!tt_compare(p.engine, values, &r->shape, TT_LIES_TORCH, r->view, false, &d,
                                  &p.err));
            ck_assert(!(d.largest > 0));
            free(values);
            size_t now = resident(file);
            if (now > most[release]) most[release] = now;
            if (release) tt_recording_release(recording, call, r);
        }
        tt_recording_unload(recording, call);
    }
    tt_recording_close(recording);
    close_place(&p);
    printf("kept %zu, let go %zu, largest %zu\n", most[0], most[1], largest);
    if (most[0] < 4 * largest) {
        test_skip("%s: no file's pages are told here", file); // an emulator
        return;
    }
    ck_assert_msg(most[1] <= largest + 2 * MIB, "found %zu bytes, expected the %zu of the largest",
                  most[1], largest);
}
END_TEST

static Suite *memory_suite(void) {
    Suite *suite = suite_create("memory");
    TCase *tcase = tcase_create("memory");
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, recorders, 0, 2);
    tcase_add_loop_test(tcase, arenas, 0, 2);
    tcase_add_test(tcase, recordings);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(memory_suite(), NULL);
}
