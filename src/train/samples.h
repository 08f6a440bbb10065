// SPDX-License-Identifier: MIT
// Pictures of the model so far, always of the same prompts and seeds (or, for an autoencoder, of
// the same pictures), so that one sees what training does.
#ifndef TT_TRAIN_SAMPLES_H
#define TT_TRAIN_SAMPLES_H

#include "engine.h"
#include "train/settings.h"

// Writes <output>/samples/step-<step>-<k>.png with the model folder at `output`: one for each line
// of the prompts' file, or else for the first captions of the data, or four where there is no text;
// an autoencoder gives the first pictures beside what it makes of them.
enum tt_status tt_samples_write(const struct tt_train_settings *settings,
                                const struct tt_engine *engine, const struct tt_dataset *data,
                                size_t step, struct tt_error *err);

#endif
