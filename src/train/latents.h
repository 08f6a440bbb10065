// SPDX-License-Identifier: MIT
// The moments of the posteriors of pictures, which a frozen autoencoder encodes once, and the file
// that keeps them between runs.
#ifndef TT_TRAIN_LATENTS_H
#define TT_TRAIN_LATENTS_H

#include "train/task.h"

// Zero-initialise; free with tt_latents_free().
struct tt_latents {
    size_t count; // places for pictures: of every one, every mirrored one, those held out
    size_t *at;   // where each begins, in floats, and, behind the last, where that ends
    float *moments;
    struct tt_shape each; // (2C, h, w); rank 0: they have several sizes
};

// Places for the data's pictures, empty.
enum tt_status tt_latents_new(struct tt_latents *latents, const struct tt_task *task,
                              struct tt_error *err);
// Whose place it is.
size_t tt_latents_item(const struct tt_task *task, size_t place, bool *mirrored);
void tt_latents_free(struct tt_latents *latents);

// What the cached moments depend on: the autoencoder's weights, the pictures, how they are fitted.
enum { TT_LATENTS_KEY = 160 };
enum tt_status tt_latents_key(struct tt_task *task, char key[TT_LATENTS_KEY], struct tt_error *err);

// Takes from the cache what it holds of these moments, which are known by their digest: of all
// places, or of the first ones, where encoding was stopped. Returns how many.
size_t tt_latents_read(const struct tt_latents *latents, const struct tt_task_cache *cache,
                       const char *key, int threads);
// Writes the first `count` places to the cache.
enum tt_status tt_latents_write(const struct tt_latents *latents, const struct tt_task_cache *cache,
                                const char *key, size_t count, int threads, struct tt_error *err);

#endif
