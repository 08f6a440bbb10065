// SPDX-License-Identifier: MIT
// One block of memory for buffers whose lifetimes are known beforehand: those that never live at
// the same time share a place. Time is the index of a step.
#ifndef TT_GRAPH_ARENA_H
#define TT_GRAPH_ARENA_H

#include <stdbool.h>

#include "base/memory.h"
#include "base/status.h"

struct tt_buffer {
    size_t bytes, offset;
    int first, last; // inclusive; nothing is kept for a buffer whose last comes before its first
    int root;        // the buffer whose place this one shares; itself when it has its own
};

// Memory of arenas that are used by turns, as large as the largest of them. Zero-initialise.
struct tt_arena_memory {
    char *base;
    size_t bytes;
};
void tt_arena_memory_free(struct tt_arena_memory *memory);

// Zero-initialise before tt_arena_new.
struct tt_arena {
    struct tt_buffer *buffers;
    int count, capacity;
    struct tt_arena_memory own, *memory; // memory: own, or what others use, too
    size_t bytes;
};

// Adds a buffer that nobody has touched; its index, or -1 when memory is short.
int tt_arena_add(struct tt_arena *arena, size_t bytes);
void tt_arena_free(struct tt_arena *arena);

// The buffer whose place `index` shares, over any number of sharings.
int tt_arena_root(const struct tt_arena *arena, int index);

// The buffer is alive at `time`; -1 as an index is nothing.
void tt_arena_touch(struct tt_arena *arena, int index, int time);

// Lets buffer `to`, first written at `time`, lie in the place of `from` when that is of the same
// size and last read at `time`. False, and nothing is changed, when it may not: a buffer that is
// alive from before time 0 belongs to the caller.
bool tt_arena_share(struct tt_arena *arena, int from, int to, int time);

// Lays the buffers out; bytes is then what they need. TT_SYSTEM when the machine has less (the
// kernel would end the process when it touches them); what: named in the error message.
enum tt_status tt_arena_measure(struct tt_arena *arena, const char *what, struct tt_error *err);

// Lays the buffers out and allocates; what: named in the error message ("activations"). In `shared`
// (NULL: in memory of its own), which is another block afterwards when it was too small.
enum tt_status tt_arena_lay_out(struct tt_arena *arena, struct tt_arena_memory *shared,
                                const char *what, struct tt_error *err);

// Bytes of the buffers that are alive at `time`.
size_t tt_arena_live(const struct tt_arena *arena, int time);

// Where a buffer is, after tt_arena_lay_out, until shared memory becomes another block.
void *tt_arena_at(const struct tt_arena *arena, int index);

// Fills the buffers that were last needed at `time` with NaN, for tests.
void tt_arena_poison(struct tt_arena *arena, int time);

#endif
