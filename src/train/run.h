// SPDX-License-Identifier: MIT
// Training from beginning to end: the textbook loop over batches, checkpoints, the log, samples,
// and the finished model as a folder. A run is shared by the files that are its steps: trainer.c
// has the loop, src/train/task.h what happens with a batch.
//
// In the output folder: checkpoint.safetensors (everything needed to go on), train.jsonl (the log),
// latents.safetensors (the pictures, encoded once), samples/ (pictures of the model so far), and
// in the end the model in diffusers' layout.
#ifndef TT_TRAIN_RUN_H
#define TT_TRAIN_RUN_H

#include "base/note.h"
#include "engine.h"
#include "train/adamw.h"
#include "train/buckets.h"
#include "train/change.h"
#include "train/checkpoint.h"
#include "train/log.h"
#include "train/manifest.h"
#include "train/output.h"
#include "train/samples.h"
#include "train/task.h"

struct tt_run {
    const struct tt_train_settings *settings;
    struct tt_notes notes;
    struct tt_model *model;
    struct tt_session *session;
    struct tt_dataset *data;
    struct tt_task task;
    struct tt_optimiser *optimiser;
    struct tt_train_log *log;
    char *kept, identity[160]; // what a checkpoint must agree with
    struct tt_buckets *buckets; // NULL: all pictures have one size
    size_t *items, taken;      // of a batch, and how many
    const struct tt_observer *observer; // of batches that are trained on; may be NULL
    size_t seen;               // pictures since the log's last line
    char *frozen;              // digests of what is used and does not learn, as JSON
    uint64_t logged;           // the step of the log's last line,
    double losses;             // and the sum of the losses since
    struct tt_train_line line; // of the log, the last one,
    bool pending;              // which could not be written
    bool wild;                 // a loss or gradient was not finite: nothing to be kept
    struct tt_train_output output;
    struct tt_sample_prompts *prompts;
    struct tt_manifest pictures;
    struct tt_order order;    // what positions and batches are counted from
    struct tt_changes changes; // of this resumption
    uint64_t changed, told;   // the step of the last changes; how many there were at it
    double held;              // the last loss of the pictures that are held out, or NaN,
    size_t held_step;         // after that step
};

// What is being done while the loss of held-out pictures is measured.
#define TT_TRAIN_HELD "held-out pictures"

// Tells who watches; non-zero: the run is to stop.
static inline int tt_run_show(const struct tt_run *run, const char *what,
                              const struct tt_train_line *line) {
    const struct tt_train_settings *s = run->settings;
    return s->progress ? s->progress(s->context, what, line) : 0;
}
// The same of what is not training: so many of all.
static inline int tt_run_show_part(const struct tt_run *run, const char *what, size_t done,
                                   size_t all) {
    return tt_run_show(run, what, &(struct tt_train_line){.step = done, .steps = all});
}

// begin.c: an empty run with these settings; its model and session, checked against what is to be
// trained; its pictures; its networks with what a checkpoint must agree with; its log. Closing
// takes a run at any point.
void tt_run_init(struct tt_run *run, const struct tt_train_settings *settings,
                 const struct tt_engine *engine);
enum tt_status tt_run_open_model(struct tt_run *run, const struct tt_engine *engine,
                                 struct tt_error *err);
enum tt_status tt_run_open_data(struct tt_run *run, struct tt_error *err);
enum tt_status tt_run_open_task(struct tt_run *run, struct tt_error *err);
enum tt_status tt_run_open_log(struct tt_run *run, struct tt_error *err);
void tt_run_close(struct tt_run *run);
// As tt_task_cache has it: pictures are being encoded.
int tt_run_show_latents(void *context, size_t done, size_t all);

// step.c: one optimiser step, number `step` from 0: `accumulate` batches, then the move. *loss:
// their mean; the line's norm and learning rate.
enum tt_status tt_run_step(struct tt_run *run, size_t step, struct tt_train_line *line,
                           double *loss, struct tt_error *err);

// Number of batch `a` (from 0) of a step, and where it begins in the order of pictures; with
// buckets in that of batches.
uint64_t tt_run_batch(const struct tt_run *run, size_t step, size_t a);
uint64_t tt_run_position(const struct tt_run *run, size_t step, size_t a);

// For an observer's `after`: *context, a const char *, becomes the name of the first node whose
// output is not finite.
void tt_run_look(void *context, const struct tt_step *step);

// result.c: pictures to look at after that step; and the model as a folder.
enum tt_status tt_run_sample(struct tt_run *run, size_t step, struct tt_error *err);
enum tt_status tt_run_finish(struct tt_run *run, struct tt_error *err);

// resume.c: goes on from the checkpoint where there is one and the settings say so, with what
// changed, which is then told; writes the checkpoint.
enum tt_status tt_run_resume(struct tt_run *run, struct tt_error *err);
enum tt_status tt_run_save(struct tt_run *run, struct tt_error *err);
// Once the folder and the log are the run's own: what changed goes into the log and the checkpoint.
enum tt_status tt_run_changed(struct tt_run *run, struct tt_error *err);
// A line of the log that could not be written before is tried again before a checkpoint counts on
// it.
enum tt_status tt_run_write_line(struct tt_run *run, struct tt_error *err);

// validate.c: whether the loss of the held-out pictures is due after that step; and measures and
// logs it, with the weights that would be exported. Leaves no trace in what is trained.
bool tt_run_validation_due(const struct tt_run *run, size_t step);
enum tt_status tt_run_validate(struct tt_run *run, size_t step, struct tt_error *err);

#endif
