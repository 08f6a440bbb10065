// SPDX-License-Identifier: MIT
// What prompts are made of, before any network is called.
#ifndef TT_WORDING_TEXTS_H
#define TT_WORDING_TEXTS_H

#include "parts.h"
#include "text/chunks.h"

// The textual inversion of the settings, for a model; to be freed also after an error.
enum tt_status tt_wording_open(const struct tt_model *model, const struct tt_engine *engine,
                               const struct tt_settings *settings, struct tt_inversions *list,
                               struct tt_error *err);

// For chunks of so many tokens; all of them together fit into what a U-Net attends to.
struct tt_chunker tt_wording_chunker(const char *what, const struct tt_tokenizer *tokenizer,
                                     struct tt_inversions *inversions, size_t length);

#endif
