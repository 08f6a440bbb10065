// SPDX-License-Identifier: MIT
// What somebody who trains should know, told once before it begins.
#ifndef TT_TRAIN_REMARKS_H
#define TT_TRAIN_REMARKS_H

#include "base/note.h"
#include "parts.h"
#include "train/train_settings.h"

// How many captions are longer than the model takes, and are cut. progress: as of a dataset.
// TT_BAD_INPUT: a caption that cannot be taken apart.
enum tt_status tt_remark_captions(const struct tt_model *model, const struct tt_dataset *data,
                                  const struct tt_notes *notes,
                                  int (*progress)(void *context, size_t done, size_t all),
                                  void *context, struct tt_error *err);

// A learning rate that goes on elsewhere than the log at path left off: settings that may change
// made it another curve. step: the steps done.
void tt_remark_rate(const struct tt_train_settings *settings, const char *path, size_t step,
                    const struct tt_notes *notes);

#endif
