// SPDX-License-Identifier: MIT
// Byte-level byte-pair encoding with an end-of-word mark: one word's bytes to token ids.
// Source: Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units",
// 2016, on the byte alphabet of GPT-2.
#ifndef TT_TEXT_BPE_H
#define TT_TEXT_BPE_H

#include "base/status.h"

#include <jansson.h>

// A growing list of ids.
struct tt_ids {
    int32_t *data;
    size_t count, room;
};
enum tt_status tt_ids_add(struct tt_ids *ids, int32_t id, struct tt_error *err);

struct tt_bpe;

// vocab maps token -> id, each id once; it is kept. file is its name for messages. unknown is the
// token for a byte that the vocabulary lacks.
enum tt_status tt_bpe_open(const char *file, json_t *vocab, const char *unknown,
                           struct tt_bpe **out, struct tt_error *err);
void tt_bpe_close(struct tt_bpe *bpe);

// The next merge, in order of rank: the tokens named by the first left_size bytes of left and the
// first right_size of right. They and the two joined must be in the vocabulary.
enum tt_status tt_bpe_add_merge(struct tt_bpe *bpe, const char *left, size_t left_size,
                                const char *right, size_t right_size, struct tt_error *err);
// To be called once, after the last of them.
enum tt_status tt_bpe_finish(struct tt_bpe *bpe, struct tt_error *err);

// Appends the tokens of one word of size bytes: the adjacent pair of the lowest rank is merged, the
// leftmost first, until no pair is left.
enum tt_status tt_bpe_encode(const struct tt_bpe *bpe, const unsigned char *word, size_t size,
                             struct tt_ids *ids, struct tt_error *err);

// -1 when there is no such token; NULL when there is no such id.
int32_t tt_bpe_id(const struct tt_bpe *bpe, const char *token);
const char *tt_bpe_token(const struct tt_bpe *bpe, int32_t id);
// One more than the largest id.
int32_t tt_bpe_size(const struct tt_bpe *bpe);
// The byte that a character of the alphabet stands for, or -1.
int tt_bpe_byte(int32_t character);

#endif
