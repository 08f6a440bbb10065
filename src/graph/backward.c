// SPDX-License-Identifier: MIT
// The backward pass: which steps it takes, in which order, and what is kept until they have read
// it.
#include "graph/planner.h"

#include <string.h>

// ---- what it will read ----

// The values that a forward step reads.
enum { READ = TT_MAX_INPUTS + 2 };
static void read_by(const struct tt_step *step, tt_value values[READ]) {
    memcpy(values, step->input, sizeof step->input);
    values[TT_MAX_INPUTS] = step->image_bias;
    values[TT_MAX_INPUTS + 1] = step->residual;
}

// Steps of one block that follow each other get one number, where blocks are computed again.
static void find_blocks(struct tt_planner *p) {
    const struct tt_steps *steps = &p->plan->steps;
    for (int i = 0, number = -1, last = 0; i < steps->count; i++) {
        int own = p->back->checkpoint_activations ? steps->step[i].node->block : 0;
        if (own && own != last) number++;
        p->block[i] = own ? number : -1;
        last = own;
    }
}

// The parameters of a step for which the table has gradients.
static unsigned learns(const struct tt_planner *p, const struct tt_step *step) {
    unsigned some = 0;
    for (int i = 0; i < TT_MAX_PARAMS; i++) {
        const struct tt_param *param = step->node->param[i];
        int index = param ? tt_params_find(p->plan->params, param->name) : -1;
        if (index >= 0 && tt_params_gradient(p->plan->params, index)) some |= 1u << i;
    }
    return some;
}

static void find_active(struct tt_planner *p) {
    const struct tt_steps *steps = &p->plan->steps;
    const struct tt_both_ways *back = p->back;
    tt_value values[READ];
    for (int i = 0; i < back->input_count; i++) p->wants[steps->root[back->inputs[i]]] = true;
    for (int i = 0; i < back->output_count; i++) p->live[steps->root[back->outputs[i]]] = true;
    for (int i = 0; i < steps->count; i++) {
        const struct tt_step *step = &steps->step[i];
        p->learns[i] = learns(p, step);
        bool wants = p->learns[i] != 0;
        read_by(step, values);
        for (int j = 0; j < READ; j++) wants |= values[j] != TT_NO_VALUE && p->wants[values[j]];
        p->wants[step->output] = wants && tt_ops[step->op]->backward;
    }
    for (int i = steps->count - 1; i >= 0; i--) {
        const struct tt_step *step = &steps->step[i];
        p->active[i] = p->wants[step->output] && p->live[step->output];
        read_by(step, values);
        for (int j = 0; j < READ; j++)
            if (values[j] != TT_NO_VALUE) p->live[values[j]] |= p->live[step->output];
    }
}

// A value is kept unless it is made and read inside one block only.
static void find_kept(struct tt_planner *p) {
    const struct tt_steps *steps = &p->plan->steps;
    const struct tt_tape *tape = p->plan->tape;
    tt_value values[READ];
    for (int i = 0; i < tape->node_count; i++) p->maker[i] = -1;
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

void tt_planner_look_back(struct tt_planner *p) {
    find_active(p);
    find_blocks(p);
    find_kept(p);
}

// ---- a step back ----

// The gradient `buffer` of one of the value's readers; readers come in the reverse order of steps.
static void contribute(struct tt_planner *p, tt_value value, int buffer) {
    struct tt_plan *plan = p->plan;
    int *sum = &plan->gradient[value];
    if (*sum < 0) {
        *sum = buffer;
        return;
    }
    struct tt_places at = tt_nowhere;
    at.x[0] = *sum;
    at.x[1] = buffer;
    at.y = *sum = tt_planner_buffer_like(p, value);
    const struct tt_node *node = &plan->tape->nodes[value];
    struct tt_shape shape = plan->tape->tensors[value].shape;
    struct tt_step step = {
        .op = TT_OP_add, .node = node, .name = node->name, .output = value,
        .image_bias = TT_NO_VALUE, .residual = TT_NO_VALUE,
        .input = {value, value, TT_NO_VALUE, TT_NO_VALUE}, .in = {shape, shape}, .out = shape,
    };
    tt_planner_append(p, step, at, " sum");
}

// Whether the backward step of forward step `index` reads its inputs.
static bool reads_inputs(const struct tt_planner *p, int index) {
    unsigned reads = tt_ops[p->plan->steps.step[index].op]->reads;
    return reads & TT_READS_INPUTS || (reads & TT_READS_INPUTS_TO_LEARN && p->learns[index] & 1u);
}

static void go_back(struct tt_planner *p, int index) {
    struct tt_plan *plan = p->plan;
    struct tt_step step = plan->steps.step[index];
    const struct tt_op *op = tt_ops[step.op];
    struct tt_places at = tt_nowhere;
    bool works = p->learns[index] != 0, passes[TT_MAX_INPUTS] = {false};
    at.dy = plan->gradient[step.output];
    at.saved = p->saved[index];
    if (op->reads & TT_READS_OUTPUT) at.y = p->place[step.output];
    for (int j = 0; j < step.node->input_count; j++) {
        tt_value input = step.input[j];
        if (reads_inputs(p, index) || plan->tape->tensors[input].dtype != TT_F32)
            at.x[j] = p->place[input];
        if (!p->wants[input] && !op->every_dx) continue;
        passes[j] = op->passes && op->passes(&step, j);
        if (!passes[j]) at.dx[j] = tt_planner_buffer_like(p, input);
        works |= p->wants[input] && !passes[j];
    }
    if (step.image_bias != TT_NO_VALUE && p->wants[step.image_bias]) {
        at.dimage_bias = tt_planner_buffer_like(p, step.image_bias);
        works = true;
    }
    step.back = tt_pool_alloc(&plan->pool, sizeof *step.back);
    if (!step.back) tt_fail(&p->error, TT_SYSTEM, "out of memory for a plan");
    if (works) tt_planner_append(p, step, at, " backward");
    if (step.residual != TT_NO_VALUE && p->wants[step.residual])
        contribute(p, step.residual, at.dy);
    if (at.dimage_bias >= 0) contribute(p, step.image_bias, at.dimage_bias);
    for (int j = 0; j < step.node->input_count; j++) {
        if (passes[j]) contribute(p, step.input[j], at.dy);
        if (at.dx[j] >= 0 && p->wants[step.input[j]])
            contribute(p, step.input[j], at.dx[j]);
    }
}

// Which steps of a block, begin .. end-1, must run again for its backward steps.
static void repeat_block(struct tt_planner *p, int begin, int end) {
    const struct tt_steps *steps = &p->plan->steps;
    tt_value values[READ];
    for (int i = end - 1; i >= begin; i--) { // what the backward steps read
        const struct tt_step *step = &steps->step[i];
        const struct tt_op *op = tt_ops[step->op];
        if (!p->active[i]) continue;
        if (op->saved || (op->reads & TT_READS_OUTPUT && !p->kept[step->output]))
            p->repeated[i] = true;
        for (int j = 0; reads_inputs(p, i) && j < step->node->input_count; j++)
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
        if (p->repeated[i]) tt_planner_repeat(p, i);
}

void tt_planner_walk_back(struct tt_planner *p) {
    struct tt_plan *plan = p->plan;
    struct tt_arena *arena = &plan->arena;
    const struct tt_both_ways *back = p->back;
    const tt_value *root = plan->steps.root;
    int loss = plan->forward_count;
    for (int i = 0; i < back->output_count; i++) {
        tt_value value = root[back->outputs[i]];
        tt_arena_touch(arena, value, loss);
        if (plan->seed[value] < 0)
            plan->seed[value] = plan->gradient[value] = tt_planner_buffer_like(p, value);
        tt_arena_touch(arena, plan->seed[value], loss);
    }
    for (int i = loss - 1, begin = loss; i >= 0 && !p->error.status; i--) {
        if (p->block[i] >= 0 && i < begin) {
            for (begin = i; begin > 0 && p->block[begin - 1] == p->block[i];) begin--;
            repeat_block(p, begin, i + 1);
        }
        if (p->active[i] && plan->gradient[plan->steps.step[i].output] >= 0) go_back(p, i);
    }
    for (int i = 0; i < back->input_count; i++)
        tt_arena_touch(arena, plan->gradient[root[back->inputs[i]]],
                       tt_plan_time(plan, plan->steps.count));
}
