// SPDX-License-Identifier: MIT
#include "train/task.h"

#include <stdlib.h>

#include "base/mix.h"
#include "train/initial.h"

enum tt_status tt_task_weights(struct tt_task *task, enum tt_part part, struct tt_params *params,
                               struct tt_error *err) {
    const struct tt_weights *weights;
    if (task->scratch) {
        struct tt_rng rng;
        tt_rng_seed(&rng, task->settings->seed + (uint64_t)part); // not the same numbers for all
        if (part == TT_PART_TEXT) tt_initial_clip(params, tt_clip_of(task->model), &rng);
        else tt_initial_layers(params, &rng);
        return TT_OK;
    }
    enum tt_status status = tt_model_weights(task->model, part, &weights, err);
    if (status) return status;
    const struct tt_source source = tt_weights_source(task->model->parts[part].weights);
    return tt_params_load(params, &source, err);
}

enum tt_status tt_task_pictures(const struct tt_task *task, const struct tt_batch *batch,
                                float *out, struct tt_error *err) {
    struct tt_picture_size size = tt_dataset_size(task->data, batch->items[0]);
    size_t each = 3 * size.height * size.width;
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < batch->count; i++) {
        float chance = 1;
        if (task->settings->flip && !batch->fixed) tt_rng_uniform(batch->rng, &chance, 1);
        status = tt_dataset_picture(task->data, batch->items[i], chance < 0.5f, out + i * each,
                                    err);
    }
    return status;
}

void tt_task_noise(const struct tt_batch *batch, uint64_t which, size_t n, size_t each,
                   float *out) {
    if (!batch->fixed) tt_rng_normal(batch->rng, out, n * each);
    for (size_t i = 0; batch->fixed && i < n; i++) {
        const struct tt_fixed *fixed = &batch->fixed[i];
        struct tt_rng rng;
        tt_rng_seed(&rng, fixed->seed + TT_MIX_STEP * (2 * fixed->draw + which));
        tt_rng_normal(&rng, out + i * each, each);
    }
}

enum tt_status tt_task_form(struct tt_task *task, struct tt_task_form **forms, size_t bytes,
                            size_t n, struct tt_picture_size size, tt_task_make *make,
                            struct tt_task_form **out, struct tt_error *err) {
    struct tt_task_form *form = *forms;
    while (form && (form->n != n || tt_picture_size_order(&form->size, &size))) form = form->next;
    *out = form;
    if (form) return TT_OK;
    *out = form = calloc(1, bytes);
    if (!form) return tt_fail(err, TT_SYSTEM, "out of memory for training");
    *form = (struct tt_task_form){*forms, n, size};
    *forms = form;
    return make(task, form, err);
}

enum tt_status tt_task_plan(struct tt_task *task,
                            enum tt_status (*take)(struct tt_task *task, size_t n,
                                                   struct tt_picture_size size,
                                                   struct tt_error *err),
                            struct tt_error *err) {
    const struct tt_buckets *b = task->buckets;
    size_t batch = task->settings->batch;
    struct tt_picture_size whole = {task->width, task->height};
    enum tt_status status = b ? TT_OK : take(task, batch, whole, err);
    for (size_t i = 0; !status && b && i < b->count; i++) {
        const struct tt_bucket *bucket = &b->bucket[i];
        size_t left = bucket->count % batch;
        if (bucket->count >= batch) status = take(task, batch, bucket->size, err);
        if (!status && left) status = take(task, left, bucket->size, err);
    }
    return status;
}

void tt_task_put(const struct tt_task *task, struct tt_shape s, const float *from, float *to) {
    task->model->engine->kernels.nchw_to_nhwc_f32(from, to, s.dim[0], s.dim[1],
                                                  s.dim[2] * s.dim[3]);
}

void tt_task_get(const struct tt_task *task, struct tt_shape s, const float *from, float *to) {
    task->model->engine->kernels.nhwc_to_nchw_f32(from, to, s.dim[0], s.dim[1],
                                                  s.dim[2] * s.dim[3]);
}
