// SPDX-License-Identifier: MIT
#include "verify/alone.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"

size_t tt_alone_size(const struct tt_alone *alone, tt_value value) {
    return tt_shape_count(&alone->network.tape.tensors[value].shape);
}

bool tt_alone_is_whole(const struct tt_alone *alone, tt_value value) {
    return alone->network.tape.tensors[value].dtype == TT_I32;
}

// ---- which value a recorded tensor stands for ----

static bool is_below(const char *name, const char *path, size_t length) {
    return !strncmp(name, path, length) && (!name[length] || name[length] == '.');
}

static bool is_work(const struct tt_node *node) {
    return node->op != TT_OP_input && node->op != TT_OP_reshape;
}

static bool find_module(const struct tt_tape *tape, const char *path, size_t length, int *from,
                        int *to) {
    int first = 0, last;
    while (first < tape->node_count && !(is_work(&tape->nodes[first]) &&
                                         is_below(tape->nodes[first].name, path, length)))
        first++;
    for (last = first; last < tape->node_count; last++)
        if (!is_below(tape->nodes[last].name, path, length)) break;
    *from = first;
    *to = last;
    return first < last;
}

bool tt_alone_nodes(const struct tt_alone *alone, const char *path, int *from, int *to) {
    return find_module(&alone->network.tape, path, strlen(path), from, to);
}

tt_value tt_alone_given(const struct tt_alone *alone, int from) {
    return alone->root[alone->network.tape.nodes[from].input[0]];
}

static tt_value value_of(const struct tt_alone *alone, const struct tt_recorded *r,
                         const char *name) {
    const struct tt_tape *tape = &alone->network.tape;
    size_t length = strlen(name);
    int from, to;
    // Statistics are no values to go on from; gradients are made in the backward pass.
    if (r->statistics || r->kind == TT_RECORDED_SEED || r->kind == TT_RECORDED_GRADIENT)
        return TT_NO_VALUE;
    if (r->kind != TT_RECORDED_GIVEN) return tt_find_value(tape, name);
    if (length < 4 || strcmp(name + length - 3, ".in")) return TT_NO_VALUE; // a second input
    if (!find_module(tape, name, length - 3, &from, &to)) return TT_NO_VALUE;
    return tape->nodes[from].input[0];
}

static bool find_values(struct tt_alone *alone,
                        char *(*own_name)(void *context, const char *recorded), void *context) {
    const struct tt_tape *tape = &alone->network.tape;
    for (int i = 0; i < tape->node_count; i++)
        alone->root[i] = tape->nodes[i].op == TT_OP_reshape ? alone->root[tape->nodes[i].input[0]]
                                                            : i;
    for (size_t k = 0; k < alone->count; k++) {
        const struct tt_recorded *r = tt_recording_at(alone->recording, alone->call, k);
        char *own = own_name ? own_name(context, r->name) : NULL;
        if (own_name && !own) return false;
        tt_value value = value_of(alone, r, own ? own : r->name);
        free(own);
        bool whole = r->view->dtype == TT_I64 || r->view->dtype == TT_I32;
        if (value != TT_NO_VALUE && (!tt_shape_same_order(&r->shape, &tape->tensors[value].shape) ||
                                     whole != tt_alone_is_whole(alone, value)))
            value = TT_NO_VALUE;
        alone->value[k] = value;
    }
    return true;
}

// Values are numbered as they are made. Of those that stand for one, inputs come first, then what
// modules return, the inner ones before those around them, then what another module is given of it.
static size_t place_of(const struct tt_alone *alone, size_t k) {
    static const size_t kinds[] = {[TT_RECORDED_INPUT] = 0, [TT_RECORDED_OUTPUT] = 1,
                                   [TT_RECORDED_GIVEN] = 2, [TT_RECORDED_SEED] = 3,
                                   [TT_RECORDED_GRADIENT] = 3};
    const struct tt_recorded *r = tt_recording_at(alone->recording, alone->call, k);
    tt_value value = alone->value[k];
    if (value == TT_NO_VALUE) return SIZE_MAX;
    return 4 * (size_t)alone->root[value] + kinds[r->kind];
}

struct place {
    size_t at, k;
};

static int by_place(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return x->k < y->k ? -1 : 1;
}

static bool put_in_order(struct tt_alone *alone) {
    struct place *places = calloc(alone->count + 1, sizeof *places);
    if (!places) return false;
    for (size_t k = 0; k < alone->count; k++) places[k] = (struct place){place_of(alone, k), k};
    qsort(places, alone->count, sizeof *places, by_place);
    for (size_t i = 0; i < alone->count; i++) {
        alone->order[i] = places[i].k;
        alone->rank[places[i].k] = i;
    }
    free(places);
    return true;
}

size_t tt_alone_recorded(const struct tt_alone *alone, tt_value root, size_t before) {
    size_t end = before < alone->count ? alone->rank[before] : alone->count;
    for (size_t i = end; i-- > 0;) {
        tt_value value = alone->value[alone->order[i]];
        if (value != TT_NO_VALUE && alone->root[value] == root) return alone->order[i];
    }
    return TT_NOT_RECORDED;
}

static int32_t whole_number(const struct tt_view *view, size_t i) {
    int64_t wide = 0;
    int32_t narrow = 0;
    if (view->dtype == TT_I64) memcpy(&wide, (const char *)view->data + 8 * i, sizeof wide);
    else memcpy(&narrow, (const char *)view->data + 4 * i, sizeof narrow);
    return view->dtype == TT_I64 ? (int32_t)wide : narrow;
}

void *tt_alone_load(const struct tt_alone *alone, size_t k) {
    const struct tt_recorded *r = tt_recording_at(alone->recording, alone->call, k);
    const struct tt_shape *s = &alone->network.tape.tensors[alone->value[k]].shape;
    size_t n = tt_shape_count(s);
    float *values = malloc(n * sizeof *values + 1);
    if (!values) return NULL;
    if (tt_alone_is_whole(alone, alone->value[k])) {
        for (size_t i = 0; i < n; i++) ((int32_t *)values)[i] = whole_number(r->view, i);
        return values;
    }
    tt_view_floats(r->view, 0, n, values);
    tt_recording_release(alone->recording, alone->call, r);
    if (s->rank != 4) return values;
    float *rows = malloc(n * sizeof *rows + 1);
    if (rows)
        alone->session->engine->kernels.nchw_to_nhwc_f32(values, rows, s->dim[0], s->dim[1],
                                                         s->dim[2] * s->dim[3]);
    free(values);
    return rows;
}

// ---- opening ----

// What the part derives from whole numbers that it is given: position ids, where texts end.
static enum tt_status derive(struct tt_alone *alone, struct tt_error *err) {
    const struct tt_network *network = &alone->network;
    const struct tt_part_network *of = network->of;
    const void *given[TT_NAMED] = {NULL};
    void *made[TT_NAMED] = {NULL};
    if (!of->derive) return TT_OK;
    for (size_t i = 0; of->inputs[i].name; i++) {
        tt_value value = network->inputs[i];
        size_t k = value == TT_NO_VALUE ? TT_NOT_RECORDED
                                        : tt_alone_recorded(alone, value, alone->count);
        // The first of its name, which is the part's own input; "in" may say something else.
        for (size_t j = alone->count; k != TT_NOT_RECORDED && j-- > 0;)
            if (alone->value[alone->order[j]] == value) k = alone->order[j];
        if (k == TT_NOT_RECORDED || !tt_alone_is_whole(alone, value)) continue;
        given[i] = alone->whole[value] = tt_alone_load(alone, k);
        if (!given[i]) return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    }
    for (size_t i = 0; of->derived[i]; i++) {
        tt_value value = tt_find_value(&network->tape, of->derived[i]);
        alone->whole[value] = calloc(tt_alone_size(alone, value), sizeof(int32_t));
        if (!alone->whole[value]) return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
        made[i] = alone->whole[value];
    }
    return given[0] ? of->derive(network->config, &network->size, given, made, err) : TT_OK;
}

// The size of the recorded call, by its inputs.
static enum tt_status size_of_call(const struct tt_alone *alone, struct tt_size *size,
                                   struct tt_error *err) {
    struct tt_view inputs[TT_PORTS];
    size_t count = 0;
    for (size_t k = 0; k < alone->count; k++) {
        const struct tt_recorded *r = tt_recording_at(alone->recording, alone->call, k);
        if (r->kind != TT_RECORDED_INPUT) continue;
        if (count == TT_PORTS)
            return tt_fail(err, TT_BAD_INPUT, "found more than %d inputs", TT_PORTS);
        bool whole = r->view->dtype == TT_I64 || r->view->dtype == TT_I32;
        inputs[count++] = (struct tt_view){r->name, whole ? TT_I32 : TT_F32, r->shape, NULL,
                                           4 * tt_shape_count(&r->shape)};
    }
    return tt_part_size_of(alone->session->model, alone->part, inputs, count, size, err);
}

enum tt_status tt_alone_new(struct tt_session *session, struct tt_recording *recording,
                            size_t call, char *(*own_name)(void *context, const char *recorded),
                            void *context, struct tt_alone **out, struct tt_error *err) {
    struct tt_model *model = session->model;
    struct tt_alone *alone = calloc(1, sizeof *alone);
    struct tt_size size;
    enum tt_status status = tt_recording_load(recording, call, err);
    if (!status && !alone) status = tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    if (status) {
        free(alone);
        return status;
    }
    *alone = (struct tt_alone){.session = session, .recording = recording, .call = call,
                               .part = tt_recording_call(recording, call)->part,
                               .count = tt_recording_count(recording, call)};
    status = tt_check_part(model, alone->part, err);
    if (!status) status = size_of_call(alone, &size, err);
    if (!status) status = tt_open_weights(model, alone->part, err);
    if (!status) status = tt_part_lay_out(model, alone->part, &size, &alone->network, err);
    if (!status) {
        size_t nodes = (size_t)alone->network.tape.node_count;
        alone->weights = model->parts[alone->part].source;
        alone->root = calloc(nodes, sizeof *alone->root);
        alone->value = calloc(alone->count + 1, sizeof *alone->value);
        alone->whole = calloc(nodes, sizeof *alone->whole);
        alone->order = calloc(alone->count + 1, sizeof *alone->order);
        alone->rank = calloc(alone->count + 1, sizeof *alone->rank);
        if (!alone->root || !alone->value || !alone->whole || !alone->order || !alone->rank)
            status = tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    }
    if (!status && !(find_values(alone, own_name, context) && put_in_order(alone)))
        status = tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    if (!status) status = derive(alone, err);
    if (status) tt_alone_free(alone);
    else *out = alone;
    return status;
}

void tt_alone_free(struct tt_alone *alone) {
    if (!alone) return;
    for (int i = 0; alone->whole && i < alone->network.tape.node_count; i++)
        free(alone->whole[i]);
    free(alone->whole);
    free(alone->root);
    free(alone->value);
    free(alone->order);
    free(alone->rank);
    tt_network_drop(&alone->network);
    free(alone);
}

// ---- comparing ----

// Where element i of rows of channels is in PyTorch's order.
static size_t torch_index(const struct tt_shape *s, size_t i) {
    if (s->rank != 4) return i;
    size_t channels = s->dim[1], pixels = s->dim[2] * s->dim[3], row = i / channels;
    return (row / pixels * channels + i % channels) * pixels + row % pixels;
}

struct tt_gap tt_alone_compare(const struct tt_alone *alone, size_t k, const void *ours,
                               const void *recorded, struct tt_bounds bounds) {
    tt_value value = alone->value[k];
    const struct tt_shape *shape = &alone->network.tape.tensors[value].shape;
    bool whole = tt_alone_is_whole(alone, value);
    struct tt_gap gap = {.agrees = true};
    double apart = 0, norm = 0;
    if (whole) bounds = (struct tt_bounds){0}; // they have no rounding
    for (size_t i = 0; i < tt_shape_count(shape); i++) {
        float a = whole ? (float)((const int32_t *)ours)[i] : ((const float *)ours)[i];
        float b = whole ? (float)((const int32_t *)recorded)[i] : ((const float *)recorded)[i];
        double difference = fabs((double)a - (double)b);
        // Of two that are not finite only the same infinity is the same.
        if (!isfinite(a) || !isfinite(b)) difference = a == b ? 0 : INFINITY;
        if (!(difference <= bounds.absolute + bounds.relative * fabs((double)b)))
            gap.agrees = false;
        apart += difference * difference;
        norm += (double)b * (double)b;
        if (i && difference <= gap.difference) continue;
        gap.difference = difference;
        gap.at = torch_index(shape, i);
        gap.ours = a;
        gap.recorded = b;
    }
    if (bounds.l2 > 0 && !(apart <= bounds.l2 * bounds.l2 * norm)) gap.agrees = false;
    return gap;
}

bool tt_alone_is_rounded(const struct tt_alone *alone, size_t k, const void *ours,
                         const void *recorded, enum tt_dtype *dtype) {
    enum { MANY = 16 };
    static const enum tt_dtype dtypes[] = {TT_BF16, TT_F16}; // what the first has, the second has
    const float *a = ours, *b = recorded;
    size_t n = tt_alone_size(alone, alone->value[k]);
    if (tt_recording_at(alone->recording, alone->call, k)->view->dtype != TT_F32) return false;
    for (int d = 0; d < 2; d++) {
        size_t rounded = 0, i = 0;
        while (i < n && tt_rounded(dtypes[d], b[i]) == b[i]) {
            rounded += tt_rounded(dtypes[d], a[i]) != a[i];
            i++;
        }
        *dtype = dtypes[d];
        if (i == n && rounded >= MANY) return true;
    }
    return false;
}

float tt_rounded(enum tt_dtype dtype, float x) {
    uint32_t bits;
    if (dtype == TT_F16)
        return fabsf(x) <= TT_HALF_MOST ? tt_half_to_float(tt_half_from_float(x)) : x;
    memcpy(&bits, &x, sizeof bits);
    bits += 0x7fff + (bits >> 16 & 1); // to the nearest, ties to even
    bits &= 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}
