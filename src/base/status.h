// SPDX-License-Identifier: MIT
// Errors: every fallible function returns an enum tt_status and takes a struct tt_error last.
#ifndef TT_BASE_STATUS_H
#define TT_BASE_STATUS_H

#include "tintype.h"

// Writes a printf-style message and the status into err (which may be NULL) and returns status, so
// that a failure is one line: `return tt_fail(err, TT_BAD_INPUT, "%s: ...", path);`.
// The first message wins: a caller that adds nothing must not overwrite it.
enum tt_status tt_fail(struct tt_error *err, enum tt_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Puts "context: " before the message already in err; returns its status.
enum tt_status tt_fail_prefix(struct tt_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// *out = a * b, or false when the product does not fit a size_t.
static inline int tt_mul_size(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

#endif
