// SPDX-License-Identifier: MIT
// What the doctor says of a path, for the tests that ask it.
#ifndef TESTS_EXAMINED_H
#define TESTS_EXAMINED_H

#include "tintype.h"

// The engine of a test, and its end.
void examined_open(void);
void examined_close(void);
const struct tt_engine *examined_engine(void);

// Looks at what is there, until the next look; the same with settings.
void examined_look(const char *path);
void examined_look_as(const char *path, bool quick, const char *variant);

// The finding with that code (and tensor, and text in `found`, where they are not NULL), or NULL;
// how many of a code. What fails below prints all findings.
const struct tt_finding *examined_finding(const char *code, const char *tensor, const char *found);
size_t examined_count(const char *code);
// It must be there.
void examined_find(const char *code, const char *tensor, const char *found);

// What it is; it must be that, and sound or not.
const char *examined_kind(void);
void examined_be(const char *kind, bool sound);
// That must be a fact, or one of several.
void examined_know(const char *of, const char *name, const char *text);
// The number that a fact is.
double examined_number(const char *of, const char *name);

#endif
