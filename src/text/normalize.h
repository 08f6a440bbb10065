// SPDX-License-Identifier: MIT
// The normal form in which CLIP's tokenizer looks at a text. Time and memory grow with the text's
// length, whatever it holds.
#ifndef TT_TEXT_NORMALIZE_H
#define TT_TEXT_NORMALIZE_H

#include "base/status.h"

// NFC, runs of white space to one space, lower case: size bytes of valid UTF-8 into *out, which the
// caller frees; *length: its bytes, less the zero at its end.
enum tt_status tt_text_normalize(const char *text, size_t size, char **out, size_t *length,
                                 struct tt_error *err);

#endif
