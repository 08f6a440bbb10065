// SPDX-License-Identifier: MIT
// Recording a run: it follows the calls of a session and the steps of the sampling. The folder's
// own files, and what a recording will take, are in recorder_folder.c.
#include "verify/recorder.h"

#include <stdlib.h>
#include <string.h>

#include "base/growth.h"

void tt_recorder_defaults(struct tt_recorder_settings *settings, size_t size) {
    const struct tt_recorder_settings defaults = {.every = 1};
    tt_growth_give(settings, size, &defaults, sizeof defaults);
}

// ---- calls of networks ----

static enum tt_status keep_error(struct tt_recorder *r, enum tt_status status) {
    if (status && !r->error.status) r->error.status = status;
    return status;
}

// The next tensors of the layout while they are reshapes of what a step has made, or was given.
static enum tt_status put_values(struct tt_recorder *r, const struct tt_tape *tape, tt_value root,
                                 const void *data) {
    struct tt_record_call *call = &r->call;
    enum tt_status status = TT_OK;
    while (!status && call->next < call->layout.tensor_count) {
        const struct tt_record_tensor *t = &call->layout.tensors[call->next];
        if (tt_root_of(tape, t->value) != root) break;
        const struct tt_shape *s = &t->shape;
        const float *x = data;
        if (s->rank == 4 && t->dtype == TT_F32) {
            r->session->engine->kernels.nhwc_to_nchw_f32(data, r->values, s->dim[0], s->dim[1],
                                                         s->dim[2] * s->dim[3]);
            x = r->values;
        }
        status = t->dtype == TT_F32 ? tt_record_put(call, x, &r->error)
                                    : tt_record_put_ids(call, data, &r->error);
    }
    return keep_error(r, status);
}

// Before the first step: what the network derives from its inputs, which has been fed by now.
static int before_step(void *context, const struct tt_step *step) {
    struct tt_recorder *r = context;
    const struct tt_tape *tape = step->tape;
    while (!r->error.status && r->call.next < r->call.layout.tensor_count) {
        tt_value value = r->call.layout.tensors[r->call.next].value;
        if (value == TT_NO_VALUE) break;
        tt_value root = tt_root_of(tape, value);
        if (tape->nodes[root].op != TT_OP_input) break;
        put_values(r, tape, root, tt_plan_data(r->network->plan, root));
    }
    return r->error.status != TT_OK;
}

static void after_step(void *context, const struct tt_step *step) {
    struct tt_recorder *r = context;
    if (!r->error.status) put_values(r, step->tape, step->output, step->y);
}

// In PyTorch's order, as they are given.
static enum tt_status put_inputs(struct tt_recorder *r, const struct tt_arrays *arrays) {
    const struct tt_network *network = r->network;
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && network->of->inputs[i].name; i++) {
        if (network->inputs[i] == TT_NO_VALUE) continue;
        const struct tt_record_tensor *t = &r->call.layout.tensors[r->call.next];
        void *zeros = arrays->in[i] ? NULL : calloc(t->count, sizeof(float));
        const void *data = zeros ? zeros : arrays->in[i];
        if (!data) status = tt_fail(&r->error, TT_SYSTEM, "out of memory for a recording");
        else if (t->dtype == TT_F32) status = tt_record_put(&r->call, data, &r->error);
        else status = tt_record_put_ids(&r->call, data, &r->error);
        free(zeros);
    }
    return keep_error(r, status);
}

// Room to turn the largest picture around in.
static enum tt_status make_room(struct tt_recorder *r) {
    size_t most = 1;
    for (int i = 0; i < r->call.layout.tensor_count; i++) {
        const struct tt_record_tensor *t = &r->call.layout.tensors[i];
        if (t->shape.rank == 4 && t->value != TT_NO_VALUE && t->count > most) most = t->count;
    }
    r->values = malloc(most * sizeof *r->values);
    return r->values ? TT_OK : tt_fail(&r->error, TT_SYSTEM, "out of memory for a recording");
}

static enum tt_status begin_call(void *context, int part, const struct tt_network *network,
                                 const struct tt_arrays *arrays, struct tt_error *err) {
    struct tt_recorder *r = context;
    struct tt_recorded_call told = {.part = part, .name = tt_part_recorded((enum tt_part)part),
                                    .call = r->part_calls[part]++,
                                    .has_step = part == TT_PART_UNET, .step = r->step};
    bool wanted = part != TT_PART_UNET || r->step % r->settings.every == 0;
    r->network = network;
    r->observing = false;
    if (!wanted) return TT_OK;
    r->call.layout = (struct tt_record_layout){.statistics = r->settings.statistics};
    enum tt_status status =
        tt_record_network(&r->call.layout, network, r->has_regex ? &r->regex : NULL, err);
    if (!status) status = tt_recorder_claim(r, &told, err);
    if (status || !r->claimed) {
        tt_record_layout_free(&r->call.layout);
        return status;
    }
    status = tt_record_begin(&r->call, &r->error);
    if (!status) status = make_room(r);
    if (!status) status = put_inputs(r, arrays);
    if (status) {
        tt_record_end(&r->call, false, NULL);
        free(r->values);
        r->values = NULL;
        return tt_fail(err, status, "%s", r->error.message);
    }
    r->observing = true;
    r->observers = r->session->observers;
    r->observer_count = r->session->observer_count;
    tt_session_observe(r->session, &r->observer, 1);
    return TT_OK;
}

// The decoder's picture is the pipeline's, from about [-1, 1] to [0, 1].
static enum tt_status keep_image(struct tt_recorder *r, const float *image, struct tt_error *err) {
    size_t n = tt_shape_count(&r->image_shape);
    if (!r->image) r->image = malloc(n * sizeof *r->image);
    if (!r->image) return tt_fail(err, TT_SYSTEM, "out of memory for a picture");
    for (size_t i = 0; i < n; i++) {
        float v = image[i] * 0.5f + 0.5f;
        r->image[i] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
    return TT_OK;
}

static enum tt_status end_call(void *context, enum tt_status status,
                               const struct tt_arrays *arrays, struct tt_error *err) {
    struct tt_recorder *r = context;
    if (r->observing) {
        tt_session_observe(r->session, r->observers, r->observer_count);
        enum tt_status ended = tt_record_end(&r->call, !status, &r->error);
        free(r->values);
        r->values = NULL;
        r->observing = false;
        if (!status && ended) status = ended;
    }
    // Its own error is why the run was stopped.
    if (status && r->error.status && err) *err = r->error;
    if (status) return r->error.status ? r->error.status : status;
    bool decoder = r->network->of == r->session->model->parts[TT_PART_VAE_DECODE].network;
    return decoder && arrays->out[0] ? keep_image(r, arrays->out[0], err) : TT_OK;
}

// ---- steps of the sampling ----

static bool same_state(const struct tt_rng *a, const struct tt_rng *b) {
    return a->next == b->next && a->has_spare == b->has_spare &&
           (!a->has_spare || a->spare == b->spare) && !memcmp(a->state, b->state, sizeof a->state);
}

// How often the step has drawn noise, and the generator as it was before.
enum { DRAWS = 8 };
static size_t count_draws(struct tt_recorder *r, const struct tt_rng *after) {
    struct tt_rng at = r->rng;
    size_t n = tt_shape_count(&r->latent_shape);
    for (size_t draws = 0; draws <= DRAWS; draws++) {
        if (same_state(&at, after)) return draws;
        tt_rng_normal(&at, r->noise, n);
    }
    return 0;
}

static enum tt_status put_step(struct tt_recorder *r, const struct tt_progress *seen,
                               size_t draws) {
    struct tt_error *err = &r->error;
    size_t n = tt_shape_count(&r->latent_shape);
    enum tt_status status = tt_record_begin(&r->call, err);
    if (!status) status = tt_record_put(&r->call, r->sample, err);
    if (!status) status = tt_record_put(&r->call, seen->prediction, err);
    if (!status) status = tt_record_put(&r->call, &seen->timestep, err);
    for (size_t i = 0; !status && i < draws; i++) {
        tt_rng_normal(&r->rng, r->noise, n);
        status = tt_record_put(&r->call, r->noise, err);
    }
    if (!status) status = tt_record_put(&r->call, seen->latents, err);
    if (!status) return tt_record_end(&r->call, true, err);
    tt_record_end(&r->call, false, NULL);
    return status;
}

static enum tt_status record_step(struct tt_recorder *r, const struct tt_progress *seen) {
    struct tt_recorded_call told = {.part = -1, .name = "scheduler", .call = r->step,
                                    .has_step = true, .step = r->step};
    size_t draws = count_draws(r, seen->rng);
    tt_recorder_scheduler_layout(r, &r->call.layout, draws);
    enum tt_status status = r->call.layout.error.status
                                ? tt_fail(&r->error, TT_SYSTEM, "out of memory for a recording")
                                : tt_recorder_claim(r, &told, &r->error);
    if (status || !r->claimed) tt_record_layout_free(&r->call.layout);
    return status || !r->claimed ? status : put_step(r, seen, draws);
}

// What a step begins with is what the one before has left; the first, noise.
static void begin_sampling(struct tt_recorder *r, const struct tt_scheduler *scheduler) {
    size_t n = tt_shape_count(&r->latent_shape);
    float sigma = tt_scheduler_init_noise_sigma(scheduler);
    tt_rng_seed(&r->rng, r->run.seed);
    tt_rng_normal(&r->rng, r->first, n);
    for (size_t i = 0; i < n; i++) r->sample[i] = r->first[i] * sigma;
}

static int see_step(void *context, const struct tt_progress *seen) {
    struct tt_recorder *r = context;
    if (r->step == 0) begin_sampling(r, seen->scheduler);
    if (r->step % r->settings.every == 0 && keep_error(r, record_step(r, seen))) return 1;
    memcpy(r->sample, seen->latents, tt_shape_count(&r->latent_shape) * sizeof *r->sample);
    r->rng = *seen->rng;
    r->step++;
    return r->run.progress ? r->run.progress(r->run.context, seen) : 0;
}

static int see_picture(void *context, size_t picture, const float *latents) {
    struct tt_recorder *r = context;
    return r->run.finished ? r->run.finished(r->run.context, picture, latents) : 0;
}

// ---- the run ----

static enum tt_status record_pipeline(struct tt_recorder *r, struct tt_error *err) {
    struct tt_recorded_call told = {.part = -1, .name = "pipeline"};
    if (r->session->model->unconditional) { // the latents are the picture
        enum tt_status status = keep_image(r, r->sample, err);
        if (status) return status;
    }
    tt_recorder_pipeline_layout(r, &r->call.layout);
    enum tt_status status =
        r->call.layout.error.status ? tt_fail(err, TT_SYSTEM, "out of memory for a recording")
                                    : tt_recorder_claim(r, &told, err);
    if (status || !r->claimed) {
        tt_record_layout_free(&r->call.layout);
        return status;
    }
    status = tt_record_begin(&r->call, err);
    if (!status) status = tt_record_put(&r->call, r->first, err);
    if (!status) status = tt_record_put(&r->call, r->sample, err);
    if (!status) status = tt_record_put(&r->call, r->image, err);
    if (!status) return tt_record_end(&r->call, true, err);
    tt_record_end(&r->call, false, NULL);
    return status;
}

enum tt_status tt_recorder_run(struct tt_recorder *r, struct tt_error *err) {
    struct tt_settings run = r->run;
    struct tt_image image = {0};
    run.progress = see_step;
    run.finished = see_picture;
    run.context = r;
    r->follower = (struct tt_follower){r, begin_call, end_call};
    r->observer = (struct tt_observer){r, before_step, after_step};
    enum tt_status status = tt_recorder_begin_folder(r, err);
    if (status) return status;
    r->session->follower = &r->follower;
    status = tt_generate(r->session, &run, NULL, &image, err);
    r->session->follower = NULL;
    tt_image_free(&image);
    if (status && r->error.status && err) *err = r->error;
    if (status) return r->error.status ? r->error.status : status;
    status = record_pipeline(r, err);
    return status ? status : tt_recorder_end_folder(r, err);
}
