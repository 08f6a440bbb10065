// SPDX-License-Identifier: MIT
// Which pictures are held out of training.
#include <stdlib.h>

#include "base/mix.h"
#include "train/dataset.h"

uint64_t tt_dataset_chance(const struct tt_dataset *data, uint64_t seed, size_t i) {
    uint64_t z = tt_fnv(TT_FNV_BEGIN, data->items[i].name);
    for (int round = 0; round < 2; round++) z = tt_mix(z + (seed + 1) * TT_MIX_STEP);
    return z;
}

static int held_last(const void *a, const void *b) {
    const struct tt_item *x = a, *y = b;
    if (x->held != y->held) return x->held ? 1 : -1;
    return tt_dataset_by_name(a, b);
}

// A picture's own number decides, so that others that come or go do not move it; only the one with
// the least number is held out in any case, and the one with the largest never.
enum tt_status tt_dataset_hold(struct tt_dataset *data, const char *path, struct tt_error *err) {
    const struct tt_dataset_options *o = &data->options;
    size_t least = 0, most = 0, count = data->used;
    uint64_t low = UINT64_MAX, high = 0;
    if (count < 2)
        return tt_fail(err, TT_BAD_INPUT, "%s: validate: found a single picture, expected at least "
                       "two: one to hold out, one to train on", path);
    for (size_t i = 0; i < count; i++) {
        uint64_t chance = tt_dataset_chance(data, o->seed, i);
        data->items[i].held = (double)(chance >> 11) * 0x1p-53 < o->hold;
        if (chance < low) least = i;
        if (chance < low) low = chance;
        if (chance >= high) most = i;
        if (chance >= high) high = chance;
    }
    data->items[least].held = true;
    data->items[most].held = false;
    for (size_t i = 0; i < count; i++) data->held += data->items[i].held;
    data->used -= data->held;
    qsort(data->items, count, sizeof *data->items, held_last);
    return TT_OK;
}
