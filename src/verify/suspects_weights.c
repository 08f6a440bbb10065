// SPDX-License-Identifier: MIT
// Explanations that change the weights of a node.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/suspects.h"

// ---- left out ----

static bool drop_bias(const struct tt_trial *trial, struct tt_changed *c) {
    (void)trial;
    if ((c->node.op != TT_OP_linear && c->node.op != TT_OP_conv2d) || !c->node.param[1])
        return false;
    c->node.param[1] = NULL;
    return true;
}

// which: the parameter that becomes 1 (a weight) or 0 (a bias).
static bool make_plain(const struct tt_changed *c, int param, float *data) {
    if (param != c->which) return false;
    size_t n = tt_shape_count(&c->node.param[param]->shape);
    for (size_t i = 0; i < n; i++) data[i] = param ? 0 : 1;
    return true;
}

static bool drop_of_norm(const struct tt_trial *trial, struct tt_changed *c) {
    if (c->node.op != TT_OP_group_norm && c->node.op != TT_OP_layer_norm) return false;
    c->reweigh = make_plain;
    c->which = trial->which;
    return true;
}

static bool double_bias(const struct tt_changed *c, int param, float *data) {
    if (param != 1) return false;
    size_t n = tt_shape_count(&c->node.param[param]->shape);
    for (size_t i = 0; i < n; i++) data[i] *= 2;
    return true;
}

static bool add_bias_twice(const struct tt_trial *trial, struct tt_changed *c) {
    (void)trial;
    c->reweigh = double_bias;
    return c->node.param[1] != NULL;
}

// ---- read in another order ----

bool tt_permute(const float *x, const size_t dims[4], int order, float *y) {
    bool back = order >= TT_ORDERS / 2;
    order %= TT_ORDERS / 2;
    size_t axes[4], left[4] = {0, 1, 2, 3}, stride[4] = {1, 1, 1, 1}, to[4], step[4], count = 1;
    for (int i = 0, radix = 6; i < 4; i++) { // the order as a number of mixed radix
        int at = order / radix;
        order %= radix;
        axes[i] = left[at];
        for (int j = at; j < 3; j++) left[j] = left[j + 1];
        radix = i < 2 ? radix / (3 - i) : 1;
    }
    for (int i = 2; i >= 0; i--) stride[i] = stride[i + 1] * dims[i + 1];
    for (int i = 0; i < 4; i++) {
        to[i] = dims[axes[i]];
        step[i] = stride[axes[i]];
        count *= dims[i];
    }
    for (size_t a = 0, k = 0; a < to[0]; a++)
        for (size_t b = 0; b < to[1]; b++)
            for (size_t c = 0; c < to[2]; c++)
                for (size_t d = 0; d < to[3]; d++, k++) {
                    size_t at = a * step[0] + b * step[1] + c * step[2] + d * step[3];
                    if (back) y[at] = x[k];
                    else y[k] = x[at];
                }
    return memcmp(x, y, count * sizeof *y) != 0;
}

static bool reorder(const struct tt_changed *c, int param, float *data) {
    const struct tt_shape *shape = &c->node.param[param]->shape;
    size_t dims[4] = {1, 1, 1, 1}, n = tt_shape_count(shape);
    if (param || shape->rank < 2) return false;
    memcpy(dims, shape->dim, shape->rank * sizeof *dims);
    float *copy = malloc(n * sizeof *copy);
    bool differs = copy && tt_permute(data, dims, c->which, copy);
    if (differs) memcpy(data, copy, n * sizeof *copy);
    free(copy);
    return differs;
}

static bool read_reordered(const struct tt_trial *trial, struct tt_changed *c) {
    const struct tt_param *weight = c->node.param[0];
    if ((c->node.op != TT_OP_linear && c->node.op != TT_OP_conv2d) || !weight) return false;
    bool flat = weight->shape.rank == 2 ||
                (weight->shape.dim[2] == 1 && weight->shape.dim[3] == 1);
    // Of a matrix there is one other order: its first two axes swapped.
    if (flat && trial->which % (TT_ORDERS / 2) != 6) return false;
    c->reweigh = reorder;
    c->which = trial->which;
    return true;
}

// ---- rounded ----

static bool round_weights(const struct tt_changed *c, int param, float *data) {
    bool differs = false;
    if (param && c->number == TT_WEIGHT_ALONE) return false;
    for (size_t i = 0; i < tt_shape_count(&c->node.param[param]->shape); i++) {
        float x = tt_rounded((enum tt_dtype)c->which, data[i]);
        differs = differs || x != data[i];
        data[i] = x;
    }
    return differs;
}

bool tt_change_rounds(const struct tt_trial *trial, struct tt_changed *c) {
    c->reweigh = round_weights;
    c->which = trial->which;
    c->number = trial->number;
    return c->node.param[0] != NULL;
}

// ---- those of another module ----

static size_t parent_length(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? (size_t)(dot - name) : 0;
}

// Two modules of one parent that could take each other's weights.
static bool could_be(const struct tt_node *a, const struct tt_node *b) {
    size_t length = parent_length(a->name);
    if (a->op != b->op || !a->param[0] || !b->param[0] || !a->param[1] != !b->param[1] ||
        length != parent_length(b->name) || strncmp(a->name, b->name, length))
        return false;
    return tt_shape_equal(&a->param[0]->shape, &b->param[0]->shape);
}

static enum tt_status try_siblings(struct tt_search *s, struct tt_error *err);

enum tt_status tt_suspects_weights(struct tt_search *s, struct tt_error *err) {
    static const struct {
        struct tt_trial trial;
        const char *name, *text;
    } list[] = {
        {{.change = drop_bias}, "missing-bias", "the bias missing"},
        {{.change = add_bias_twice}, "doubled-bias", "the bias added twice"},
        {{.change = drop_of_norm, .which = 0}, "missing-weight", "the norm's weight missing"},
        {{.change = drop_of_norm, .which = 1}, "missing-bias", "the norm's bias missing"},
        {{.change = tt_change_rounds, .which = TT_F16}, "dtype", "weights rounded to F16"},
        {{.change = tt_change_rounds, .which = TT_BF16}, "dtype", "weights rounded to BF16"},
        {{.change = tt_change_rounds, .which = TT_F16, .number = TT_WEIGHT_ALONE}, "dtype",
         "the weight, not the bias, rounded to F16"},
        {{.change = tt_change_rounds, .which = TT_BF16, .number = TT_WEIGHT_ALONE}, "dtype",
         "the weight, not the bias, rounded to BF16"},
    };
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < sizeof list / sizeof *list; i++)
        status = tt_search_each(s, list[i].trial, list[i].name, list[i].text, err);
    for (int order = 1; !status && order < TT_ORDERS; order++) {
        struct tt_trial trial = {.change = read_reordered, .which = order};
        bool transposed = order % (TT_ORDERS / 2) == 6;
        status = tt_search_each(s, trial, "transposed-weight",
                                transposed ? "the weight transposed: its first two axes swapped"
                                           : "the weight's axes read in another order", err);
    }
    return status ? status : try_siblings(s, err);
}

static bool take_others(const struct tt_trial *trial, struct tt_changed *c) {
    const struct tt_tape *tape = trial->context;
    c->weights_of = tape->nodes[trial->which].name;
    return true;
}

static enum tt_status try_siblings(struct tt_search *s, struct tt_error *err) {
    const struct tt_tape *tape = &s->alone->network.tape;
    enum tt_status status = TT_OK;
    char text[sizeof s->found->text];
    for (int i = 0; !status && i <= s->stretch.target; i++) {
        for (int j = 0; !status && s->stretch.made[i] && j < tape->node_count; j++) {
            const struct tt_node *node = &tape->nodes[i], *other = &tape->nodes[j];
            if (i == j || !could_be(node, other) || strchr(other->name, '#')) continue;
            struct tt_trial trial = {.preset = {TT_NO_VALUE, NULL}, .node = i,
                                     .change = take_others, .which = j, .context = tape};
            snprintf(text, sizeof text, "the weights of %s in %s", other->name, node->name);
            status = tt_search_try(s, &trial, "swapped-weights", text, err);
        }
    }
    return status;
}
