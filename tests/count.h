// SPDX-License-Identifier: MIT
// Work, counted rather than timed: the same on every machine, busy or not. It is the basic blocks
// of src/base, src/io, src/text and src/train, which tests/checks.mk compiles once more for that,
// and the bytes that the functions of count.c are given or go through.
#ifndef TESTS_COUNT_H
#define TESTS_COUNT_H

#include <stddef.h>

// Blocks and bytes that work(input) takes, in one thread.
size_t count_work(void (*work)(void *input), void *input);

// A way to go through n bytes of two equal texts that end there: what a count must see (squares.c).
struct square {
    const char *name;
    size_t (*pass)(char *a, char *b, size_t n);
};
extern const struct square squares[]; // up to one without a name

// Goes that way so many times.
size_t squares_run(const struct square *square, char *a, char *b, size_t n, size_t times);

#endif
