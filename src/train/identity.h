// SPDX-License-Identifier: MIT
// What makes a run of training the one that it is, beside its settings: a checkpoint goes on only
// with the same.
#ifndef TT_TRAIN_IDENTITY_H
#define TT_TRAIN_IDENTITY_H

#include "train/task.h"

// The shapes of what learns, and the pictures: "networks ..., pictures ...".
void tt_train_identity(const struct tt_task *task, char *text, size_t size);

// Digests, as a JSON object that the caller frees, of the networks and files that a part (enum
// tt_train_part) is trained with and that do not learn.
enum tt_status tt_train_frozen(struct tt_model *model, int part, char **text,
                               struct tt_error *err);

#endif
