// SPDX-License-Identifier: MIT
#include "base/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

void *tt_block_alloc(size_t bytes) {
    if (bytes == 0) bytes = 1;
    const size_t huge = (size_t)2 << 20;
    size_t slack = bytes >= huge ? huge : 0; // a huge page must begin on its own boundary
    if (bytes > SIZE_MAX - slack) return NULL;
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
