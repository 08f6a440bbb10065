// SPDX-License-Identifier: MIT
// The settings of a generation, checked.
#ifndef TT_GENERATE_SETTINGS_H
#define TT_GENERATE_SETTINGS_H

#include "session.h"

// *full = what the caller gave, with defaults and the model's own size filled in, and of SDXL the
// numbers that its U-Net is told. TT_BAD_INPUT names what is out of range.
enum tt_status tt_settings_check(const struct tt_model *model, const struct tt_settings *given,
                                 struct tt_settings *full, struct tt_error *err);

// The same for a model that goes on with what another has begun, at a size that is not the model's
// own where width and height are not 0.
enum tt_status tt_settings_check_refiner(const struct tt_model *model,
                                         const struct tt_settings *given, size_t width,
                                         size_t height, struct tt_settings *full,
                                         struct tt_error *err);
// Whether the prompts are more than plain texts (wording.h): weights, chunks, embeddings, or layers
// that are left out.
bool tt_wording_asked(const struct tt_settings *settings);

#endif
