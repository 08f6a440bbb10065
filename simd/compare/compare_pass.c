// SPDX-License-Identifier: MIT
#include "compare/compare.h"

#include <omp.h>
#include <string.h>

#include "base/half.h"
#include "shape/shape.h"
#include "split.h"
#include "vec/math_scalar.h"

// Numbers of a tile: two of them, a turned round and b as floats, stay in the second-level cache;
// rows of pixels in it are as long as they can be, for b lies far apart.
enum { TILE = 1 << 15, LEAST_PIXELS = 64 };

float tt_compare_second(const struct tt_compare_pair *p, size_t i) {
    size_t each = p->dtype == TT_F32 ? sizeof(float) : sizeof(uint16_t);
    const char *at = (const char *)p->b + i * each;
    uint16_t half;
    float x;
    if (p->dtype == TT_F32) {
        memcpy(&x, at, sizeof x);
        return x;
    }
    memcpy(&half, at, sizeof half);
    return sf_canon(p->dtype == TT_F16 ? tt_half_to_float(half) : sf_from_bf16(half));
}

// How a pair is cut: images times `count` tiles of `pixels`, the last one of an image shorter.
struct cut {
    size_t pixels, count, tiles;
    bool turned; // a is not as b is
};

static struct cut cut_of(const struct tt_compare_pair *p) {
    struct cut cut = {.turned = p->channels > 1 && p->pixels > 1};
    // Without anything to turn, an image is one long row.
    size_t row = cut.turned ? p->pixels : p->pixels * p->channels;
    cut.pixels = TILE / (cut.turned ? p->channels : 1) / LEAST_PIXELS * LEAST_PIXELS;
    cut.pixels = min(max(cut.pixels, LEAST_PIXELS), max(row, 1));
    cut.count = ceil_div(row, cut.pixels);
    cut.tiles = p->images * cut.count;
    return cut;
}

static size_t tile_floats(const struct tt_compare_pair *p, const struct cut *cut) {
    return cut->pixels * (cut->turned ? p->channels : 1);
}

static size_t round_up(size_t bytes) { return ceil_div(bytes, 64) * 64; }

size_t tt_compare_scratch(const struct tt_compare_pair *p, int threads) {
    struct cut cut = cut_of(p);
    return round_up(cut.tiles * sizeof(struct tt_compared)) +
           (size_t)threads * 2 * round_up(tile_floats(p, &cut) * sizeof(float));
}

// Numbers first to first + n of b as floats, aligned: where they lie, or in `room`.
static const float *floats_of(const struct tt_kernels *kernels, const struct tt_compare_pair *p,
                              size_t first, size_t n, float *room) {
    uintptr_t address = (uintptr_t)p->b;
    if (p->dtype == TT_F32) {
        if (address % sizeof(float) == 0) return (const float *)p->b + first;
        memcpy(room, (const char *)p->b + first * sizeof(float), n * sizeof(float));
    } else if (address % sizeof(uint16_t) == 0) {
        tt_widen(kernels, &(struct tt_weight){p->b, p->dtype}, first, n, room);
    } else {
        for (size_t i = 0; i < n; i++) room[i] = tt_compare_second(p, first + i);
    }
    return room;
}

static void compare_tile(const struct tt_kernels *kernels, const struct tt_compare_pair *p,
                         const struct cut *cut, size_t index, float *turned, float *room,
                         struct tt_compared *out) {
    size_t image = index / cut->count, from = index % cut->count * cut->pixels;
    size_t whole = p->pixels * p->channels, row = cut->turned ? p->pixels : whole;
    size_t n = min(cut->pixels, row - from), rows = cut->turned ? p->channels : 1;
    struct tt_compare_tile tile = {.a = p->a + image * whole + from * rows, .lda = n, .ldb = row,
                                   .rows = rows, .n = n};
    if (cut->turned) {
        kernels->nhwc_to_nchw_f32(tile.a, turned, 1, rows, n);
        tile.a = turned;
    }
    tile.b = floats_of(kernels, p, image * whole + from, n, room);
    if (tile.b == room && rows > 1) {
        tile.ldb = n;
        for (size_t r = 1; r < rows; r++)
            floats_of(kernels, p, image * whole + r * row + from, n, room + r * n);
    }
    kernels->compare_f32(&tile, out);
}

// The first place in a tile that has the largest difference, as b counts; `before`: only earlier
// ones are of use.
static size_t place(const struct tt_compare_pair *p, const struct cut *cut, size_t index,
                    float largest, size_t before) {
    size_t image = index / cut->count, from = index % cut->count * cut->pixels;
    size_t whole = p->pixels * p->channels, row = cut->turned ? p->pixels : whole;
    size_t n = min(cut->pixels, row - from), rows = cut->turned ? p->channels : 1;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) {
            size_t at = image * whole + r * row + from + i;
            if (at >= before) return before;
            size_t own = cut->turned ? tt_compare_first(p, at) : at;
            if (tt_difference_of(p->a[own], tt_compare_second(p, at)) == largest) return at;
        }
    return before;
}

void tt_compare_arrays(const struct tt_kernels *kernels, const struct tt_compare_pair *pair,
                       struct tt_compared_pair *compared, void *scratch, int threads) {
    struct cut cut = cut_of(pair);
    struct tt_compared *tiles = scratch;
    size_t own = round_up(tile_floats(pair, &cut) * sizeof(float)) / sizeof(float);
    float *rooms = (float *)((char *)scratch + round_up(cut.tiles * sizeof *tiles));
    struct tt_compared_pair c = {.at = SIZE_MAX};
#pragma omp parallel for num_threads(threads) schedule(static) if (cut.tiles > 1)
    for (size_t i = 0; i < cut.tiles; i++) {
        float *room = rooms + (size_t)omp_get_thread_num() * 2 * own;
        compare_tile(kernels, pair, &cut, i, room, room + own, &tiles[i]);
    }
    for (size_t i = 0; i < cut.tiles; i++) {
        c.largest = sf_max(tiles[i].largest, c.largest);
        c.squares += tiles[i].squares;
        c.reference += tiles[i].reference;
        c.nan_a += tiles[i].nan_a;
        c.nan_b += tiles[i].nan_b;
        c.infinite_a += tiles[i].infinite_a;
        c.infinite_b += tiles[i].infinite_b;
    }
    for (size_t i = 0; c.largest > 0 && i < cut.tiles; i++)
        if (tiles[i].largest == c.largest) c.at = place(pair, &cut, i, c.largest, c.at);
    if (!(c.largest > 0)) c.at = 0;
    *compared = c;
}
