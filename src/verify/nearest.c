// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

#include "tintype.h"

enum { LONGEST = 255 };

// How many characters must be put in, taken away or changed to make one of the other, or `most`
// where it is no less (Levenshtein).
static size_t edits(const char *a, size_t length, const char *b, size_t most) {
    unsigned char row[LONGEST + 1];
    size_t width = strlen(b), apart = width > length ? width - length : length - width;
    if (width > LONGEST || apart >= most) return most;
    for (size_t j = 0; j <= width; j++) row[j] = (unsigned char)j;
    for (size_t i = 1; i <= length; i++) {
        size_t before = row[0], least = i; // row[j - 1] of the line above
        row[0] = (unsigned char)i;
        for (size_t j = 1; j <= width; j++) {
            size_t changed = before + (a[i - 1] != b[j - 1]);
            size_t best = (size_t)(row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            before = row[j];
            if (changed < best) best = changed;
            row[j] = (unsigned char)(best < LONGEST ? best : LONGEST);
            if (best < least) least = best;
        }
        if (least >= most) return most;
    }
    return row[width] < most ? row[width] : most;
}

const char *tt_name_nearest(const char *name, const char *const *names, size_t count) {
    const char *nearest = NULL;
    size_t length = strlen(name), least = (length + 1) / 2 + 1;
    if (length > LONGEST) return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t apart = edits(name, length, names[i], least);
        if (apart >= least) continue;
        least = apart;
        nearest = names[i];
    }
    return nearest;
}
