// SPDX-License-Identifier: MIT
// Ten optimiser steps of each network as `tintype train` takes them, the whole run, against
// PyTorch's (reference/README.md, "Training"): losses, norms and learning rates of every step, all
// weights and their averages at the end,
//
//     |c - stored| <= F * err32 + floor        floor = 2^-23 * maxabs
//
// c and stored being changes since the beginning, folded. Then the same bits whatever the run is
// made on, and the operations of a step alone, against PyTorch's bits.
// TRAINING_REPORT=1 prints the F that each case would need.
#include "train/adamw.h"

#include "engine.h"
#include "graph/op.h"
#include "io/json.h"
#include "io/weights.h"
#include "util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// F as measured, rounded up, of the cases in their order (text, unet, unet+text, vae): of the
// weights, and of losses and norms. AdamW divides a gradient by its own size, so that an element
// whose gradient is no larger than its rounding moves by chance, in PyTorch as here: the largest
// error of a tensor is that of its least certain elements, and F a ratio of two such chances. Half
// of the tensors of each case need no more than 1.06.
static const double factors[] = {1.75, 4.75, 3.5, 2.5};
static const double step_factors[] = {0.75, 1.75, 0.75, 1.25};
enum { CASES = sizeof factors / sizeof *factors, STEPS = 10 };

static json_t *manifest;
static struct tt_safetensors *stored;

static void open_recording(void) {
    json_error_t error;
    manifest = json_load_file("reference/training/training.json", 0, &error);
    tt_safetensors_open(NULL, "reference/training/training.safetensors", &stored, NULL);
}

static void close_recording(void) {
    tt_safetensors_close(stored);
    json_decref(manifest);
}

static bool missing(void) {
    if (stored && manifest) return false;
    test_skip("reference/training is missing");
    return true;
}

static const float *floats_of(const struct tt_safetensors *file, const char *name, size_t *n) {
    const struct tt_view *view = tt_safetensors_find(file, name);
    ck_assert_msg(view != NULL, "no tensor %s", name);
    *n = view->bytes / sizeof(float);
    return view->data;
}

// ---- whole runs ----

// Where the run of a case writes.
static const char *output_of(const json_t *entry) {
    return test_path(json_string_value(json_object_get(entry, "name")));
}

// The trainer's own run with the case's settings, but so many steps, by way of a settings file.
// observer: who sees the first step, and nothing follows; NULL: nobody, and all follow.
static void train(const json_t *entry, size_t steps, const char *cpu, size_t threads,
                  const char *output, const struct tt_observer *observer) {
    struct tt_train_settings settings;
    struct tt_error err = {0};
    struct tt_engine *engine;
    struct tt_train_texts *texts = NULL;
    json_t *own = json_deep_copy(json_object_get(entry, "settings"));
    const char *path = test_path("settings.json");
    char model[256];
    snprintf(model, sizeof model, "reference/%s",
             json_string_value(json_object_get(own, "model")));
    json_object_set_new(own, "model", json_string(model));
    json_object_set_new(own, "data", json_string("reference/training/pictures"));
    json_object_set_new(own, "output", json_string(output));
    json_object_set_new(own, "log_every", json_integer(1));
    json_object_set_new(own, "steps", json_integer((json_int_t)steps));
    ck_assert_int_eq(json_dump_file(own, path, 0), 0);
    tt_train_defaults(&settings, sizeof settings);
    ck_assert_msg(!tt_train_settings_read(&settings, NULL, path, &texts, &err), "%s", err.message);
    struct tt_engine_settings how;
    tt_engine_defaults(&how, sizeof how);
    how.threads = threads;
    how.cpu = cpu;
    ck_assert_msg(!tt_engine_new(&how, &engine, &err), "%s", err.message);
    if (observer) {
        struct tt_trainer *trainer = NULL;
        ck_assert_msg(!tt_trainer_new(&settings, engine, &trainer, &err), "%s", err.message);
        tt_trainer_observe(trainer, observer, 1);
        ck_assert_msg(!tt_trainer_step(trainer, &err), "%s", err.message);
        tt_trainer_free(trainer);
    } else {
        ck_assert_msg(!tt_train(&settings, engine, &err), "%s", err.message);
    }
    tt_engine_free(engine);
    tt_train_texts_free(texts);
    json_decref(own);
}

struct tally {
    size_t compared, failed;
    double factor, needed;
    char worst[200];
};

// One number of ours; err32 is that of all the numbers of `name`.
static void compare(struct tally *tally, const char *name, double ours, double want, double err32,
                    double floor32) {
    double off = fabs(ours - want), needed = off <= floor32 ? 0 : (off - floor32) / err32;
    tally->compared++;
    if (!(needed <= tally->needed)) {
        tally->needed = needed;
        snprintf(tally->worst, sizeof tally->worst, "%.199s", name);
    }
    if (!(off <= tally->factor * err32 + floor32) && tally->failed++ < 10)
        printf("%s: |%.9g - %.9g| = %.3g, limit %.3g = %g * %.3g + %.3g\n", name, ours, want, off,
               tally->factor * err32 + floor32, tally->factor, err32, floor32);
}

static void compare_steps(const json_t *entry, struct tally *tally) {
    const json_t *steps = json_object_get(entry, "steps");
    char path[512], line[512], where[32];
    snprintf(path, sizeof path, "%s/train.jsonl", output_of(entry));
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s: cannot open", path);
    for (size_t step = 0; step < STEPS; step++) {
        ck_assert_msg(fgets(line, sizeof line, file) != NULL, "%s: only %zu lines", path, step);
        json_t *log = json_loads(line, 0, NULL);
        for (int i = 0; i < 2; i++) {
            const char *what = i ? "norm" : "loss";
            snprintf(where, sizeof where, "%s_err32", what);
            double err32 = json_number_value(json_object_get(steps, where));
            double want = json_number_value(json_array_get(json_object_get(steps, what), step));
            snprintf(where, sizeof where, "%s of step %zu", what, step + 1);
            compare(tally, where, json_number_value(json_object_get(log, what)), want, err32,
                    ldexp(fabs(want), -23));
        }
        double rate = json_number_value(json_object_get(log, "learning_rate"));
        double want = json_number_value(json_array_get(json_object_get(steps, "rate"), step));
        ck_assert_msg(fabs(rate - want) <= 1e-8 * want, "step %zu: rate %g, expected %g", step + 1,
                      rate, want); // the log has nine digits
        json_decref(log);
    }
    ck_assert(!fgets(line, sizeof line, file));
    fclose(file);
}

static void compare_weights(const json_t *entry, struct tally *tally) {
    const char *name = json_string_value(json_object_get(entry, "name"));
    size_t width = (size_t)json_integer_value(json_object_get(manifest, "fold")), i, n, sums;
    const char *folders[] = {"unet", "text_encoder", "vae"};
    struct tt_weights *begin[3] = {0};
    struct tt_safetensors *end;
    struct tt_folder *folder;
    struct tt_error err = {0};
    json_t *tensor;
    char path[512];
    snprintf(path, sizeof path, "reference/%s", json_string_value(json_object_get(
             json_object_get(entry, "settings"), "model")));
    ck_assert_msg(!tt_folder_open(path, &folder, &err), "%s", err.message);
    for (int j = 0; j < 3; j++)
        ck_assert_msg(!tt_weights_open(folder, folders[j], &begin[j], &err), "%s", err.message);
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", output_of(entry));
    ck_assert_msg(!tt_safetensors_open(NULL, path, &end, &err), "%s", err.message);
    json_array_foreach(json_object_get(entry, "tensors"), i, tensor) {
        const char *kind = json_string_value(json_object_get(tensor, "kind"));
        const char *full = json_string_value(json_object_get(tensor, "name"));
        const char *own = strchr(full, '/') + 1;
        int which = 0;
        while (strncmp(full, folders[which], strlen(folders[which]))) which++;
        snprintf(path, sizeof path, "%s/%s/%s", folders[which], kind, own);
        const float *now = floats_of(end, path, &n);
        const struct tt_view *then = tt_weights_find(begin[which], own);
        ck_assert_msg(then && then->dtype == TT_F32 && then->bytes == n * 4, "no weight %s", full);
        snprintf(path, sizeof path, "%s/%s/%s", name, kind, full);
        const float *want = floats_of(stored, path, &sums);
        ck_assert_uint_eq(sums, n < width ? n : width);
        double *change = calloc(sums, sizeof *change);
        for (size_t j = 0; j < n; j++)
            test_fold(change, n, width, j, (double)now[j] - (double)((float *)then->data)[j]);
        for (size_t j = 0; j < sums; j++)
            compare(tally, path, change[j], (double)want[j],
                    json_number_value(json_object_get(tensor, "err32")),
                    ldexp(json_number_value(json_object_get(tensor, "maxabs")), -23));
        free(change);
    }
    tt_safetensors_close(end);
    for (int j = 0; j < 3; j++) tt_weights_close(begin[j]);
    tt_folder_close(folder);
}

START_TEST(ten_steps) {
    if (missing()) return;
    const json_t *entry = json_array_get(json_object_get(manifest, "cases"), (size_t)_i);
    struct tally steps = {.factor = step_factors[_i]}, weights = {.factor = factors[_i]};
    train(entry, STEPS, getenv("TINTYPE_CPU"), 1, output_of(entry), NULL);
    compare_steps(entry, &steps);
    compare_weights(entry, &weights);
    const char *name = json_string_value(json_object_get(entry, "name"));
    if (getenv("TRAINING_REPORT"))
        printf("%-10s losses and norms: F %.2f needed by %s; weights: F %.2f needed by %s\n", name,
               steps.needed, steps.worst, weights.needed, weights.worst);
    fflush(stdout);
    ck_assert_uint_eq(steps.compared, 2 * STEPS);
    ck_assert_uint_ge(weights.compared, 2000);
    ck_assert_msg(!steps.failed && !weights.failed, "%s: %zu losses or norms and %zu sums of "
                  "weights differ", name, steps.failed, weights.failed);
}
END_TEST

// ---- the same bits ----

// What two steps leave (weights, averages, optimiser) on every instruction set and on several
// thread counts.
START_TEST(same_checkpoint) {
    if (missing()) return;
    static const size_t threads[] = {1, 2, 5, 3}; // three with the best set, then one with each
    enum { BEST = 3 };
    const json_t *entry = json_array_get(json_object_get(manifest, "cases"), (size_t)_i);
    char output[64], path[512], *first = NULL;
    size_t size, wanted = 0, made = 0;
    unsigned mask;
    for (size_t i = 0; i < BEST + TT_ISA_COUNT; i++) {
        const char *cpu = i < BEST ? NULL : tt_isas[i - BEST].name;
        size_t with = threads[i < BEST ? i : 1 + (i - BEST) % 3];
        if (cpu && tt_cpu_mask(cpu, tt_cpu_detect(), &mask)) continue;
        snprintf(output, sizeof output, "%d-%zu", _i, i);
        train(entry, 2, cpu, with, test_path(output), NULL);
        snprintf(path, sizeof path, "%s/checkpoint.safetensors", test_path(output));
        char *bytes = test_read(path, &size);
        if (!made++) first = bytes, wanted = size;
        ck_assert_msg(size == wanted && !memcmp(bytes, first, size),
                      "%s, %zu threads: another checkpoint", cpu ? cpu : "best", with);
        if (bytes != first) free(bytes);
    }
    ck_assert_uint_ge(made, 4);
    free(first);
}
END_TEST

// ---- what is not trained ----

// Steps of the backward pass through a network, and how many of them go to its own parameters.
struct seen {
    size_t back, learn;
};

// Of the U-Net, which has such an input, then of any other network.
static void see(void *context, const struct tt_step *step) {
    if (!step->back) return;
    bool unet = tt_find_value(step->tape, "encoder_hidden_states") != TT_NO_VALUE;
    struct seen *seen = (struct seen *)context + !unet;
    seen->back++;
    seen->learn += step->back->dweight || step->back->dbias;
}

// Parameters of a network that does not learn get no gradients; what learns gets its own.
START_TEST(only_what_learns) {
    if (missing()) return;
    const json_t *entry = json_array_get(json_object_get(manifest, "cases"), (size_t)_i);
    const char *part = json_string_value(
        json_object_get(json_object_get(entry, "settings"), "part"));
    struct seen seen[2] = {{0, 0}, {0, 0}};
    struct tt_observer observer = {seen, NULL, see};
    char output[64];
    snprintf(output, sizeof output, "learns-%d", _i);
    train(entry, 1, NULL, 2, test_path(output), &observer);
    ck_assert_int_eq(seen[0].back > 0, strcmp(part, "vae") != 0);
    ck_assert_int_eq(seen[0].learn > 0, strstr(part, "unet") != NULL);
    ck_assert_int_eq(seen[1].learn > 0, strcmp(part, "unet") != 0);
}
END_TEST

// ---- the operations of a step, bit by bit ----

// AdamW, clipping and torch.optim's average (torch.lerp) to the bit. diffusers' EMAModel rounds
// once more, a - (1 - decay) (a - b): within two units.
START_TEST(operations) {
    if (missing()) return;
    const json_t *entry = json_object_get(manifest, "operations");
    struct tt_error err = {0};
    struct tt_tape tape = {0};
    struct tt_params *params;
    struct tt_kernels kernels;
    struct tt_optimiser *optimiser;
    tt_nn_linear(&tape, "layer", tt_nn_input(&tape, "x", (struct tt_shape){2, {1, 70}}, TT_F32), 13,
                 true);
    const struct tt_tape *const tapes[] = {&tape};
    ck_assert(!tt_params_new(tapes, 1, true, &params, &err) && params->count == 2);
    tt_kernels_init(&kernels, test_cpu());
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < tt_shape_count(&params->values[k].shape); i++)
            tt_params_value(params, k)[i] = test_hashed_uniform(i, (size_t)k);
    struct tt_optimiser_options options = {
        .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .kernels = &kernels, .threads = 2,
        .weight_decay = json_number_value(json_object_get(entry, "weight_decay")),
        .clip_norm = json_number_value(json_object_get(entry, "clip_norm")),
        .ema_decay = json_number_value(json_object_get(entry, "ema_decay")),
    };
    const char *name = "layer";
    ck_assert(!tt_optimiser_new(&params, &name, 1, &options, &optimiser, &err));
    size_t n, steps = (size_t)json_integer_value(json_object_get(entry, "steps")), states;
    char path[64];
    for (size_t step = 0; step < steps; step++) {
        for (int k = 0; k < 2; k++)
            for (size_t i = 0; i < tt_shape_count(&params->values[k].shape); i++)
                tt_params_gradient(params, k)[i] =
                    test_hashed_uniform(i, 10 + 2 * step + (size_t)k) *
                    ldexpf(1, -(int)(test_hashed(i, 50 + (size_t)k) % 24));
        double norm = tt_optimiser_norm(optimiser);
        double want = json_number_value(json_array_get(json_object_get(entry, "norms"), step));
        ck_assert_msg(fabs(norm - want) <= 0x1p-22 * want, "step %zu: norm %.9g, expected %.9g",
                      step, norm, want);
        tt_optimiser_step(optimiser, want, json_number_value(
                          json_object_get(entry, "learning_rate")));
    }
    const struct tt_state *state = tt_optimiser_states(optimiser, &states);
    ck_assert_uint_eq(states, 4);
    for (size_t s = 0; s < states; s++)
        for (int k = 0; k < 2; k++) {
            const float *ours = tt_params_view_of(params, k, state[s].data).data;
            bool average = !strcmp(state[s].what, "ema");
            snprintf(path, sizeof path, "operations/%s/%d", average ? "lerp" : state[s].what, k);
            const float *want = floats_of(stored, path, &n);
            test_equal(path, ours, want, n);
            if (!average) continue;
            snprintf(path, sizeof path, "operations/ema/%d", k);
            want = floats_of(stored, path, &n);
            struct test_error e = test_error_f32(ours, want, n);
            ck_assert_msg(e.max_ulp <= 2 && e.max_abs <= 0x1p-24, "%s: %llu ulp, %g", path,
                          (unsigned long long)e.max_ulp, e.max_abs);
        }
    tt_optimiser_free(optimiser);
    tt_params_free(params);
    tt_tape_free(&tape);
}
END_TEST

static Suite *training_suite(void) {
    Suite *suite = suite_create("training");
    TCase *tcase = tcase_create("recorded");
    tcase_set_timeout(tcase, 600);
    tcase_add_checked_fixture(tcase, open_recording, close_recording);
    tcase_add_loop_test(tcase, ten_steps, 0, CASES);
    tcase_add_loop_test(tcase, same_checkpoint, 0, CASES);
    tcase_add_loop_test(tcase, only_what_learns, 0, CASES);
    tcase_add_test(tcase, operations);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(training_suite(), NULL);
}
