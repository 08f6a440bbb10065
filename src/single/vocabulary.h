// SPDX-License-Identifier: MIT
// CLIP's vocabulary, which files of weights do not hold: built into the program.
#ifndef TT_SINGLE_VOCABULARY_H
#define TT_SINGLE_VOCABULARY_H

#include <stddef.h>

#include "base/status.h"

// CLIP's merges.txt (reference/tokenizer/README.md says whence) and the vocab.json that follows
// from it, as texts that the caller frees.
enum tt_status tt_vocabulary_make(char **merges, size_t *merges_size, char **vocab,
                                  size_t *vocab_size, struct tt_error *err);

#endif
