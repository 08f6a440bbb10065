// SPDX-License-Identifier: MIT
#include "text/finder.h"

#include <stdlib.h>
#include <string.h>

// A node stands for the end of some pattern, read backwards; the root for nothing. The children of
// a node lie beside each other, in the order of their bytes, behind those of the nodes before it.
struct node {
    uint32_t children; // the first
    uint32_t fail;     // the longest other node that this one's text begins with
    int32_t pattern;   // the longest that this one's text begins with, or -1
    uint16_t count;    // of children
    uint8_t byte;      // that leads here
};

struct tt_finder {
    struct node *nodes;
};

// A pattern while nodes are made.
struct entry {
    const char *text;
    uint32_t size;
    int32_t index;
};

static unsigned char from_end(const struct entry *entry, size_t depth) {
    return (unsigned char)entry->text[entry->size - 1 - depth];
}

// By the reversed texts; a text before those that go on after it; equal ones by index.
static int by_reversed(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    for (size_t i = 0; i < x->size && i < y->size; i++)
        if (from_end(x, i) != from_end(y, i)) return from_end(x, i) < from_end(y, i) ? -1 : 1;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

// The child of node `at` by byte; the root, which is nobody's child, when there is none.
static uint32_t child(const struct node *nodes, uint32_t at, uint8_t byte) {
    uint32_t low = nodes[at].children, high = low + nodes[at].count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (nodes[middle].byte == byte) return middle;
        if (nodes[middle].byte < byte) low = middle + 1;
        else high = middle;
    }
    return 0;
}

// Where byte leads from node `at`: to its child, or that of the nearest node that it fails to.
static uint32_t next(const struct node *nodes, uint32_t at, uint8_t byte) {
    for (;; at = nodes[at].fail) {
        uint32_t to = child(nodes, at, byte);
        if (to || !at) return to;
    }
}

// Entries [begin, end) share the node's text, `depth` bytes.
struct range {
    uint32_t begin, end, depth;
};

// All nodes, level by level; ranges has room for as many. What a node fails to is on a level
// before it, so it is known already.
static void make_nodes(struct node *nodes, struct range *ranges, const struct entry *entries,
                       uint32_t count) {
    uint32_t made = 1;
    nodes[0] = (struct node){.pattern = -1};
    ranges[0] = (struct range){0, count, 0};
    for (uint32_t at = 0; at < made; at++) {
        struct range range = ranges[at];
        if (range.depth && entries[range.begin].size == range.depth)
            nodes[at].pattern = entries[range.begin].index;
        while (range.begin < range.end && entries[range.begin].size == range.depth) range.begin++;
        uint32_t first = made;
        for (uint32_t i = range.begin, end; i < range.end; i = end) {
            uint8_t byte = from_end(&entries[i], range.depth);
            for (end = i + 1; end < range.end; end++)
                if (from_end(&entries[end], range.depth) != byte) break;
            nodes[made] = (struct node){.pattern = -1, .byte = byte};
            ranges[made++] = (struct range){i, end, range.depth + 1};
        }
        nodes[at].children = first;
        nodes[at].count = (uint16_t)(made - first);
        for (uint32_t to = first; at && to < made; to++)
            nodes[to].fail = next(nodes, nodes[at].fail, nodes[to].byte);
        if (nodes[at].pattern < 0 && at) nodes[at].pattern = nodes[nodes[at].fail].pattern;
    }
}

enum tt_status tt_finder_new(const char *what, const char *const *patterns, size_t count,
                             struct tt_finder **out, struct tt_error *err) {
    size_t bytes = 0, used = 0;
    *out = NULL;
    struct tt_finder *finder = calloc(1, sizeof *finder);
    struct entry *entries = malloc((count + 1) * sizeof *entries);
    enum tt_status status = TT_OK;
    for (size_t i = 0; entries && i < count; i++) {
        if (!patterns[i]) continue;
        size_t size = strlen(patterns[i]);
        bytes += size;
        if (bytes > TT_FINDER_BYTES) {
            status = tt_fail(err, TT_BAD_INPUT, "%s: found more than %d bytes in all, expected no "
                             "more", what, TT_FINDER_BYTES);
            break;
        }
        entries[used++] = (struct entry){patterns[i], (uint32_t)size, (int32_t)i};
    }
    struct range *ranges = status ? NULL : malloc((bytes + 1) * sizeof *ranges);
    if (finder && !status) finder->nodes = malloc((bytes + 1) * sizeof *finder->nodes);
    if (!status && (!finder || !entries || !ranges || !finder->nodes))
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu bytes", what, bytes);
    if (!status) {
        qsort(entries, used, sizeof *entries, by_reversed);
        make_nodes(finder->nodes, ranges, entries, (uint32_t)used);
        *out = finder;
    } else {
        tt_finder_free(finder);
    }
    free(ranges);
    free(entries);
    return status;
}

void tt_finder_free(struct tt_finder *finder) {
    if (!finder) return;
    free(finder->nodes);
    free(finder);
}

void tt_finder_run(const struct tt_finder *finder, const char *text, size_t size, int32_t *found) {
    uint32_t at = 0;
    for (size_t i = size; i-- > 0;) {
        at = next(finder->nodes, at, (uint8_t)text[i]);
        found[i] = finder->nodes[at].pattern;
    }
}
