// SPDX-License-Identifier: MIT
#include "base/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

void *tt_block_alloc(size_t bytes) {
    if (bytes == 0) bytes = 1;
    const size_t huge = (size_t)2 << 20;
    size_t slack = bytes >= huge ? huge : 0; // a huge page must begin on its own boundary
    if (bytes > SIZE_MAX - slack || !tt_memory_has(bytes)) return NULL;
    char *map = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                     -1, 0);
    if (map == MAP_FAILED) return NULL;
    if (!slack) return map;
    char *block = (char *)(((uintptr_t)map + huge - 1) / huge * huge);
    if (block > map) munmap(map, (size_t)(block - map));
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *end = (char *)(((uintptr_t)block + bytes + page - 1) / page * page);
    if (end < map + bytes + slack) munmap(end, (size_t)(map + bytes + slack - end));
    madvise(block, bytes, MADV_HUGEPAGE);
    return block;
}

void tt_block_free(void *block, size_t bytes) {
    if (block) munmap(block, bytes ? bytes : 1);
}

// The number in a file of a control group; SIZE_MAX when there is none ("max").
static size_t limit_in(const char *path) {
    char text[32] = "";
    FILE *file = fopen(path, "re");
    if (!file) return SIZE_MAX;
    unsigned long long limit = fgets(text, sizeof text, file) ? strtoull(text, NULL, 10) : 0;
    fclose(file);
    return limit ? (size_t)limit : SIZE_MAX;
}

// That of the group the process is in, for both versions of control groups; inside a container its
// own group is the root of those it sees.
static size_t group_limit(void) {
    static const char *const roots[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        size_t limit = limit_in(roots[i]);
        if (limit < least) least = limit;
    }
    char line[256], path[sizeof line + 64];
    FILE *file = fopen("/proc/self/cgroup", "re"); // lines of number:controllers:path
    while (file && fgets(line, sizeof line, file)) {
        char *controllers = strchr(line, ':'), *group = strrchr(line, ':');
        if (!controllers || group == controllers) group = NULL;
        line[strcspn(line, "\n")] = 0;
        if (group && group == controllers + 1)
            snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group + 1);
        else if (group && !strncmp(controllers, ":memory:", 8))
            snprintf(path, sizeof path, "/sys/fs/cgroup/memory%s/memory.limit_in_bytes", group + 1);
        else continue;
        size_t limit = limit_in(path);
        if (limit < least) least = limit;
    }
    if (file) fclose(file);
    return least;
}

size_t tt_memory_most(void) {
    struct sysinfo machine;
    if (sysinfo(&machine)) return SIZE_MAX;
    size_t unit = machine.mem_unit, ram = machine.totalram * unit, group = group_limit();
    size_t most = group < ram ? group : ram;
    return most + machine.totalswap * unit;
}

bool tt_memory_has(size_t bytes) {
    const size_t few = (size_t)64 << 20; // less is not worth asking for
    return bytes <= few || bytes <= tt_memory_most();
}

struct tt_pool_chunk {
    struct tt_pool_chunk *next;
    size_t size, used;
};

void *tt_pool_alloc(struct tt_pool *pool, size_t bytes) {
    if (bytes > SIZE_MAX / 2) return NULL;
    size_t need = tt_align_up(bytes ? bytes : 1), head = tt_align_up(sizeof(struct tt_pool_chunk));
    struct tt_pool_chunk *chunk = pool->chunks;
    if (!chunk || chunk->size - chunk->used < need) {
        const size_t usual = (size_t)64 << 10;
        size_t size = head + need > usual ? head + need : usual;
        chunk = tt_block_alloc(size);
        if (!chunk) return NULL;
        *chunk = (struct tt_pool_chunk){pool->chunks, size, head};
        pool->chunks = chunk;
    }
    void *piece = (char *)chunk + chunk->used;
    chunk->used += need;
    return piece;
}

char *tt_pool_format(struct tt_pool *pool, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    char *text = length < 0 ? NULL : tt_pool_alloc(pool, (size_t)length + 1);
    if (text) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

void tt_pool_free(struct tt_pool *pool) {
    for (struct tt_pool_chunk *chunk = pool->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        tt_block_free(chunk, chunk->size);
    }
    pool->chunks = NULL;
}
