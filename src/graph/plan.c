// SPDX-License-Identifier: MIT
#include "graph/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// Where a value lies and from which step to which it is needed.
struct buffer {
    size_t bytes, offset;
    int first, last; // step indices
    tt_value root;   // the value whose buffer this one shares
    int readers;
};

struct tt_plan {
    const struct tt_tape *tape;
    struct tt_plan_options options;
    struct tt_step *steps;
    int step_count;
    struct buffer *buffers; // one per value, then one per step for its scratch
    char *arena;
    size_t arena_bytes;
};

void tt_plan_free(struct tt_plan *plan) {
    if (!plan) return;
    tt_block_free(plan->arena, plan->arena_bytes);
    free(plan->buffers);
    free(plan->steps);
    free(plan);
}

const struct tt_step *tt_plan_steps(const struct tt_plan *plan, int *count) {
    *count = plan->step_count;
    return plan->steps;
}

size_t tt_plan_arena_bytes(const struct tt_plan *plan) {
    return plan->arena_bytes;
}

static tt_value root_of(const struct tt_plan *plan, tt_value value) {
    while (plan->buffers[value].root != value) value = plan->buffers[value].root;
    return value;
}

float *tt_plan_data(const struct tt_plan *plan, tt_value value) {
    return (float *)(plan->arena + plan->buffers[root_of(plan, value)].offset);
}

// ---- steps and folding ----

// The step that makes `value`, if nobody but one reader wants it and the tape does not keep it.
static struct tt_step *sole_maker(struct tt_plan *plan, tt_value value) {
    if (plan->buffers[value].readers != 1 || plan->tape->tensors[value].is_output) return NULL;
    for (int i = plan->step_count - 1; i >= 0; i--)
        if (plan->steps[i].output == value) return &plan->steps[i];
    return NULL;
}

static bool is_product(const struct tt_step *step) {
    return step && (step->op == TT_OP_linear || step->op == TT_OP_conv2d);
}

// Moves `maker` to the end of the list, where every input of the node to fold is known, and makes
// it do that node too.
static struct tt_step *fold_into(struct tt_plan *plan, struct tt_step *maker,
                                 const struct tt_node *node) {
    struct tt_step step = *maker;
    size_t after = (size_t)(plan->steps + plan->step_count - maker - 1);
    memmove(maker, maker + 1, after * sizeof *maker);
    step.folded[step.folded_count++] = node;
    step.output = node->output;
    plan->steps[plan->step_count - 1] = step;
    return &plan->steps[plan->step_count - 1];
}

// What one pass can do: silu after a group norm; after a product (linear, conv2d) the per-image
// bias, then the residual. The arithmetic is the same as in turn.
static bool fold(struct tt_plan *plan, const struct tt_node *node, const tt_value input[]) {
    struct tt_step *maker = input[0] == TT_NO_VALUE ? NULL : sole_maker(plan, input[0]);
    if (node->op == TT_OP_silu && maker && maker->op == TT_OP_group_norm && !maker->silu) {
        fold_into(plan, maker, node)->silu = true;
        return true;
    }
    if (node->op == TT_OP_add_image && maker && maker->op == TT_OP_conv2d &&
        maker->image_bias == TT_NO_VALUE && maker->residual == TT_NO_VALUE) {
        fold_into(plan, maker, node)->image_bias = input[1];
        return true;
    }
    if (node->op != TT_OP_add) return false;
    const struct tt_tensor *tensors = plan->tape->tensors;
    if (tt_shape_count(&tensors[input[0]].shape) != tt_shape_count(&tensors[input[1]].shape))
        return false;
    for (int side = 0; side < 2; side++) {
        maker = sole_maker(plan, input[side]);
        if (input[0] == input[1] || !is_product(maker) || maker->residual != TT_NO_VALUE) continue;
        fold_into(plan, maker, node)->residual = input[1 - side];
        return true;
    }
    return false;
}

static void make_steps(struct tt_plan *plan) {
    const struct tt_tape *tape = plan->tape;
    for (int i = 0; i < tape->node_count; i++) { // who reads whom, through reshapes
        const struct tt_node *node = &tape->nodes[i];
        plan->buffers[i].root = node->op == TT_OP_reshape ? root_of(plan, node->input[0]) : i;
        for (int j = 0; node->op != TT_OP_reshape && j < node->input_count; j++)
            plan->buffers[root_of(plan, node->input[j])].readers++;
        if (tape->tensors[i].is_output) plan->buffers[root_of(plan, i)].readers++;
    }
    for (int i = 0; i < tape->node_count; i++) {
        const struct tt_node *node = &tape->nodes[i];
        if (node->op == TT_OP_input || node->op == TT_OP_reshape) continue;
        tt_value input[TT_MAX_INPUTS] = {TT_NO_VALUE, TT_NO_VALUE, TT_NO_VALUE, TT_NO_VALUE};
        for (int j = 0; j < node->input_count; j++) input[j] = root_of(plan, node->input[j]);
        if (plan->options.fold && fold(plan, node, input)) continue;
        struct tt_step *step = &plan->steps[plan->step_count++];
        *step = (struct tt_step){.op = node->op, .node = node, .name = node->name,
                                 .image_bias = TT_NO_VALUE, .residual = TT_NO_VALUE,
                                 .output = node->output};
        memcpy(step->input, input, sizeof input);
    }
}

// ---- weights and shapes ----

static enum tt_status prepare(struct tt_plan *plan, struct tt_bank *bank, struct tt_error *err) {
    for (int i = 0; i < plan->step_count; i++) {
        struct tt_step *step = &plan->steps[i];
        const struct tt_node *node = step->node;
        for (int j = 0; j < node->input_count; j++)
            step->in[j] = plan->tape->tensors[node->input[j]].shape;
        step->out = plan->tape->tensors[node->output].shape;
        const float **data[] = {&step->weight, &step->bias};
        for (int j = 0; j < TT_MAX_PARAMS; j++) {
            if (!node->param[j]) continue;
            enum tt_form form = j == 0 ? tt_ops[step->op]->form : TT_FORM_PLAIN;
            *data[j] = tt_bank_get(bank, node->param[j], form, plan->options.threads, err);
            if (!*data[j]) return err->status;
        }
        step->conv_direct = plan->options.conv_direct;
    }
    return TT_OK;
}

// ---- the arena ----

static void touch(struct tt_plan *plan, tt_value value, int step) {
    if (value == TT_NO_VALUE) return;
    struct buffer *b = &plan->buffers[root_of(plan, value)];
    if (step < b->first) b->first = step;
    if (step > b->last) b->last = step;
}

static void find_lifetimes(struct tt_plan *plan) {
    const struct tt_tape *tape = plan->tape;
    for (int i = 0; i < tape->node_count; i++) {
        plan->buffers[i].first = tape->nodes[i].op == TT_OP_input ? -1 : plan->step_count;
        plan->buffers[i].last = -1;
        plan->buffers[i].bytes = tt_align_up(tt_shape_count(&tape->tensors[i].shape) * 4);
    }
    for (int i = 0; i < plan->step_count; i++) {
        struct tt_step *step = &plan->steps[i];
        for (int j = 0; j < TT_MAX_INPUTS; j++) touch(plan, step->input[j], i);
        touch(plan, step->image_bias, i);
        touch(plan, step->residual, i);
        touch(plan, step->output, i);
        size_t (*scratch)(const struct tt_step *, int) = tt_ops[step->op]->scratch;
        plan->buffers[tape->node_count + i] = (struct buffer){
            .bytes = scratch ? tt_align_up(scratch(step, plan->options.threads)) : 0,
            .first = i, .last = i, .root = tape->node_count + i,
        };
    }
    for (int i = 0; i < tape->node_count; i++)
        if (tape->tensors[i].is_output || plan->options.keep_all) touch(plan, i, plan->step_count);
}

// An element-wise step may write over an input that nobody reads afterwards.
static void share_in_place(struct tt_plan *plan) {
    for (int i = 0; i < plan->step_count; i++) {
        const struct tt_step *step = &plan->steps[i];
        if (!tt_ops[step->op]->in_place) continue;
        tt_value input = root_of(plan, step->input[0]);
        struct buffer *from = &plan->buffers[input], *to = &plan->buffers[step->output];
        if (from->last != i || from->bytes != to->bytes || from->first < 0) continue;
        to->root = input;
        from->last = to->last;
    }
}

static int larger_first(const void *a, const void *b, void *buffers) {
    const struct buffer *x = (const struct buffer *)buffers + *(const int *)a;
    const struct buffer *y = (const struct buffer *)buffers + *(const int *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return *(const int *)a - *(const int *)b;
}

// Greedy: the largest buffer first, each at the lowest place that is free while it lives.
static enum tt_status lay_out(struct tt_plan *plan, struct tt_error *err) {
    int all = plan->tape->node_count + plan->step_count, count = 0;
    int *order = malloc((size_t)all * sizeof *order);
    int *placed = malloc((size_t)all * sizeof *placed);
    for (int i = 0; order && placed && i < all; i++) {
        const struct buffer *b = &plan->buffers[i];
        if (b->root == i && b->bytes && b->first <= b->last) order[count++] = i;
    }
    if (order && placed) qsort_r(order, (size_t)count, sizeof *order, larger_first, plan->buffers);
    for (int i = 0; order && placed && i < count; i++) {
        struct buffer *b = &plan->buffers[order[i]];
        // placed[] is kept in order of offset
        size_t offset = 0;
        int position = 0;
        for (int j = 0; j < i; j++) {
            const struct buffer *other = &plan->buffers[placed[j]];
            if (other->last < b->first || b->last < other->first) continue;
            if (other->offset >= offset + b->bytes) break;
            if (other->offset + other->bytes > offset) offset = other->offset + other->bytes;
        }
        b->offset = offset;
        while (position < i && plan->buffers[placed[position]].offset < offset) position++;
        memmove(placed + position + 1, placed + position, (size_t)(i - position) * sizeof *placed);
        placed[position] = order[i];
        if (offset + b->bytes > plan->arena_bytes) plan->arena_bytes = offset + b->bytes;
    }
    bool failed = !order || !placed;
    free(order);
    free(placed);
    if (!failed) plan->arena = tt_block_alloc(plan->arena_bytes);
    if (failed || !plan->arena)
        return tt_fail(err, TT_SYSTEM, "out of memory: %zu bytes of activations",
                       plan->arena_bytes);
    return TT_OK;
}

static const float *data_of(const struct tt_plan *plan, tt_value value) {
    return value == TT_NO_VALUE ? NULL : tt_plan_data(plan, value);
}

static void point(struct tt_plan *plan) {
    for (int i = 0; i < plan->step_count; i++) {
        struct tt_step *step = &plan->steps[i];
        for (int j = 0; j < TT_MAX_INPUTS; j++) step->x[j] = data_of(plan, step->input[j]);
        step->image_bias_data = data_of(plan, step->image_bias);
        step->residual_data = data_of(plan, step->residual);
        step->y = tt_plan_data(plan, step->output);
        step->scratch = plan->arena + plan->buffers[plan->tape->node_count + i].offset;
    }
}

enum tt_status tt_plan_new(const struct tt_tape *tape, struct tt_bank *bank,
                           const struct tt_plan_options *options, struct tt_plan **out,
                           struct tt_error *err) {
    size_t nodes = (size_t)tape->node_count;
    enum tt_status status = tt_tape_status(tape, err);
    if (status) return status;
    struct tt_plan *plan = calloc(1, sizeof *plan);
    if (plan) {
        *plan = (struct tt_plan){.tape = tape, .options = *options};
        plan->steps = calloc(nodes, sizeof *plan->steps);
        plan->buffers = calloc(2 * nodes, sizeof *plan->buffers);
    }
    if (!plan || !plan->steps || !plan->buffers) {
        tt_plan_free(plan);
        return tt_fail(err, TT_SYSTEM, "out of memory for a plan of %zu nodes", nodes);
    }
    make_steps(plan);
    status = prepare(plan, bank, err);
    if (!status) {
        find_lifetimes(plan);
        if (!options->keep_all) share_in_place(plan);
        status = lay_out(plan, err);
    }
    if (status) {
        tt_plan_free(plan);
        return status;
    }
    point(plan);
    *out = plan;
    return TT_OK;
}

// ---- running ----

static void poison(struct tt_plan *plan, int step) {
    for (int i = 0; i < plan->tape->node_count; i++) {
        const struct buffer *b = &plan->buffers[i];
        if (b->root == i && b->last == step && b->first >= 0)
            memset(plan->arena + b->offset, 0xff, b->bytes); // all ones is a NaN
    }
}

enum tt_status tt_plan_run(struct tt_plan *plan, const struct tt_kernels *kernels,
                           const struct tt_observer *observers, int observer_count,
                           struct tt_error *err) {
    for (int i = 0; i < plan->step_count; i++) {
        const struct tt_step *step = &plan->steps[i];
        for (int j = 0; j < observer_count; j++)
            if (observers[j].before && observers[j].before(observers[j].context, step))
                return tt_fail(err, TT_SYSTEM, "cancelled before %s", step->name);
        tt_ops[step->op]->run(step, kernels, plan->options.threads);
        for (int j = 0; j < observer_count; j++)
            if (observers[j].after) observers[j].after(observers[j].context, step);
        if (plan->options.poison) poison(plan, i);
    }
    return TT_OK;
}
