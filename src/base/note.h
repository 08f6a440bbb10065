// SPDX-License-Identifier: MIT
// What is cut, ignored or assumed is told to somebody; nothing is left out in silence.
#ifndef TT_BASE_NOTE_H
#define TT_BASE_NOTE_H

// Who is told. Zero-initialised: nobody.
struct tt_notes {
    void (*tell)(void *context, const char *text);
    void *context;
};

// Tells one thing, printf-style, in one line without a full stop or newline. notes may be NULL.
void tt_note(const struct tt_notes *notes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
