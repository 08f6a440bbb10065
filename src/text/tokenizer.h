// SPDX-License-Identifier: MIT
// The tokenizer's files; its use is in tintype.h.
#ifndef TT_TEXT_TOKENIZER_H
#define TT_TEXT_TOKENIZER_H

#include "io/folder.h"

// The bytes of a text that is taken apart, at most: longer prompts are a mistake, and sizes stay
// far from overflowing an int.
enum { TT_TEXT_BYTES = 1 << 20 };

// Reads folder/module ("tokenizer"): tokenizer.json, else vocab.json and merges.txt; the special
// tokens from tokenizer_config.json, special_tokens_map.json and added_tokens.json, as far as they
// are there. TT_BAD_INPUT names the file and key when one is missing, broken, or describes another
// kind of tokenizer.
enum tt_status tt_tokenizer_open(const struct tt_folder *folder, const char *module,
                                 struct tt_tokenizer **out, struct tt_error *err);
void tt_tokenizer_close(struct tt_tokenizer *tokenizer);

// Whether the files' model_max_length leaves no room for a token (0 or 1): the transformers library
// then neither cuts nor pads, and each prompt takes as many places as it has tokens.
bool tt_tokenizer_whole(const struct tt_tokenizer *tokenizer);

#endif
