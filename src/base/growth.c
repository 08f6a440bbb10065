// SPDX-License-Identifier: MIT
#include "base/growth.h"

#include <string.h>

void tt_growth_give(void *given, size_t size, const void *defaults, size_t known) {
    memset(given, 0, size);
    memcpy(given, defaults, size < known ? size : known);
    if (size >= sizeof size) memcpy(given, &size, sizeof size);
}

enum tt_status tt_growth_take(void *full, size_t known, const void *given, const char *what,
                                struct tt_error *err) {
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size < sizeof size)
        return tt_fail(err, TT_BAD_INPUT, "%s: found size %zu, expected what its defaults function "
                       "fills in", what, size);
    for (size_t i = known; i < size; i++)
        if (((const char *)given)[i])
            return tt_fail(err, TT_BAD_INPUT, "%s: found size %zu, expected at most %zu: the "
                           "program was made for a later version than this %s", what, size, known,
                           TT_VERSION);
    memcpy(full, given, size < known ? size : known);
    memcpy(full, &known, sizeof known);
    return TT_OK;
}
