// SPDX-License-Identifier: MIT
#include "train/identity.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mix.h"
#include "io/digest.h"

void tt_train_identity(const struct tt_task *task, char *text, size_t size) {
    char data[TT_DATASET_HASH_SIZE];
    uint64_t hash = TT_FNV_BEGIN;
    for (size_t i = 0; i < task->count; i++) {
        const struct tt_params *params = task->learns[i].params;
        for (int j = 0; j < params->count; j++) {
            char shape[96], line[640];
            snprintf(line, sizeof line, "%s %s %s\n", task->learns[i].module,
                     params->values[j].name,
                     tt_shape_text(&params->values[j].shape, shape, sizeof shape));
            hash = tt_fnv(hash, line);
        }
    }
    tt_dataset_hash(task->data, data);
    snprintf(text, size, "networks %016" PRIx64 ", pictures %s %zux%zu",
             hash, data, task->width, task->height);
    size_t used = strlen(text);
    if (task->buckets)
        snprintf(text + used, size - used, " in %zu buckets of steps of %zu", task->buckets->count,
                 task->buckets->step);
}

static enum tt_status digest_file(const struct tt_model *model, const char *name, json_t *list,
                                  struct tt_error *err) {
    struct tt_bytes bytes = {0};
    char sum[TT_DIGEST_SIZE];
    if (!tt_folder_has(model->folder, name)) return TT_OK;
    enum tt_status status = tt_folder_read(model->folder, name, &bytes, err);
    if (status) return status;
    tt_bytes_digest(bytes.data, bytes.size, sum);
    tt_bytes_free(&bytes);
    return json_object_set_new(list, name, json_string(sum))
               ? tt_fail(err, TT_SYSTEM, "out of memory for a digest") : TT_OK;
}

static enum tt_status digest_part(struct tt_model *model, enum tt_part part, const char *module,
                                  json_t *list, struct tt_error *err) {
    const struct tt_weights *weights;
    char sum[TT_DIGEST_SIZE];
    enum tt_status status = tt_model_weights(model, part, &weights, err);
    if (status) return status;
    size_t n = tt_weights_count(weights);
    struct tt_view *views = malloc((n + 1) * sizeof *views);
    if (!views) return tt_fail(err, TT_SYSTEM, "out of memory for %zu digests", n);
    for (size_t i = 0; i < n; i++) views[i] = *tt_weights_at(weights, i);
    status = tt_views_digest(views, n, model->engine->plan.threads, sum, err);
    free(views);
    if (!status && json_object_set_new(list, module, json_string(sum)))
        status = tt_fail(err, TT_SYSTEM, "out of memory for a digest");
    return status;
}

enum tt_status tt_train_frozen(struct tt_model *model, int part, char **text,
                               struct tt_error *err) {
    static const struct {
        enum tt_part part;
        const char *module;
        unsigned learnt_by; // a bit for each enum tt_train_part
    } parts[] = {
        {TT_PART_TEXT, "text_encoder", 1u << TT_TRAIN_TEXT | 1u << TT_TRAIN_UNET_TEXT},
        {TT_PART_UNET, "unet", 1u << TT_TRAIN_UNET | 1u << TT_TRAIN_UNET_TEXT},
        {TT_PART_VAE_ENCODE, "vae", 1u << TT_TRAIN_VAE},
    };
    static const char *const files[] = {
        "vae/config.json", "unet/config.json", "text_encoder/config.json",
        "scheduler/scheduler_config.json", "tokenizer/tokenizer.json", "tokenizer/vocab.json",
        "tokenizer/merges.txt", "tokenizer/tokenizer_config.json",
        "tokenizer/special_tokens_map.json", "tokenizer/added_tokens.json", "model_index.json",
    };
    json_t *list = json_object();
    enum tt_status status = list ? TT_OK : tt_fail(err, TT_SYSTEM, "out of memory for a digest");
    for (size_t i = 0; !status && !model->unconditional && i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].learnt_by >> part & 1) continue;
        struct tt_error why = {0};
        status = digest_part(model, parts[i].part, parts[i].module, list, &why);
        // An autoencoder's training does not use the others, which need not be there; where they
        // are, the exported folder has them.
        if (status == TT_BAD_INPUT && tt_trains_vae(part)) status = TT_OK;
        if (status) tt_fail(err, status, "%s", why.message);
    }
    size_t count = sizeof files / sizeof *files;
    for (size_t i = 0; !status && i < count; i++)
        status = digest_file(model, files[i], list, err);
    if (!status && !(*text = json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS)))
        status = tt_fail(err, TT_SYSTEM, "out of memory for a digest");
    json_decref(list);
    return status;
}
