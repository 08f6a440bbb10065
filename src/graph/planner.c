// SPDX-License-Identifier: MIT
// The buffers of a plan's steps, and from when until when each is in use.
#include "graph/planner.h"

#include <stdlib.h>

static void place_forward(struct tt_planner *p) {
    struct tt_plan *plan = p->plan;
    struct tt_arena *arena = &plan->arena;
    for (int i = 0; i < plan->tape->node_count; i++) {
        if (tt_planner_buffer_like(p, i) < 0) return;
        arena->buffers[i].root = plan->steps.root[i];
        if (plan->tape->nodes[i].op == TT_OP_input) tt_arena_touch(arena, i, -1);
        p->place[i] = i;
    }
    for (int i = 0; i < plan->forward_count; i++) {
        p->saved[i] = -1;
        tt_planner_equip(p, i, tt_planner_places(p, i));
    }
    for (int i = 0; i < plan->tape->node_count; i++)
        if (plan->tape->tensors[i].is_output) tt_arena_touch(arena, i, plan->forward_count);
}

// ---- the plan ----

static void keep_all(struct tt_plan *plan) {
    int end = tt_plan_time(plan, plan->steps.count);
    for (int i = 0; i < plan->tape->node_count; i++) {
        tt_arena_touch(&plan->arena, i, end);
        tt_arena_touch(&plan->arena, plan->gradient[i], end);
    }
}

// What a step may write over: an input that nobody reads afterwards.
static void share_in_place(struct tt_plan *plan) {
    for (int i = 0; i < plan->steps.count; i++) {
        const struct tt_step *step = &plan->steps.step[i];
        const struct tt_places *at = &plan->places[i];
        int now = tt_plan_time(plan, i);
        if (step->back) {
            if (tt_ops[step->op]->backward_in_place && at->dx[0] >= 0)
                tt_arena_share(&plan->arena, at->dy, at->dx[0], now);
        } else if (tt_ops[step->op]->in_place) {
            bool shared = tt_arena_share(&plan->arena, at->x[0], at->y, now);
            if (!shared && !step->tape) tt_arena_share(&plan->arena, at->x[1], at->y, now);
        }
    }
}

// The lists, all zero; false when memory is short.
static bool take_lists(struct tt_planner *p, struct tt_pool *pool) {
    size_t n = (size_t)p->plan->tape->node_count + 1;
    return (p->place = tt_pool_alloc(pool, n * sizeof *p->place)) &&
           (p->maker = tt_pool_alloc(pool, n * sizeof *p->maker)) &&
           (p->wants = tt_pool_alloc(pool, n * sizeof *p->wants)) &&
           (p->live = tt_pool_alloc(pool, n * sizeof *p->live)) &&
           (p->kept = tt_pool_alloc(pool, n * sizeof *p->kept)) &&
           (p->saved = tt_pool_alloc(pool, n * sizeof *p->saved)) &&
           (p->block = tt_pool_alloc(pool, n * sizeof *p->block)) &&
           (p->learns = tt_pool_alloc(pool, n * sizeof *p->learns)) &&
           (p->active = tt_pool_alloc(pool, n * sizeof *p->active)) &&
           (p->repeated = tt_pool_alloc(pool, n * sizeof *p->repeated));
}

enum tt_status tt_plan_place(struct tt_plan *plan, const struct tt_both_ways *back,
                             struct tt_error *err) {
    size_t n = (size_t)plan->tape->node_count + 1;
    struct tt_pool pool = {0};
    struct tt_planner p = {.plan = plan, .back = back};
    plan->forward_count = plan->steps.count;
    plan->capacity = (int)n;
    plan->places = calloc(n, sizeof *plan->places);
    plan->seed = tt_pool_alloc(&plan->pool, n * sizeof *plan->seed);
    plan->gradient = tt_pool_alloc(&plan->pool, n * sizeof *plan->gradient);
    if (plan->places && plan->seed && plan->gradient && take_lists(&p, &pool)) {
        for (size_t i = 0; i < n; i++) plan->seed[i] = plan->gradient[i] = -1;
        if (back) tt_planner_look_back(&p);
        place_forward(&p);
        if (back && !p.error.status) tt_planner_walk_back(&p);
    } else {
        tt_fail(&p.error, TT_SYSTEM, "out of memory for a plan");
    }
    tt_pool_free(&pool);
    if (p.error.status) return tt_fail(err, p.error.status, "%s", p.error.message);
    if (plan->options.keep_all) keep_all(plan);
    else share_in_place(plan);
    return TT_OK;
}
