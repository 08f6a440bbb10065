// SPDX-License-Identifier: MIT
// What a part's training does with one batch: pictures and captions in, loss out, gradients added
// to those of its parameters. Two tasks: predicting noise (U-Net, text encoder), and giving
// pictures back (autoencoder).
#ifndef TT_TRAIN_TASK_H
#define TT_TRAIN_TASK_H

#include "base/note.h"
#include "graph/plan.h"
#include "noise/rng.h"
#include "parts.h"
#include "train/buckets.h"
#include "train/train_settings.h"

// How one picture of a batch is looked at when nothing is to be learnt from it: draw number `draw`
// of `draws`, all chance of which follows from the seed. Its timestep lies in that part of all.
struct tt_fixed {
    uint64_t seed;
    size_t draw, draws;
    double loss; // what comes out
};

struct tt_batch {
    const size_t *items; // which pictures, all of one size,
    size_t count;        // and how many: up to `batch` of the settings
    struct tt_rng *rng;  // all chance of the batch, but with `fixed`
    double scale;        // of the gradient: 1 over the batches of a step
    const struct tt_observer *observer; // of every step, both ways; NULL: nobody looks
    // Where it is not NULL, one for each picture: forward alone, without mirroring, dropout and
    // gradients; each picture's loss goes here, and *loss is left as it is.
    struct tt_fixed *fixed;
};

// Networks that learn, as modules of the folder.
struct tt_learner {
    const char *module; // "unet"
    struct tt_params *params;
};

// Where a task keeps what it computes once (path may be NULL), and who sees it do so.
struct tt_task_cache {
    const char *path;
    struct tt_files *files; // what must not be written over
    struct tt_notes notes;
    int (*progress)(void *context, size_t done, size_t all); // may be NULL; non-zero stops
    void *context;
};

struct tt_task {
    const struct tt_train_settings *settings;
    struct tt_model *model; // the folder that is trained, or its configuration
    struct tt_session *session; // on it, for what does not learn
    const struct tt_dataset *data;
    size_t width, height; // of the pictures; with buckets no picture has a larger area
    const struct tt_buckets *buckets; // NULL: all have that size
    bool scratch;         // new weights for what learns
    bool spaced;          // the scheduler has a timestep_spacing
    size_t draws;         // that a picture's loss is measured with
    struct tt_learner learns[2];
    size_t count;
    // Before the first batch, once it is sure that the run goes ahead; may be NULL.
    enum tt_status (*prepare)(struct tt_task *task, const struct tt_task_cache *cache,
                              struct tt_error *err);
    enum tt_status (*batch)(struct tt_task *task, const struct tt_batch *batch, double *loss,
                            struct tt_error *err);
    void (*free)(struct tt_task *task);
    void *own;
};

// Fill what follows `scratch`. On an error nothing is left to free.
enum tt_status tt_task_denoise(struct tt_task *task, struct tt_error *err);
enum tt_status tt_task_autoencoder(struct tt_task *task, struct tt_error *err);

// The networks planned for so many samples of a size: the first member of what a task keeps of
// each. They have the same parameters and run by turns.
struct tt_task_form {
    struct tt_task_form *next;
    size_t n;
    struct tt_picture_size size;
};
// The one of *forms that is for n of that size, or a new one, of so many bytes that are 0 but for
// these, which make() plans. After an error what was begun stays in *forms, to be freed.
typedef enum tt_status tt_task_make(struct tt_task *task, struct tt_task_form *form,
                                    struct tt_error *err);
enum tt_status tt_task_form(struct tt_task *task, struct tt_task_form **forms, size_t bytes,
                            size_t n, struct tt_picture_size size, tt_task_make *make,
                            struct tt_task_form **out, struct tt_error *err);

// What both do: a plan for every size and number of pictures that a batch has, by `take`.
enum tt_status tt_task_plan(struct tt_task *task,
                            enum tt_status (*take)(struct tt_task *task, size_t n,
                                                   struct tt_picture_size size,
                                                   struct tt_error *err),
                            struct tt_error *err);

// Parameters with the folder's weights, or new ones.
enum tt_status tt_task_weights(struct tt_task *task, enum tt_part part, struct tt_params *params,
                               struct tt_error *err);

// The batch's pictures, some of them mirrored where settings say so: out (N, 3, height, width), of
// their size.
enum tt_status tt_task_pictures(const struct tt_task *task, const struct tt_batch *batch,
                                float *out, struct tt_error *err);

// Noise for n samples of `each` numbers. which: of a batch's noises, from 0.
void tt_task_noise(const struct tt_batch *batch, uint64_t which, size_t n, size_t each, float *out);

// (N, C, H, W) into the buffer of a value, which has rows of C, and out of one.
void tt_task_put(const struct tt_task *task, struct tt_shape shape, const float *from, float *to);
void tt_task_get(const struct tt_task *task, struct tt_shape shape, const float *from, float *to);

#endif
