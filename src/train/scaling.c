// SPDX-License-Identifier: MIT
#include "train/scaling.h"

#include <math.h>
#include <stdlib.h>

#include "train/loss.h"

enum tt_status tt_measure_scaling(const struct tt_task *task, const char *folder, double *factor,
                                  struct tt_error *err) {
    enum { MOST = 256 };
    size_t count = tt_dataset_count(task->data), h = task->height, w = task->width;
    struct tt_model *model = NULL;
    struct tt_session *session = NULL;
    struct tt_engine apart = *task->model->engine; // what is read here is removed afterwards
    apart.files = NULL;
    enum tt_status status = tt_model_open(folder, &apart, &model, err);
    if (status) return status;
    status = tt_session_new(model, NULL, &session, err);
    const struct tt_model_info *info = tt_model_info(model);
    size_t each = info->latent_channels * (h / info->factor) * (w / info->factor), n = 0;
    float *picture = malloc((3 * h * w + 2 * each) * sizeof *picture);
    if (!status && !picture) status = tt_fail(err, TT_SYSTEM, "out of memory for a picture");
    double sum = 0, squares = 0;
    for (size_t i = 0; !status && i < count && i < MOST; i++, n += each) {
        struct tt_picture_size size = tt_dataset_size(task->data, i);
        float *moments = picture + 3 * h * w;
        each = info->latent_channels * (size.height / info->factor) * (size.width / info->factor);
        status = tt_dataset_picture(task->data, i, false, picture, err);
        if (!status)
            status = tt_session_encode(session, (struct tt_size){.n = 1, .height = size.height,
                                                                 .width = size.width},
                                       picture, moments, err);
        if (status) break;
        for (size_t j = 0; j < each; j++) sum += (double)moments[j];
        squares += tt_posterior_squares(1, each, moments);
    }
    free(picture);
    tt_session_free(session);
    tt_model_close(model);
    double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
    if (!status && !(variance > 0))
        status = tt_fail(err, TT_BAD_INPUT, "the autoencoder gives every picture the same latents");
    if (!status) *factor = 1 / sqrt(variance);
    return status;
}
