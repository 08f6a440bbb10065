// SPDX-License-Identifier: MIT
#include "util.h"

#include <nettle/sha2.h>
#include <ftw.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels.h"

static int *skips; // shared with the forked tests
static char directory[64] = "";

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

int test_main(Suite *first, ...) {
    skips = mmap(NULL, sizeof *skips, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    strcpy(directory, "/tmp/tintype-test-XXXXXX");
    if (skips == MAP_FAILED || !mkdtemp(directory)) {
        perror("test_main");
        return 1;
    }
    SRunner *runner = srunner_create(first);
    va_list more;
    va_start(more, first);
    for (Suite *s; (s = va_arg(more, Suite *));) srunner_add_suite(runner, s);
    va_end(more);
    // Check's own summary only when it tells something, or is asked for: the closing line counts.
    srunner_run_all(runner, getenv("CK_VERBOSITY") ? CK_ENV : CK_SILENT);
    int failed = srunner_ntests_failed(runner), run = srunner_ntests_run(runner);
    if (failed && !getenv("CK_VERBOSITY")) srunner_print(runner, CK_NORMAL);
    srunner_free(runner);
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    printf("%d passed, %d failed, %d skipped\n", run - failed - *skips, failed, *skips);
    return failed != 0;
}

void test_skip(const char *format, ...) {
    va_list args;
    fputs("SKIP: ", stdout);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    __atomic_add_fetch(skips, 1, __ATOMIC_RELAXED);
}

// Maps the bits to integers in the order of the floats; both zeros to 0.
static int64_t ordered(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? (int64_t)INT32_MIN - bits : bits;
}

struct test_error test_error_f32(const float *got, const float *want, size_t n) {
    struct test_error e = {0};
    for (size_t i = 0; i < n; i++) {
        if (!memcmp(got + i, want + i, sizeof *got)) continue;
        if (isnan(got[i]) && isnan(want[i])) continue;
        e.different++;
        double d = fabs((double)got[i] - (double)want[i]);
        double r = d / fabs((double)want[i]);
        uint64_t ulp = UINT64_MAX;
        if (!isnan(got[i]) && !isnan(want[i]))
            ulp = (uint64_t)llabs((long long)(ordered(got[i]) - ordered(want[i])));
        if (isnan(d)) d = r = INFINITY;
        if (d == 0) r = 0;
        if (d > e.max_abs || e.different == 1) e.max_abs = d, e.worst = i;
        if (r > e.max_rel) e.max_rel = r;
        if (ulp > e.max_ulp) e.max_ulp = ulp;
    }
    return e;
}

static void fail_with(const char *what, const float *got, const float *want, size_t n,
                      struct test_error e, double limit) {
    ck_abort_msg("%s: %zu of %zu differ; max abs %.6g (limit %.6g), max rel %.3g, %llu ulp; "
                 "worst [%zu]: %.9g, expected %.9g",
                 what, e.different, n, e.max_abs, limit, e.max_rel, (unsigned long long)e.max_ulp,
                 e.worst, got[e.worst], want[e.worst]);
}

void test_close(const char *what, const float *got, const float *want, size_t n, double absolute,
                double relative) {
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        if (fabs((double)want[i]) > largest) largest = fabs((double)want[i]);
    struct test_error e = test_error_f32(got, want, n);
    double limit = absolute + relative * largest;
    if (!(e.max_abs <= limit)) fail_with(what, got, want, n, e, limit);
}

void test_equal(const char *what, const float *got, const float *want, size_t n) {
    struct test_error e = test_error_f32(got, want, n);
    if (e.different) fail_with(what, got, want, n, e, 0);
}

const char *test_path(const char *name) {
    static char ring[8][256];
    static unsigned next;
    char *path = ring[next++ % 8];
    snprintf(path, sizeof ring[0], "%s/%s", directory, name);
    return path;
}

char *test_read(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) ck_abort_msg("%s: cannot open", path);
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    char *data = length < 0 ? NULL : malloc((size_t)length + 1);
    if (!data || fread(data, 1, (size_t)length, file) != (size_t)length)
        ck_abort_msg("%s: cannot read", path);
    fclose(file);
    data[length] = 0;
    if (size) *size = (size_t)length;
    return data;
}

uint64_t test_random(uint64_t *state) { // splitmix64
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

float test_random_f32(uint64_t *state) {
    return (float)((int32_t)(test_random(state) >> 40) - (1 << 23)) * 0x1p-23f;
}

uint32_t test_hashed(size_t index, size_t salt) {
    uint32_t x = (uint32_t)index * 0x9E3779B1u + (uint32_t)salt * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x2C1B3C6Du;
    x = (x ^ x >> 12) * 0x297A2D39u;
    return x ^ x >> 15;
}

float test_hashed_uniform(size_t index, size_t salt) {
    return (float)((double)(test_hashed(index, salt) >> 8) * 0x1p-23 - 1);
}

void test_fold(double *sums, size_t n, size_t width, size_t at, double value) {
    if (n <= width) sums[at] += value;
    else sums[at % width] += test_hashed(at, 0) & 1 ? -value : value;
}

unsigned test_cpu(void) {
    const char *name = getenv("TINTYPE_CPU");
    unsigned detected = tt_cpu_detect(), mask = detected;
    if (name && tt_cpu_mask(name, detected, &mask)) ck_abort_msg("TINTYPE_CPU: found %s", name);
    return mask;
}

void test_sha256(const void *data, size_t size, char hex[65]) {
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&context);
    sha256_update(&context, size, data);
    sha256_digest(&context, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}
