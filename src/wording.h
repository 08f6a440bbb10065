// SPDX-License-Identifier: MIT
// Prompts of every syntax to what the U-Net attends to: weights, chunks, textual inversion and
// layers that are left out. What is plain and asks for none of it is conditioning.c's.
#ifndef TT_WORDING_H
#define TT_WORDING_H

#include "session.h"

// What is asked for; texts borrowed. The negative prompt counts where n is 2.
struct tt_wording {
    const char *prompt, *negative;
    size_t n;        // texts: the prompt, or the negative one and the prompt
    bool no_negative; // the negative one's embeddings are zeros
    int syntax;      // enum tt_prompt_syntax
    size_t clip_skip;
    const struct tt_inversion_file *inversions;
    size_t inversion_count;
    const char *inversion_folder;
};

// Embeddings (n, T, D), behind them, of a model with a pooled_width, (n, P); T is as many chunks of
// the model's tokens as the longer text takes. TT_BAD_INPUT: what is not in the syntax, too many
// layers, an embedding's file that does not fit. Files that no text has are noted.
enum tt_status tt_wording_encode(struct tt_session *session, const struct tt_wording *words,
                               struct tt_embeddings *embeddings, struct tt_error *err);

#endif
