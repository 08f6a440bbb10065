// SPDX-License-Identifier: MIT
// What CLIP's tokenizer asks about a character: its class in the split pattern, its lower case.
#ifndef TT_TEXT_UNICODE_H
#define TT_TEXT_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

enum tt_class { TT_SPACE, TT_LETTER, TT_NUMBER, TT_OTHER };

// \s, \p{L}, \p{N} or none of them.
enum tt_class tt_unicode_class(int32_t c);

// The lower case of c: 1 or 2 characters into out, returns how many. No rule that looks at
// neighbours (final sigma) and none of a language.
int tt_unicode_lower(int32_t c, int32_t out[2]);

// Whether normalisation must leave c alone, and take what stands on either side of it apart: the
// tokenizer we must agree with normalises by Unicode 9, to which newer marks are unknown.
bool tt_unicode_is_barrier(int32_t c);

#endif
