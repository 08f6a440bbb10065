// SPDX-License-Identifier: MIT
#include "verify/suspects.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- whole modules ----

// A skip connection: what is joined from far. Another one in its place is no module left out.
static bool is_joined(const struct tt_search *s, tt_value output) {
    const struct tt_tape *tape = &s->alone->network.tape;
    for (int i = 0; !s->stretch.made[output] && i <= s->stretch.target; i++)
        if (s->stretch.made[i] && tape->nodes[i].op == TT_OP_concat &&
            s->alone->root[tape->nodes[i].input[1]] == output)
            return true;
    return false;
}

// The module's output is what it was given, or it runs on its own output.
static enum tt_status try_module(struct tt_search *s, const char *path, tt_value output,
                                 struct tt_error *err) {
    const struct tt_alone *alone = s->alone;
    struct tt_stretch once = {0}, twice = {0};
    char text[sizeof s->found->text];
    int from, to;
    if (!tt_alone_nodes(alone, path, &from, &to)) return TT_OK;
    tt_value given = tt_alone_given(alone, from);
    if (output < from || output >= to || alone->root[given] == output ||
        tt_alone_size(alone, given) != tt_alone_size(alone, output) ||
        tt_alone_is_whole(alone, given) || !s->stretch.data[output] || is_joined(s, output))
        return TT_OK;
    // What it was given, as far as it is recorded.
    enum tt_status status = tt_stretch_make(alone, given, s->k, 0, 0,
                                            (struct tt_preset){TT_NO_VALUE, NULL}, &once, err);
    struct tt_trial trial = {.node = -1, .preset = {output, once.data ? once.data[given] : NULL}};
    snprintf(text, sizeof text, "%s left out: what it is given passes through", path);
    if (!status) status = tt_search_try(s, &trial, "skipped", text, err);
    if (!status)
        status = tt_stretch_make(alone, output, s->k, from, to,
                                 (struct tt_preset){given, s->stretch.data[output]}, &twice, err);
    if (!status) {
        trial.preset.data = twice.data[output];
        snprintf(text, sizeof text, "%s run twice, the second time on its own output", path);
        status = tt_search_try(s, &trial, "doubled", text, err);
    }
    tt_stretch_free(&once);
    tt_stretch_free(&twice);
    return status;
}

// Modules of one node stand for themselves; sums and the like are none.
static bool is_layer(const struct tt_node *node) {
    return node->op == TT_OP_linear || node->op == TT_OP_conv2d || node->op == TT_OP_group_norm ||
           node->op == TT_OP_layer_norm;
}

enum tt_status tt_suspects_modules(struct tt_search *s, struct tt_error *err) {
    const struct tt_tape *tape = &s->alone->network.tape;
    enum tt_status status = TT_OK;
    for (int i = 0; !status && i < tape->label_count; i++) {
        tt_value output = s->alone->root[tape->labels[i].value];
        if (output <= s->stretch.target && s->stretch.data[output])
            status = try_module(s, tape->labels[i].name, output, err);
    }
    for (int i = 0; !status && i <= s->stretch.target; i++)
        if (s->stretch.made[i] && is_layer(&tape->nodes[i]))
            status = try_module(s, tape->nodes[i].name, i, err);
    return status;
}

// ---- the search ----

// Of a stretch: beyond, each trial takes long, and too much could be the cause. Whole modules are
// fewer.
enum { NODES_MOST = 32, MODULES_MOST = 128 };

// Those that fit as well as the best, but for rounding, stay beside it.
static int by_difference(const void *a, const void *b) {
    double x = ((const struct tt_suspect *)a)->difference;
    double y = ((const struct tt_suspect *)b)->difference;
    return (x > y) - (x < y);
}

static enum tt_status search(struct tt_search *s, struct tt_error *err) {
    enum tt_status status = TT_OK;
    if (tt_alone_is_whole(s->alone, s->stretch.target)) return tt_suspects_ids(s, err);
    if (s->stretch.made_count <= NODES_MOST) {
        status = tt_suspects_nodes(s, err);
        if (!status) status = tt_suspects_weights(s, err);
    }
    if (!status && s->stretch.made_count <= MODULES_MOST) status = tt_suspects_modules(s, err);
    if (!status) status = tt_suspects_ids(s, err);
    if (!status) status = tt_suspects_values(s, err);
    if (!status && !s->count) status = tt_suspects_fit(s, err);
    return status;
}

// What float32 explains, where the recorded error is larger: a recorder that computes a module
// again in float64 takes what was rounded in it for an error of its own.
static struct tt_bounds narrow(const struct tt_recorded *r, struct tt_bounds bounds) {
    double usual = ldexp(r->maxabs, -16);
    return (struct tt_bounds){bounds.absolute < usual ? bounds.absolute : usual, 0, 0};
}

enum tt_status tt_suspects(const struct tt_alone *alone, size_t k, struct tt_bounds bounds,
                           struct tt_suspect found[TT_SUSPECTS], size_t *count, size_t *tried,
                           struct tt_error *err) {
    struct tt_search s = {.alone = alone, .k = k, .bounds = bounds, .found = found};
    *count = 0;
    if (tried) *tried = 0;
    if (k >= alone->count || alone->value[k] == TT_NO_VALUE) return TT_OK;
    s.shape = &alone->network.tape.tensors[alone->value[k]].shape;
    enum tt_status status =
        tt_stretch_make(alone, alone->root[alone->value[k]], k, 0, 0,
                        (struct tt_preset){TT_NO_VALUE, NULL}, &s.stretch, err);
    s.recorded = status ? NULL : tt_alone_load(alone, k);
    if (!status && !s.recorded) status = tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    if (!status) {
        struct tt_gap gap = tt_alone_compare(alone, k, s.stretch.data[s.stretch.target],
                                             s.recorded, bounds);
        // Within the bounds everything would fit: held against narrower ones, rounding alone.
        const struct tt_recorded *r = tt_recording_at(alone->recording, alone->call, k);
        if (gap.agrees) s.bounds = narrow(r, bounds);
        status = gap.agrees ? tt_suspects_rounding(&s, err) : search(&s, err);
    }
    tt_stretch_free(&s.stretch);
    free(s.recorded);
    if (status) return status;
    qsort(found, s.count, sizeof *found, by_difference);
    double best = s.count ? found[0].difference : 0;
    double unit = ldexp(tt_recording_at(alone->recording, alone->call, k)->maxabs, -24);
    while (s.count && found[s.count - 1].difference > 4 * best + unit) s.count--;
    *count = s.count;
    if (tried) *tried = s.tried;
    return TT_OK;
}
