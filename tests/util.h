// SPDX-License-Identifier: MIT
// Helpers of the Check programs: closing line, skips, comparisons that say where and how much.
#ifndef TESTS_UTIL_H
#define TESTS_UTIL_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>

// Runs the suites (last argument NULL), prints "N passed, N failed, N skipped" alone on the last
// line, and returns main's exit status.
int test_main(Suite *first, ...);

// Marks the running test as skipped and prints why; the test must return right after.
void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

// How far got is from want. A NaN on one side only makes every maximum NaN-proof infinity; two NaNs
// are equal. The worst index is that of max_abs.
struct test_error {
    double max_abs, max_rel; // max_rel against |want|; 0 where both are 0
    uint64_t max_ulp;
    size_t worst;
    size_t different; // elements that do not hold the same bits
};
struct test_error test_error_f32(const float *got, const float *want, size_t n);

// Fails the test, with the whole report, unless |got - want| <= absolute + relative * max|want|.
void test_close(const char *what, const float *got, const float *want, size_t n, double absolute,
                double relative);

// Fails the test, with the whole report, unless both hold the same bits (all NaNs count as one).
void test_equal(const char *what, const float *got, const float *want, size_t n);

// A path for a temporary file of this program, in a directory that test_main removes. The string
// belongs to a ring of eight: use it before asking for eight more.
const char *test_path(const char *name);

// Reads a whole file, adds a zero byte; fails the test when it cannot. The caller frees.
char *test_read(const char *path, size_t *size);

// What of this processor a test's kernels may use: what TINTYPE_CPU names, else all of it.
unsigned test_cpu(void);

// SHA-256 of size bytes: 64 hexadecimal digits and a zero.
void test_sha256(const void *data, size_t size, char hex[65]);

// The same numbers on every machine: state is any seed; uniform in [0, 2^64) and [-1, 1).
uint64_t test_random(uint64_t *state);
float test_random_f32(uint64_t *state);

// The numbers of reference/common.py's hashed and hashed_uniform at a position.
uint32_t test_hashed(size_t index, size_t salt);
float test_hashed_uniform(size_t index, size_t salt);

// reference/common.py's fold, one number at a time: adds number `at` of n, in PyTorch's order, to
// its place among the sums, of which there are `width`, or n when that is less.
void test_fold(double *sums, size_t n, size_t width, size_t at, double value);

#endif
