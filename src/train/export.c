// SPDX-License-Identifier: MIT
#include "train/export.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/weights.h"

static const char *const metadata[] = {"format", "pt", NULL}; // what transformers looks for

// In the order they are written; the last one is without which the others are no model.
static const char *const weight_files[] = {"text_encoder/model.safetensors",
                                           "unet/diffusion_pytorch_model.safetensors",
                                           "vae/diffusion_pytorch_model.safetensors"};
// The same without the average of training: a variant, as diffusers calls it.
static const char *const raw_files[] = {"text_encoder/model.non_ema.safetensors",
                                        "unet/diffusion_pytorch_model.non_ema.safetensors",
                                        "vae/diffusion_pytorch_model.non_ema.safetensors"};
static const char *const other_files[] = {
    "text_encoder/config.json",       "unet/config.json",
    "vae/config.json",                "scheduler/scheduler_config.json",
    "tokenizer/tokenizer.json",       "tokenizer/vocab.json",
    "tokenizer/merges.txt",           "tokenizer/tokenizer_config.json",
    "tokenizer/added_tokens.json",    "tokenizer/special_tokens_map.json",
    "model_index.json",
};
enum {
    WEIGHT_FILES = sizeof weight_files / sizeof *weight_files,
    OTHER_FILES = sizeof other_files / sizeof *other_files,
};

const char *tt_export_name(size_t i) {
    if (i < WEIGHT_FILES) return weight_files[i];
    i -= WEIGHT_FILES;
    if (i < OTHER_FILES) return other_files[i];
    return i - OTHER_FILES < WEIGHT_FILES ? raw_files[i - OTHER_FILES] : NULL;
}

// What an export writes to: its folder, and the files so far.
struct job {
    const char *path;
    const struct tt_export *with;
    struct tt_file_set *set;
};

// Adds a file to the set, in a folder that is made.
static enum tt_status put(const struct job *job, const char *name, const struct tt_span *spans,
                          size_t count, struct tt_error *err) {
    char to[PATH_MAX], folder[PATH_MAX];
    if (snprintf(to, sizeof to, "%s/%s", job->path, name) >= PATH_MAX)
        return tt_fail(err, TT_BAD_INPUT, "%s/%s: the path is too long", job->path, name);
    strcpy(folder, to);
    *strrchr(folder, '/') = 0;
    enum tt_status status = tt_make_folder(folder, err);
    if (status) return status;
    return tt_file_set_add(job->set, to, spans, count, !strcmp(name, other_files[OTHER_FILES - 1]),
                           err);
}

// ---- files as they are ----

static enum tt_status copy(const struct job *job, const char *name, struct tt_error *err) {
    struct tt_bytes bytes = {0};
    if (!tt_folder_has(job->with->source, name)) return TT_OK;
    enum tt_status status = tt_folder_read(job->with->source, name, &bytes, err);
    if (!status) status = put(job, name, &(struct tt_span){bytes.data, bytes.size}, 1, err);
    tt_bytes_free(&bytes);
    return status;
}

// A configuration file with the keys that are new.
static enum tt_status edit(const struct job *job, const char *name, struct tt_error *err) {
    const struct tt_export *with = job->with;
    struct tt_bytes bytes = {0};
    json_t *root = NULL;
    char *text = NULL;
    enum tt_status status = tt_folder_read(with->source, name, &bytes, err);
    if (!status) status = tt_json_parse(name, bytes.data, bytes.size, &root, err);
    for (size_t i = 0; !status && i < with->key_count; i++) {
        if (strcmp(with->keys[i].file, name)) continue;
        json_t *value = json_loads(with->keys[i].value, JSON_DECODE_ANY, NULL);
        if (json_object_set_new(root, with->keys[i].key, value))
            status = tt_fail(err, TT_SYSTEM, "%s/%s: out of memory", job->path, name);
    }
    if (!status && !(text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9))))
        status = tt_fail(err, TT_SYSTEM, "%s/%s: out of memory", job->path, name);
    if (!status) {
        const struct tt_span spans[] = {{text, strlen(text)}, {"\n", 1}};
        status = put(job, name, spans, 2, err);
    }
    free(text);
    json_decref(root);
    tt_bytes_free(&bytes);
    return status;
}

static enum tt_status write_file(const struct job *job, const char *name, struct tt_error *err) {
    for (size_t i = 0; i < job->with->key_count; i++)
        if (!strcmp(job->with->keys[i].file, name)) return edit(job, name, err);
    return copy(job, name, err);
}

// ---- weights ----

// Rounds what the views show into out and lets them show that.
static enum tt_status round_to_half(const char *to, struct tt_view *views, size_t n, uint16_t *out,
                                    struct tt_error *err) {
    for (size_t i = 0; i < n; i++) {
        const float *x = views[i].data;
        size_t count = tt_shape_count(&views[i].shape);
        for (size_t k = 0; k < count; k++) {
            if (!(fabsf(x[k]) <= TT_HALF_MOST))
                return tt_fail(err, TT_BAD_INPUT, "%s: %s: found %g, expected at most %g: too "
                               "large for float16", to, views[i].name, (double)x[k],
                               (double)TT_HALF_MOST);
            out[k] = tt_half_from_float(x[k]);
        }
        views[i].dtype = TT_F16;
        views[i].data = out;
        views[i].bytes = count * sizeof *out;
        out += count;
    }
    return TT_OK;
}

static enum tt_status put_views(const struct job *job, const char *name,
                                const struct tt_view *views, size_t n, struct tt_error *err) {
    char *text;
    struct tt_span *spans;
    size_t count;
    enum tt_status status =
        tt_safetensors_spans(name, views, n, metadata, &text, &spans, &count, err);
    if (status) return status;
    status = put(job, name, spans, count, err);
    free(text);
    free(spans);
    return status;
}

// data: the values, laid out like params->value.
static enum tt_status write_new(const struct job *job, const char *name,
                                const struct tt_export_part *part, const float *data,
                                struct tt_error *err) {
    size_t n = (size_t)part->params->count, all = 0, rest = 0;
    struct tt_weights *old = NULL;
    enum tt_status status =
        part->partly ? tt_weights_open(job->with->source, part->module, &old, err) : TT_OK;
    if (status) return status;
    size_t room = n + (old ? tt_weights_count(old) : 0);
    struct tt_view *views = malloc((room ? room : 1) * sizeof *views);
    if (!views) {
        tt_weights_close(old);
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    }
    for (size_t i = 0; i < n; i++) {
        views[i] = part->params->values[i];
        views[i].data =
            data + (tt_params_value(part->params, (int)i) - part->params->value);
        all += tt_shape_count(&views[i].shape);
    }
    bool float16 = job->with->float16;
    uint16_t *halves = float16 ? malloc((all ? all : 1) * sizeof *halves) : NULL;
    if (float16 && !halves) status = tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    if (!status && float16) status = round_to_half(name, views, n, halves, err);
    for (size_t i = 0; old && i < tt_weights_count(old); i++)
        if (tt_params_find(part->params, tt_weights_at(old, i)->name) < 0)
            views[n + rest++] = *tt_weights_at(old, i);
    if (!status) status = put_views(job, name, views, n + rest, err);
    free(halves);
    free(views);
    tt_weights_close(old);
    return status;
}

static enum tt_status write_old(const struct job *job, const char *name, const char *module,
                                struct tt_error *err) {
    struct tt_weights *weights = NULL;
    enum tt_status status = tt_weights_open(job->with->source, module, &weights, err);
    if (status) return status;
    size_t n = tt_weights_count(weights);
    struct tt_view *views = malloc((n ? n : 1) * sizeof *views);
    if (!views) status = tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    for (size_t i = 0; views && i < n; i++) views[i] = *tt_weights_at(weights, i);
    if (!status) status = put_views(job, name, views, n, err);
    free(views);
    tt_weights_close(weights);
    return status;
}

// Those of weight_files[file], MODULE/FILE.
static enum tt_status write_weights(const struct job *job, size_t file, struct tt_error *err) {
    const struct tt_export *with = job->with;
    const char *name = weight_files[file];
    char module[64];
    snprintf(module, sizeof module, "%.*s", (int)strcspn(name, "/"), name);
    for (size_t i = 0; i < with->count; i++) {
        const struct tt_export_part *part = &with->parts[i];
        if (strcmp(part->module, module)) continue;
        enum tt_status status = write_new(job, name, part, part->data, err);
        if (!status && part->raw)
            status = write_new(job, raw_files[file], part, part->params->value, err);
        return status;
    }
    return tt_weights_present(with->source, module) ? write_old(job, name, module, err) : TT_OK;
}

enum tt_status tt_export(const char *path, const struct tt_export *with, struct tt_error *err) {
    struct job job = {path, with, NULL};
    enum tt_status status = tt_file_set_new(with->files, &job.set, err);
    for (size_t i = 0; !status && i < WEIGHT_FILES; i++)
        status = write_weights(&job, i, err);
    for (size_t i = 0; !status && i < OTHER_FILES; i++)
        status = write_file(&job, other_files[i], err);
    if (!status) status = tt_file_set_commit(job.set, err);
    tt_file_set_free(job.set);
    return status;
}
