// SPDX-License-Identifier: MIT
#include "train/checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/settings.h"

static const char format[] = "tintype-checkpoint-1";

static char *tensor_name(struct tt_pool *pool, const struct tt_state *state, int i) {
    return tt_pool_format(pool, "%s/%s/%s", state->part, state->what,
                          state->params->values[i].name);
}

// Where parameter i of the state lies.
static float *place(const struct tt_state *state, int i) {
    return state->data + (tt_params_value(state->params, i) - state->params->value);
}

enum tt_status tt_checkpoint_write(const char *path, const struct tt_checkpoint *c,
                                   struct tt_error *err) {
    size_t all = 0, n = 0;
    for (size_t s = 0; s < c->count; s++) all += (size_t)c->states[s].params->count;
    struct tt_view *views = malloc((all ? all : 1) * sizeof *views);
    struct tt_pool pool = {0};
    bool good = views != NULL;
    for (size_t s = 0; good && s < c->count; s++)
        for (int i = 0; good && i < c->states[s].params->count; i++) {
            struct tt_view *view = &views[n++];
            *view = c->states[s].params->values[i];
            view->name = tensor_name(&pool, &c->states[s], i);
            view->data = place(&c->states[s], i);
            good = view->name != NULL;
        }
    char step[24], logged[24], losses[40];
    snprintf(step, sizeof step, "%" PRIu64, c->step);
    snprintf(logged, sizeof logged, "%" PRIu64, c->logged);
    snprintf(losses, sizeof losses, "%a", c->losses);
    const char *const metadata[] = {"format",   format,      "step",   step,
                                    "settings", c->settings, "model",  c->model,
                                    "logged",   logged,      "losses", losses, NULL};
    enum tt_status status = good ? tt_safetensors_write(path, views, n, metadata, err)
                                 : tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    tt_pool_free(&pool);
    free(views);
    return status;
}

static bool read_count(const char *text, uint64_t *count) {
    char *end = NULL;
    *count = strtoull(text, &end, 10);
    return end != text && !*end;
}

// Checkpoints of older programs say nothing of the log: the next line begins at their step.
static enum tt_status read_losses(const char *path, const struct tt_safetensors *file,
                                  struct tt_checkpoint *c, struct tt_error *err) {
    const char *logged = tt_safetensors_metadata(file, "logged");
    const char *losses = tt_safetensors_metadata(file, "losses");
    char *end = NULL;
    c->logged = c->step;
    c->losses = 0;
    if (!logged && !losses) return TT_OK;
    if (!logged || !read_count(logged, &c->logged) || c->logged > c->step)
        return tt_fail(err, TT_BAD_INPUT, "%s: __metadata__.logged: found %s, expected a step up "
                       "to %" PRIu64, path, logged ? logged : "nothing", c->step);
    if (losses) c->losses = strtod(losses, &end);
    if (!losses || end == losses || *end || !isfinite(c->losses))
        return tt_fail(err, TT_BAD_INPUT, "%s: __metadata__.losses: found %s, expected a finite "
                       "number", path, losses ? losses : "nothing");
    return TT_OK;
}

static enum tt_status check_metadata(const char *path, const struct tt_safetensors *file,
                                     const struct tt_train_settings *settings,
                                     struct tt_checkpoint *c, struct tt_error *err) {
    const char *found = tt_safetensors_metadata(file, "format");
    const char *step = tt_safetensors_metadata(file, "step");
    const char *kept = tt_safetensors_metadata(file, "settings");
    const char *model = tt_safetensors_metadata(file, "model");
    if (!found || strcmp(found, format) || !step || !kept || !model)
        return tt_fail(err, TT_BAD_INPUT, "%s: __metadata__.format: found %s, expected %s", path,
                       found ? found : "nothing", format);
    if (!read_count(step, &c->step))
        return tt_fail(err, TT_BAD_INPUT, "%s: __metadata__.step: found '%s', expected a number",
                       path, step);
    if (strcmp(model, c->model))
        return tt_fail(err, TT_BAD_INPUT, "%s: a checkpoint of another configuration: "
                       "__metadata__.model: found %s, expected %s", path, model, c->model);
    enum tt_status status = read_losses(path, file, c, err);
    return status ? status : tt_train_settings_compare(settings, path, kept, err);
}

static enum tt_status find_state(const char *path, const struct tt_safetensors *file,
                                 const struct tt_state *state, bool fill, struct tt_error *err) {
    struct tt_pool pool = {0};
    enum tt_status status = TT_OK;
    for (int i = 0; !status && i < state->params->count; i++) {
        const struct tt_view *wanted = &state->params->values[i];
        char *name = tensor_name(&pool, state, i), a[96], b[96];
        const struct tt_view *view = name ? tt_safetensors_find(file, name) : NULL;
        if (!name)
            status = tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
        else if (!view)
            status = tt_fail(err, TT_BAD_INPUT, "%s: %s: is missing", path, name);
        else if (view->dtype != TT_F32 || !tt_shape_equal(&view->shape, &wanted->shape))
            status = tt_fail(err, TT_BAD_INPUT, "%s: %s: found %s %s, expected F32 %s", path, name,
                             tt_dtype_name(view->dtype), tt_shape_text(&view->shape, a, sizeof a),
                             tt_shape_text(&wanted->shape, b, sizeof b));
        else if (fill)
            memcpy(place(state, i), view->data, view->bytes);
    }
    tt_pool_free(&pool);
    return status;
}

enum tt_status tt_checkpoint_read(const char *path, const struct tt_train_settings *settings,
                                  struct tt_checkpoint *c, struct tt_error *err) {
    struct tt_safetensors *file = NULL;
    enum tt_status status = tt_safetensors_open(path, &file, err);
    if (!status) status = check_metadata(path, file, settings, c, err);
    for (int fill = 0; fill < 2; fill++)
        for (size_t s = 0; !status && s < c->count; s++)
            status = find_state(path, file, &c->states[s], fill, err);
    tt_safetensors_close(file);
    return status;
}
