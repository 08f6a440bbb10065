// SPDX-License-Identifier: MIT
// A sheet of the pictures that training sees, with their names and captions.
#ifndef TT_CLI_TRAIN_PREVIEW_H
#define TT_CLI_TRAIN_PREVIEW_H

#include "tintype.h"

// The first of them in the order that training takes them, as far as they fit, each with its name
// and its first caption, and, when they have several sizes, the one it is seen in: out, free with
// tt_image_free().
enum tt_status preview_draw(const struct tt_train_data *data, bool sized, struct tt_image *out,
                            struct tt_error *err);

#endif
