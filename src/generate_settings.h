// SPDX-License-Identifier: MIT
// The settings of a generation, checked.
#ifndef TT_GENERATE_SETTINGS_H
#define TT_GENERATE_SETTINGS_H

#include "parts.h"

// *full = what the caller gave, with defaults and the model's own size filled in. TT_BAD_INPUT
// names what is out of range.
enum tt_status tt_settings_check(const struct tt_model *model, const struct tt_settings *given,
                                 struct tt_settings *full, struct tt_error *err);

#endif
