// SPDX-License-Identifier: MIT
// The folders and files that a model is opened from: its own, and those of networks that are to
// stand in its place.
#ifndef TT_FOLDERS_H
#define TT_FOLDERS_H

#include "parts.h"

// Opens what path and the settings name (NULL: the built-in model): model->folder, and vae_folder,
// unet_folder where there are others. *alone: there is no more than an autoencoder. The caller
// closes them, also after an error. TT_BAD_INPUT says what was found, and what would fit.
enum tt_status tt_folders_open(struct tt_model *model, const char *path,
                               const struct tt_model_settings *settings, bool *alone,
                               struct tt_error *err);

#endif
