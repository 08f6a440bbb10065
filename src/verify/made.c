// SPDX-License-Identifier: MIT
// What struct tt_alone tells outside: single tensors, made and compared.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/alone.h"

static const struct tt_preset nothing = {TT_NO_VALUE, NULL};

static void to_torch(const struct tt_alone *alone, size_t k, const float *rows, float *out) {
    const struct tt_shape *s = &alone->network.tape.tensors[alone->value[k]].shape;
    if (s->rank == 4)
        alone->session->engine->kernels.nhwc_to_nchw_f32(rows, out, s->dim[0], s->dim[1],
                                                         s->dim[2] * s->dim[3]);
    else
        memcpy(out, rows, tt_shape_count(s) * sizeof *out);
}

// Whether the recorded error is larger than float32's, and rounding on the way explains it.
static enum tt_status look_for_rounding(const struct tt_alone *alone, size_t k,
                                        struct tt_bounds bounds, struct tt_made *made,
                                        struct tt_error *err) {
    const struct tt_recorded *r = tt_recording_at(alone->recording, alone->call, k);
    struct tt_suspect found[TT_SUSPECTS];
    size_t count = 0;
    if (!made->agrees || r->view->dtype != TT_F32 || r->err32 <= ldexp(r->maxabs, -14) ||
        made->difference <= ldexp(r->maxabs, -16))
        return TT_OK;
    enum tt_status status = tt_suspects(alone, k, bounds, found, &count, NULL, err);
    made->agrees = !count;
    return status;
}

enum tt_status tt_alone_make(const struct tt_alone *alone, size_t k, struct tt_bounds bounds,
                             float *out, struct tt_made *made, struct tt_error *err) {
    struct tt_stretch stretch = {0};
    *made = (struct tt_made){0};
    if (k >= alone->count || alone->value[k] == TT_NO_VALUE) return TT_OK;
    if (tt_recording_at(alone->recording, alone->call, k)->kind == TT_RECORDED_INPUT) return TT_OK;
    tt_value root = alone->root[alone->value[k]];
    enum tt_status status = tt_stretch_make(alone, root, k, 0, 0, nothing, &stretch, err);
    void *recorded = status ? NULL : tt_alone_load(alone, k);
    if (!status && !recorded) status = tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    if (!status) {
        struct tt_gap gap = tt_alone_compare(alone, k, stretch.data[root], recorded, bounds);
        *made = (struct tt_made){.made = true, .agrees = gap.agrees, .difference = gap.difference,
                                 .at = gap.at, .ours = gap.ours, .recorded = gap.recorded,
                                 .nodes = (size_t)stretch.made_count};
        enum tt_dtype dtype;
        if (gap.agrees && !tt_alone_is_whole(alone, root) &&
            tt_alone_is_rounded(alone, k, stretch.data[root], recorded, &dtype))
            made->agrees = false;
        if (out && !tt_alone_is_whole(alone, root)) to_torch(alone, k, stretch.data[root], out);
    }
    free(recorded);
    tt_stretch_free(&stretch);
    return status || !made->made ? status : look_for_rounding(alone, k, bounds, made, err);
}

enum tt_status tt_bisect(const struct tt_alone *alone,
                         struct tt_bounds (*bounds)(void *context, const struct tt_recorded *),
                         void *context, size_t *k, struct tt_made *made, size_t *compared,
                         struct tt_error *err) {
    *k = SIZE_MAX;
    *compared = 0;
    for (size_t at = 0; at < alone->count; at++) {
        size_t i = alone->order[at];
        const struct tt_recorded *r = tt_recording_at(alone->recording, alone->call, i);
        enum tt_status status = tt_alone_make(alone, i, bounds(context, r), NULL, made, err);
        if (status) return status;
        *compared += made->made;
        if (!made->made || made->agrees) continue;
        *k = i;
        return TT_OK;
    }
    *made = (struct tt_made){0};
    return TT_OK;
}

// ---- in words ----

// The nodes that make tensor k, and the recorded tensors that they read, as marks; false: without
// memory, or it stands for nothing.
static bool mark(const struct tt_alone *alone, size_t k, bool **made, bool **read) {
    const struct tt_tape *tape = &alone->network.tape;
    *made = *read = NULL;
    if (k >= alone->count || alone->value[k] == TT_NO_VALUE) return false;
    tt_value target = alone->root[alone->value[k]];
    *made = calloc((size_t)tape->node_count, sizeof **made);
    *read = calloc(alone->count, sizeof **read);
    bool *needed = calloc((size_t)tape->node_count, sizeof *needed);
    bool good = *made && *read && needed;
    if (good) needed[target] = true;
    for (int i = target; good && i >= 0; i--) {
        size_t from = needed[i] ? tt_alone_recorded(alone, i, k) : TT_NOT_RECORDED;
        if (from != TT_NOT_RECORDED) (*read)[from] = true;
        if (!needed[i] || from != TT_NOT_RECORDED || tape->nodes[i].op == TT_OP_input) continue;
        (*made)[i] = true;
        for (int j = 0; j < tape->nodes[i].input_count; j++)
            needed[alone->root[tape->nodes[i].input[j]]] = true;
    }
    free(needed);
    return good;
}

enum { NAMED = 4 }; // of a list, then "and N more"

static size_t add(char *text, size_t size, size_t used, size_t *count, const char *first,
                  const char *op, const char *name) {
    if (used >= size || (*count)++ >= NAMED) return used;
    int more = snprintf(text + used, size - used, "%s%s%s%s", *count > 1 ? ", " : first, op,
                        *op ? " " : "", name);
    return used + (size_t)more;
}

static size_t add_more(char *text, size_t size, size_t used, size_t count) {
    if (used >= size || count <= NAMED) return used;
    return used + (size_t)snprintf(text + used, size - used, " and %zu more", count - NAMED);
}

char *tt_alone_text(const struct tt_alone *alone, size_t k, char *text, size_t size) {
    const struct tt_tape *tape = &alone->network.tape;
    bool *made, *read;
    size_t used = 0, nodes = 0, inputs = 0;
    *text = 0;
    bool good = mark(alone, k, &made, &read);
    for (int i = 0; good && i < tape->node_count; i++)
        if (made[i])
            used = add(text, size, used, &nodes, "", tt_ops[tape->nodes[i].op]->name,
                       tape->nodes[i].name);
    used = add_more(text, size, used, nodes);
    for (size_t i = 0; good && i < alone->count; i++)
        if (read[i])
            used = add(text, size, used, &inputs, nodes ? " of " : "what was recorded of ", "",
                       tt_recording_at(alone->recording, alone->call, i)->name);
    add_more(text, size, used, inputs);
    free(made);
    free(read);
    return text;
}

// The path that two names have in common, to a dot or the end of one.
static size_t common(const char *a, size_t length, const char *b) {
    size_t same = 0, path = 0;
    for (; same < length && b[same] && a[same] == b[same]; same++)
        if (a[same] == '.') path = same;
    bool whole = same == length && (!b[same] || b[same] == '.');
    return whole ? length : !b[same] && a[same] == '.' ? same : path;
}

char *tt_alone_module(const struct tt_alone *alone, size_t k, char *text, size_t size) {
    const struct tt_tape *tape = &alone->network.tape;
    bool *made, *read;
    size_t length = SIZE_MAX;
    const char *name = "";
    bool good = mark(alone, k, &made, &read);
    for (int i = 0; good && i < tape->node_count; i++) {
        if (!made[i]) continue;
        const char *own = tape->nodes[i].name;
        length = length == SIZE_MAX ? strlen(name = own) : common(name, length, own);
    }
    free(made);
    free(read);
    if (length == SIZE_MAX) length = 0;
    // What is no module by itself (a sum, an attention) belongs to the one around it.
    while (length) {
        bool module = false;
        for (size_t i = 0; !module && i < alone->count; i++) {
            const char *own = tt_recording_at(alone->recording, alone->call, i)->name;
            module = !strncmp(own, name, length) && !own[length];
        }
        for (int i = 0; !module && i < tape->label_count; i++)
            module = !strncmp(tape->labels[i].name, name, length) && !tape->labels[i].name[length];
        if (module) break;
        while (length && name[length - 1] != '.') length--;
        if (length) length--;
    }
    snprintf(text, size, "%.*s", (int)length, name);
    return text;
}
