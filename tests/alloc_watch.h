// SPDX-License-Identifier: MIT
// A malloc, free and mmap that stand before the C library's for all code in the process: they count
// what is given out, and refuse it where a test wants that.
#ifndef TESTS_ALLOC_WATCH_H
#define TESTS_ALLOC_WATCH_H

#include <stdbool.h>
#include <stddef.h>

enum { ALLOC_SLOTS = 1 << 15 };

struct alloc_watch {
    bool on;
    bool for_good; // every allocation from fail_at on fails, not only that one
    long count, fail_at;
    long opened; // the count when a model was open
    long blocks; // held
    size_t mapped;
    void *held[ALLOC_SLOTS]; // a hash table of the blocks; GONE where one was
};
extern struct alloc_watch alloc_watch;

// Where allocations are let alone: inside jansson, once; inside runtimes, when these are loaded.
void alloc_watch_find_enlarging(void);
void alloc_watch_find_runtimes(void);

#endif
