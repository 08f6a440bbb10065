// SPDX-License-Identifier: MIT
// Ways to go through n bytes, each done once and n times: what the count of work (count.h) has to
// tell apart, compiled as what is counted.
#include "count.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static size_t by_loop(char *a, char *b, size_t n) {
    size_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += (size_t)(a[i] != b[i]);
    return sum;
}

static size_t by_memcpy(char *a, char *b, size_t n) {
    return memcpy(a, b, n) != NULL;
}

static size_t by_memmove(char *a, char *b, size_t n) {
    (void)b;
    return memmove(a + 1, a, n - 1) != NULL;
}

static size_t by_memset(char *a, char *b, size_t n) {
    (void)b;
    return memset(a, 'a', n) != NULL;
}

static size_t by_memcmp(char *a, char *b, size_t n) {
    return (size_t)memcmp(a, b, n);
}

static size_t by_memchr(char *a, char *b, size_t n) {
    (void)b;
    return memchr(a, 'z', n) != NULL;
}

static size_t by_memmem(char *a, char *b, size_t n) {
    (void)b;
    return memmem(a, n, "az", 2) != NULL;
}

static size_t by_strlen(char *a, char *b, size_t n) {
    (void)b;
    return strlen(a) != n;
}

static size_t by_strchr(char *a, char *b, size_t n) {
    (void)n;
    return (strchr(a, 'z') != NULL) + (strrchr(b, 'z') != NULL);
}

static size_t by_strstr(char *a, char *b, size_t n) {
    (void)b;
    (void)n;
    return strstr(a, "az") != NULL;
}

static size_t by_strspn(char *a, char *b, size_t n) {
    return (strspn(a, "a") != n) + (strcspn(b, "z") != n);
}

static size_t by_strcmp(char *a, char *b, size_t n) {
    return (size_t)(strcmp(a, b) | strncmp(a, b, n) | strcasecmp(a, b));
}

static size_t by_strdup(char *a, char *b, size_t n) {
    (void)b;
    char *copy = n % 2 ? strdup(a) : strndup(a, n);
    free(copy);
    return !copy;
}

static size_t by_calloc(char *a, char *b, size_t n) {
    (void)a;
    (void)b;
    char *made = calloc(n, 1);
    free(made);
    return !made;
}

static size_t by_realloc(char *a, char *b, size_t n) {
    (void)a;
    (void)b;
    char *made = realloc(malloc(1), n);
    free(made);
    return !made;
}

static size_t by_snprintf(char *a, char *b, size_t n) {
    (void)b;
    char piece[8];
    return snprintf(piece, sizeof piece, "%s", a) != (int)n; // cut, but gone through
}

static size_t by_sscanf(char *a, char *b, size_t n) {
    (void)b;
    (void)n;
    char first;
    return sscanf(a, "%c", &first) != 1;
}

const struct square squares[] = {
    {"a loop", by_loop}, {"memcpy", by_memcpy}, {"memmove", by_memmove}, {"memset", by_memset},
    {"memcmp", by_memcmp}, {"memchr", by_memchr}, {"memmem", by_memmem}, {"strlen", by_strlen},
    {"strchr", by_strchr}, {"strstr", by_strstr}, {"strspn", by_strspn}, {"strcmp", by_strcmp},
    {"strdup", by_strdup}, {"calloc", by_calloc}, {"realloc", by_realloc},
    {"snprintf", by_snprintf}, {"sscanf", by_sscanf}, {NULL, NULL},
};

size_t squares_run(const struct square *square, char *a, char *b, size_t n, size_t times) {
    size_t found = 0;
    for (size_t i = 0; i < times; i++) found += square->pass(a, b, n);
    return found;
}
