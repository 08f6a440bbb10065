// SPDX-License-Identifier: MIT
#include "train/latents.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/note.h"
#include "base/text.h"
#include "io/digest.h"
#include "io/safetensors.h"

size_t tt_latents_item(const struct tt_task *task, size_t place, bool *mirrored) {
    size_t count = tt_dataset_count(task->data), trained = (task->settings->flip ? 2 : 1) * count;
    *mirrored = place >= count && place < trained;
    return place < trained ? place % count : place - trained + count;
}

enum tt_status tt_latents_new(struct tt_latents *l, const struct tt_task *task,
                              struct tt_error *err) {
    size_t count = (task->settings->flip ? 2 : 1) * tt_dataset_count(task->data) +
                   tt_dataset_held(task->data);
    const struct tt_model_info *info = tt_model_info(task->model);
    size_t channels = 2 * info->latent_channels, f = info->factor, bytes;
    l->count = count;
    l->at = malloc((count + 1) * sizeof *l->at);
    if (!l->at)
        return tt_fail(err, TT_SYSTEM, "out of memory for the latents of %zu pictures", count);
    l->at[0] = 0;
    for (size_t i = 0; i < count; i++) {
        bool mirrored;
        size_t item = tt_latents_item(task, i, &mirrored);
        struct tt_picture_size s = tt_dataset_size(task->data, item);
        l->at[i + 1] = l->at[i] + channels * (s.height / f) * (s.width / f);
    }
    if (!task->buckets)
        l->each = (struct tt_shape){3, {channels, task->height / f, task->width / f}};
    if (!tt_mul_size(l->at[count], sizeof(float), &bytes) || !(l->moments = malloc(bytes)))
        return tt_fail(err, TT_SYSTEM, "out of memory for the latents of %zu pictures", count);
    return TT_OK;
}

void tt_latents_free(struct tt_latents *l) {
    free(l->at);
    free(l->moments);
    *l = (struct tt_latents){0};
}

enum tt_status tt_latents_key(struct tt_task *task, char key[TT_LATENTS_KEY],
                              struct tt_error *err) {
    char data[TT_DATASET_HASH_SIZE], hex[17], buckets[40] = "";
    const struct tt_weights *weights;
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    enum tt_status status = tt_model_weights(task->model, TT_PART_VAE_ENCODE, &weights, err);
    if (status) return status;
    sha256_init(&sha);
    for (size_t i = 0; i < tt_weights_count(weights); i++) {
        const struct tt_view *view = tt_weights_at(weights, i);
        sha256_update(&sha, view->bytes, view->data);
    }
    sha256_digest(&sha, sizeof digest, digest);
    tt_dataset_hash(task->data, data);
    const struct tt_train_settings *s = task->settings;
    bool plain = s->background == TT_BACKGROUND_LINEAR;
    if (task->buckets) snprintf(buckets, sizeof buckets, " buckets %zu", task->buckets->step);
    tt_text_hex(digest, 8, hex);
    snprintf(key, TT_LATENTS_KEY, "%s %s %zux%zu %s%s%s%s%s", hex, data, task->width,
             task->height, s->fit == TT_FIT_CROP ? "crop" : "stretch",
             s->flip ? " mirrored" : "", plain ? "" : " ",
             plain ? "" : tt_setting_words(TT_SETTING_BACKGROUND)[s->background], buckets);
    return TT_OK;
}

// Of the first places: rows of a size, or, of several sizes, all their numbers.
static struct tt_shape shape_of(const struct tt_latents *l, size_t count) {
    const size_t *dim = l->each.dim;
    if (!l->each.rank) return (struct tt_shape){1, {l->at[count]}};
    return (struct tt_shape){4, {count, dim[0], dim[1], dim[2]}};
}

// How many places the tensor's first dimension says; more than there are, when it says none.
static size_t places_in(const struct tt_latents *l, const struct tt_view *view) {
    size_t n = view->shape.rank ? view->shape.dim[0] : 0, low = 0, high = l->count;
    if (l->each.rank) return n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (l->at[middle] < n) low = middle + 1;
        else high = middle;
    }
    return low;
}

size_t tt_latents_read(const struct tt_latents *l, const struct tt_task_cache *cache,
                       const char *key, int threads) {
    struct tt_safetensors *file = NULL;
    struct tt_error why = {0};
    char sum[TT_DIGEST_SIZE];
    struct stat info;
    size_t count = 0;
    if (!cache->path || lstat(cache->path, &info)) return 0; // none yet
    if (tt_safetensors_open(NULL, cache->path, &file, &why)) {
        tt_note(&cache->notes, "%s; the pictures are encoded again", why.message);
        return 0;
    }
    const char *found = tt_safetensors_metadata(file, "key");
    const char *digest = tt_safetensors_metadata(file, "digest");
    const struct tt_view *view = tt_safetensors_find(file, "moments");
    bool same = found && !strcmp(found, key) && view && view->dtype == TT_F32;
    if (same) count = places_in(l, view);
    same = same && count <= l->count;
    struct tt_shape shape = shape_of(l, same ? count : 0);
    same = same && tt_shape_equal(&view->shape, &shape) &&
           !tt_views_digest(view, 1, threads, sum, &why);
    bool whole = same && digest && !strcmp(sum, digest);
    if (whole) memcpy(l->moments, view->data, view->bytes);
    else
        tt_note(&cache->notes, "%s: %s; the pictures are encoded again", cache->path,
                same ? "is damaged: found another digest than was written"
                     : "is of other pictures or another autoencoder");
    tt_safetensors_close(file);
    return whole ? count : 0;
}

enum tt_status tt_latents_write(const struct tt_latents *l, const struct tt_task_cache *cache,
                                const char *key, size_t count, int threads, struct tt_error *err) {
    char sum[TT_DIGEST_SIZE];
    struct tt_shape shape = shape_of(l, count);
    struct tt_view view = {"moments", TT_F32, shape, l->moments,
                           tt_shape_count(&shape) * sizeof *l->moments};
    if (!cache->path || !count) return TT_OK;
    enum tt_status status = tt_views_digest(&view, 1, threads, sum, err);
    const char *const metadata[] = {"key", key, "digest", sum, NULL};
    if (!status) status = tt_safetensors_write(cache->files, cache->path, &view, 1, metadata, err);
    return status;
}
