// SPDX-License-Identifier: MIT
// A model's text encoder, called for one chunk after the other.
#ifndef TT_WORDING_ENCODER_H
#define TT_WORDING_ENCODER_H

#include "model/clip_words.h"
#include "session.h"
#include "text/chunks.h"

struct tt_wording_encoder {
    struct tt_session *session;
    enum tt_part part;
    size_t slot; // which of the model's encoders
    const struct tt_tokenizer *tokenizer;
    struct tt_inversions *inversions;
    size_t length, width; // of a chunk, of an embedding
    size_t projection;    // width of what it says of a whole text; 0: nothing
    struct tt_clip_words config, behind;
    struct tt_network lookup, whole, part_of, hidden; // planned when they are first called
};

// Those of a model, in order, and how many there are. TT_BAD_INPUT: fewer layers than are left out.
enum tt_status tt_wording_encoders(struct tt_session *session, struct tt_inversions *inversions,
                                 size_t clip_skip, struct tt_wording_encoder encoders[TT_ENCODERS],
                                 size_t *count, struct tt_error *err);
void tt_wording_encoder_free(struct tt_wording_encoder *encoder);
// How many of the last layers it leaves out from now on.
void tt_wording_encoder_skip(struct tt_wording_encoder *encoder, size_t clip_skip);

// ids (length) -> z (length, width); and what it says of them all, (projection), where that is not
// NULL.
enum tt_status tt_wording_encode_chunk(struct tt_wording_encoder *encoder, const int32_t *ids,
                                       float *z, float *whole, struct tt_error *err);
// The same with an attention mask that hides tokens [begin, end), 0 < begin < end <= length.
enum tt_status tt_wording_encode_hiding(struct tt_wording_encoder *encoder, const int32_t *ids,
                                      size_t begin, size_t end, float *z, struct tt_error *err);

#endif
