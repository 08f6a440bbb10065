// SPDX-License-Identifier: MIT
// Prompts of every syntax to what the U-Net attends to: weights, chunks, textual inversion and
// layers that are left out: where tt_wording_asked().
#ifndef TT_WORDING_H
#define TT_WORDING_H

#include "session.h"

// Embeddings (n, T, D), behind them, of a model with a pooled_width, (n, P); n 1: the prompt's, 2:
// the negative prompt's before them; T is as many chunks of the model's tokens as the longer text
// takes. no_negative: the negative prompt's are zeros. TT_BAD_INPUT: what is not in the syntax, too
// many layers, an embedding's file that does not fit. Files that no text has are noted.
enum tt_status tt_wording_encode(struct tt_session *session, const struct tt_settings *settings,
                                 size_t n, bool no_negative, struct tt_embeddings *embeddings,
                                 struct tt_error *err);

#endif
