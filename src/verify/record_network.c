// SPDX-License-Identifier: MIT
// The layout of a network's call, from its tape. What is the same tensor is known from the tape: no
// bytes are compared.
#include "verify/record.h"

#include <stdlib.h>
#include <string.h>

// A module that returns: a node that is one, or a label.
struct module {
    const char *name, *type;
    tt_value value;
    bool leaf, chosen;
};

struct scene {
    const struct tt_network *network;
    const struct tt_tape *tape;
    struct tt_record_layout *layout;
    const regex_t *regex;
    struct module *modules; // in the order in which they return
    int module_count;
    // For each value: the first that holds the same numbers in PyTorch's order, and of those the
    // name under which they are stored (NULL: they are not), and the tensor (-1: none yet).
    tt_value *same;
    const char **stored;
    int *tensor;
    tt_value *reads; // room for what one module is given
    struct tt_error error;
};

// ---- modules ----

// The class in PyTorch of a node that is a module by itself; NULL: it is none.
static const char *class_of(enum tt_op_kind op) {
    switch (op) {
    case TT_OP_embedding: return "Embedding";
    case TT_OP_sinusoidal: return "Timesteps";
    case TT_OP_linear: return "Linear";
    case TT_OP_conv2d: return "Conv2d";
    case TT_OP_group_norm: return "GroupNorm";
    case TT_OP_layer_norm: return "LayerNorm";
    case TT_OP_silu: return "SiLU";
    case TT_OP_gelu: return "GELU";
    case TT_OP_relu: return "ReLU";
    case TT_OP_quick_gelu: return "QuickGELU";
    default: return NULL;
    }
}

// Whether the expression is found in the path of a module, of which "#2" is no part.
static bool is_chosen(const struct scene *s, const char *name) {
    char path[256];
    size_t length = strcspn(name, "#");
    if (!s->regex) return true;
    if (length >= sizeof path) length = sizeof path - 1;
    memcpy(path, name, length);
    path[length] = 0;
    return !regexec(s->regex, path, 0, NULL, 0);
}

static bool is_output(const struct scene *s, const char *name) {
    const struct tt_named *outputs = s->network->of->outputs;
    for (size_t i = 0; outputs[i].name; i++)
        if (!strcmp(outputs[i].name, name)) return true;
    return false;
}

static void add_module(struct scene *s, const char *name, const char *type, tt_value value,
                       bool leaf) {
    if (is_output(s, name)) return;
    s->modules[s->module_count++] =
        (struct module){name, type, value, leaf, is_chosen(s, name)};
}

// A module returns when the value that it gives is made; inner ones before outer ones.
static void find_modules(struct scene *s) {
    const struct tt_tape *tape = s->tape;
    for (int i = 0; i < tape->node_count; i++) {
        const char *type = class_of(tape->nodes[i].op);
        if (type) add_module(s, tape->nodes[i].name, type, i, true);
        for (int j = 0; j < tape->label_count; j++)
            if (tape->labels[j].value == i)
                add_module(s, tape->labels[j].name, "Module", i, false);
    }
}

// ---- what is the same ----

// A reshape leaves PyTorch's order of elements, but between pictures, which lie with their channels
// last, and rows: there the numbers are permuted.
static bool keeps_order(const struct tt_shape *a, const struct tt_shape *b) {
    if (a->rank != 4 && b->rank != 4) return true;
    return a->rank == 4 && b->rank == 4 && a->dim[0] == b->dim[0] && a->dim[1] == b->dim[1];
}

tt_value tt_root_of(const struct tt_tape *tape, tt_value value) {
    while (tape->nodes[value].op == TT_OP_reshape) value = tape->nodes[value].input[0];
    return value;
}

static tt_value same_reshaped(const struct scene *s, tt_value value) {
    const struct tt_tape *tape = s->tape;
    for (tt_value from = value; tape->nodes[from].op == TT_OP_reshape;) {
        from = tape->nodes[from].input[0];
        if (keeps_order(&tape->tensors[value].shape, &tape->tensors[from].shape))
            return s->same[from];
    }
    return value;
}

// What is done again, as an activation that every block computes of the time embedding, is the same
// again: an operation without weights on the same values.
static tt_value same_again(const struct scene *s, tt_value value) {
    const struct tt_node *nodes = s->tape->nodes, *node = &nodes[value];
    if (node->op == TT_OP_input || node->op == TT_OP_attention || node->param[0]) return value;
    for (tt_value i = s->same[node->input[0]]; i < value; i++) {
        bool same = nodes[i].op == node->op && nodes[i].input_count == node->input_count &&
                    !memcmp(&nodes[i].with, &node->with, sizeof node->with) &&
                    tt_shape_equal(&s->tape->tensors[i].shape, &s->tape->tensors[value].shape);
        for (int j = 0; same && j < node->input_count; j++)
            same = s->same[nodes[i].input[j]] == s->same[node->input[j]];
        if (same) return s->same[i];
    }
    return value;
}

static void find_same(struct scene *s) {
    for (int i = 0; i < s->tape->node_count; i++) {
        bool reshape = s->tape->nodes[i].op == TT_OP_reshape;
        s->tensor[i] = -1;
        s->same[i] = reshape ? same_reshaped(s, i) : same_again(s, i);
    }
}

// ---- what modules are given ----

// Whether a node is inside the module at `path`, which may be a second call of it.
static bool is_inside(const struct scene *s, tt_value node, const char *path, size_t length) {
    const char *name = s->tape->nodes[node].name;
    return !strncmp(name, path, length) && name[length] == '.';
}

static int add_read(const struct scene *s, tt_value value, int count) {
    value = s->same[value];
    for (int i = 0; i < count; i++)
        if (s->reads[i] == value) return count;
    s->reads[count] = value;
    return count + 1;
}

// A node is given what it reads; a module of several, what its nodes read and none of them made, in
// the order in which they do; one of none, what it returns.
static int find_reads(const struct scene *s, const struct module *module, tt_value since) {
    const struct tt_node *nodes = s->tape->nodes;
    size_t length = strcspn(module->name, "#");
    int count = 0;
    if (module->leaf) {
        for (int j = 0; j < nodes[module->value].input_count; j++)
            count = add_read(s, nodes[module->value].input[j], count);
        return count;
    }
    for (tt_value i = since; i <= module->value; i++) {
        if (nodes[i].op == TT_OP_reshape || !is_inside(s, i, module->name, length)) continue;
        for (int j = 0; j < nodes[i].input_count; j++) {
            tt_value read = nodes[i].input[j];
            if (!is_inside(s, tt_root_of(s->tape, read), module->name, length))
                count = add_read(s, read, count);
        }
    }
    return count ? count : add_read(s, module->value, 0);
}

// The first value behind what the same module returned when it was called before.
static tt_value called_since(const struct scene *s, const struct module *module) {
    size_t length = strcspn(module->name, "#");
    tt_value since = 0;
    for (const struct module *m = s->modules; m < module; m++)
        if (!m->leaf && strcspn(m->name, "#") == length && !strncmp(m->name, module->name, length))
            since = m->value + 1;
    return since;
}

static char *given_name(struct scene *s, const struct module *module, int i) {
    struct tt_pool *pool = &s->layout->pool;
    char *name = i ? tt_pool_format(pool, "%s.in%d", module->name, i + 1)
                   : tt_pool_format(pool, "%s.in", module->name);
    if (!name) tt_fail(&s->error, TT_SYSTEM, "out of memory for a recording");
    return name;
}

// Names of all that is stored: what the chosen modules return, then what they are given besides.
static void name_values(struct scene *s) {
    const struct tt_part_network *of = s->network->of;
    for (struct module *m = s->modules; m < s->modules + s->module_count; m++)
        if (m->chosen && !s->stored[s->same[m->value]]) s->stored[s->same[m->value]] = m->name;
    for (size_t i = 0; of->outputs[i].name; i++) {
        tt_value value = s->network->outputs[i];
        if (value != TT_NO_VALUE && !s->stored[s->same[value]])
            s->stored[s->same[value]] = of->outputs[i].name;
    }
    for (struct module *m = s->modules; m < s->modules + s->module_count; m++) {
        int count = m->chosen ? find_reads(s, m, called_since(s, m)) : 0;
        for (int i = 0; i < count; i++)
            if (!s->stored[s->reads[i]]) s->stored[s->reads[i]] = given_name(s, m, i);
    }
}

// ---- the layout ----

// Whole numbers are stored in 64 bits.
static enum tt_dtype stored_as(enum tt_dtype dtype) {
    return dtype == TT_F32 ? TT_F32 : TT_I64;
}

static void lay_out_inputs(struct scene *s) {
    const struct tt_part_network *of = s->network->of;
    for (size_t i = 0; of->inputs[i].name; i++) {
        tt_value value = s->network->inputs[i];
        if (value == TT_NO_VALUE) continue;
        const struct tt_tensor *t = &s->tape->tensors[value];
        int tensor = tt_record_add_tensor(s->layout, of->inputs[i].name, stored_as(t->dtype),
                                          &t->shape, true);
        tt_record_add_entry(s->layout, of->inputs[i].name, "input", &t->shape, tensor);
        s->stored[value] = of->inputs[i].name;
        s->tensor[value] = tensor;
    }
}

// Values go to the file when their step is done, those that share its memory one after another.
static void lay_out_values(struct scene *s) {
    const struct tt_tape *tape = s->tape;
    int *next = calloc((size_t)tape->node_count + 1, sizeof *next); // of the same root, plus 1
    if (!next) tt_fail(&s->error, TT_SYSTEM, "out of memory for a recording");
    for (tt_value i = tape->node_count - 1; next && i >= 0; i--) {
        tt_value root = tt_root_of(tape, i);
        if (root == i) continue;
        next[i] = next[root];
        next[root] = i + 1;
    }
    for (tt_value root = 0; next && root < tape->node_count; root++) {
        if (tape->nodes[root].op == TT_OP_reshape) continue;
        for (tt_value i = root;; i = next[i] - 1) {
            if (s->same[i] == i && s->stored[i] && s->tensor[i] < 0) {
                const struct tt_tensor *t = &tape->tensors[i];
                s->tensor[i] = tt_record_add_tensor(s->layout, s->stored[i], stored_as(t->dtype),
                                                    &t->shape, false);
                if (!s->layout->error.status) s->layout->tensors[s->tensor[i]].value = i;
            }
            if (!next[i]) break;
        }
    }
    free(next);
}

static void lay_out_module(struct scene *s, const struct module *m) {
    const struct tt_tensor *tensors = s->tape->tensors;
    int count = find_reads(s, m, called_since(s, m));
    for (int i = 0; i < count; i++) {
        char *given = given_name(s, m, i);
        tt_value value = s->reads[i];
        if (given && !strcmp(given, s->stored[value]))
            tt_record_add_entry(s->layout, given, "in", &tensors[value].shape, s->tensor[value]);
    }
    tt_record_add_entry(s->layout, m->name, m->type, &tensors[m->value].shape,
                        s->tensor[s->same[m->value]]);
    if (s->layout->error.status) return;
    s->layout->entries[s->layout->entry_count - 1].leaf = m->leaf;
    for (int i = 0; i < count; i++) tt_record_add_input(s->layout, s->tensor[s->reads[i]]);
}

static void lay_out(struct scene *s) {
    const struct tt_part_network *of = s->network->of;
    find_modules(s);
    find_same(s);
    lay_out_inputs(s);
    name_values(s);
    lay_out_values(s);
    for (int i = 0; !s->error.status && i < s->module_count; i++)
        if (s->modules[i].chosen) lay_out_module(s, &s->modules[i]);
    for (size_t i = 0; of->outputs[i].name; i++) {
        tt_value value = s->network->outputs[i];
        if (value == TT_NO_VALUE) continue;
        tt_record_add_entry(s->layout, of->outputs[i].name, "output",
                            &s->tape->tensors[value].shape, s->tensor[s->same[value]]);
    }
}

enum tt_status tt_record_network(struct tt_record_layout *layout, const struct tt_network *network,
                                 const regex_t *modules, struct tt_error *err) {
    const struct tt_tape *tape = &network->tape;
    size_t values = (size_t)tape->node_count + 1, labels = (size_t)tape->label_count;
    struct scene s = {
        .network = network, .tape = tape, .layout = layout, .regex = modules,
        .modules = calloc(values + labels, sizeof *s.modules),
        .same = calloc(values, sizeof *s.same), .stored = calloc(values, sizeof *s.stored),
        .tensor = calloc(values, sizeof *s.tensor), .reads = calloc(values, sizeof *s.reads),
    };
    if (s.modules && s.same && s.stored && s.tensor && s.reads) lay_out(&s);
    else tt_fail(&s.error, TT_SYSTEM, "out of memory for a recording");
    if (!s.error.status) s.error = layout->error;
    free(s.modules);
    free(s.same);
    free(s.stored);
    free(s.tensor);
    free(s.reads);
    return s.error.status ? tt_fail(err, s.error.status, "%s", s.error.message) : TT_OK;
}
