// SPDX-License-Identifier: MIT
// Explanations that change token ids and positions.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/suspects.h"

// The rows of the table that an embedding reads with these ids; 0: none does.
static size_t table_rows(const struct tt_alone *alone, tt_value ids) {
    const struct tt_tape *tape = &alone->network.tape;
    for (int i = 0; i < tape->node_count; i++)
        if (tape->nodes[i].op == TT_OP_embedding && alone->root[tape->nodes[i].input[0]] == ids)
            return tape->nodes[i].param[0]->shape.dim[0];
    return 0;
}

static bool all_below(const int32_t *ids, size_t n, size_t rows) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= rows) return false;
    return true;
}

static enum tt_status judge(struct tt_search *s, tt_value ids, const int32_t *changed,
                            const char *name, const char *text, struct tt_error *err) {
    if (ids == s->stretch.target) {
        tt_search_judge(s, changed, name, "%s", text);
        return TT_OK;
    }
    if (!all_below(changed, tt_alone_size(s->alone, ids), table_rows(s->alone, ids))) return TT_OK;
    struct tt_trial trial = {.node = -1, .preset = {ids, changed}};
    return tt_search_try(s, &trial, name, text, err);
}

// Where each text ends; NULL: the part has none.
static const int32_t *ends_of(const struct tt_alone *alone) {
    tt_value value = tt_find_value(&alone->network.tape, "eos_index");
    return value == TT_NO_VALUE ? NULL : alone->whole[value];
}

// All ids behind the ends become `pad`; whether that changes any. *own: what stood there.
static bool pad_with(const struct tt_shape *shape, const int32_t *ids, const int32_t *ends,
                     int32_t pad, int32_t *changed, int32_t *own) {
    size_t tokens = shape->dim[1];
    bool differs = false;
    for (size_t i = 0; i < shape->dim[0] * tokens; i++) {
        bool behind = i % tokens > (size_t)ends[i / tokens];
        changed[i] = behind ? pad : ids[i];
        if (changed[i] == ids[i]) continue;
        if (!differs) *own = ids[i];
        differs = true;
    }
    return differs;
}

// Which row of the table the recorded embedding of a padding token is; -1: none, or not recorded.
static long find_row(const struct tt_search *s, const struct tt_shape *shape, const int32_t *ends) {
    const struct tt_node *node = &s->alone->network.tape.nodes[s->stretch.target];
    const struct tt_view *table = NULL;
    struct tt_view view;
    if (node->op != TT_OP_embedding) return -1;
    if (tt_find_checked(&s->alone->weights, node->param[0], &table, NULL)) return -1;
    if (tt_source_acquire(&s->alone->weights, table, &view, NULL)) return -1;
    size_t width = node->param[0]->shape.dim[1], tokens = shape->dim[1];
    float *row = malloc(width * sizeof *row);
    long found = -1;
    for (size_t i = 0; row && found < 0 && i < shape->dim[0] * tokens; i++) {
        if (i % tokens <= (size_t)ends[i / tokens]) continue;
        const float *recorded = (const float *)s->recorded + i * width;
        for (size_t id = 0; found < 0 && id < node->param[0]->shape.dim[0]; id++) {
            bool same = true;
            tt_view_floats(&view, id * width, width, row);
            for (size_t j = 0; same && j < width; j++)
                same = fabs((double)row[j] - (double)recorded[j]) <=
                       s->bounds.absolute + s->bounds.relative * fabs((double)recorded[j]);
            if (same) found = (long)id;
        }
        break;
    }
    free(row);
    tt_source_release(&s->alone->weights, &view);
    return found;
}

static enum tt_status try_pads(struct tt_search *s, tt_value ids, int32_t *changed,
                               struct tt_error *err) {
    const struct tt_alone *alone = s->alone;
    const struct tt_shape *shape = &alone->network.tape.tensors[ids].shape;
    const int32_t *own = s->stretch.data[ids], *ends = ends_of(alone);
    enum tt_status status = TT_OK;
    if (shape->rank != 2 || !ends) return TT_OK;
    long rows = (long)table_rows(alone, ids);
    long pads[] = {0, 1, 2, 3, rows - 1, rows - 2, find_row(s, shape, ends), -1};
    if (ids == s->stretch.target) // what is recorded says it
        for (size_t i = 0; i < tt_shape_count(shape); i++)
            if (i % shape->dim[1] > (size_t)ends[i / shape->dim[1]])
                pads[7] = ((const int32_t *)s->recorded)[i];
    for (size_t i = 0; !status && i < sizeof pads / sizeof *pads; i++) {
        int32_t before = 0;
        char text[96];
        if (pads[i] < 0 || !pad_with(shape, own, ends, (int32_t)pads[i], changed, &before))
            continue;
        snprintf(text, sizeof text, "pad token %ld in place of %d, behind the end of the text",
                 pads[i], (int)before);
        status = judge(s, ids, changed, "pad-token", text, err);
    }
    return status;
}

static enum tt_status try_offsets(struct tt_search *s, tt_value ids, int32_t *changed,
                                  struct tt_error *err) {
    const int32_t *own = s->stretch.data[ids];
    bool positions = !strcmp(s->alone->network.tape.nodes[ids].name, "position_ids");
    enum tt_status status = TT_OK;
    for (int offset = -2; !status && offset <= 2; offset++) {
        char text[64];
        if (!offset) continue;
        for (size_t i = 0; i < tt_alone_size(s->alone, ids); i++) changed[i] = own[i] + offset;
        snprintf(text, sizeof text, "%s %+d", positions ? "positions" : "all token ids", offset);
        status = judge(s, ids, changed, positions ? "position" : "token-ids", text, err);
    }
    return status;
}

enum tt_status tt_suspects_ids(struct tt_search *s, struct tt_error *err) {
    const struct tt_stretch *stretch = &s->stretch;
    enum tt_status status = TT_OK;
    for (int i = stretch->target; !status && i >= 0; i--) {
        if (!stretch->data[i] || !tt_alone_is_whole(s->alone, i) || !table_rows(s->alone, i))
            continue;
        int32_t *changed = malloc(tt_alone_size(s->alone, i) * sizeof *changed);
        if (!changed) return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
        status = try_pads(s, i, changed, err);
        if (!status) status = try_offsets(s, i, changed, err);
        free(changed);
    }
    return status;
}
