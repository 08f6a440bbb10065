// SPDX-License-Identifier: MIT
// What a verification comes to.
#include <stdio.h>

#include "cli/verify.h"

static void sum_of(const struct verify *v, size_t *compared, size_t *differ) {
    *compared = *differ = 0;
    for (size_t i = 0; i < v->count; i++) {
        *compared += v->calls[i].compared;
        *differ += v->calls[i].differ + v->calls[i].bad;
    }
}

// What differs comes before what could not be compared.
static enum tt_status judge_calls(struct verify *v) {
    struct tt_error *err = &v->cli->error;
    const struct verify_row *row;
    const struct verify_call *first = verify_first(v, &row);
    if (first)
        return tt_fail(err, TT_MISMATCH, "%s: '%s' is the first of %zu tensors that differ",
                       first->name, row->name, first->differ + first->bad);
    for (size_t i = 0; i < v->count; i++) {
        const struct verify_call *c = &v->calls[i];
        if (c->first_bad)
            return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s': found %g at element %zu, expected "
                           "finite numbers", c->file, c->first_bad->name,
                           (double)c->first_bad->d.reference, c->first_bad->d.at);
        if (c->absent) return verify_fail_absent(c);
    }
    return TT_OK;
}

enum tt_status verify_judge_all(struct verify *v) {
    size_t compared, differ;
    const struct verify_weights *w = &v->weights;
    bool weights = w->differ + w->missing;
    sum_of(v, &compared, &differ);
    enum tt_status status = judge_calls(v);
    if (!status || status == TT_BAD_INPUT) {
        if (v->drift.differ) {
            v->cli->error = (struct tt_error){0};
            status = tt_fail(&v->cli->error, TT_MISMATCH, "the picture drawn again: '%s' is the "
                             "first of %zu that differ", v->drift.first, v->drift.differ);
        } else if (weights) {
            v->cli->error = (struct tt_error){0};
            status = tt_fail(&v->cli->error, TT_MISMATCH, "%zu weights differ and %zu are missing",
                             w->differ, w->missing);
        }
    }
    char *text = v->verdict_room;
    size_t room = sizeof v->verdict_room;
    if (status == TT_MISMATCH)
        snprintf(text, room, "DIFFERS: %s%s; %zu of %zu tensors differ",
                 weights && compared ? "the weights are not those that were recorded; " : "",
                 v->cli->error.message, differ, compared);
    else if (status)
        snprintf(text, room, "not comparable: %s", v->cli->error.message);
    else
        snprintf(text, room, "agrees: %zu tensors of %zu calls%s", compared, v->count,
                 v->mode == VERIFY_WEIGHTS ? ", weights alone" : "");
    v->verdict = v->verdict_room;
    return status;
}
