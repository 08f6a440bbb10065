// SPDX-License-Identifier: MIT
#include "train/export.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/half.h"
#include "io/json.h"
#include "io/weights.h"

static const char *const metadata[] = {"format", "pt", NULL}; // what transformers looks for

enum tt_status tt_make_folder(const char *path, struct tt_error *err) {
    char part[PATH_MAX];
    size_t length = strlen(path);
    struct stat info;
    if (length >= sizeof part) return tt_fail(err, TT_BAD_INPUT, "%s: the path is too long", path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i]) continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0777) && errno != EEXIST)
            return tt_fail(err, TT_BAD_INPUT, "%s: no folder can be made: %s", part,
                           strerror(errno));
    }
    if (stat(path, &info) || !S_ISDIR(info.st_mode))
        return tt_fail(err, TT_BAD_INPUT, "%s: found a file, expected a folder", path);
    return TT_OK;
}

// The path of a file that is to be written, and its folder made.
static enum tt_status place(char out[PATH_MAX], const char *path, const char *name,
                            struct tt_error *err) {
    char folder[PATH_MAX];
    if (snprintf(out, PATH_MAX, "%s/%s", path, name) >= PATH_MAX)
        return tt_fail(err, TT_BAD_INPUT, "%s/%s: the path is too long", path, name);
    memcpy(folder, out, strlen(out) + 1);
    *strrchr(folder, '/') = 0;
    return tt_make_folder(folder, err);
}

// ---- files as they are ----

static enum tt_status copy(const char *path, const struct tt_export *with, const char *name,
                           struct tt_error *err) {
    struct tt_bytes bytes = {0};
    char to[PATH_MAX];
    if (!tt_folder_has(with->source, name)) return TT_OK;
    enum tt_status status = place(to, path, name, err);
    if (!status) status = tt_folder_read(with->source, name, &bytes, err);
    if (!status) status = tt_file_write(to, &(struct tt_span){bytes.data, bytes.size}, 1, err);
    tt_bytes_free(&bytes);
    return status;
}

// A configuration file with the keys that are new.
static enum tt_status edit(const char *path, const struct tt_export *with, const char *name,
                           struct tt_error *err) {
    struct tt_bytes bytes = {0};
    json_t *root = NULL;
    char *text = NULL, to[PATH_MAX];
    enum tt_status status = place(to, path, name, err);
    if (!status) status = tt_folder_read(with->source, name, &bytes, err);
    if (!status) status = tt_json_parse(name, bytes.data, bytes.size, &root, err);
    for (size_t i = 0; !status && i < with->key_count; i++) {
        if (strcmp(with->keys[i].file, name)) continue;
        json_t *value = json_loads(with->keys[i].value, JSON_DECODE_ANY, NULL);
        if (json_object_set_new(root, with->keys[i].key, value))
            status = tt_fail(err, TT_SYSTEM, "%s: out of memory", to);
    }
    if (!status && !(text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9))))
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory", to);
    if (!status) {
        const struct tt_span spans[] = {{text, strlen(text)}, {"\n", 1}};
        status = tt_file_write(to, spans, 2, err);
    }
    free(text);
    json_decref(root);
    tt_bytes_free(&bytes);
    return status;
}

static enum tt_status write_file(const char *path, const struct tt_export *with, const char *name,
                                 struct tt_error *err) {
    for (size_t i = 0; i < with->key_count; i++)
        if (!strcmp(with->keys[i].file, name)) return edit(path, with, name, err);
    return copy(path, with, name, err);
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

static enum tt_status write_new(const char *to, const struct tt_export_part *part, bool float16,
                                struct tt_error *err) {
    size_t n = (size_t)part->params->count, all = 0;
    struct tt_view *views = malloc((n ? n : 1) * sizeof *views);
    if (!views) return tt_fail(err, TT_SYSTEM, "%s: out of memory", to);
    for (size_t i = 0; i < n; i++) {
        views[i] = part->params->values[i];
        views[i].data =
            part->data + (tt_params_value(part->params, (int)i) - part->params->value);
        all += tt_shape_count(&views[i].shape);
    }
    uint16_t *halves = float16 ? malloc((all ? all : 1) * sizeof *halves) : NULL;
    enum tt_status status = TT_OK;
    if (float16 && !halves) status = tt_fail(err, TT_SYSTEM, "%s: out of memory", to);
    if (!status && float16) status = round_to_half(to, views, n, halves, err);
    if (!status) status = tt_safetensors_write(to, views, n, metadata, err);
    free(halves);
    free(views);
    return status;
}

static enum tt_status write_old(const char *to, const struct tt_folder *source, const char *module,
                                struct tt_error *err) {
    struct tt_weights *weights = NULL;
    enum tt_status status = tt_weights_open(source, module, &weights, err);
    if (status) return status;
    size_t n = tt_weights_count(weights);
    struct tt_view *views = malloc((n ? n : 1) * sizeof *views);
    if (!views) status = tt_fail(err, TT_SYSTEM, "%s: out of memory", to);
    for (size_t i = 0; views && i < n; i++) views[i] = *tt_weights_at(weights, i);
    if (!status) status = tt_safetensors_write(to, views, n, metadata, err);
    free(views);
    tt_weights_close(weights);
    return status;
}

static enum tt_status write_weights(const char *path, const struct tt_export *with,
                                    const char *module, struct tt_error *err) {
    char name[64], to[PATH_MAX];
    const char *file = strcmp(module, "text_encoder") ? "diffusion_pytorch_model" : "model";
    snprintf(name, sizeof name, "%s/%s.safetensors", module, file);
    const struct tt_export_part *part = NULL;
    for (size_t i = 0; i < with->count; i++)
        if (!strcmp(with->parts[i].module, module)) part = &with->parts[i];
    if (!part && !tt_weights_present(with->source, module)) return TT_OK;
    enum tt_status status = place(to, path, name, err);
    if (!status && part) return write_new(to, part, with->float16, err);
    return status ? status : write_old(to, with->source, module, err);
}

enum tt_status tt_export(const char *path, const struct tt_export *with, struct tt_error *err) {
    static const char *const modules[] = {"text_encoder", "unet", "vae"};
    static const char *const files[] = {
        "text_encoder/config.json",       "unet/config.json",
        "vae/config.json",                "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json",       "tokenizer/vocab.json",
        "tokenizer/merges.txt",           "tokenizer/tokenizer_config.json",
        "tokenizer/added_tokens.json",    "tokenizer/special_tokens_map.json",
    };
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < sizeof modules / sizeof *modules; i++)
        status = write_weights(path, with, modules[i], err);
    for (size_t i = 0; !status && i < sizeof files / sizeof *files; i++)
        status = write_file(path, with, files[i], err);
    return status ? status : copy(path, with, "model_index.json", err);
}
