// SPDX-License-Identifier: MIT
// Memory: a pool for many small things with one end of life, and large aligned blocks.
#ifndef TT_BASE_MEMORY_H
#define TT_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

// Every block and every buffer in an arena begins on such a boundary: a cache line, the widest
// vector.
enum { TT_ALIGN = 64 };

static inline size_t tt_align_up(size_t bytes) {
    return (bytes + TT_ALIGN - 1) / TT_ALIGN * TT_ALIGN;
}

// Zero-filled and TT_ALIGN-aligned; large blocks ask for huge pages, without which the widest
// layers lose a third of their speed to address translation. NULL when memory is short, also when
// the machine has less (tt_memory_has).
void *tt_block_alloc(size_t bytes);
void tt_block_free(void *block, size_t bytes);

// Bytes that this process can have at all: the machine's memory, or its control group's limit, and
// swap space. SIZE_MAX: not known. Linux gives out more than that, and kills who uses it.
size_t tt_memory_most(void);
// Whether it is so many.
bool tt_memory_has(size_t bytes);

// A pool: tt_pool_alloc hands out zero-filled pieces, aligned to TT_ALIGN, that all end with
// tt_pool_free. Zero-initialise before the first use; NULL when memory is short.
struct tt_pool {
    struct tt_pool_chunk *chunks;
};
void *tt_pool_alloc(struct tt_pool *pool, size_t bytes);
char *tt_pool_format(struct tt_pool *pool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void tt_pool_free(struct tt_pool *pool);

#endif
