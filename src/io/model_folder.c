// SPDX-License-Identifier: MIT
#include "io/model_folder.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/safetensors.h"
#include "io/weights.h"

static const char *const metadata[] = {"format", "pt", NULL}; // what transformers looks for

static const char *const modules[] = {"text_encoder", "unet", "vae"};
static const char *const weight_files[] = {"text_encoder/model.safetensors",
                                           "unet/diffusion_pytorch_model.safetensors",
                                           "vae/diffusion_pytorch_model.safetensors"};
// The variant that training writes, without the average.
static const char *const raw_files[] = {"text_encoder/model.non_ema.safetensors",
                                        "unet/diffusion_pytorch_model.non_ema.safetensors",
                                        "vae/diffusion_pytorch_model.non_ema.safetensors"};
// The last one is without which the others are no model.
static const char *const other_files[] = {
    "text_encoder/config.json",       "unet/config.json",
    "vae/config.json",                "scheduler/scheduler_config.json",
    "tokenizer/tokenizer.json",       "tokenizer/vocab.json",
    "tokenizer/merges.txt",           "tokenizer/tokenizer_config.json",
    "tokenizer/added_tokens.json",    "tokenizer/special_tokens_map.json",
    "model_index.json",
};
enum {
    MODULES = sizeof modules / sizeof *modules,
    OTHER_FILES = sizeof other_files / sizeof *other_files,
};

struct tt_model_folder {
    const char *path;
    const struct tt_folder *source;
    struct tt_file_set *set;
    bool given[MODULES];
};

const char *tt_model_folder_name(size_t i) {
    if (i < MODULES) return weight_files[i];
    i -= MODULES;
    if (i < OTHER_FILES) return other_files[i];
    return i - OTHER_FILES < MODULES ? raw_files[i - OTHER_FILES] : NULL;
}

enum tt_status tt_model_folder_begin(const char *path, const struct tt_folder *source,
                                     struct tt_files *files, struct tt_model_folder **out,
                                     struct tt_error *err) {
    struct tt_model_folder *folder = calloc(1, sizeof *folder);
    if (!folder) return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    folder->path = path;
    folder->source = source;
    enum tt_status status = tt_file_set_new(files, &folder->set, err);
    if (status) free(folder);
    else *out = folder;
    return status;
}

void tt_model_folder_free(struct tt_model_folder *out) {
    if (!out) return;
    tt_file_set_free(out->set);
    free(out);
}

// Adds a file to the set, in a folder that is made.
static enum tt_status put(struct tt_model_folder *out, const char *name,
                          const struct tt_span *spans, size_t count, struct tt_error *err) {
    char to[PATH_MAX], folder[PATH_MAX];
    if (snprintf(to, sizeof to, "%s/%s", out->path, name) >= PATH_MAX)
        return tt_fail(err, TT_BAD_INPUT, "%s/%s: the path is too long", out->path, name);
    strcpy(folder, to);
    *strrchr(folder, '/') = 0;
    enum tt_status status = tt_make_folder(folder, err);
    if (status) return status;
    return tt_file_set_add(out->set, to, spans, count, !strcmp(name, other_files[OTHER_FILES - 1]),
                           err);
}

// ---- weights ----

static enum tt_status put_views(struct tt_model_folder *out, const char *name,
                                const struct tt_view *views, size_t n, struct tt_error *err) {
    char *text;
    struct tt_span *spans;
    size_t count;
    enum tt_status status =
        tt_safetensors_spans(name, views, n, metadata, &text, &spans, &count, err);
    if (status) return status;
    status = put(out, name, spans, count, err);
    free(text);
    free(spans);
    return status;
}

enum tt_status tt_model_folder_weights(struct tt_model_folder *out, const char *module,
                                       const char *variant, const struct tt_view *views,
                                       size_t count, struct tt_error *err) {
    char name[128];
    size_t i = 0;
    while (i < MODULES && strcmp(modules[i], module)) i++;
    if (i == MODULES)
        return tt_fail(err, TT_BAD_INPUT, "%s: found weights of %s, expected text_encoder, unet or "
                       "vae", out->path, module);
    int stem = (int)(strrchr(weight_files[i], '.') - weight_files[i]);
    if (variant) snprintf(name, sizeof name, "%.*s.%s.safetensors", stem, weight_files[i], variant);
    else out->given[i] = true;
    return put_views(out, variant ? name : weight_files[i], views, count, err);
}

static enum tt_status copy_weights(struct tt_model_folder *out, size_t i, struct tt_error *err) {
    struct tt_weights *weights = NULL;
    enum tt_status status = tt_weights_open(out->source, modules[i], &weights, err);
    if (status) return status;
    size_t n = tt_weights_count(weights);
    struct tt_view *views = malloc((n ? n : 1) * sizeof *views);
    if (!views) status = tt_fail(err, TT_SYSTEM, "%s: out of memory", weight_files[i]);
    for (size_t k = 0; views && k < n; k++) views[k] = *tt_weights_at(weights, k);
    if (!status) status = put_views(out, weight_files[i], views, n, err);
    free(views);
    tt_weights_close(weights);
    return status;
}

// ---- the other files ----

static enum tt_status copy(struct tt_model_folder *out, const char *name, struct tt_error *err) {
    struct tt_bytes bytes = {0};
    if (!tt_folder_has(out->source, name)) return TT_OK;
    enum tt_status status = tt_folder_read(out->source, name, &bytes, err);
    if (!status) status = put(out, name, &(struct tt_span){bytes.data, bytes.size}, 1, err);
    tt_bytes_free(&bytes);
    return status;
}

// A configuration file with the keys that are new.
static enum tt_status edit(struct tt_model_folder *out, const char *name,
                           const struct tt_model_key *keys, size_t count, struct tt_error *err) {
    struct tt_bytes bytes = {0};
    json_t *root = NULL;
    char *text = NULL;
    enum tt_status status = tt_folder_read(out->source, name, &bytes, err);
    if (!status) status = tt_json_parse(name, bytes.data, bytes.size, &root, err);
    for (size_t i = 0; !status && i < count; i++) {
        if (strcmp(keys[i].file, name)) continue;
        json_t *value = json_loads(keys[i].value, JSON_DECODE_ANY, NULL);
        if (json_object_set_new(root, keys[i].key, value))
            status = tt_fail(err, TT_SYSTEM, "%s/%s: out of memory", out->path, name);
    }
    if (!status && !(text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9))))
        status = tt_fail(err, TT_SYSTEM, "%s/%s: out of memory", out->path, name);
    if (!status) {
        const struct tt_span spans[] = {{text, strlen(text)}, {"\n", 1}};
        status = put(out, name, spans, 2, err);
    }
    free(text);
    json_decref(root);
    tt_bytes_free(&bytes);
    return status;
}

enum tt_status tt_model_folder_commit(struct tt_model_folder *out, const struct tt_model_key *keys,
                                      size_t count, struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < MODULES; i++)
        if (!out->given[i] && tt_weights_present(out->source, modules[i]))
            status = copy_weights(out, i, err);
    for (size_t i = 0; !status && i < OTHER_FILES; i++) {
        bool edited = false;
        for (size_t k = 0; k < count; k++) edited |= !strcmp(keys[k].file, other_files[i]);
        status = edited ? edit(out, other_files[i], keys, count, err)
                        : copy(out, other_files[i], err);
    }
    return status ? status : tt_file_set_commit(out->set, err);
}
