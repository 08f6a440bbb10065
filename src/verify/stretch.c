// SPDX-License-Identifier: MIT
// Stretches and trials: nodes of a part's tape run one by one, each as a tape and a plan of its
// own, so that any of them may be changed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/alone.h"

static const struct tt_preset nothing = {TT_NO_VALUE, NULL};

static enum tt_status no_memory(struct tt_error *err) {
    return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
}

// ---- one node ----

static enum tt_status run_planned(const struct tt_alone *alone, const struct tt_changed *c,
                                  struct tt_plan *plan, const tt_value in[], tt_value out,
                                  const void *const x[], float *y, struct tt_error *err) {
    const struct tt_tape *tape = &alone->network.tape;
    for (int j = 0; j < c->node.input_count; j++)
        memcpy(tt_plan_data(plan, in[j]), x[j],
               tt_shape_count(&c->in[j]) *
                   tt_dtype_size(tape->tensors[c->node.input[j]].dtype));
    enum tt_status status = tt_plan_run(plan, &alone->session->engine->kernels, NULL, 0, err);
    if (!status) memcpy(y, tt_plan_data(plan, out), tt_shape_count(&c->out) * sizeof *y);
    return status;
}

static enum tt_status run_node(const struct tt_alone *alone, const struct tt_changed *c,
                               const struct tt_source *weights, const void *const x[], float *y,
                               struct tt_error *err) {
    static const char *const names[TT_MAX_INPUTS] = {"0", "1", "2", "3"};
    struct tt_tape tape = {0};
    struct tt_plan *plan = NULL;
    tt_value in[TT_MAX_INPUTS];
    for (int j = 0; j < c->node.input_count; j++)
        in[j] = tt_nn_input(&tape, names[j], c->in[j],
                            alone->network.tape.tensors[c->node.input[j]].dtype);
    tt_value out = tt_nn_copy(&tape, &c->node, in, c->out);
    tt_set_output(&tape, out);
    struct tt_bank *bank = tt_bank_new(weights, &(struct tt_bank_options){.in_use = true});
    enum tt_status status = bank ? tt_tape_status(&tape, err) : no_memory(err);
    if (!status) status = tt_plan_new(&tape, bank, &alone->session->engine->plan, &plan, err);
    if (!status) status = run_planned(alone, c, plan, in, out, x, y, err);
    tt_plan_free(plan);
    tt_bank_free(bank);
    tt_tape_free(&tape);
    return status;
}

// ---- weights that are something else ----

struct reweighed {
    const struct tt_source *base;
    struct tt_view views[TT_MAX_PARAMS]; // that are not the base's; data NULL: none
};

static const struct tt_view *find_reweighed(void *context, const char *name) {
    const struct reweighed *r = context;
    for (int i = 0; i < TT_MAX_PARAMS; i++)
        if (r->views[i].data && !strcmp(r->views[i].name, name)) return &r->views[i];
    return NULL;
}

// The parameter as floats: the node's own, or that of another module.
static enum tt_status load_param(const struct tt_changed *c, const struct tt_source *base,
                                 const struct tt_param *param, float **out, struct tt_error *err) {
    struct tt_param from = *param;
    const struct tt_view *found;
    struct tt_view view;
    char name[512];
    if (c->weights_of) {
        snprintf(name, sizeof name, "%s%s", c->weights_of, strrchr(param->name, '.'));
        from.name = name;
    }
    enum tt_status status = tt_find_checked(base, &from, &found, err);
    if (!status) status = tt_source_acquire(base, found, &view, err);
    if (status) return status;
    size_t n = tt_shape_count(&param->shape);
    *out = malloc(n * sizeof **out);
    if (*out) tt_view_floats(&view, 0, n, *out);
    tt_source_release(base, &view);
    return *out ? TT_OK : no_memory(err);
}

static enum tt_status reweigh(struct tt_changed *c, const struct tt_source *base,
                              struct reweighed *r, bool *changed, struct tt_error *err) {
    enum tt_status status = TT_OK;
    c->weights = base;
    *r = (struct reweighed){.base = base};
    *changed = c->weights_of != NULL;
    for (int i = 0; !status && i < TT_MAX_PARAMS; i++) {
        const struct tt_param *param = c->node.param[i];
        float *data = NULL;
        if (!param) continue;
        status = load_param(c, base, param, &data, err);
        if (status) break;
        if (c->reweigh && c->reweigh(c, i, data)) *changed = true;
        r->views[i] = (struct tt_view){param->name, TT_F32, param->shape, data,
                                       tt_shape_count(&param->shape) * sizeof *data};
    }
    return status;
}

static void free_reweighed(struct reweighed *r) {
    for (int i = 0; i < TT_MAX_PARAMS; i++) free((void *)(uintptr_t)r->views[i].data);
}

// *done false: the change cannot be made.
static enum tt_status run_changed(const struct tt_alone *alone, struct tt_changed *c,
                                  const void *const x[], float *y, bool *done,
                                  struct tt_error *err) {
    *done = true;
    if (c->compute) {
        *done = c->compute(c, x, y);
        return TT_OK;
    }
    if (!c->reweigh && !c->weights_of) return run_node(alone, c, &alone->weights, x, y, err);
    struct reweighed r;
    struct tt_error missing = {TT_OK, ""}; // of a module that is none, or of another shape
    enum tt_status status = reweigh(c, &alone->weights, &r, done, &missing);
    if (status == TT_BAD_INPUT) {
        *done = false;
        status = TT_OK;
        missing = (struct tt_error){TT_OK, ""};
    }
    struct tt_source source = {.context = &r, .name = alone->weights.name,
                               .find = find_reweighed};
    // Changed weights may be too large for a float: no explanation, and no error.
    if (!status && *done) status = run_node(alone, c, &source, x, y, &missing);
    free_reweighed(&r);
    if (status == TT_BAD_INPUT) {
        *done = false;
        return TT_OK;
    }
    return status ? tt_fail(err, status, "%s", missing.message) : TT_OK;
}

static struct tt_changed unchanged(const struct tt_alone *alone, int i) {
    const struct tt_tape *tape = &alone->network.tape;
    struct tt_changed c = {.node = tape->nodes[i]};
    c.out = tape->tensors[c.node.output].shape;
    for (int j = 0; j < c.node.input_count; j++)
        c.in[j] = tape->tensors[c.node.input[j]].shape;
    return c;
}

// ---- stretches ----

static size_t bytes_of(const struct tt_alone *alone, tt_value value) {
    return tt_alone_size(alone, value) * sizeof(float) + 1;
}

// Whether it is an input that a call may go without; it is then zeros.
static bool may_lack(const struct tt_network *network, tt_value value) {
    for (size_t i = 0; network->of->inputs[i].name; i++)
        if (network->inputs[i] == value) return network->of->inputs[i].presence == TT_OPTIONAL;
    return false;
}

// What a value is without being made: preset, recorded, whole numbers of the part's, an input that
// may be left out. *known false: it must be made.
static enum tt_status find_known(struct tt_stretch *s, tt_value value, int from, int to,
                                 struct tt_preset preset, bool *known, struct tt_error *err) {
    const struct tt_alone *alone = s->alone;
    const struct tt_tape *tape = &alone->network.tape;
    bool inside = value >= from && value < to;
    size_t k = inside ? TT_NOT_RECORDED : tt_alone_recorded(alone, value, s->before);
    const void *copied = value == preset.value ? preset.data
                         : k == TT_NOT_RECORDED ? alone->whole[value] : NULL;
    *known = true;
    if (copied) {
        s->data[value] = malloc(bytes_of(alone, value));
        if (s->data[value])
            memcpy(s->data[value], copied, tt_alone_size(alone, value) * sizeof(float));
    } else if (k != TT_NOT_RECORDED) {
        s->data[value] = tt_alone_load(alone, k);
    } else if (tape->nodes[value].op == TT_OP_input) {
        if (!may_lack(&alone->network, value))
            return tt_fail(err, TT_BAD_INPUT, "input '%s': found none in the recording",
                           tape->nodes[value].name);
        s->data[value] = calloc(1, bytes_of(alone, value));
    } else {
        *known = false;
        return TT_OK;
    }
    return s->data[value] ? TT_OK : no_memory(err);
}

// From the target back: what is read is known or made.
static enum tt_status collect(struct tt_stretch *s, int from, int to, struct tt_preset preset,
                              struct tt_error *err) {
    const struct tt_alone *alone = s->alone;
    bool *needed = calloc((size_t)s->target + 1, sizeof *needed);
    enum tt_status status = needed ? TT_OK : no_memory(err);
    if (needed) needed[s->target] = true;
    for (int i = s->target; !status && i >= 0; i--) {
        const struct tt_node *node = &alone->network.tape.nodes[i];
        bool known;
        if (!needed[i]) continue;
        status = find_known(s, i, from, to, preset, &known, err);
        if (status || known) continue;
        s->made[i] = true;
        s->made_count++;
        for (int j = 0; j < node->input_count; j++) needed[alone->root[node->input[j]]] = true;
    }
    free(needed);
    return status;
}

static enum tt_status make(struct tt_stretch *s, int i, struct tt_error *err) {
    struct tt_changed c = unchanged(s->alone, i);
    const void *x[TT_MAX_INPUTS] = {NULL};
    bool done;
    for (int j = 0; j < c.node.input_count; j++)
        x[j] = s->data[s->alone->root[c.node.input[j]]];
    if (!s->data[i]) s->data[i] = malloc(bytes_of(s->alone, i));
    if (!s->data[i]) return no_memory(err);
    return run_changed(s->alone, &c, x, s->data[i], &done, err);
}

enum tt_status tt_stretch_make(const struct tt_alone *alone, tt_value target, size_t before,
                               int from, int to, struct tt_preset preset,
                               struct tt_stretch *s, struct tt_error *err) {
    size_t nodes = (size_t)alone->network.tape.node_count;
    *s = (struct tt_stretch){.alone = alone, .target = target, .before = before};
    s->made = calloc(nodes, sizeof *s->made);
    s->data = calloc(nodes, sizeof *s->data);
    if (!s->made || !s->data) return no_memory(err);
    enum tt_status status = collect(s, from, to, preset, err);
    return status ? status : tt_stretch_again(s, err);
}

enum tt_status tt_stretch_again(struct tt_stretch *s, struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (int i = 0; !status && i <= s->target; i++)
        if (s->made[i]) status = make(s, i, err);
    return status;
}

void tt_stretch_free(struct tt_stretch *s) {
    for (int i = 0; s->data && i < s->alone->network.tape.node_count; i++) free(s->data[i]);
    free(s->data);
    free(s->made);
    *s = (struct tt_stretch){0};
}

// ---- trials ----

static bool changes(const struct tt_stretch *s, const struct tt_trial *trial, int i,
                    struct tt_changed *c) {
    *c = unchanged(s->alone, i);
    if (s->made[i] && trial->change && (trial->node < 0 || trial->node == i) &&
        trial->change(trial, c))
        return true;
    *c = unchanged(s->alone, i); // what a `change` that says no has done to it
    return false;
}

int tt_stretch_changes(const struct tt_stretch *s, const struct tt_trial *trial) {
    struct tt_changed c;
    int count = 0;
    for (int i = 0; i <= s->target; i++) count += changes(s, trial, i, &c);
    return count;
}

// Node i, where it is changed or reads what is: *done false when it cannot be.
static enum tt_status try_node(const struct tt_stretch *s, const struct tt_trial *trial, int i,
                               void **data, bool *done, struct tt_error *err) {
    struct tt_changed c;
    const void *x[TT_MAX_INPUTS] = {NULL};
    bool differs = changes(s, trial, i, &c);
    *done = true;
    for (int j = 0; j < c.node.input_count; j++) {
        tt_value root = s->alone->root[c.node.input[j]];
        x[j] = data[root] ? data[root] : s->data[root];
        differs = differs || data[root];
    }
    if (!differs || data[i]) return TT_OK;
    data[i] = malloc(bytes_of(s->alone, i));
    return data[i] ? run_changed(s->alone, &c, x, data[i], done, err) : no_memory(err);
}

enum tt_status tt_stretch_try(const struct tt_stretch *s, const struct tt_trial *trial,
                              float **out, struct tt_error *err) {
    const struct tt_preset *preset = trial->preset.data ? &trial->preset : &nothing;
    void **data = calloc((size_t)s->target + 1, sizeof *data); // of what is not as it was
    enum tt_status status = data ? TT_OK : no_memory(err);
    bool done = true;
    *out = NULL;
    if (!status && preset->value != TT_NO_VALUE && preset->value <= s->target) {
        data[preset->value] = malloc(bytes_of(s->alone, preset->value));
        if (data[preset->value])
            memcpy(data[preset->value], preset->data,
                   tt_alone_size(s->alone, preset->value) * sizeof(float));
        else status = no_memory(err);
    }
    for (int i = 0; !status && done && i <= s->target; i++)
        if (s->made[i]) status = try_node(s, trial, i, data, &done, err);
    if (!status && done) {
        *out = data[s->target];
        data[s->target] = NULL;
    }
    for (int i = 0; data && i <= s->target; i++) free(data[i]);
    free(data);
    return status;
}
