// SPDX-License-Identifier: MIT
// CLIP's text encoder in three pieces, for prompts that give it vectors of their own (textual
// inversion), leave out its last layers, or do without some of their words (compel). The pieces
// together give the bits of the whole.
#ifndef TT_MODEL_CLIP_WORDS_H
#define TT_MODEL_CLIP_WORDS_H

#include "model/clip.h"
#include "model/part.h"

// What they are laid out for.
struct tt_clip_words {
    struct tt_clip_config clip;
    size_t skip;  // of the last layers, as in tt_clip_tape() and tt_clip_tape_xl()
    bool xl;      // which of the two it is
    size_t seen;  // of tt_network_clip_behind: how many of its tokens others see
};

// token_embedding alone: input_ids (N, T) -> inputs_embeds (N, T, C).
extern const struct tt_part_network tt_network_clip_lookup;

// The rest: inputs_embeds (N, T, C), position_ids (T), eos_index (N) -> context (N, T, C), pooled,
// text_embeds.
extern const struct tt_part_network tt_network_clip_vectors;

// Tokens that nobody sees, which see the `seen` ones before them: inputs_embeds (N, seen, C) and
// position_ids (seen) of those; hidden_embeds (N, T, C) and hidden_ids (T) -> context (N, T, C). A
// text whose attention mask leaves out some tokens in a row is the text without them, and these.
extern const struct tt_part_network tt_network_clip_behind;

#endif
