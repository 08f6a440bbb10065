// SPDX-License-Identifier: MIT
// What is counted as work (count.h). tests/checks.mk reads the names of functions from the lines
// that begin with WRAP: the linker gives every call of NAME to __wrap_NAME, of which __real_NAME is
// the function itself. tests/check_objects.sh asks that none is missing that goes through memory.
#include "count.h"

#include <jansson.h>
#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <utf8proc.h>
#include <zlib.h>

static size_t work_done;

// No lock: it costs more than all else, and what is counted runs in one thread.
static inline void touch(size_t amount) {
    size_t before = __atomic_load_n(&work_done, __ATOMIC_RELAXED);
    __atomic_store_n(&work_done, before + amount, __ATOMIC_RELAXED);
}

// Called at the beginning of each basic block of what is compiled to be counted.
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) { touch(1); }

size_t count_work(void (*work)(void *input), void *input) {
    size_t before = work_done;
    work(input);
    return work_done - before;
}

// Visible, since the linker takes shared libraries' calls for calls of these, too.
#define WRAP(type, name, ...) \
    __attribute__((visibility("default"))) type __wrap_##name(__VA_ARGS__); \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

// Bytes that are written or gone through.

WRAP(void *, memcpy, void *to, const void *from, size_t n) {
    touch(n);
    return __real_memcpy(to, from, n);
}

WRAP(void *, memmove, void *to, const void *from, size_t n) {
    touch(n);
    return __real_memmove(to, from, n);
}

WRAP(void *, memset, void *to, int byte, size_t n) {
    touch(n);
    return __real_memset(to, byte, n);
}

WRAP(void *, calloc, size_t n, size_t size) {
    touch(n * size);
    return __real_calloc(n, size);
}

WRAP(void *, realloc, void *at, size_t n) { // it may have to move all of it
    touch(n);
    return __real_realloc(at, n);
}

WRAP(size_t, strlen, const char *s) {
    size_t n = __real_strlen(s);
    touch(n);
    return n;
}

static void touch_until(const void *from, const void *found, size_t most) {
    touch(found ? (size_t)((const char *)found - (const char *)from) + 1 : most);
}

WRAP(void *, memchr, const void *s, int byte, size_t n) {
    void *found = __real_memchr(s, byte, n);
    touch_until(s, found, n);
    return found;
}

WRAP(void *, memmem, const void *s, size_t n, const void *what, size_t size) {
    void *found = __real_memmem(s, n, what, size);
    touch_until(s, found, n);
    return found;
}

WRAP(char *, strchr, const char *s, int c) {
    char *found = __real_strchr(s, c);
    touch_until(s, found, found ? 0 : __real_strlen(s));
    return found;
}

WRAP(char *, strrchr, const char *s, int c) {
    touch(__real_strlen(s));
    return __real_strrchr(s, c);
}

WRAP(char *, strstr, const char *s, const char *what) {
    char *found = __real_strstr(s, what);
    touch_until(s, found, found ? 0 : __real_strlen(s));
    return found;
}

WRAP(size_t, strspn, const char *s, const char *set) {
    size_t n = __real_strspn(s, set);
    touch(n);
    return n;
}

WRAP(size_t, strcspn, const char *s, const char *set) {
    size_t n = __real_strcspn(s, set);
    touch(n);
    return n;
}

// Comparisons end where two differ.

WRAP(int, memcmp, const void *a, const void *b, size_t n) {
    const unsigned char *p = a, *q = b;
    size_t same = 0;
    while (same < n && p[same] == q[same]) same++;
    touch(same);
    return __real_memcmp(a, b, n);
}

static void touch_same(const char *a, const char *b, size_t n) {
    size_t same = 0;
    while (same < n && a[same] && a[same] == b[same]) same++;
    touch(same);
}

WRAP(int, strcmp, const char *a, const char *b) {
    touch_same(a, b, SIZE_MAX);
    return __real_strcmp(a, b);
}

WRAP(int, strncmp, const char *a, const char *b, size_t n) {
    touch_same(a, b, n);
    return __real_strncmp(a, b, n);
}

WRAP(int, strcasecmp, const char *a, const char *b) {
    touch_same(a, b, SIZE_MAX);
    return __real_strcasecmp(a, b);
}

WRAP(char *, strcpy, char *to, const char *from) {
    touch(__real_strlen(from));
    return __real_strcpy(to, from);
}

WRAP(char *, strdup, const char *s) {
    touch(__real_strlen(s));
    return __real_strdup(s);
}

WRAP(char *, strndup, const char *s, size_t n) {
    char *copy = __real_strndup(s, n);
    touch(copy ? __real_strlen(copy) : 0);
    return copy;
}

// A comparison's own work is counted where it is done.
WRAP(void, qsort, void *at, size_t n, size_t size, int (*compare)(const void *, const void *)) {
    touch(n * size);
    __real_qsort(at, n, size, compare);
}

// Numbers and formats.

WRAP(double, strtod, const char *s, char **end) {
    char *stop;
    double value = __real_strtod(s, &stop);
    touch((size_t)(stop - s));
    if (end) *end = stop;
    return value;
}

WRAP(long, strtol, const char *s, char **end, int base) {
    char *stop;
    long value = __real_strtol(s, &stop, base);
    touch((size_t)(stop - s));
    if (end) *end = stop;
    return value;
}

WRAP(unsigned long long, strtoull, const char *s, char **end, int base) {
    char *stop;
    unsigned long long value = __real_strtoull(s, &stop, base);
    touch((size_t)(stop - s));
    if (end) *end = stop;
    return value;
}

WRAP(int, vsnprintf, char *to, size_t size, const char *format, va_list args) {
    int n = __real_vsnprintf(to, size, format, args); // as much as there was, not as it was cut
    touch(n > 0 ? (size_t)n : 0);
    return n;
}

WRAP(int, snprintf, char *to, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = __wrap_vsnprintf(to, size, format, args);
    va_end(args);
    return n;
}

WRAP(int, asprintf, char **to, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vasprintf(to, format, args);
    va_end(args);
    touch(n > 0 ? (size_t)n : 0);
    return n;
}

WRAP(int, fprintf, FILE *file, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vfprintf(file, format, args);
    va_end(args);
    touch(n > 0 ? (size_t)n : 0);
    return n;
}

WRAP(int, __isoc99_sscanf, const char *s, const char *format, ...) {
    va_list args;
    touch(__real_strlen(s)); // all of it, however little is asked for
    va_start(args, format);
    int n = vsscanf(s, format, args);
    va_end(args);
    return n;
}

// Files.

WRAP(ssize_t, read, int fd, void *to, size_t n) {
    ssize_t got = __real_read(fd, to, n);
    touch(got > 0 ? (size_t)got : 0);
    return got;
}

WRAP(ssize_t, write, int fd, const void *from, size_t n) {
    touch(n);
    return __real_write(fd, from, n);
}

WRAP(char *, fgets, char *to, int n, FILE *file) {
    char *got = __real_fgets(to, n, file);
    touch(got ? __real_strlen(got) : 0);
    return got;
}

// What other libraries are given, as far as a call says how much that is.

WRAP(json_t *, json_loadb, const char *s, size_t n, size_t flags, json_error_t *error) {
    touch(n);
    return __real_json_loadb(s, n, flags, error);
}

WRAP(json_t *, json_loads, const char *s, size_t flags, json_error_t *error) {
    touch(__real_strlen(s));
    return __real_json_loads(s, flags, error);
}

WRAP(char *, json_dumps, const json_t *json, size_t flags) {
    char *text = __real_json_dumps(json, flags);
    touch(text ? __real_strlen(text) : 0);
    return text;
}

WRAP(json_t *, json_string, const char *s) {
    touch(__real_strlen(s));
    return __real_json_string(s);
}

WRAP(json_t *, json_object_get, const json_t *object, const char *key) {
    touch(__real_strlen(key));
    return __real_json_object_get(object, key);
}

WRAP(utf8proc_ssize_t, utf8proc_normalize_utf32, utf8proc_int32_t *at, utf8proc_ssize_t n,
     utf8proc_option_t options) {
    touch((size_t)n);
    return __real_utf8proc_normalize_utf32(at, n, options);
}

WRAP(uLong, crc32, uLong crc, const Bytef *at, uInt n) {
    touch(n);
    return __real_crc32(crc, at, n);
}

WRAP(uLong, crc32_z, uLong crc, const Bytef *at, z_size_t n) {
    touch(n);
    return __real_crc32_z(crc, at, n);
}

WRAP(int, uncompress2, Bytef *to, uLongf *room, const Bytef *from, uLong *n) {
    int status = __real_uncompress2(to, room, from, n);
    touch(*room + *n);
    return status;
}

WRAP(void, nettle_sha256_update, struct sha256_ctx *context, size_t n, const uint8_t *at) {
    touch(n);
    __real_nettle_sha256_update(context, n, at);
}
