// SPDX-License-Identifier: MIT
#include "cli/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// The length of PATH when name is "PATH.in": what the module at PATH is given first; else 0.
static size_t first_input(const char *name) {
    size_t length = strlen(name);
    return length > 3 && !strcmp(name + length - 3, ".in") ? length - 3 : 0;
}

enum tt_status compare_new(struct compare *c, const struct tt_recording *recording,
                           size_t call, double factor, struct tt_error *err) {
    size_t largest = 1;
    *c = (struct compare){.recording = recording, .call = call, .factor = factor};
    c->count = tt_recording_count(recording, call);
    for (size_t i = 0; i < c->count; i++) {
        size_t n = tt_shape_count(&tt_recording_at(recording, call, i)->shape);
        if (n > largest) largest = n;
    }
    c->results = calloc(c->count, sizeof *c->results);
    c->values = calloc(largest, sizeof *c->values);
    c->unrecorded = json_array();
    if (!c->results || !c->values || !c->unrecorded)
        return tt_fail(err, TT_SYSTEM, "out of memory for comparing");
    for (size_t i = 0; i < c->count; i++) {
        const struct tt_recorded *r = tt_recording_at(recording, call, i);
        bool second = r->kind == TT_RECORDED_GIVEN && !first_input(r->name);
        if (second || r->statistics || r->view->dtype == TT_I64) c->results[i].state = LEFT_OUT;
    }
    return TT_OK;
}

void compare_free(struct compare *c) {
    free(c->results);
    free(c->values);
    json_decref(c->unrecorded);
    *c = (struct compare){0};
}

static struct comparison *result_of(const struct compare *c, const struct tt_recorded *r) {
    return &c->results[r - tt_recording_at(c->recording, c->call, 0)];
}

// ---- one tensor ----

// Where element i of rows of channels is in PyTorch's order.
static size_t torch_index(const struct tt_shape *s, size_t i) {
    if (s->rank != 4) return i;
    size_t channels = s->dim[1], pixels = s->dim[2] * s->dim[3], row = i / channels;
    return (row / pixels * channels + i % channels) * pixels + row % pixels;
}

// data lies as steps have it: (N, C, H, W) as N*H*W rows of C.
static void compare(struct compare *c, const struct tt_recorded *r, const struct tt_shape *shape,
                    const float *data) {
    struct comparison result = {.state = COMPARED};
    size_t n = tt_shape_count(&r->shape);
    tt_view_floats(r->view, 0, n, c->values);
    for (size_t i = 0; i < n; i++) {
        size_t at = torch_index(shape, i);
        double difference = fabs((double)data[i] - (double)c->values[at]);
        if (i && difference <= result.difference) continue;
        result.difference = difference;
        result.at = at;
        result.ours = data[i];
        result.recorded = c->values[at];
        if (isnan(difference)) break;
    }
    double above = result.difference - tt_recorded_limit(r, 0);
    result.needed = above <= 0 ? 0 : r->drift32 > 0 ? above / r->drift32 : INFINITY;
    result.agrees = result.difference <= tt_recorded_limit(r, c->factor);
    *result_of(c, r) = result;
}

// The same order of elements, if they are as many: sizes of 1 count for nothing, and the two of a
// picture may be one.
static bool same_order(const struct tt_shape *a, const struct tt_shape *b) {
    const struct tt_shape *given[2] = {a, b};
    struct tt_shape plain[2] = {{0}};
    for (int k = 0; k < 2; k++) {
        struct tt_shape s = *given[k];
        if (s.rank == 4) s.dim[2] *= s.dim[--s.rank];
        for (size_t i = 0; i < s.rank; i++)
            if (s.dim[i] != 1) plain[k].dim[plain[k].rank++] = s.dim[i];
    }
    return tt_shape_equal(&plain[0], &plain[1]);
}

static void check(struct compare *c, const struct tt_recorded *r, const struct tt_shape *shape,
                  const float *data) {
    char found[96], expected[96];
    if (same_order(&r->shape, shape)) {
        compare(c, r, shape, data);
        return;
    }
    tt_fail(&c->error, TT_BAD_INPUT, "%s: tensor '%s': found shape %s, expected %s",
            tt_recording_file(c->recording, c->call), r->name,
            tt_shape_text(&r->shape, found, sizeof found),
            tt_shape_text(shape, expected, sizeof expected));
}

// ---- the two hooks ----

// Whether `step` is the module of a recorded input "PATH.in", or a step inside that module.
static bool reads(const char *step, const char *recorded) {
    size_t length = first_input(recorded);
    return !strncmp(step, recorded, length) && (!step[length] || step[length] == '.');
}

// A convolution that pads on two sides reads less than PyTorch's, which is given the padded
// picture.
static bool is_padded(const struct tt_shape *recorded, const struct tt_shape *own) {
    return recorded->rank == 4 && own->rank == 4 && recorded->dim[0] == own->dim[0] &&
           recorded->dim[1] == own->dim[1] && recorded->dim[2] == own->dim[2] + 1 &&
           recorded->dim[3] == own->dim[3] + 1;
}

// What a module is given is what its first step reads.
static int before(void *context, const struct tt_step *step) {
    struct compare *c = context;
    struct tt_shape shape;
    const float *data = tt_step_input(step, 0, &shape);
    for (size_t i = 0; data && i < c->count; i++) {
        const struct tt_recorded *r = tt_recording_at(c->recording, c->call, i);
        if (r->kind != TT_RECORDED_GIVEN || c->results[i].state != NOT_SEEN) continue;
        if (!reads(tt_step_name(step), r->name)) continue;
        if (is_padded(&r->shape, &shape)) c->results[i].state = LEFT_OUT;
        else check(c, r, &shape, data);
    }
    return 0;
}

static bool seen(struct compare *c, const struct tt_step *step, const char *name) {
    const struct tt_recorded *r = tt_recording_find(c->recording, c->call, name);
    if (!r || r->kind != TT_RECORDED_OUTPUT) return false;
    if (result_of(c, r)->state == NOT_SEEN)
        check(c, r, tt_step_shape(step), tt_step_output(step));
    return true;
}

static void after(void *context, const struct tt_step *step) {
    struct compare *c = context;
    const char *module;
    seen(c, step, tt_step_name(step));
    for (size_t i = 0; (module = tt_step_module(step, i)); i++)
        if (!seen(c, step, module)) json_array_append_new(c->unrecorded, json_string(module));
}

struct tt_observer compare_observer(struct compare *c) {
    return (struct tt_observer){c, before, after};
}

enum tt_status compare_moments(struct compare *c, const float *moments,
                               const struct tt_shape *of, struct tt_error *err) {
    static const char *const names[] = {"mean", "logvar", "std"};
    size_t n = of->dim[0], channels = of->dim[1] / 2, pixels = of->dim[2] * of->dim[3];
    struct tt_shape shape = {3, {n, channels, pixels}};
    size_t each = channels * pixels;
    float *made = malloc(n * each * sizeof *made);
    if (!made) return tt_fail(err, TT_SYSTEM, "out of memory for comparing");
    for (int k = 0; k < 3; k++) {
        const struct tt_recorded *r = tt_recording_find(c->recording, c->call, names[k]);
        if (!r || r->kind != TT_RECORDED_OUTPUT || result_of(c, r)->state != NOT_SEEN) continue;
        for (size_t i = 0; i < n * each; i++) {
            const float *image = moments + i / each * 2 * each;
            float logvar = fminf(fmaxf(image[each + i % each], -30.0f), 20.0f);
            made[i] = k == 0 ? image[i % each] : k == 1 ? logvar : expf(0.5f * logvar);
        }
        check(c, r, &shape, made);
    }
    free(made);
    return c->error.status ? tt_fail(err, c->error.status, "%s", c->error.message) : TT_OK;
}
