// SPDX-License-Identifier: MIT
#include "base/note.h"

#include <stdarg.h>
#include <stdio.h>

void tt_note(const struct tt_notes *notes, const char *format, ...) {
    if (!notes || !notes->tell) return;
    char text[1024]; // as long as an error's message
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    notes->tell(notes->context, text);
}
