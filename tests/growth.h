// SPDX-License-Identifier: MIT
// Whether work grows with the input, and no faster: counted at a size and at twice that, it is at
// most two and a half times as much (a square: four). And texts that grow, to make inputs of.
#ifndef TESTS_GROWTH_H
#define TESTS_GROWTH_H

#include "count.h"
#include "util.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static bool grows(size_t once, size_t twice) {
    return once >= 100 && (double)twice <= 2.5 * (double)once; // of nothing, nothing was counted
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void take_time(void (*work)(void *input), void *input, double *best) {
    double from = cpu_seconds();
    work(input);
    *best = fmin(*best, cpu_seconds() - from);
}

// What goes on inside other libraries (libjpeg, libpng, jansson, utf8proc) is not counted. For them
// processor time has a bound, a loose one: caches that others use make 2.9 of twice, a square four.
static bool grows_in_time(void (*work)(void *input), void *once, void *twice, double seconds[2]) {
    seconds[0] = seconds[1] = INFINITY;
    for (int i = 0; i < 20; i++) {
        take_time(work, once, &seconds[0]);
        take_time(work, twice, &seconds[1]);
        if (seconds[1] <= 3.5 * seconds[0] + 0.012) return true; // a clock may tick in hundredths
    }
    return false;
}

static void check_growth(const char *what, void (*work)(void *input), void *once, void *twice) {
    size_t one = count_work(work, once), two = count_work(work, twice);
    double seconds[2];
    ck_assert_msg(grows(one, two), "%s: counted %zu, and %zu for twice as much", what, one, two);
    ck_assert_msg(grows_in_time(work, once, twice, seconds), "%s: %.3f s, and %.3f s for twice as "
                  "much", what, seconds[0], seconds[1]);
}

struct text {
    char *at;
    size_t size, room;
};

static void add_bytes(struct text *text, const char *bytes, size_t length) {
    if (text->size + length + 1 > text->room) {
        text->room = 2 * (text->room + length + 1);
        text->at = realloc(text->at, text->room);
        ck_assert_ptr_nonnull(text->at);
    }
    memcpy(text->at + text->size, bytes, length);
    text->size += length;
    text->at[text->size] = 0;
}

static void add(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add(struct text *text, const char *format, ...) {
    va_list args;
    char piece[2048];
    va_start(args, format);
    size_t length = (size_t)vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    ck_assert_uint_lt(length, sizeof piece);
    add_bytes(text, piece, length);
}

static void repeat(struct text *text, const char *piece, size_t times) {
    size_t length = strlen(piece);
    for (size_t i = 0; i < times; i++) add_bytes(text, piece, length);
}

#endif
