// SPDX-License-Identifier: MIT
// CLIPTextModel and CLIPTextModelWithProjection (transformers, models/clip/modeling_clip.py): the
// configuration file, and the tape.
#ifndef TT_MODEL_CLIP_H
#define TT_MODEL_CLIP_H

#include "graph/tape.h"
#include "io/json.h"

#include <stdint.h>

struct tt_clip_config {
    size_t vocab_size, max_positions; // max_positions is the longest text, in tokens
    size_t hidden_size, intermediate_size;
    size_t layers, heads;
    enum tt_op_kind activation; // quick_gelu or gelu
    float eps;
    long eos_token;     // 2 is a mistake that stayed: then the text ends at its largest id
    size_t projection;  // width of text_embeds; 0 without a projection
};

// Reads the whole object. TT_BAD_INPUT names file, key, found and expected.
enum tt_status tt_clip_config_read(struct tt_json *json, struct tt_clip_config *config,
                                   struct tt_error *err);

// Inputs and outputs of the tape.
struct tt_clip {
    tt_value input_ids;         // (N, T), int
    tt_value position_ids;      // (T), int: 0, 1, ...
    tt_value eos_index;         // (N), int: the row where each text ends
    tt_value last_hidden_state; // (N, T, C), behind final_layer_norm
    tt_value pooled;            // (N, C), its rows at eos_index
    tt_value text_embeds;       // (N, projection), or TT_NO_VALUE without a projection
    tt_value hidden;            // (N, T, C), what the last layer but `skip` gave, as it is
    tt_value context;           // the same behind final_layer_norm: what diffusers' clip_skip means
};

// Lays the network out for n texts of `tokens` tokens. skip, diffusers' clip_skip, is how many of
// the last layers `context` does without; 0: it is last_hidden_state. Errors stick to the tape.
struct tt_clip tt_clip_tape(struct tt_tape *t, const struct tt_clip_config *config, size_t n,
                            size_t tokens, size_t skip);

// The same as SDXL has it: `context` is `hidden` itself, of the last layer but 1 + skip
// (hidden_states[-2 - skip]), called "hidden_states". skip < layers.
struct tt_clip tt_clip_tape_xl(struct tt_tape *t, const struct tt_clip_config *config, size_t n,
                               size_t tokens, size_t skip);

// The keys and values of tokens that others see, (N, T, C) each.
struct tt_clip_seen {
    tt_value k, v;
};

// A layer of the encoder, CLIPEncoderLayer: x (N, T, C) -> (N, T, C). What its tokens are to others
// goes to *seen; with `behind` they see what is there, and not one another.
tt_value tt_clip_layer(struct tt_tape *t, const struct tt_clip_config *config, size_t index,
                       tt_value x, struct tt_clip_seen *seen, bool behind);

// The row at which a text of so many ids is pooled.
size_t tt_clip_end(const struct tt_clip_config *config, const int32_t *ids, size_t tokens);

// Fills position_ids (T) and eos_index (N) for input_ids (N, T). An id that is not in the
// vocabulary is TT_BAD_INPUT.
enum tt_status tt_clip_prepare(const struct tt_clip_config *config, const int32_t *input_ids,
                               size_t n, size_t tokens, int32_t *position_ids, int32_t *eos_index,
                               struct tt_error *err);

#endif
