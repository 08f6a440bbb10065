// SPDX-License-Identifier: MIT
// Captions: the text files they come in, and words of them that chance leaves out.
#ifndef TT_TRAIN_CAPTIONS_H
#define TT_TRAIN_CAPTIONS_H

#include "base/memory.h"
#include "io/folder.h"
#include "noise/rng.h"

// How many bytes of the text's beginning are a byte order mark of UTF-8, and whether it begins with
// one of UTF-16, which is no text for us.
size_t tt_skip_mark(const void *text, size_t size);
bool tt_is_utf16(const void *text, size_t size);

// How many bytes from there on are white space, as Python's str.split() has it; 0: none.
size_t tt_white_space(const char *text, size_t size);

// The caption in a file: its text without a byte order mark and the white space at its end, *text,
// in the pool; or why it is none, *problem. TT_SYSTEM: memory, disk.
enum tt_status tt_caption_read(const struct tt_folder *folder, const char *name,
                               struct tt_pool *pool, const char **text, const char **problem,
                               struct tt_error *err);

// A caption without the words that chance takes, each with probability p; out has room for the
// whole caption. Words end at white space of any kind; what is left is joined by single spaces.
void tt_caption_drop_words(const char *caption, double p, struct tt_rng *rng, char *out);

#endif
