// SPDX-License-Identifier: MIT
// Training from beginning to end: the textbook loop over batches, checkpoints, the log, samples,
// and the finished model as a folder. src/train/task.h has what happens with a batch.
//
// In the output folder: checkpoint.safetensors (everything needed to go on), train.jsonl (the log),
// latents.safetensors (the pictures, encoded once), samples/ (pictures of the model so far), and
// in the end the model in diffusers' layout.
#ifndef TT_TRAIN_TRAINER_H
#define TT_TRAIN_TRAINER_H

#include "engine.h"
#include "train/buckets.h"
#include "train/settings.h"

// What a line of the log tells: of steps that were done, the loss of the pictures that are held out
// (of a line, step and loss alone count then), or something that changed (the step alone).
enum tt_train_told { TT_TOLD_STEPS, TT_TOLD_HELD, TT_TOLD_CHANGE };

// One line of the log.
struct tt_train_line {
    enum tt_train_told told;
    size_t step, steps; // done, from 1; in all
    double loss;        // mean of the batches since the last line
    double learning_rate, norm; // of the last step; the gradient's norm before clipping
    double images_per_second, seconds; // since the last line; of this process
    double held; // for who watches: the last loss of the pictures that are held out, or NaN
};

// What is being done while the loss of held-out pictures is measured.
#define TT_TRAIN_HELD "held-out pictures"

// Who watches; every function may be NULL.
struct tt_train_watch {
    void *context;
    // After every step, and while pictures are looked at and encoded (`what` says which). A
    // non-zero answer stops the run: a checkpoint is written, and it ends with TT_CANCELLED.
    int (*progress)(void *context, const char *what, const struct tt_train_line *line);
    void (*note)(void *context, const char *text);
};

// What training would see: the pictures of the settings' data as they are cut, turned and laid on
// their background, given to `show` (buckets: NULL where all have one size). Needs no output folder
// and writes nothing.
enum tt_status tt_train_look(const struct tt_train_settings *settings,
                             const struct tt_engine *engine, const struct tt_train_watch *watch,
                             enum tt_status (*show)(void *context, const struct tt_dataset *data,
                                                    const struct tt_buckets *buckets,
                                                    struct tt_error *err),
                             void *context, struct tt_error *err);

// TT_BAD_INPUT: settings, pictures, model folder or checkpoint do not do, named in the message; the
// output folder is then as it was. TT_BAD_INPUT, too, when a loss is not finite: step, pictures and
// the first node with such an output are named, the last checkpoint stays. TT_SYSTEM: memory, disk.
enum tt_status tt_train(const struct tt_train_settings *settings, const struct tt_engine *engine,
                        const struct tt_train_watch *watch, struct tt_error *err);

#endif
