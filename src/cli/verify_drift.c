// SPDX-License-Identifier: MIT
// A recorded pipeline, drawn again with its settings: how far the latents have drifted after each
// step, and how far the final ones and the picture are.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

struct drawing {
    struct verify *v;
    struct verify_drift *drift;
    struct tt_settings with;
    size_t pipeline, step; // the call that records it as one; steps so far
    struct tt_shape shape; // of the latents of one picture
    enum tt_status status;
};

static size_t find_call(const struct verify *v, const char *name, bool step, size_t which) {
    const struct tt_recorded_call *call;
    for (size_t i = 0; (call = tt_recording_call(v->recording, i)); i++)
        if (!strcmp(call->name, name) && (!step || (call->has_step && call->step == which)))
            return i;
    return SIZE_MAX;
}

static void add(struct drawing *d, const char *name, const struct tt_difference *found, double most,
                json_t *step) {
    bool agrees = found->relative_l2 <= most;
    json_array_append_new(
        d->drift->rows,
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:b}", "name", name, "step", step, "relative_l2",
                  cli_json_real(found->relative_l2), "difference", cli_json_real(found->largest),
                  "limit", cli_json_real(most), "agrees", agrees));
    if (agrees) return;
    if (!d->drift->differ++) d->drift->first = name;
}

// A tensor of ours beside that of a call, in PyTorch's order; none is recorded: nothing.
static enum tt_status compare(struct drawing *d, size_t call, const char *name, const float *ours,
                              const struct tt_shape *shape, const char *as, json_t *step) {
    struct verify *v = d->v;
    struct tt_difference found;
    enum tt_status status = tt_recording_load(v->recording, call, &v->cli->error);
    if (status) return status;
    const struct tt_recorded *r = tt_recording_find(v->recording, call, name);
    if (r && !r->statistics && tt_shape_count(&r->shape) == tt_shape_count(shape)) {
        status = tt_compare(v->cli->engine, ours, shape, TT_LIES_TORCH, r->view, false, &found,
                            &v->cli->error);
        if (!status) add(d, as, &found, v->drift_most, step);
    } else if (r && r->statistics) {
        const char *what;
        status = tt_compare_statistics(v->cli->engine, ours, shape, TT_LIES_TORCH, r, false, &found,
                                       &what, &v->cli->error);
        if (!status) add(d, as, &found, v->drift_most, step);
    } else {
        json_decref(step);
    }
    tt_recording_unload(v->recording, call);
    return status;
}

static int after_step(void *context, const struct tt_progress *progress) {
    struct drawing *d = context;
    size_t step = d->step++, call = find_call(d->v, "scheduler", true, step);
    d->shape = progress->shape;
    if (call != SIZE_MAX)
        d->status = compare(d, call, "prev_sample", progress->latents, &progress->shape,
                            "prev_sample", json_integer((json_int_t)step));
    return d->status;
}

// The first noise, which the seed makes: where it is another one, nothing that follows is alike.
static enum tt_status compare_noise(struct drawing *d) {
    struct tt_rng rng;
    struct tt_shape shape = d->shape;
    float *noise = malloc(tt_shape_count(&shape) * sizeof *noise);
    if (!noise) return tt_fail(&d->v->cli->error, TT_SYSTEM, "out of memory");
    tt_rng_seed(&rng, d->with.seed);
    tt_rng_normal(&rng, noise, tt_shape_count(&shape));
    enum tt_status status =
        compare(d, d->pipeline, "noise", noise, &shape, "noise", json_null());
    free(noise);
    return status;
}

// What the decoder takes of a latent of channel c.
static float unscaled(const struct tt_model_info *info, double latent, size_t c) {
    if (info->latents_mean)
        return (float)(latent * info->latents_std[c] / info->scaling_factor +
                       info->latents_mean[c]);
    return (float)(latent / info->scaling_factor + info->shift_factor);
}

// The decoder's own answer, in [0, 1], not yet rounded to bytes.
static enum tt_status decode(struct drawing *d, const float *latents, struct tt_shape *shape,
                             float **out) {
    struct verify *v = d->v;
    const struct tt_model_info *info = tt_model_info(v->model);
    size_t n = tt_shape_count(&d->shape);
    struct tt_size size = {1, d->shape.dim[2], d->shape.dim[3], 0};
    *shape = (struct tt_shape){4, {1, 3, size.height * info->factor, size.width * info->factor}};
    if (info->unconditional) shape->dim[1] = d->shape.dim[1];
    float *scaled = malloc(n * sizeof *scaled);
    float *image = malloc(tt_shape_count(shape) * sizeof *image);
    enum tt_status status = TT_OK;
    if (!scaled || !image) status = tt_fail(&v->cli->error, TT_SYSTEM, "out of memory");
    for (size_t i = 0; !status && i < n; i++)
        scaled[i] = unscaled(info, latents[i], i / (size.height * size.width) % d->shape.dim[1]);
    if (!status && info->unconditional) memcpy(image, latents, n * sizeof *image);
    else if (!status) status = tt_session_decode(v->session, size, scaled, image, &v->cli->error);
    for (size_t i = 0; !status && i < tt_shape_count(shape); i++)
        image[i] = fminf(fmaxf(image[i] * 0.5f + 0.5f, 0), 1);
    free(scaled);
    *out = image;
    return status;
}

static enum tt_status compare_picture(struct drawing *d, const float *latents) {
    struct tt_shape shape;
    float *image = NULL;
    enum tt_status status = decode(d, latents, &shape, &image);
    if (!status) status = compare(d, d->pipeline, "image", image, &shape, "image", json_null());
    free(image);
    return status;
}

static enum tt_status draw(struct drawing *d) {
    struct verify *v = d->v;
    const struct tt_model_info *info = tt_model_info(v->model);
    enum tt_status status =
        tt_model_size(v->model, &d->with.width, &d->with.height, &v->cli->error);
    if (status) return status;
    d->shape = (struct tt_shape){4, {1, info->latent_channels, d->with.height / info->factor,
                                     d->with.width / info->factor}};
    float *latents = calloc(tt_shape_count(&d->shape), sizeof *latents);
    if (!latents) return tt_fail(&v->cli->error, TT_SYSTEM, "out of memory");
    status = compare_noise(d);
    if (!status) status = tt_generate(v->session, &d->with, latents, NULL, &v->cli->error);
    if (d->status) status = d->status;
    if (!status)
        status = compare(d, d->pipeline, "latents", latents, &d->shape, "latents", json_null());
    if (!status) status = compare_picture(d, latents);
    free(latents);
    return status;
}

void verify_settings(const struct tt_recording_settings *from, struct tt_settings *to) {
    tt_settings_defaults(to, sizeof *to);
    to->prompt = from->prompt;
    to->negative = from->negative;
    to->seed = from->seed;
    if (from->steps) to->steps = from->steps;
    to->width = from->width;
    to->height = from->height;
    to->guidance_scale = from->guidance_scale;
    to->scheduler = from->scheduler;
    to->scheduler_options = from->scheduler_options;
    to->original_width = from->original_width;
    to->original_height = from->original_height;
    to->crop_left = from->crop_left;
    to->crop_top = from->crop_top;
    to->target_width = from->target_width;
    to->target_height = from->target_height;
    to->negative_original_width = from->negative_original_width;
    to->negative_original_height = from->negative_original_height;
    to->negative_crop_left = from->negative_crop_left;
    to->negative_crop_top = from->negative_crop_top;
    to->negative_target_width = from->negative_target_width;
    to->negative_target_height = from->negative_target_height;
}

enum tt_status verify_drift_draw(struct verify *v, struct verify_drift *drift) {
    const struct tt_recording_info *info = tt_recording_info(v->recording);
    struct drawing d = {.v = v, .drift = drift, .pipeline = find_call(v, "pipeline", false, 0)};
    *drift = (struct verify_drift){.drawn = false};
    if (!info->has_settings || d.pipeline == SIZE_MAX) return TT_OK;
    if (!tt_model_has_part(v->model, tt_part_find("unet"))) return TT_OK;
    verify_settings(&info->settings, &d.with);
    if (info->precision != TT_F32 && v->drift_most < 0.5) {
        // What half precision does to a whole run, nothing bounds: it is told, not judged.
        v->drift_most = INFINITY;
    }
    d.with.progress = after_step;
    d.with.context = &d;
    drift->rows = json_array();
    drift->drawn = true;
    return draw(&d);
}

void verify_drift_print(const struct verify *v, const struct verify_drift *drift) {
    size_t i;
    const json_t *row;
    if (!drift->drawn) return;
    printf("the picture drawn again, relative L2");
    if (isinf(v->drift_most)) puts(" (told, not judged: the recording is in half precision):");
    else printf(" (at most %g):\n", v->drift_most);
    json_array_foreach(drift->rows, i, row) {
        const json_t *step = json_object_get(row, "step");
        const json_t *l2 = json_object_get(row, "relative_l2");
        printf("  %s", json_string_value(json_object_get(row, "name")));
        if (json_is_integer(step)) printf(" of step %d", (int)json_integer_value(step));
        if (json_is_null(l2)) fputs(": inf", stdout);
        else printf(": %.3e", json_real_value(l2));
        puts(json_is_true(json_object_get(row, "agrees")) ? "" : "  DIFFERS");
    }
}
