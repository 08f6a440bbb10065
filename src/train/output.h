// SPDX-License-Identifier: MIT
// The folder that training writes to. It says that it is one (training.json), is one run's own
// while that lasts, and nothing of anybody else's is lost in it.
#ifndef TT_TRAIN_OUTPUT_H
#define TT_TRAIN_OUTPUT_H

#include <limits.h>

#include "base/note.h"
#include "train/train_settings.h"

struct tt_train_output {
    const struct tt_train_settings *settings;
    struct tt_files *files; // what the run reads; nothing of it is written over
    int lock;               // the folder; -1: not yet
    bool marked, saved;     // it has training.json, which says that a checkpoint was written
    bool has_checkpoint, foreign; // foreign: something is there that training did not make
    char checkpoint[PATH_MAX], latents[PATH_MAX], lines[PATH_MAX], mark[PATH_MAX];
};

// Looks at the folder without touching it. TT_BAD_INPUT: it holds files that training did not make
// (unless `force`); it is the model's own; it has a checkpoint and there is no `resume`, or the one
// it had is gone.
enum tt_status tt_train_output_check(struct tt_train_output *out, struct tt_error *err);

// Makes the folder, this run's own until tt_train_output_close(): removes what a killed run left
// half-written, gives what is in the way another name (and says so), and marks it. TT_BAD_INPUT:
// another run is training here; one of the files that will be written is read, or cannot be
// written.
enum tt_status tt_train_output_take(struct tt_train_output *out, const struct tt_notes *notes,
                                    struct tt_error *err);

// A checkpoint has been written: from now on one that is missing is an error.
enum tt_status tt_train_output_saved(struct tt_train_output *out, struct tt_error *err);

// Lets go of the folder.
void tt_train_output_close(struct tt_train_output *out);

#endif
