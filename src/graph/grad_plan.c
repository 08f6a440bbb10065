// SPDX-License-Identifier: MIT
// Which steps a run there and back takes, in which order, and what is kept until it is read.
#include "graph/grad_plan.h"

#include <stdlib.h>
#include <string.h>

static const struct tt_places nowhere = {
    {-1, -1, -1, -1}, -1, -1, -1, -1, -1, -1, -1, {-1, -1, -1, -1}, -1,
};

// What only planning needs; the lists are per value except where it says per step.
struct planner {
    struct tt_grad *grad;
    struct tt_error *err;
    bool *wants;    // a parameter or a wanted input lies before it
    bool *live;     // it leads to an output whose gradient is given
    bool *kept;     // from the forward run until the way back has read it
    int *again;     // the buffer of its second computation
    int *maker;     // the step that makes it; -1: none
    int *block;     // per step: which block to compute again; -1: none
    int *saved;     // per step: the buffer of what it leaves for its backward pass
    bool *repeated; // per step
};

// ---- events ----

static void no_memory(struct planner *p) {
    tt_fail(p->err, TT_SYSTEM, "out of memory for a training plan");
}

static int new_buffer(struct planner *p, size_t bytes) {
    int buffer = tt_arena_add(&p->grad->arena, bytes);
    if (buffer < 0) no_memory(p);
    return buffer;
}

static size_t bytes_of(const struct planner *p, tt_value value) {
    const struct tt_tensor *tensor = &p->grad->tape->tensors[value];
    return tt_shape_count(&tensor->shape) * tt_dtype_size(tensor->dtype);
}

static int new_like(struct planner *p, tt_value value) {
    return new_buffer(p, bytes_of(p, value));
}

// The event's own memory, and the parameters.
static void equip(struct planner *p, struct tt_step *event, struct tt_places *at) {
    struct tt_grad *grad = p->grad;
    const struct tt_op *op = tt_ops[event->op];
    bool back = event->pass == TT_PASS_BACKWARD;
    int threads = grad->options.threads;
    if (event->pass == TT_PASS_SUM) return;
    float **gradients[] = {&event->dweight, &event->dbias};
    const float **values[] = {&event->plain, &event->bias};
    for (int i = 0; i < TT_MAX_PARAMS; i++) {
        const struct tt_param *param = event->node->param[i];
        if (!param) continue;
        int index = tt_params_find(grad->params, param->name);
        if (index < 0) {
            tt_fail(p->err, TT_BAD_INPUT, "the table of parameters lacks '%s'", param->name);
            return;
        }
        *values[i] = tt_params_value(grad->params, index);
        if (back) *gradients[i] = tt_params_gradient(grad->params, index);
    }
    event->weight = (struct tt_weight){event->plain, TT_F32};
    if (!back && op->form != TT_FORM_PLAIN)
        at->packed =
            new_buffer(p, tt_form_count(op->form, &event->node->param[0]->shape) * sizeof(float));
    size_t (*scratch)(const struct tt_step *, int) = back ? op->backward_scratch : op->scratch;
    if (scratch) at->scratch = new_buffer(p, tt_step_scratch(scratch, event, threads));
}

// Appends an event, and notes when its buffers are in use.
static void emit(struct planner *p, struct tt_step event, struct tt_places at) {
    struct tt_grad *grad = p->grad;
    if (p->err->status) return;
    if (grad->count == grad->capacity) {
        int capacity = grad->capacity ? 2 * grad->capacity : 256;
        struct tt_step *events = realloc(grad->events, (size_t)capacity * sizeof *events);
        if (events) grad->events = events;
        struct tt_places *places = realloc(grad->places, (size_t)capacity * sizeof *places);
        if (places) grad->places = places;
        if (!events || !places) {
            no_memory(p);
            return;
        }
        grad->capacity = capacity;
    }
    static const char *const suffix[] = {"", " again", " backward", " sum"};
    if (event.pass != TT_PASS_FORWARD)
        event.name = tt_pool_format(&grad->names, "%s%s", event.name, suffix[event.pass]);
    if (!event.name) no_memory(p);
    equip(p, &event, &at);
    int now = tt_grad_time(grad, grad->count);
    struct tt_arena *arena = &grad->arena;
    for (int i = 0; i < TT_MAX_INPUTS; i++) {
        tt_arena_touch(arena, at.x[i], now);
        tt_arena_touch(arena, at.dx[i], now);
    }
    const int others[] = {at.image_bias, at.residual, at.y,  at.saved,
                          at.packed,     at.scratch,  at.dy, at.dimage_bias};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        tt_arena_touch(arena, others[i], now);
    grad->places[grad->count] = at;
    grad->events[grad->count++] = event;
}

// ---- what to keep ----

// The block a step belongs to: the path to the first module in one of these lists; 0 when none.
static size_t block_length(const char *name) {
    static const char *const lists[] = {"resnets.", "attentions.", "layers."};
    for (const char *part = name; part; part = strchr(part, '.')) {
        if (*part == '.') part++;
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
            size_t length = strlen(lists[i]);
            if (strncmp(part, lists[i], length)) continue;
            const char *end = strchr(part + length, '.');
            return end ? (size_t)(end - name) : strlen(name);
        }
    }
    return 0;
}

// Steps of one block that follow each other get one number.
static void find_blocks(struct planner *p) {
    const struct tt_steps *steps = &p->grad->steps;
    const char *last = "";
    size_t length = 0;
    int number = -1;
    for (int i = 0; i < steps->count; i++) {
        const char *name = steps->step[i].name;
        size_t own = block_length(name);
        if (own && (own != length || strncmp(name, last, own))) number++;
        p->block[i] = own ? number : -1;
        last = name;
        length = own;
    }
}

// The values that a forward step reads.
enum { READ = TT_MAX_INPUTS + 2 };
static void read_by(const struct tt_step *step, tt_value values[READ]) {
    memcpy(values, step->input, sizeof step->input);
    values[TT_MAX_INPUTS] = step->image_bias;
    values[TT_MAX_INPUTS + 1] = step->residual;
}

static void find_wants(struct planner *p, const struct tt_grad_options *options) {
    const struct tt_steps *steps = &p->grad->steps;
    tt_value values[READ];
    for (int i = 0; i < options->input_count; i++)
        p->wants[steps->root[options->inputs[i]]] = true;
    for (int i = 0; i < options->output_count; i++)
        p->live[steps->root[options->outputs[i]]] = true;
    for (int i = 0; i < steps->count; i++) {
        const struct tt_step *step = &steps->step[i];
        bool *wants = &p->wants[step->output];
        *wants = step->node->param[0] != NULL;
        read_by(step, values);
        for (int j = 0; j < READ; j++) *wants |= values[j] != TT_NO_VALUE && p->wants[values[j]];
    }
    for (int i = steps->count - 1; i >= 0; i--) {
        const struct tt_step *step = &steps->step[i];
        read_by(step, values);
        for (int j = 0; j < READ; j++)
            if (values[j] != TT_NO_VALUE) p->live[values[j]] |= p->live[step->output];
    }
}

// A value is kept unless it is made and read inside one block only.
static void find_kept(struct planner *p) {
    const struct tt_steps *steps = &p->grad->steps;
    const struct tt_tape *tape = p->grad->tape;
    tt_value values[READ];
    for (int i = 0; i < tape->node_count; i++) p->maker[i] = p->again[i] = -1;
    for (int i = 0; i < steps->count; i++) p->maker[steps->step[i].output] = i;
    for (int i = 0; i < tape->node_count; i++) {
        int maker = p->maker[steps->root[i]];
        if (maker < 0 || p->block[maker] < 0 || tape->tensors[i].is_output)
            p->kept[steps->root[i]] = true;
    }
    for (int i = 0; i < steps->count; i++) {
        read_by(&steps->step[i], values);
        for (int j = 0; j < READ; j++)
            if (values[j] != TT_NO_VALUE && !p->kept[values[j]])
                p->kept[values[j]] = p->block[p->maker[values[j]]] != p->block[i];
    }
}

// Whether a gradient goes through the step.
static bool is_active(const struct planner *p, const struct tt_step *step) {
    return p->wants[step->output] && p->live[step->output];
}

// ---- forward ----

// Where to read a value: the forward run's buffer, or, on the way back, that of the second
// computation.
static int place_of(const struct planner *p, tt_value value, bool back) {
    if (value == TT_NO_VALUE) return -1;
    return back && !p->kept[value] ? p->again[value] : value;
}

static void emit_forward(struct planner *p, int index, enum tt_pass pass) {
    struct tt_step event = p->grad->steps.step[index];
    struct tt_places at = nowhere;
    bool again = pass == TT_PASS_AGAIN;
    event.pass = pass;
    for (int j = 0; j < TT_MAX_INPUTS; j++) at.x[j] = place_of(p, event.input[j], again);
    at.image_bias = place_of(p, event.image_bias, again);
    at.residual = place_of(p, event.residual, again);
    at.y = event.output;
    if (again) at.y = p->again[event.output] = new_like(p, event.output);
    if (tt_ops[event.op]->saved && is_active(p, &event))
        at.saved = p->saved[index] = new_buffer(p, tt_ops[event.op]->saved(&event));
    emit(p, event, at);
}

// ---- backward ----

// The gradient `buffer` of one of the value's readers; readers come in the reverse order of steps.
static void contribute(struct planner *p, tt_value value, int buffer) {
    struct tt_grad *grad = p->grad;
    int *sum = &grad->gradient[value];
    if (*sum < 0) {
        *sum = buffer;
        return;
    }
    struct tt_places at = nowhere;
    at.x[0] = *sum;
    at.x[1] = buffer;
    at.y = *sum = new_like(p, value);
    const struct tt_node *node = &grad->tape->nodes[value];
    struct tt_shape shape = grad->tape->tensors[value].shape;
    emit(p, (struct tt_step){.op = TT_OP_add, .node = node, .name = node->name, .output = value,
                             .image_bias = TT_NO_VALUE, .residual = TT_NO_VALUE,
                             .input = {value, value, TT_NO_VALUE, TT_NO_VALUE},
                             .in = {shape, shape}, .out = shape, .pass = TT_PASS_SUM}, at);
}

static void emit_backward(struct planner *p, int index) {
    struct tt_grad *grad = p->grad;
    struct tt_step event = grad->steps.step[index];
    const struct tt_op *op = tt_ops[event.op];
    struct tt_places at = nowhere;
    bool works = event.node->param[0] != NULL, passes[TT_MAX_INPUTS] = {false};
    event.pass = TT_PASS_BACKWARD;
    at.dy = grad->gradient[event.output];
    at.saved = p->saved[index];
    if (op->reads & TT_READS_OUTPUT) at.y = place_of(p, event.output, true);
    for (int j = 0; j < event.node->input_count; j++) {
        tt_value input = event.input[j];
        if (op->reads & TT_READS_INPUTS || grad->tape->tensors[input].dtype != TT_F32)
            at.x[j] = place_of(p, input, true);
        if (!p->wants[input] && !op->every_dx) continue;
        passes[j] = op->passes && op->passes(&event, j);
        if (!passes[j]) at.dx[j] = new_like(p, input);
        works |= p->wants[input] && !passes[j];
    }
    if (event.image_bias != TT_NO_VALUE && p->wants[event.image_bias]) {
        at.dimage_bias = new_like(p, event.image_bias);
        works = true;
    }
    if (works) emit(p, event, at);
    if (event.residual != TT_NO_VALUE && p->wants[event.residual])
        contribute(p, event.residual, at.dy);
    if (at.dimage_bias >= 0) contribute(p, event.image_bias, at.dimage_bias);
    for (int j = 0; j < event.node->input_count; j++) {
        if (passes[j]) contribute(p, event.input[j], at.dy);
        if (at.dx[j] >= 0 && p->wants[event.input[j]])
            contribute(p, event.input[j], at.dx[j]);
    }
}

// Which steps of a block, begin .. end-1, must run again for its backward passes.
static void repeat_block(struct planner *p, int begin, int end) {
    const struct tt_steps *steps = &p->grad->steps;
    tt_value values[READ];
    for (int i = end - 1; i >= begin; i--) { // what the backward passes read
        const struct tt_step *step = &steps->step[i];
        const struct tt_op *op = tt_ops[step->op];
        if (!is_active(p, step)) continue;
        if (op->saved || (op->reads & TT_READS_OUTPUT && !p->kept[step->output]))
            p->repeated[i] = true;
        for (int j = 0; op->reads & TT_READS_INPUTS && j < step->node->input_count; j++)
            if (!p->kept[step->input[j]]) p->repeated[p->maker[step->input[j]]] = true;
    }
    for (int i = end - 1; i >= begin; i--) { // and what the repeated steps read
        if (!p->repeated[i]) continue;
        read_by(&steps->step[i], values);
        for (int j = 0; j < READ; j++)
            if (values[j] != TT_NO_VALUE && !p->kept[values[j]])
                p->repeated[p->maker[values[j]]] = true;
    }
    for (int i = begin; i < end; i++)
        if (p->repeated[i]) emit_forward(p, i, TT_PASS_AGAIN);
}

static void walk_back(struct planner *p) {
    const struct tt_steps *steps = &p->grad->steps;
    for (int i = steps->count - 1, begin = steps->count; i >= 0; i--) {
        if (p->block[i] >= 0 && i < begin) {
            for (begin = i; begin > 0 && p->block[begin - 1] == p->block[i];) begin--;
            repeat_block(p, begin, i + 1);
        }
        if (is_active(p, &steps->step[i]) && p->grad->gradient[steps->step[i].output] >= 0)
            emit_backward(p, i);
    }
}

// ---- the plan ----

static void make_events(struct planner *p, const struct tt_grad_options *options) {
    struct tt_grad *grad = p->grad;
    struct tt_arena *arena = &grad->arena;
    const struct tt_steps *steps = &grad->steps;
    for (int i = 0; i < grad->tape->node_count; i++) {
        if (new_like(p, i) < 0) return;
        arena->buffers[i].root = steps->root[i];
        if (grad->tape->nodes[i].op == TT_OP_input) tt_arena_touch(arena, i, -1);
        grad->gradient[i] = -1;
    }
    grad->forward_count = steps->count;
    for (int i = 0; i < steps->count; i++) p->saved[i] = -1;
    for (int i = 0; i < steps->count; i++) emit_forward(p, i, TT_PASS_FORWARD);
    int loss = steps->count;
    for (int i = 0; i < grad->tape->node_count; i++)
        if (grad->tape->tensors[i].is_output) tt_arena_touch(arena, i, loss);
    for (int i = 0; i < options->output_count; i++) {
        tt_value value = steps->root[options->outputs[i]];
        tt_arena_touch(arena, value, loss);
        if (grad->gradient[value] < 0) grad->gradient[value] = new_like(p, value);
        grad->seed[value] = grad->gradient[value];
        tt_arena_touch(arena, grad->seed[value], loss);
    }
    walk_back(p);
    int end = tt_grad_time(grad, grad->count);
    for (int i = 0; i < options->input_count; i++)
        tt_arena_touch(arena, grad->gradient[steps->root[options->inputs[i]]], end);
    for (int i = 0; grad->options.keep_all && i < grad->tape->node_count; i++) {
        if (steps->root[i] != i) continue;
        if (p->maker[i] >= 0) tt_arena_touch(arena, i, end);
        tt_arena_touch(arena, grad->gradient[i], end);
    }
}

// What an event may write over: an input that nobody reads afterwards.
static void share_in_place(struct tt_grad *grad) {
    for (int i = 0; i < grad->count; i++) {
        const struct tt_step *event = &grad->events[i];
        const struct tt_places *at = &grad->places[i];
        int now = tt_grad_time(grad, i);
        if (event->pass == TT_PASS_BACKWARD) {
            if (tt_ops[event->op]->backward_in_place && at->dx[0] >= 0)
                tt_arena_share(&grad->arena, at->dy, at->dx[0], now);
        } else if (tt_ops[event->op]->in_place) {
            bool shared = tt_arena_share(&grad->arena, at->x[0], at->y, now);
            if (!shared && event->pass == TT_PASS_SUM)
                tt_arena_share(&grad->arena, at->x[1], at->y, now);
        }
    }
}

enum tt_status tt_grad_plan(struct tt_grad *grad, const struct tt_grad_options *options,
                            struct tt_error *err) {
    size_t n = (size_t)grad->tape->node_count + 1;
    struct tt_pool pool = {0};
    struct planner p = {
        .grad = grad, .err = err,
        .wants = tt_pool_alloc(&pool, n * sizeof *p.wants),
        .live = tt_pool_alloc(&pool, n * sizeof *p.live),
        .kept = tt_pool_alloc(&pool, n * sizeof *p.kept),
        .again = tt_pool_alloc(&pool, n * sizeof *p.again),
        .maker = tt_pool_alloc(&pool, n * sizeof *p.maker),
        .block = tt_pool_alloc(&pool, n * sizeof *p.block),
        .saved = tt_pool_alloc(&pool, n * sizeof *p.saved),
        .repeated = tt_pool_alloc(&pool, n * sizeof *p.repeated),
    };
    if (!p.wants || !p.live || !p.kept || !p.again || !p.maker || !p.block || !p.saved ||
        !p.repeated) {
        no_memory(&p);
    } else {
        find_wants(&p, options);
        if (options->checkpoint_activations)
            find_blocks(&p);
        else
            memset(p.block, 0xff, n * sizeof *p.block); // all -1
        find_kept(&p);
        make_events(&p, options);
    }
    tt_pool_free(&pool);
    if (!err->status && !grad->options.keep_all) share_in_place(grad);
    return err->status;
}
