// SPDX-License-Identifier: MIT
#include "graph/arena.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

int tt_arena_add(struct tt_arena *arena, size_t bytes) {
    if (arena->count == arena->capacity) {
        int capacity = arena->capacity ? 2 * arena->capacity : 256;
        struct tt_buffer *larger =
            realloc(arena->buffers, (size_t)capacity * sizeof *larger);
        if (!larger) return -1;
        arena->buffers = larger;
        arena->capacity = capacity;
    }
    int index = arena->count++;
    arena->buffers[index] = (struct tt_buffer){
        .bytes = tt_align_up(bytes), .first = INT_MAX, .last = INT_MIN, .root = index,
    };
    return index;
}

void tt_arena_memory_free(struct tt_arena_memory *memory) {
    tt_block_free(memory->base, memory->bytes);
    *memory = (struct tt_arena_memory){0};
}

void tt_arena_free(struct tt_arena *arena) {
    tt_arena_memory_free(&arena->own);
    free(arena->buffers);
    *arena = (struct tt_arena){0};
}

int tt_arena_root(const struct tt_arena *arena, int index) {
    while (arena->buffers[index].root != index) index = arena->buffers[index].root;
    return index;
}

void tt_arena_touch(struct tt_arena *arena, int index, int time) {
    if (index < 0) return;
    struct tt_buffer *b = &arena->buffers[tt_arena_root(arena, index)];
    if (time < b->first) b->first = time;
    if (time > b->last) b->last = time;
}

bool tt_arena_share(struct tt_arena *arena, int from, int to, int time) {
    from = tt_arena_root(arena, from);
    struct tt_buffer *a = &arena->buffers[from], *b = &arena->buffers[to];
    if (b->root != to || from == to || a->last != time || b->first != time || a->first < 0 ||
        a->bytes != b->bytes)
        return false;
    b->root = from;
    a->last = b->last;
    return true;
}

static int larger_first(const void *a, const void *b, void *buffers) {
    const struct tt_buffer *x = (const struct tt_buffer *)buffers + *(const int *)a;
    const struct tt_buffer *y = (const struct tt_buffer *)buffers + *(const int *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return *(const int *)a - *(const int *)b;
}

// Greedy: the largest buffer first, each at the lowest place that is free while it lives.
static void place_all(struct tt_arena *arena, int *order, int *placed) {
    int count = 0;
    for (int i = 0; i < arena->count; i++) {
        const struct tt_buffer *b = &arena->buffers[i];
        if (b->root == i && b->bytes && b->first <= b->last) order[count++] = i;
    }
    qsort_r(order, (size_t)count, sizeof *order, larger_first, arena->buffers);
    for (int i = 0; i < count; i++) {
        struct tt_buffer *b = &arena->buffers[order[i]];
        // placed[] is kept in order of offset
        size_t offset = 0;
        int position = 0;
        for (int j = 0; j < i; j++) {
            const struct tt_buffer *other = &arena->buffers[placed[j]];
            if (other->last < b->first || b->last < other->first) continue;
            if (other->offset >= offset + b->bytes) break;
            if (other->offset + other->bytes > offset) offset = other->offset + other->bytes;
        }
        b->offset = offset;
        while (position < i && arena->buffers[placed[position]].offset < offset) position++;
        memmove(placed + position + 1, placed + position, (size_t)(i - position) * sizeof *placed);
        placed[position] = order[i];
        if (offset + b->bytes > arena->bytes) arena->bytes = offset + b->bytes;
    }
}

enum tt_status tt_arena_measure(struct tt_arena *arena, const char *what, struct tt_error *err) {
    size_t size = ((size_t)arena->count + 1) * sizeof(int);
    int *order = malloc(size), *placed = malloc(size);
    bool failed = !order || !placed;
    if (!failed) place_all(arena, order, placed);
    free(order);
    free(placed);
    if (failed) return tt_fail(err, TT_SYSTEM, "out of memory for a plan");
    if (tt_memory_has(arena->bytes)) return TT_OK;
    return tt_fail(err, TT_SYSTEM, "out of memory: found %zu bytes, expected %zu bytes for %s",
                   tt_memory_most(), arena->bytes, what);
}

enum tt_status tt_arena_lay_out(struct tt_arena *arena, struct tt_arena_memory *shared,
                                const char *what, struct tt_error *err) {
    enum tt_status status = tt_arena_measure(arena, what, err);
    struct tt_arena_memory *memory = arena->memory = shared ? shared : &arena->own;
    if (status || (memory->base && memory->bytes >= arena->bytes)) return status;
    tt_arena_memory_free(memory);
    memory->base = tt_block_alloc(arena->bytes);
    if (!memory->base)
        return tt_fail(err, TT_SYSTEM, "out of memory: %zu bytes of %s", arena->bytes, what);
    memory->bytes = arena->bytes;
    return TT_OK;
}

size_t tt_arena_live(const struct tt_arena *arena, int time) {
    size_t bytes = 0;
    for (int i = 0; i < arena->count; i++) {
        const struct tt_buffer *b = &arena->buffers[i];
        if (b->root == i && b->first <= time && time <= b->last) bytes += b->bytes;
    }
    return bytes;
}

void *tt_arena_at(const struct tt_arena *arena, int index) {
    return arena->memory->base + arena->buffers[tt_arena_root(arena, index)].offset;
}

void tt_arena_poison(struct tt_arena *arena, int time) {
    for (int i = 0; i < arena->count; i++) {
        const struct tt_buffer *b = &arena->buffers[i];
        if (b->root == i && b->last == time && b->first >= 0)
            memset(arena->memory->base + b->offset, 0xff, b->bytes); // all ones is a NaN
    }
}
