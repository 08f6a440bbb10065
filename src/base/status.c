// SPDX-License-Identifier: MIT
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum tt_status tt_fail(struct tt_error *err, enum tt_status status, const char *format, ...) {
    if (err && !err->status) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        err->status = status;
    }
    return status;
}

enum tt_status tt_fail_prefix(struct tt_error *err, const char *format, ...) {
    if (!err) return TT_SYSTEM;
    char tail[sizeof err->message];
    memcpy(tail, err->message, sizeof tail);
    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof err->message)
        snprintf(err->message + used, sizeof err->message - (size_t)used, ": %s", tail);
    return err->status;
}
