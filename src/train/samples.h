// SPDX-License-Identifier: MIT
// Pictures of the model so far, always of the same prompts and seeds (or, for an autoencoder, of
// the same pictures), so that one sees what training does.
#ifndef TT_TRAIN_SAMPLES_H
#define TT_TRAIN_SAMPLES_H

#include "engine.h"
#include "train/train_settings.h"

// The prompts: the lines of the file that the settings name, or else the first captions of the
// data. Read before training, so that nothing can be wrong with them later; notes: of lines that
// are blank or too many. TT_BAD_INPUT names file and line.
struct tt_sample_prompts;
enum tt_status tt_sample_prompts_new(const struct tt_train_settings *settings,
                                     const struct tt_model *model, const struct tt_dataset *data,
                                     const struct tt_notes *notes,
                                     struct tt_sample_prompts **prompts, struct tt_error *err);
void tt_sample_prompts_free(struct tt_sample_prompts *prompts); // takes NULL, too

// Writes <output>/samples/step-<step>-<k>.png with the model folder at `folder`: one a prompt, or
// four where there is no text; an autoencoder gives the first pictures beside what it makes of
// them.
enum tt_status tt_samples_write(const struct tt_train_settings *settings, const char *folder,
                                const struct tt_engine *engine,
                                const struct tt_sample_prompts *prompts,
                                const struct tt_dataset *data, size_t step, struct tt_error *err);
// Whether those of that step are all there: the last one is.
bool tt_samples_there(const struct tt_train_settings *settings, const struct tt_model *model,
                      const struct tt_sample_prompts *prompts, const struct tt_dataset *data,
                      size_t step);

#endif
