// SPDX-License-Identifier: MIT
#include "train/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "io/digest.h"
#include "io/json.h"

static const char format[] = "tintype-checkpoint-1";

static char *tensor_name(struct tt_pool *pool, const struct tt_state *state, int i) {
    return tt_pool_format(pool, "%s/%s/%s", state->part, state->what,
                          state->params->values[i].name);
}

// Where parameter i of the state lies.
static float *place(const struct tt_state *state, int i) {
    return state->data + (tt_params_value(state->params, i) - state->params->value);
}

enum { RUN = 7, DIGEST, PAIRS }; // of metadata; files of tintype 0.1 have none from "frozen" on

static const char *const keys[PAIRS] = {"format", "step",   "settings", "model", "logged",
                                        "losses", "frozen", "run",      "digest"};

static const char pictures_name[] = "pictures"; // of the tensor that the list of them is

// The views of all states, in their order, and room for one; names live in the pool. NULL without
// memory.
static struct tt_view *list(const struct tt_checkpoint *c, struct tt_pool *pool, size_t *count) {
    size_t all = 0;
    for (size_t s = 0; s < c->count; s++) all += (size_t)c->states[s].params->count;
    struct tt_view *views = malloc((all + 1) * sizeof *views);
    *count = 0;
    for (size_t s = 0; views && s < c->count; s++)
        for (int i = 0; i < c->states[s].params->count; i++) {
            struct tt_view *view = &views[(*count)++];
            *view = c->states[s].params->values[i];
            view->name = tensor_name(pool, &c->states[s], i);
            view->data = place(&c->states[s], i);
            if (view->name) continue;
            free(views);
            return NULL;
        }
    return views;
}

// Of the tensors, and of what else stands in the file.
static enum tt_status digest(const struct tt_view *views, size_t count,
                             const char *const values[PAIRS], int threads,
                             char text[TT_DIGEST_SIZE], struct tt_error *err) {
    char *all = NULL, tensors[TT_DIGEST_SIZE];
    enum tt_status status = tt_views_digest(views, count, threads, tensors, err);
    if (status) return status;
    int length = asprintf(&all, "%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s%s%s\n", values[0], values[1],
                          values[2], values[3], values[4], values[5], values[6],
                          values[RUN] ? values[RUN] : "", values[RUN] ? "\n" : "", tensors);
    if (length < 0) return tt_fail(err, TT_SYSTEM, "out of memory for a digest");
    tt_bytes_digest(all, (size_t)length, text);
    free(all);
    return TT_OK;
}

enum tt_status tt_checkpoint_write(struct tt_files *files, const char *path,
                                   const struct tt_checkpoint *c, struct tt_error *err) {
    struct tt_pool pool = {0};
    size_t n;
    struct tt_view *views = list(c, &pool, &n);
    char step[24], logged[24], losses[40], sum[TT_DIGEST_SIZE], of[TT_DIGEST_SIZE], run[340];
    tt_bytes_digest(c->pictures.bytes, c->pictures.size, of);
    snprintf(run, sizeof run, "{\"order\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "],"
             "\"changes\":[%" PRIu64 ",%" PRIu64 "],\"pictures\":\"%s\"}", c->order.step,
             c->order.batches, c->order.position, c->order.epoch, c->changed, c->changes, of);
    snprintf(step, sizeof step, "%" PRIu64, c->step);
    snprintf(logged, sizeof logged, "%" PRIu64, c->logged);
    snprintf(losses, sizeof losses, "%a", c->losses);
    const char *const values[PAIRS] = {format, step,   c->settings, c->model,
                                       logged, losses, c->frozen,   run, sum};
    const char *metadata[2 * PAIRS + 1] = {NULL};
    for (int i = 0; i < PAIRS; i++) {
        metadata[2 * i] = keys[i];
        metadata[2 * i + 1] = values[i];
    }
    enum tt_status status = views ? digest(views, n, values, c->threads, sum, err)
                                  : tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    if (views)
        views[n++] = (struct tt_view){.name = pictures_name, .dtype = TT_U8,
                                      .shape = {1, {c->pictures.size}}, .data = c->pictures.bytes,
                                      .bytes = c->pictures.size};
    if (!status) status = tt_safetensors_write(files, path, views, n, metadata, err);
    tt_pool_free(&pool);
    free(views);
    return status;
}

// Steps beyond this are none that anybody has done.
static const uint64_t MOST_STEPS = UINT64_C(1) << 53;

static bool read_count(const char *text, uint64_t *count) {
    char *end = NULL;
    errno = 0;
    *count = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno && *count <= MOST_STEPS;
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

// Networks that do not learn are part of what a run is.
static enum tt_status compare_frozen(const char *path, const struct tt_safetensors *file,
                                     const struct tt_checkpoint *c,
                                     const struct tt_changes *changes, struct tt_error *err) {
    const char *text = tt_safetensors_metadata(file, "frozen"), *key;
    json_t *then = NULL, *now = NULL, *value;
    if (!text) return TT_OK; // of tintype 0.1
    enum tt_status status = tt_json_parse(path, text, strlen(text), &then, err);
    if (!status) status = tt_json_parse(path, c->frozen, strlen(c->frozen), &now, err);
    if (!status) json_object_foreach(now, key, value) {
            const char *found = json_string_value(json_object_get(then, key));
            if (!found && !json_object_get(then, "model_index.json")) continue; // an older list
            if (status || (found && !strcmp(found, json_string_value(value)))) continue;
            status = tt_fail(err, TT_BAD_INPUT, "%s: made beside another %s, which does not learn: "
                             "__metadata__.frozen: found %.12s, expected %.12s as it is now%s",
                             path, key, found ? found : "none", json_string_value(value),
                             changes->allowed ? ", which --change cannot change" : "");
        }
    json_decref(then);
    json_decref(now);
    return status;
}

// Checkpoints from before there were changes begin their order at 0.
static enum tt_status read_run(const char *path, const struct tt_safetensors *file,
                               struct tt_checkpoint *c, struct tt_error *err) {
    const char *text = tt_safetensors_metadata(file, keys[RUN]), *sum;
    json_int_t n[6];
    json_t *run = NULL;
    c->order.step = c->order.batches = c->order.position = 0;
    c->changed = c->changes = 0;
    if (!text) return TT_OK;
    enum tt_status status = tt_json_parse(path, text, strlen(text), &run, err);
    if (status) return status;
    bool good = !json_unpack(run, "{s:[I,I,I,I],s:[I,I],s:s}", "order", &n[0], &n[1], &n[2], &n[3],
                             "changes", &n[4], &n[5], "pictures", &sum);
    json_decref(run);
    for (int i = 0; good && i < 6; i++) good = n[i] >= 0 && (uint64_t)n[i] <= MOST_STEPS;
    if (!good || (uint64_t)n[0] > c->step || !n[3] || (uint64_t)n[4] > c->step)
        return tt_fail(err, TT_BAD_INPUT, "%s: __metadata__.run: found %s, expected the order up "
                       "to step %" PRIu64, path, text, c->step);
    c->order = (struct tt_order){(uint64_t)n[0], (uint64_t)n[1], (uint64_t)n[2], (uint64_t)n[3]};
    c->changed = (uint64_t)n[4];
    c->changes = (uint64_t)n[5];
    return TT_OK;
}

// "networks ..., pictures ...": the first half.
static size_t length_of_networks(const char *model) {
    const char *end = strchr(model, ',');
    return end ? (size_t)(end - model) : strlen(model);
}

static enum tt_status check_metadata(const char *path, const struct tt_safetensors *file,
                                     const struct tt_train_settings *settings,
                                     struct tt_checkpoint *c, struct tt_changes *changes,
                                     struct tt_error *err) {
    const char *found = tt_safetensors_metadata(file, "format");
    const char *step = tt_safetensors_metadata(file, "step");
    const char *kept = tt_safetensors_metadata(file, "settings");
    const char *model = tt_safetensors_metadata(file, "model");
    if (!found || strcmp(found, format) || !step || !kept || !model)
        return tt_fail(err, TT_BAD_INPUT, "%s: __metadata__.format: found %s, expected %s", path,
                       found ? found : "nothing", format);
    if (!read_count(step, &c->step))
        return tt_fail(err, TT_BAD_INPUT, "%s: __metadata__.step: found '%s', expected a number of "
                       "steps", path, step);
    enum tt_status status = read_losses(path, file, c, err);
    if (!status) status = read_run(path, file, c, err);
    if (!status) status = tt_changes_settings(changes, settings, kept, err);
    if (status) return status;
    size_t networks = length_of_networks(c->model);
    if (networks != length_of_networks(model) || strncmp(model, c->model, networks) != 0)
        return tt_fail(err, TT_BAD_INPUT, "%s: a checkpoint of another configuration: "
                       "__metadata__.model: found %s, expected %s: other networks learn%s", path,
                       model, c->model, changes->allowed ? ", which --change cannot change" : "");
    return compare_frozen(path, file, c, changes, err);
}

// The tensor in the file of each view, which has the shape that is wanted.
static enum tt_status find_all(const char *path, const struct tt_safetensors *file,
                               const struct tt_view *wanted, size_t count, struct tt_view *found,
                               struct tt_error *err) {
    for (size_t i = 0; i < count; i++) {
        const char *name = wanted[i].name;
        const struct tt_view *view = tt_safetensors_find(file, name);
        char a[96], b[96];
        if (!view) return tt_fail(err, TT_BAD_INPUT, "%s: %s: is missing", path, name);
        if (view->dtype != TT_F32 || !tt_shape_equal(&view->shape, &wanted[i].shape))
            return tt_fail(err, TT_BAD_INPUT, "%s: %s: found %s %s, expected F32 %s", path, name,
                           tt_dtype_name(view->dtype), tt_shape_text(&view->shape, a, sizeof a),
                           tt_shape_text(&wanted[i].shape, b, sizeof b));
        found[i] = *view;
    }
    return TT_OK;
}

static enum tt_status check_digest(const char *path, const struct tt_safetensors *file,
                                   const struct tt_view *views, size_t count, int threads,
                                   bool *unchecked, struct tt_error *err) {
    const char *values[PAIRS];
    char sum[TT_DIGEST_SIZE];
    for (int i = 0; i < PAIRS; i++) values[i] = tt_safetensors_metadata(file, keys[i]);
    *unchecked = !values[DIGEST] && !values[RUN - 1]; // tintype 0.1 wrote neither
    for (int i = 0; i < PAIRS && !*unchecked; i++)
        if (!values[i] && i != RUN)
            return tt_fail(err, TT_BAD_INPUT, "%s: __metadata__.%s: found nothing, expected what "
                           "training wrote", path, keys[i]);
    if (*unchecked) return TT_OK;
    enum tt_status status = digest(views, count, values, threads, sum, err);
    bool same = status || !strcmp(sum, values[DIGEST]);
    const struct tt_view *pictures = tt_safetensors_find(file, pictures_name);
    if (same && values[RUN]) { // of which the digest knows the list's
        if (pictures) tt_bytes_digest(pictures->data, pictures->bytes, sum);
        same = pictures && strstr(values[RUN], sum);
    }
    if (status || same) return status;
    return tt_fail(err, TT_BAD_INPUT, "%s: is damaged: its digest is %.12s, expected %.12s as it "
                   "was written", path, sum, values[DIGEST]);
}

// Every picture and caption that is another, where the file tells of them.
static enum tt_status compare_pictures(const char *path, const struct tt_safetensors *file,
                                       const struct tt_checkpoint *c, struct tt_changes *changes,
                                       struct tt_error *err) {
    const char *then = tt_safetensors_metadata(file, "model"), *now = c->model;
    const struct tt_view *view = tt_safetensors_find(file, pictures_name);
    struct tt_changes own = {0}, *list = changes->allowed ? changes : &own;
    if (!strcmp(then, now)) return TT_OK;
    size_t before = tt_changes_count(changes);
    enum tt_status status = changes->allowed ? TT_OK : tt_changes_begin(&own, true, path, err);
    bool told = tt_safetensors_metadata(file, keys[RUN]) && view && view->dtype == TT_U8;
    if (!status && told)
        status = tt_manifest_compare(&c->pictures, &(struct tt_manifest){(char *)view->data,
                                                                          view->bytes}, list, err);
    if (!status && (!told || (!tt_changes_count(list) && !before))) {
        list->other = true;
        status = tt_changes_add(list, "data", NULL, json_string(now), json_string(then), err);
    }
    if (!status && !changes->allowed) { // rather one of the pictures than how many there are
        char *one = tt_changes_sentence(list, tt_changes_count(list) > 1 ? 1 : 0);
        status = tt_fail(err, TT_BAD_INPUT, "%s: a checkpoint of another configuration: the "
                         "pictures or captions are others: %s; --change goes on with them",
                         path, one ? one : "out of memory");
        free(one);
    }
    tt_changes_free(&own);
    return status;
}

static enum tt_status check_finite(const char *path, const struct tt_view *views, size_t count,
                                   struct tt_error *err) {
    for (size_t i = 0; i < count; i++) {
        size_t first, n = tt_shape_count(&views[i].shape);
        if (tt_all_finite(views[i].data, n)) continue;
        tt_count_not_finite(views[i].data, n, &first);
        return tt_fail(err, TT_BAD_INPUT, "%s: %s: found %g at element %zu, expected finite "
                       "numbers", path, views[i].name,
                       (double)((const float *)views[i].data)[first], first);
    }
    return TT_OK;
}

enum tt_status tt_checkpoint_read(const char *path, const struct tt_train_settings *settings,
                                  struct tt_checkpoint *c, struct tt_changes *changes,
                                  bool *unchecked, struct tt_error *err) {
    struct tt_safetensors *file = NULL;
    struct tt_pool pool = {0};
    size_t n = 0;
    struct tt_view *wanted = list(c, &pool, &n), *found = malloc((n + 1) * sizeof *found);
    enum tt_status status = wanted && found ? tt_safetensors_open(NULL, path, &file, err)
                                            : tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    if (!status) status = check_metadata(path, file, settings, c, changes, err);
    if (!status) status = find_all(path, file, wanted, n, found, err);
    if (!status) status = check_digest(path, file, found, n, c->threads, unchecked, err);
    if (!status) status = check_finite(path, found, n, err);
    if (!status) status = compare_pictures(path, file, c, changes, err);
    for (size_t i = 0; !status && i < n; i++)
        memcpy((void *)wanted[i].data, found[i].data, found[i].bytes);
    tt_safetensors_close(file);
    tt_pool_free(&pool);
    free(wanted);
    free(found);
    return status;
}
