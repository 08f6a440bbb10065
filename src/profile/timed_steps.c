// SPDX-License-Identifier: MIT
// The profile: an observer that times every step, and describes it when it first meets it.
#include "profile/timed_steps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/team.h"
#include "graph/op.h"
#include "graph/problem.h"

// Seconds that all threads of the process have run.
static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Room for one more in an array that doubles when its count is a power of two.
static bool grow(void *array_pointer, size_t count, size_t size) {
    if (count & (count - 1)) return true;
    void **array = array_pointer;
    void *larger = realloc(*array, (count ? 2 * count : 1) * size);
    if (larger) *array = larger;
    return larger != NULL;
}

// ---- making ----

enum tt_status tt_profile_new_all(struct tt_profile **out, struct tt_error *err) {
    struct tt_profile *profile = calloc(1, sizeof *profile);
    if (!profile) return tt_fail(err, TT_SYSTEM, "out of memory for the profile");
    profile->whole = true;
    profile->origin = tt_seconds();
    *out = profile;
    return TT_OK;
}

// All steps of a plan, and no others; stage NULL: by the way they go.
static void add_all(struct tt_profile *profile, const struct tt_engine *engine,
                    const struct tt_plan *plan, const char *stage) {
    int count = 0;
    const struct tt_step *steps = tt_plan_steps(plan, &count);
    for (int i = 0; profile->whole && i < count; i++) {
        const char *way = !steps[i].tape ? "sum of gradients"
                          : steps[i].back ? "backward" : "forward";
        profile->whole = tt_profile_add(profile, engine, plan, &steps[i], i, stage ? stage : way);
    }
    profile->fixed = true;
}

enum tt_status tt_profile_new(const struct tt_session *session, int part,
                              struct tt_profile **out, struct tt_error *err) {
    struct tt_profile *profile = NULL;
    enum tt_status status = tt_check_part(session->model, part, err);
    if (status) return status;
    const struct tt_network *network = tt_session_network(session, part, NULL);
    if (!network)
        return tt_fail(err, TT_BAD_INPUT, "profile of %s: the model has no plan of it",
                       tt_part_name(part));
    status = tt_profile_new_all(&profile, err);
    if (status) return status;
    add_all(profile, session->engine, network->plan, network->params ? NULL : tt_part_name(part));
    if (profile->whole) {
        *out = profile;
        return TT_OK;
    }
    tt_profile_free(profile);
    return tt_fail(err, TT_SYSTEM, "out of memory for the profile");
}

static bool make_places(struct tt_profile *profile, const struct tt_engine *engine) {
    int team = engine->plan.threads;
    struct tt_busy *busy = aligned_alloc(64, (size_t)team * sizeof *busy);
    if (!busy) return false;
    free(profile->busy);
    profile->busy = busy;
    profile->team = team;
    return true;
}

enum tt_status tt_profile_new_alone(const struct tt_engine *engine, const struct tt_plan *plan,
                                    struct tt_profile **out, struct tt_error *err) {
    struct tt_profile *profile = NULL;
    enum tt_status status = tt_profile_new_all(&profile, err);
    if (status) return status;
    add_all(profile, engine, plan, NULL);
    if (profile->whole && make_places(profile, engine)) {
        *out = profile;
        return TT_OK;
    }
    tt_profile_free(profile);
    return tt_fail(err, TT_SYSTEM, "out of memory for the profile");
}

void tt_profile_free(struct tt_profile *profile) {
    if (!profile) return;
    for (size_t i = 0; i < profile->count; i++) free(profile->nodes[i].sample);
    tt_pool_free(&profile->pool);
    free(profile->nodes);
    free(profile->stages);
    free(profile->events);
    free(profile->threads);
    free(profile->busy);
    tt_block_free(profile->moments, profile->moment_bytes);
    free(profile);
}

void tt_profile_reset(struct tt_profile *profile) {
    for (size_t i = 0; i < profile->count; i++) {
        struct tt_profiled *at = &profile->nodes[i];
        at->node.seconds = at->node.cpu_seconds = at->worked = at->had = 0;
        at->node.runs = at->kept = at->stride = 0;
    }
    profile->event_count = profile->thread_count = profile->stage_count = 0;
    profile->in_stage = false;
    profile->last = 0;
}

bool tt_profile_is_whole(const struct tt_profile *profile) { return profile->whole; }

// ---- describing a step ----

// "down_blocks.0" of "down_blocks.0.resnets.1.conv1": up to the first number, or all but the last
// word.
static const char *module_of(struct tt_profile *profile, const char *name) {
    const char *end = strrchr(name, '.');
    for (const char *word = name; word; word = strchr(word, '.')) {
        word += *word == '.';
        size_t digits = strspn(word, "0123456789");
        if (!digits || (word[digits] && word[digits] != '.')) continue;
        end = word + digits;
        break;
    }
    size_t length = end ? (size_t)(end - name) : strcspn(name, "#");
    return tt_pool_format(&profile->pool, "%.*s", (int)length, name);
}

bool tt_profile_add(struct tt_profile *profile, const struct tt_engine *engine,
                    const struct tt_plan *plan, const struct tt_step *step, int index,
                    const char *stage) {
    char op[96], problem[256];
    struct tt_why why = {0};
    struct tt_pool *pool = &profile->pool;
    if (!grow(&profile->nodes, profile->count, sizeof *profile->nodes)) return false;
    tt_step_why(step, &engine->kernels, engine->plan.threads, &why);
    struct tt_profile_node node = {
        .name = tt_pool_format(pool, "%s", step->name),
        .op = tt_pool_format(pool, "%s", tt_step_text(step, op, sizeof op)),
        .variant = tt_step_variant(step, engine), .shape = *tt_step_shape(step),
        .flops = tt_step_flops(step), .module = module_of(profile, step->name), .stage = stage,
        .kernel = tt_step_kernel(step), .dtype = tt_problem_dtype(step->weight.dtype),
        .problem = tt_pool_format(pool, "%s", tt_step_problem(step, problem, sizeof problem)),
        .why = tt_pool_format(pool, "%s", why.text),
        .flops_executed = tt_step_executed(step, &engine->kernels, engine->plan.threads),
        .bytes = tt_step_bytes(step), .live_bytes = tt_plan_live_bytes(plan, index),
    };
    if (!node.name || !node.op || !node.module || !node.problem || !node.why) return false;
    profile->nodes[profile->count++] = (struct tt_profiled){.node = node, .step = step};
    return true;
}

// Of the plans of the session that is watched, the one that the step is of.
static bool describe(struct tt_profile *profile, const struct tt_step *step) {
    const struct tt_planned *planned = profile->session ? profile->session->planned : NULL;
    for (; planned; planned = planned->next) {
        int count, part = planned->part;
        if (!planned->network.plan) continue;
        const struct tt_step *steps = tt_plan_steps(planned->network.plan, &count);
        uintptr_t at = ((uintptr_t)step - (uintptr_t)steps) / sizeof *step;
        if (at >= (size_t)count || &steps[at] != step) continue;
        return tt_profile_add(profile, profile->engine, planned->network.plan, step, (int)at,
                              tt_part_name(part));
    }
    return false;
}

// Plans come and go, and another one's steps may lie where those of this one lay.
static bool is_same(const struct tt_profiled *at, const struct tt_step *step) {
    return at->step == step && !strcmp(at->node.name, step->name) &&
           tt_shape_equal(&at->node.shape, tt_step_shape(step));
}

// The step's node, after the one that ran last, or wherever; count: there is none.
static size_t find(const struct tt_profile *profile, const struct tt_step *step) {
    size_t i = profile->last + 1;
    if (i < profile->count && is_same(&profile->nodes[i], step)) return i;
    for (i = 0; i < profile->count; i++)
        if (is_same(&profile->nodes[i], step)) break;
    return i;
}

// ---- timing ----

static int begin(void *context, const struct tt_step *step) {
    struct tt_profile *profile = context;
    profile->last = find(profile, step);
    if (profile->last == profile->count && !profile->fixed && !describe(profile, step))
        profile->whole = false;
    if (profile->coming && profile->last < profile->count &&
        !strcmp(profile->nodes[profile->last].node.stage, profile->coming_part))
        tt_profile_stage(profile, profile->coming, profile->coming_step);
    if (profile->busy) {
        memset(profile->busy, 0, (size_t)profile->team * sizeof *profile->busy);
        profile->used = tt_team_size(profile->team); // fewer on a busy machine
    }
    profile->cpu_begun = cpu_seconds();
    profile->begun = tt_seconds();
    return 0;
}

void tt_profiled_take(struct tt_profiled *at, double seconds) {
    size_t run = at->node.runs++;
    at->node.seconds += seconds;
    if (!at->stride) at->stride = 1;
    if (run % at->stride) return;
    if (at->kept == TT_PROFILE_SAMPLES) {
        for (size_t i = 0; i < at->kept / 2; i++) at->sample[i] = at->sample[2 * i];
        at->kept /= 2;
        at->stride *= 2;
    }
    if (at->kept == at->capacity) {
        size_t capacity = at->capacity ? 2 * at->capacity : 8;
        float *larger = realloc(at->sample, capacity * sizeof *larger);
        if (!larger) return; // of a smaller sample, then
        at->sample = larger;
        at->capacity = capacity;
    }
    at->sample[at->kept++] = (float)seconds;
}

// What the threads did: outside of their regions the first one works alone.
static double sum_work(const struct tt_profile *profile, double seconds) {
    double first = 0, last = 0, worked = 0;
    for (int i = 0; i < profile->team; i++) {
        const struct tt_busy *busy = &profile->busy[i];
        if (busy->begun == 0) continue;
        if (first == 0 || busy->begun < first) first = busy->begun;
        if (busy->ended > last) last = busy->ended;
        worked += busy->worked;
    }
    return worked + seconds - (last - first);
}

static void keep_event(struct tt_profile *profile, double seconds, double cpu) {
    if (!profile->keeps_events) return;
    double origin = profile->origin;
    bool good = grow(&profile->events, profile->event_count, sizeof *profile->events);
    for (int i = 0; good && i < profile->team; i++) {
        const struct tt_busy *busy = &profile->busy[i];
        good = grow(&profile->threads, profile->thread_count, sizeof *profile->threads);
        if (!good) break;
        profile->threads[profile->thread_count++] = (struct tt_profile_thread){
            busy->begun ? busy->begun - origin : 0, busy->begun ? busy->ended - origin : 0,
            busy->worked,
        };
    }
    if (!good) {
        profile->whole = profile->keeps_events = false;
        return;
    }
    profile->events[profile->event_count++] = (struct tt_profile_event){
        .node = profile->last, .stage = profile->stage_count ? profile->stage_count - 1 : 0,
        .begun = profile->begun - origin, .seconds = seconds, .cpu_seconds = cpu,
        .threads = (size_t)profile->team,
    };
}

static void end(void *context, const struct tt_step *step) {
    struct tt_profile *profile = context;
    double now = tt_seconds(), seconds = now - profile->begun;
    (void)step;
    if (profile->last >= profile->count) return; // of another plan
    double cpu = cpu_seconds() - profile->cpu_begun;
    struct tt_profiled *at = &profile->nodes[profile->last];
    tt_profiled_take(at, seconds);
    at->node.cpu_seconds += cpu;
    if (profile->busy) {
        at->worked += sum_work(profile, seconds);
        at->had += seconds * profile->used;
        at->asked = true;
    }
    keep_event(profile, seconds, cpu);
    if (!profile->in_stage) return;
    struct tt_profile_stage *stage = &profile->stages[profile->stage_count - 1];
    stage->nodes += seconds;
    stage->flops += at->node.flops;
    stage->flops_executed += at->node.flops_executed;
    stage->bytes += at->node.bytes;
}

struct tt_observer tt_profile_observer(struct tt_profile *profile) {
    return (struct tt_observer){profile, begin, end};
}

// ---- watching a session ----

enum tt_status tt_profile_watch(struct tt_profile *profile, struct tt_session *session,
                                struct tt_error *err) {
    if (!make_places(profile, session->engine))
        return tt_fail(err, TT_SYSTEM, "out of memory for the profile");
    profile->session = session;
    profile->engine = session->engine;
    profile->others = session->observers;
    profile->other_count = session->observer_count;
    profile->watched = *session->engine;
    profile->watched.kernels.busy = profile->busy;
    profile->observer = tt_profile_observer(profile);
    session->engine = &profile->watched;
    tt_session_observe(session, &profile->observer, 1);
    return TT_OK;
}

void tt_profile_leave(struct tt_profile *profile, struct tt_session *session) {
    if (!session || profile->session != session) return;
    session->engine = profile->engine;
    tt_session_observe(session, profile->others, profile->other_count);
    profile->session = NULL;
}

// ---- reading ----

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// Between two of the sorted numbers where it falls between them.
static double quantile(const float *sorted, size_t n, double q) {
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    double rest = at - (double)i;
    return i + 1 < n ? (1 - rest) * (double)sorted[i] + rest * (double)sorted[i + 1]
                     : (double)sorted[i];
}

const struct tt_profile_node *tt_profile_at(const struct tt_profile *profile, size_t i) {
    if (i >= profile->count) return NULL;
    struct tt_profiled *at = &profile->nodes[i];
    struct tt_profile_node *node = &at->node;
    float sorted[TT_PROFILE_SAMPLES];
    double mean = node->runs ? node->seconds / (double)node->runs : 0;
    node->median = node->q1 = node->q3 = node->best = mean;
    if (at->kept) {
        memcpy(sorted, at->sample, at->kept * sizeof *sorted);
        qsort(sorted, at->kept, sizeof *sorted, by_size);
        node->median = quantile(sorted, at->kept, 0.5);
        node->q1 = quantile(sorted, at->kept, 0.25);
        node->q3 = quantile(sorted, at->kept, 0.75);
        node->best = (double)sorted[0];
    }
    node->waiting = at->asked && at->had > 0 ? fmax(0, 1 - at->worked / at->had) : (double)NAN;
    return node;
}

void tt_profile_stage(struct tt_profile *profile, const char *name, size_t step) {
    double now = tt_seconds() - profile->origin;
    if (profile->in_stage) {
        struct tt_profile_stage *last = &profile->stages[profile->stage_count - 1];
        last->seconds = now - last->begun;
    }
    profile->in_stage = false;
    profile->coming = NULL;
    if (!name) return;
    const char *own = tt_pool_format(&profile->pool, "%s", name);
    if (!own || !grow(&profile->stages, profile->stage_count, sizeof *profile->stages)) {
        profile->whole = false;
        return;
    }
    profile->stages[profile->stage_count++] =
        (struct tt_profile_stage){.name = own, .step = step, .begun = now};
    profile->in_stage = true;
}

void tt_profile_stage_with(struct tt_profile *profile, int part, const char *name, size_t step) {
    profile->coming = tt_pool_format(&profile->pool, "%s", name);
    profile->coming_part = tt_part_name(part);
    profile->coming_step = step;
    if (!profile->coming) profile->whole = false;
}

const struct tt_profile_stage *tt_profile_stage_at(const struct tt_profile *profile, size_t i) {
    return i < profile->stage_count ? &profile->stages[i] : NULL;
}

void tt_profile_keep_events(struct tt_profile *profile) { profile->keeps_events = true; }

bool tt_profile_event_at(const struct tt_profile *profile, size_t i,
                         struct tt_profile_event *event) {
    if (i >= profile->event_count) return false;
    *event = profile->events[i];
    event->thread = profile->threads ? profile->threads + i * (size_t)profile->team : NULL;
    return true;
}

size_t tt_session_peak(const struct tt_session *session, int part) {
    const struct tt_network *network = tt_session_network(session, part, NULL);
    size_t most = 0;
    int count = 0;
    if (network && network->plan) tt_plan_steps(network->plan, &count);
    for (int i = 0; i < count; i++) {
        size_t live = tt_plan_live_bytes(network->plan, i);
        if (live > most) most = live;
    }
    return most;
}
