// SPDX-License-Identifier: MIT
// The scale of a new autoencoder: the latents that a diffusion model's training draws of it, which
// are samples of its posteriors, have a standard deviation of about one.
#include "engine.h"
#include "parts.h"
#include "train/data.h"
#include "train/loss.h"
#include "util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 32, DRAWS = 50 };

// Of the means, and of samples with another noise than training took, both with the model's scale.
static void measure(const char *folder, const struct tt_engine *engine, double *means,
                    double *samples) {
    struct tt_model *model;
    struct tt_session *session;
    struct tt_dataset *data;
    struct tt_error err = {0};
    struct tt_rng rng;
    const struct tt_dataset_options options = {.width = SIDE, .height = SIDE, .threads = 1};
    ck_assert_msg(!tt_model_open(folder, engine, &model, &err), "%s", err.message);
    ck_assert_msg(!tt_session_new(model, NULL, &session, &err), "%s", err.message);
    ck_assert_msg(!tt_dataset_open("reference/training/pictures", &options, &data, &err), "%s",
                  err.message);
    const struct tt_model_info *info = tt_model_info(model);
    size_t each = info->latent_channels * (SIDE / info->factor) * (SIDE / info->factor);
    float *picture = malloc((3 * SIDE * SIDE + 4 * each) * sizeof *picture);
    float *moments = picture + 3 * SIDE * SIDE, *noise = moments + 2 * each, *z = noise + each;
    double sum[2] = {0}, squares[2] = {0}, n = 0;
    tt_rng_seed(&rng, 99);
    for (size_t i = 0; i < tt_dataset_count(data); i++) {
        ck_assert(!tt_dataset_picture(data, i, false, picture, &err));
        ck_assert(!tt_session_encode(session, (struct tt_size){.n = 1, .height = SIDE,
                                                              .width = SIDE},
                                     picture, moments, &err));
        for (size_t k = 0; k < DRAWS * each; k++, n++) {
            size_t j = k % each;
            if (!j) tt_rng_normal(&rng, noise, each);
            if (!j) tt_posterior_sample(1, each, moments, noise, z);
            double scaled[2] = {model->info.scaling_factor * (double)moments[j],
                                model->info.scaling_factor * (double)z[j]};
            for (int what = 0; what < 2; what++) {
                sum[what] += scaled[what];
                squares[what] += scaled[what] * scaled[what];
            }
        }
    }
    *means = sqrt(squares[0] / n - sum[0] / n * (sum[0] / n));
    *samples = sqrt(squares[1] / n - sum[1] / n * (sum[1] / n));
    free(picture);
    tt_dataset_close(data);
    tt_session_free(session);
    tt_model_close(model);
}

START_TEST(unit_size) {
    static const double weights[] = {1e-6, 1e-4, 1e-2};
    struct tt_train_settings settings;
    struct tt_engine_settings how;
    struct tt_engine *engine;
    struct tt_error err = {0};
    double means, samples;
    char name[16];
    tt_engine_defaults(&how, sizeof how);
    ck_assert_msg(!tt_engine_new(&how, &engine, &err), "%s", err.message);
    snprintf(name, sizeof name, "vae-%d", _i);
    tt_train_defaults(&settings, sizeof settings);
    settings.part = TT_TRAIN_VAE;
    settings.config = "reference/tiny/sd15";
    settings.data = "reference/training/pictures";
    settings.output = test_path(name);
    settings.width = settings.height = SIDE;
    settings.batch = 2;
    settings.steps = 20;
    settings.learning_rate = 1e-3;
    settings.kl_weight = weights[_i];
    ck_assert_msg(!tt_train(&settings, engine, &err), "%s", err.message);
    measure(settings.output, engine, &means, &samples);
    ck_assert_msg(fabs(samples - 1) < 0.03, "found %g, of means %g", samples, means);
    if (_i == 2) ck_assert_double_lt(means, 0.7); // where the difference matters
    tt_engine_free(engine);
}
END_TEST

static Suite *scale_suite(void) {
    Suite *suite = suite_create("scale");
    TCase *tcase = tcase_create("scale");
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, unit_size, 0, 3);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(scale_suite(), NULL);
}
