// SPDX-License-Identifier: MIT
// Recorded modules that the model lacks: what may be meant by their names.
#include <stdlib.h>

#include "cli/verify.h"

// The nearest of the model's modules that the recording lacks: where one has another name, the two
// are a pair. NULL: none is near, or no memory.
static const char *nearest(const struct verify_call *c, const char *name) {
    size_t count = json_array_size(c->unrecorded);
    const char **names = calloc(count + 1, sizeof *names), *found = NULL;
    for (size_t i = 0; names && i < count; i++)
        names[i] = json_string_value(json_array_get(c->unrecorded, i));
    if (names) found = tt_name_nearest(name, names, count);
    free(names);
    return found;
}

enum tt_status verify_fail_absent(const struct verify_call *c) {
    const char *name = c->first_absent->name, *near = nearest(c, name);
    return tt_fail(&c->of->cli->error, TT_BAD_INPUT,
                   "%s: tensor '%s': found %zu that %s of %s lacks, expected modules of it%s%s%s",
                   c->file, name, c->absent, tt_part_name(c->part),
                   tt_model_info(c->of->model)->name, near ? "; nearest to this: '" : "",
                   near ? near : "", near ? "' (--names gives others to modules)" : "");
}
