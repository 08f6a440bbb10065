// SPDX-License-Identifier: MIT
// Finds many patterns in a text in time that grows with the text alone, whatever the patterns are.
// Source: Aho, Corasick, "Efficient String Matching: An Aid to Bibliographic Search", 1975, run
// from the text's end to its beginning over the patterns reversed: a state then tells the longest
// pattern that begins at a place, without going back.
#ifndef TT_TEXT_FINDER_H
#define TT_TEXT_FINDER_H

#include "base/status.h"

// The bytes of all patterns of a finder; a node of 16 bytes is made for each at most.
enum { TT_FINDER_BYTES = 1 << 22 };

struct tt_finder;

// A finder of `count` patterns, none of them empty; NULL ones are left out, of equal ones the first
// is found. They are not kept. TT_BAD_INPUT: more than TT_FINDER_BYTES in all; what is put before
// the message.
enum tt_status tt_finder_new(const char *what, const char *const *patterns, size_t count,
                             struct tt_finder **out, struct tt_error *err);
void tt_finder_free(struct tt_finder *finder);

// found[i], for each of the size bytes of text: the longest pattern that begins there, by its
// index, or -1.
void tt_finder_run(const struct tt_finder *finder, const char *text, size_t size, int32_t *found);

#endif
