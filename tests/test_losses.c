// SPDX-License-Identifier: MIT
// Losses of training, their gradients, learning rates and settings, against recorded values of
// PyTorch and diffusers in float64.
#include "train/loss.h"
#include "train/train_settings.h"

#include "base/memory.h"
#include "tintype.h"
#include "util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tt_safetensors *file;
static json_t *manifest;
static struct tt_pool pool; // what a test takes, until its end

static void open_recording(void) {
    json_error_t error;
    tt_safetensors_open(NULL, "reference/losses/losses.safetensors", &file, NULL);
    manifest = json_load_file("reference/losses/losses.json", 0, &error);
}

static void close_recording(void) {
    tt_safetensors_close(file);
    json_decref(manifest);
    tt_pool_free(&pool);
}

static bool missing(void) {
    if (file && manifest) return false;
    test_skip("reference/losses is missing");
    return true;
}

static const float *stored(const char *prefix, const char *name, size_t *n) {
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct tt_view *view = tt_safetensors_find(file, full);
    ck_assert_msg(view != NULL, "no tensor %s", full);
    *n = view->bytes / 4;
    float *copy = tt_pool_alloc(&pool, view->bytes); // aligned
    memcpy(copy, view->data, view->bytes);
    return copy;
}

static void near(const char *name, double got, double want) {
    ck_assert_msg(fabs(got - want) <= 2e-6 * fabs(want), "%s: %.9g, expected %.9g", name, got,
                  want);
}

START_TEST(denoising) {
    if (missing()) return;
    static const char *const kinds[] = {"epsilon", "v_prediction", "sample"};
    struct tt_schedule schedule = {0};
    struct tt_schedule_options options = {.num_train_timesteps = 1000, .beta_start = 0.00085,
                                          .beta_end = 0.012,
                                          .beta_schedule = TT_BETAS_SCALED_LINEAR};
    ck_assert_int_eq(tt_schedule_init(&schedule, &options, NULL), TT_OK);
    size_t n, at, samples = 5;
    const float *x0 = stored("", "x0", &n), *noise = stored("", "noise", &n);
    const float *out = stored("", "out", &n);
    float *noisy = tt_pool_alloc(&pool, 4 * n * sizeof *noisy);
    float *target = noisy + n, *gradient = target + n;
    json_t *entry;
    json_array_foreach(json_object_get(manifest, "denoising"), at, entry) {
        char prefix[64];
        size_t t[5], m;
        float weight[5];
        int kind = 0;
        const char *name = json_string_value(json_object_get(entry, "name"));
        const char *type = json_string_value(json_object_get(entry, "prediction_type"));
        while (strcmp(kinds[kind], type)) kind++; // in the order of enum tt_prediction
        for (size_t i = 0; i < samples; i++)
            t[i] = (size_t)json_integer_value(json_array_get(json_object_get(entry, "t"), i));
        snprintf(prefix, sizeof prefix, "%s.", name);
        tt_noise_batch(&schedule, kind, samples, n / samples, t, x0, noise, noisy, target);
        double gamma = json_number_value(json_object_get(entry, "gamma"));
        tt_loss_weights(&schedule, kind, gamma, samples, t, weight);
        double loss = tt_loss_squares(samples, n / samples, out, target, weight, 1, gradient);
        near(name, loss, json_number_value(json_object_get(entry, "loss")));
        test_close("noisy", noisy, stored(prefix, "noisy", &m), n, 0, 2e-7);
        test_close("target", target, stored(prefix, "target", &m), n, 0, 2e-7);
        test_close("weight", weight, stored(prefix, "weight", &m), samples, 0, 1e-6);
        test_close("gradient", gradient, stored(prefix, "gradient", &m), n, 0, 1e-6);
        if (strcmp(name, "epsilon.0")) continue;
        double plain =
            tt_loss_squares(samples, n / samples, out, target, NULL, 0.25, gradient + n);
        near("unweighted", plain, loss);
        for (size_t i = 0; i < n; i++) ck_assert_float_eq(gradient[n + i], 0.25f * gradient[i]);
    }
    ck_assert_uint_eq(at, 6);
    tt_schedule_free(&schedule);
}
END_TEST

START_TEST(autoencoder) {
    if (missing()) return;
    const json_t *entry = json_object_get(manifest, "autoencoder");
    size_t n, m;
    const float *moments = stored("", "moments", &m), *noise = stored("vae.", "noise", &n);
    const float *x = stored("vae.", "x", &n), *dz = stored("vae.", "dz", &n);
    float *z = tt_pool_alloc(&pool, (2 * n + m) * sizeof *z), *dy = z + n, *dmoments = dy + n;
    tt_posterior_sample(3, n / 3, moments, noise, z);
    test_close("z", z, stored("vae.", "z", &n), n, 0, 3e-7);
    double kl = tt_posterior_backward(3, n / 3, moments, noise, dz,
                                      json_number_value(json_object_get(entry, "kl_weight")),
                                      dmoments);
    near("kl", kl, json_number_value(json_object_get(entry, "kl")));
    test_close("dmoments", dmoments, stored("vae.", "dmoments", &m), m, 0, 3e-7);
    struct tt_reconstruction with = {json_number_value(json_object_get(entry, "l1")),
                                     json_number_value(json_object_get(entry, "l2")), 1};
    double loss = tt_loss_reconstruction(n, stored("vae.", "z", &n), x, with, dy);
    near("reconstruction", loss, json_number_value(json_object_get(entry, "loss")));
    test_close("dy", dy, stored("vae.", "dy", &n), n, 0, 1e-6);
}
END_TEST

START_TEST(learning_rates) {
    if (missing()) return;
    const char *const *words = tt_setting_words(TT_SETTING_RATE);
    size_t i, j;
    json_t *entry, *step;
    json_array_foreach(json_object_get(manifest, "rates"), i, entry) {
        const char *word = json_string_value(json_object_get(entry, "schedule"));
        struct tt_train_settings s;
        tt_train_defaults(&s, sizeof s);
        while (strcmp(words[s.schedule], word)) s.schedule++;
        s.steps = (size_t)json_integer_value(json_object_get(entry, "steps"));
        s.warmup_steps = (size_t)json_integer_value(json_object_get(entry, "warmup_steps"));
        s.learning_rate = json_number_value(json_object_get(entry, "learning_rate"));
        json_array_foreach(json_object_get(entry, "at"), j, step) {
            size_t at = (size_t)json_integer_value(step);
            if (at > s.steps && s.schedule == TT_RATE_COSINE) continue; // rises again there
            double want = json_number_value(json_array_get(json_object_get(entry, "rates"), j));
            double got = tt_learning_rate(&s, at);
            ck_assert_msg(fabs(got - want) <= 1e-15, "%s at %zu: %.17g, expected %.17g", word, at,
                          got, want);
        }
    }
    ck_assert_uint_eq(i, 6);
}
END_TEST

static void write_file(const char *path, const char *text) {
    FILE *out = fopen(path, "w");
    fputs(text, out);
    fclose(out);
}

START_TEST(settings_file) {
    struct tt_train_settings s, other;
    struct tt_train_texts *texts = NULL;
    struct tt_error err = {0};
    tt_train_defaults(&s, sizeof s);
    const char *path = test_path("settings.json");
    write_file(path, "{\"data\": \"D\", \"output\": \"O\", \"steps\": 7, \"learning_rate\": 2e-3, "
                     "\"flip\": true, \"part\": \"vae\", \"seed\": 5}");
    ck_assert_int_eq(tt_train_settings_read(&s, NULL, path, &texts, &err), TT_OK);
    ck_assert_str_eq(s.data, "D");
    ck_assert_uint_eq(s.steps, 7);
    ck_assert_double_eq(s.learning_rate, 2e-3);
    ck_assert(s.flip);
    ck_assert_int_eq(s.part, TT_TRAIN_VAE);
    ck_assert_int_eq(tt_train_settings_check(&s, &err), TT_OK);
    char *text = tt_train_settings_text(&s);
    other = s;
    other.steps = 9; // not kept
    ck_assert_int_eq(tt_train_settings_compare(&other, "F", text, &err), TT_OK);
    other.batch = 3;
    ck_assert_int_eq(tt_train_settings_compare(&other, "F", text, &err), TT_BAD_INPUT);
    ck_assert_str_eq(err.message,
                     "F: made with another setting: batch: found 8, expected 3 as it is now");
    free(text);
    tt_train_texts_free(texts);
}
END_TEST

static const struct {
    const char *text, *message;
} bad[] = {
    {"{\"stepps\": 7}", "stepps: not a setting of training"},
    {"{\"steps\": -1}", "steps: found -1, expected an integer from 0"},
    {"{\"steps\": 1.5}", "steps: found 1.5, expected an integer from 0"},
    {"{\"flip\": 1}", "flip: found 1, expected true or false"},
    {"{\"schedule\": \"steep\"}", "expected \"constant\" or \"linear\" or \"cosine\""},
    {"{\"data\": 3}", "data: found 3, expected a string"},
    {"[]", "expected an object of settings"},
    {"{", "settings.json"},
    {"{\"output\": \"O\"}", "data is missing"},
    {"{\"data\": \"D\", \"output\": \"O\", \"steps\": 0}", "found steps 0"},
    {"{\"data\": \"D\", \"output\": \"O\", \"width\": 8}", "expected both or none"},
    {"{\"data\": \"D\", \"output\": \"O\", \"model\": \"a\", \"config\": \"b\"}",
     "found model a and config b"},
    {"{\"data\": \"D\", \"output\": \"O\", \"beta2\": 1}", "beta2: found 1, expected 0 to below 1"},
    {"{\"data\": \"D\", \"output\": \"O\", \"caption_dropout\": 2}", "caption_dropout: found 2"},
    {"{\"data\": \"D\", \"output\": \"O\", \"word_dropout\": -1}", "word_dropout: found -1"},
};

START_TEST(settings_refused) {
    struct tt_train_settings s;
    struct tt_train_texts *texts = NULL;
    struct tt_error err = {0};
    tt_train_defaults(&s, sizeof s);
    const char *path = test_path("settings.json");
    write_file(path, bad[_i].text);
    enum tt_status status = tt_train_settings_read(&s, NULL, path, &texts, &err);
    if (!status) status = tt_train_settings_check(&s, &err);
    ck_assert_int_eq(status, TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, bad[_i].message) != NULL, "'%s' does not say '%s'",
                  err.message, bad[_i].message);
    tt_train_texts_free(texts);
}
END_TEST

static Suite *losses_suite(void) {
    Suite *suite = suite_create("losses");
    TCase *tcase = tcase_create("recorded");
    tcase_add_checked_fixture(tcase, open_recording, close_recording);
    tcase_add_test(tcase, denoising);
    tcase_add_test(tcase, autoencoder);
    tcase_add_test(tcase, learning_rates);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("settings");
    tcase_add_test(tcase, settings_file);
    tcase_add_loop_test(tcase, settings_refused, 0, sizeof bad / sizeof *bad);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(losses_suite(), NULL); }
