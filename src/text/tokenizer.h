// SPDX-License-Identifier: MIT
// CLIP's tokenizer: a prompt to token ids, equal to the fast tokenizer of the transformers library.
#ifndef TT_TEXT_TOKENIZER_H
#define TT_TEXT_TOKENIZER_H

#include "io/folder.h"

struct tt_tokenizer;

// Reads folder/module ("tokenizer"): tokenizer.json, else vocab.json and merges.txt; the special
// tokens from tokenizer_config.json, special_tokens_map.json and added_tokens.json, as far as they
// are there. TT_BAD_INPUT names the file and key when one is missing, broken, or describes another
// kind of tokenizer.
enum tt_status tt_tokenizer_open(const struct tt_folder *folder, const char *module,
                                 struct tt_tokenizer **out, struct tt_error *err);
void tt_tokenizer_close(struct tt_tokenizer *tokenizer);

// The ids of text (UTF-8): start of text, the text's tokens, end of text, padding up to max (>= 2);
// a longer text is cut, the end of text stays. *used is how many ids the whole text takes, start
// and end counted and padding not: it was cut when *used > max. used may be NULL. TT_BAD_INPUT
// names the byte at which text is no UTF-8.
enum tt_status tt_tokenizer_encode(const struct tt_tokenizer *tokenizer, const char *text,
                                   int32_t *ids, size_t max, size_t *used, struct tt_error *err);

// The token as the vocabulary spells it ("light</w>"), NULL when there is no such id.
const char *tt_tokenizer_token(const struct tt_tokenizer *tokenizer, int32_t id);
// The bytes the token stands for, NUL-terminated and cut to size; a space stands for "</w>". They
// may be a part of a character. Returns text.
char *tt_tokenizer_text(const struct tt_tokenizer *tokenizer, int32_t id, char *text, size_t size);

// model_max_length of tokenizer_config.json, 0 when it is not given or says "no limit".
size_t tt_tokenizer_max_length(const struct tt_tokenizer *tokenizer);
// One more than the largest id, added tokens included: the rows an embedding must have.
int32_t tt_tokenizer_size(const struct tt_tokenizer *tokenizer);
int32_t tt_tokenizer_start(const struct tt_tokenizer *tokenizer);
int32_t tt_tokenizer_end(const struct tt_tokenizer *tokenizer);
int32_t tt_tokenizer_padding(const struct tt_tokenizer *tokenizer);

#endif
