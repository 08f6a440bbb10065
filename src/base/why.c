// SPDX-License-Identifier: MIT
#include "base/why.h"

#include <stdarg.h>
#include <stdio.h>

static void add(struct tt_why *why, const char *format, va_list args) {
    if (why->used >= sizeof why->text) return;
    int length = vsnprintf(why->text + why->used, sizeof why->text - why->used, format, args);
    why->used += length > 0 ? (size_t)length : 0;
}

void tt_why_add(struct tt_why *why, const char *format, ...) {
    if (!why) return;
    va_list args;
    va_start(args, format);
    if (why->used && why->used + 2 < sizeof why->text) {
        why->text[why->used++] = ';';
        why->text[why->used++] = ' ';
    }
    add(why, format, args);
    va_end(args);
}
