// SPDX-License-Identifier: MIT
// A sheet of the pictures that training sees, with their names and captions.
#ifndef TT_CLI_TRAIN_PREVIEW_H
#define TT_CLI_TRAIN_PREVIEW_H

#include "train/trainer.h"

// The first of them in the order that training takes them, as far as they fit, each with its name
// and its first caption, and with buckets (NULL: none) the size it is seen in: out, free with
// tt_image_free().
enum tt_status preview_draw(const struct tt_dataset *data, const struct tt_buckets *buckets,
                            uint64_t seed, struct tt_image *out, struct tt_error *err);

#endif
