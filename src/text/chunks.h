// SPDX-License-Identifier: MIT
// Weighted words as what a text encoder is given: chunks of its length, each between a start and an
// end of text.
#ifndef TT_TEXT_CHUNKS_H
#define TT_TEXT_CHUNKS_H

#include "text/inversion.h"
#include "text/prompt.h"

// A chunk's comma that is no further back than this is where webui ends it; its default.
enum { TT_CHUNK_BACKTRACK = 20 };

// Tokens [begin, end) of all chunks weigh less than 1: what compel looks at without them.
struct tt_weak {
    size_t begin, end;
    double weight;
};

struct tt_chunks {
    size_t count, length;
    int32_t *ids;     // (count, length); words of a list: from TT_INVERSION_ID on
    float *weights;   // (count, length)
    struct tt_weak *weak;
    size_t weak_count;
};
// Also takes zero-initialised ones.
void tt_chunks_free(struct tt_chunks *chunks);

struct tt_chunker {
    const char *what; // how messages call the prompt
    const struct tt_tokenizer *tokenizer;
    struct tt_inversions *inversions; // NULL: none
    size_t length;                    // of a chunk: the model's tokens, ends counted
    size_t most;                      // chunks
};

// TT_BAD_INPUT: more chunks than `most`.
//
// stable-diffusion-webui 1.10, modules/sd_hijack_clip.py, tokenize_line: a chunk that is full ends
// behind its last comma, if that is near; BREAK ends one; ends of text fill it. What stands in the
// way of that program's own rule, that embeddings which move to the next chunk are lost, is not
// repeated: they move.
enum tt_status tt_chunks_webui(const struct tt_chunker *chunker, const struct tt_fragments *list,
                               struct tt_chunks *chunks, struct tt_error *err);

// compel 2.5, embeddings_provider.py, with truncate_long_prompts=False: a chunk that is full ends
// behind its last sentence, else phrase, else word.
enum tt_status tt_chunks_compel(const struct tt_chunker *chunker, const struct tt_fragments *list,
                                struct tt_chunks *chunks, struct tt_error *err);

#endif
