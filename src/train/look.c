// SPDX-License-Identifier: MIT
// What training sees of its pictures, for whoever wants to look at them before.
#include <stdlib.h>

#include "train/run.h"

struct tt_train_data {
    struct tt_train_settings settings;
    struct tt_run run;
};

enum tt_status tt_train_data_open(const struct tt_train_settings *settings,
                                  const struct tt_engine *engine, struct tt_train_data **out,
                                  struct tt_error *err) {
    struct tt_train_data *data = calloc(1, sizeof *data);
    if (!data) return tt_fail(err, TT_SYSTEM, "out of memory for a list of pictures");
    struct tt_train_settings *s = &data->settings;
    enum tt_status status = tt_train_settings_take(s, settings, err);
    if (!s->output) s->output = ""; // is no folder, and not needed
    tt_run_init(&data->run, s, engine);
    if (!status) status = tt_train_settings_check(s, err);
    if (!status) status = tt_run_open_model(&data->run, engine, err);
    if (!status) status = tt_run_open_data(&data->run, err);
    if (status) tt_train_data_close(data);
    else *out = data;
    return status;
}

void tt_train_data_close(struct tt_train_data *data) {
    if (!data) return;
    tt_run_close(&data->run);
    free(data);
}

size_t tt_train_data_count(const struct tt_train_data *data) {
    return tt_dataset_count(data->run.data);
}

size_t tt_train_data_held(const struct tt_train_data *data) {
    return tt_dataset_held(data->run.data);
}

const char *tt_train_data_name(const struct tt_train_data *data, size_t i) {
    return tt_dataset_name(data->run.data, i);
}

const char *tt_train_data_caption(const struct tt_train_data *data, size_t i, size_t k) {
    const struct tt_dataset *set = data->run.data;
    return k < tt_dataset_captions(set, i) ? tt_dataset_caption(set, i, k) : NULL;
}

void tt_train_data_size(const struct tt_train_data *data, size_t i, size_t *width,
                        size_t *height) {
    struct tt_picture_size size = tt_dataset_size(data->run.data, i);
    *width = size.width;
    *height = size.height;
}

enum tt_status tt_train_data_picture(const struct tt_train_data *data, size_t i,
                                     struct tt_image *image, struct tt_error *err) {
    struct tt_picture_size size = tt_dataset_size(data->run.data, i);
    size_t n = size.width * size.height;
    float *picture = malloc(3 * n * sizeof *picture);
    uint8_t *rgb = malloc(3 * n);
    enum tt_status status = picture && rgb
                                ? tt_dataset_picture(data->run.data, i, false, picture, err)
                                : tt_fail(err, TT_SYSTEM, "out of memory for a picture");
    for (size_t k = 0; !status && k < 3 * n; k++)
        rgb[k] = (uint8_t)(picture[k % 3 * n + k / 3] * 127.5f + 128.0f);
    free(picture);
    if (status) free(rgb);
    else *image = (struct tt_image){size.width, size.height, rgb};
    return status;
}

enum tt_status tt_train_data_order(const struct tt_train_data *data, size_t *items, size_t count,
                                   struct tt_error *err) {
    const struct tt_buckets *buckets = data->run.buckets;
    uint64_t seed = data->settings.seed;
    size_t n = 0, *batch = malloc((buckets ? buckets->batch : 1) * sizeof *batch);
    if (!batch) return tt_fail(err, TT_SYSTEM, "out of memory for a batch");
    for (uint64_t i = 0; n < count; i++) {
        size_t taken = 1;
        if (buckets) taken = tt_buckets_batch(buckets, seed, i, batch);
        else batch[0] = tt_dataset_order(data->run.data, seed, i);
        for (size_t k = 0; k < taken && n < count; k++) items[n++] = batch[k];
    }
    free(batch);
    return TT_OK;
}
