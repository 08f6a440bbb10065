// SPDX-License-Identifier: MIT
#include "alloc_watch.h"

#include <jansson.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

#pragma GCC visibility push(default) // hidden functions would stand before no other's

// ---- the allocator ----

// Sanitizers bring their own, which these functions call before the sanitizers are set up.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((disable_sanitizer_instrumentation)), \
                             apply_to = function)
#endif
void *__interceptor_malloc(size_t) __attribute__((weak));
void *__interceptor_calloc(size_t, size_t) __attribute__((weak));
void *__interceptor_realloc(void *, size_t) __attribute__((weak));
void __interceptor_free(void *) __attribute__((weak));
void *__interceptor_mmap(void *, size_t, int, int, int, off_t) __attribute__((weak));
int __interceptor_munmap(void *, size_t) __attribute__((weak));
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);

struct alloc_watch alloc_watch;
#define GONE ((void *)&alloc_watch)

// The slot with this block, or the first empty one.
static void **slot_of(const void *block) {
    size_t at = (uintptr_t)block / 16 * 0x9E3779B97F4A7C15u >> 49;
    while (alloc_watch.held[at] && alloc_watch.held[at] != block) at = (at + 1) % ALLOC_SLOTS;
    return &alloc_watch.held[at];
}

// Notes a block that was given out; each run has far fewer than there are slots.
static void *hold(void *block) {
    if (!block || alloc_watch.count >= ALLOC_SLOTS) return block;
    *slot_of(block) = block;
    alloc_watch.blocks++;
    return block;
}

// Forgets it again; a block from before, or from the OpenMP runtime, is nowhere.
static void forget(const void *block) {
    void **slot = block && alloc_watch.on ? slot_of(block) : NULL;
    if (!slot || !*slot) return;
    *slot = GONE;
    alloc_watch.blocks--;
}

// The OpenMP runtime ends the process when it gets no memory; nothing can be done about that. What
// its tool for TSan holds, Archer, is not ours either; that one is in C++, as nothing else here.
enum { RUNTIMES = 4 };
static struct {
    uintptr_t begin, end;
} runtimes[RUNTIMES];

static int find_runtimes(struct dl_phdr_info *info, size_t size, void *context) {
    static const char *const names[RUNTIMES] = {"libgomp", "libomp", "libarcher", "libstdc++"};
    (void)size, (void)context;
    for (int k = 0; k < RUNTIMES; k++) {
        if (!strstr(info->dlpi_name, names[k])) continue;
        runtimes[k].begin = info->dlpi_addr;
        for (int i = 0; i < info->dlpi_phnum; i++) {
            uintptr_t end =
                info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
            if (info->dlpi_phdr[i].p_type == PT_LOAD && end > runtimes[k].end)
                runtimes[k].end = end;
        }
    }
    return 0;
}

void alloc_watch_find_runtimes(void) {
    dl_iterate_phdr(find_runtimes, NULL);
}

static bool in_runtime(uintptr_t caller) {
    bool inside = false;
    for (int k = 0; k < RUNTIMES; k++)
        inside |= caller >= runtimes[k].begin && caller < runtimes[k].end;
    return inside;
}

// Where jansson enlarges its text buffer. Version 2.14 does not look whether that worked when it
// reads a token, which then lacks a byte, or its end: nothing that a caller could do about, either.
static struct {
    bool looking;
    const void *caller;
    size_t most;
} enlarging;

void alloc_watch_find_enlarging(void) {
    char text[5000];
    memset(text, 'x', sizeof text);
    json_t *value = json_stringn(text, sizeof text);
    enlarging.looking = true;
    char *dump = json_dumps(value, JSON_ENCODE_ANY);
    enlarging.looking = false;
    ck_assert(dump && enlarging.most > sizeof text);
    free(dump);
    json_decref(value);
}

static bool watched(const void *caller) {
    return alloc_watch.on && caller != enlarging.caller && !in_runtime((uintptr_t)caller);
}

static bool refused(void) {
    alloc_watch.count++;
    return alloc_watch.fail_at && (alloc_watch.for_good ? alloc_watch.count >= alloc_watch.fail_at
                                            : alloc_watch.count == alloc_watch.fail_at);
}

void *malloc(size_t size) {
    if (enlarging.looking && size > enlarging.most) {
        enlarging.most = size;
        enlarging.caller = __builtin_return_address(0);
    }
    bool seen = watched(__builtin_return_address(0));
    if (seen && refused()) return NULL;
    void *block = __interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size);
    return seen ? hold(block) : block;
}

void *calloc(size_t count, size_t size) {
    bool seen = watched(__builtin_return_address(0));
    if (seen && refused()) return NULL;
    void *block = __interceptor_calloc ? __interceptor_calloc(count, size)
                                       : __libc_calloc(count, size);
    return seen ? hold(block) : block;
}

void *realloc(void *old, size_t size) {
    bool seen = watched(__builtin_return_address(0));
    if (seen && refused()) return NULL;
    forget(old);
    void *block = __interceptor_realloc ? __interceptor_realloc(old, size)
                                        : __libc_realloc(old, size);
    return seen ? hold(block) : block;
}

void free(void *block) {
    forget(block);
    if (__interceptor_free) __interceptor_free(block);
    else __libc_free(block);
}

static size_t pages(size_t size) {
    return (size + 4095) / 4096 * 4096;
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    bool seen = watched(__builtin_return_address(0));
    if (seen && refused()) return MAP_FAILED;
    if (seen) alloc_watch.mapped += pages(size);
    return __interceptor_mmap
               ? __interceptor_mmap(address, size, protection, flags, fd, offset)
               : (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}

int munmap(void *address, size_t size) {
    if (watched(__builtin_return_address(0))) alloc_watch.mapped -= pages(size);
    return __interceptor_munmap ? __interceptor_munmap(address, size)
                                : (int)syscall(SYS_munmap, address, size);
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

// What is written is not for keeping.
int fsync(int fd) {
    (void)fd;
    return 0;
}
