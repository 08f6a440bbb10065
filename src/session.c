// SPDX-License-Identifier: MIT
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "base/growth.h"
#include "base/stack.h"

enum { PLAN_BYTES = 512 << 20 };

void tt_session_defaults(struct tt_session_settings *settings, size_t size) {
    struct tt_session_settings defaults = {.plan_bytes = PLAN_BYTES};
    tt_growth_give(settings, size, &defaults, sizeof defaults);
}

enum tt_status tt_session_new(struct tt_model *model, const struct tt_session_settings *settings,
                              struct tt_session **out, struct tt_error *err) {
    struct tt_session_settings s = {.plan_bytes = PLAN_BYTES};
    enum tt_status status =
        settings ? tt_growth_take(&s, sizeof s, settings, "struct tt_session_settings", err)
                 : TT_OK;
    if (status) return status;
    struct tt_session *session = calloc(1, sizeof *session);
    if (!session) return tt_fail(err, TT_SYSTEM, "out of memory for a session");
    session->model = tt_model_keep(model);
    session->engine = s.engine ? s.engine : model->engine;
    session->plan_bytes = s.plan_bytes;
    *out = session;
    return TT_OK;
}

// What `at` points to, out of the list.
static void drop(struct tt_planned **at) {
    struct tt_planned *planned = *at;
    *at = planned->next;
    tt_network_drop(&planned->network);
    free(planned);
}

void tt_session_free(struct tt_session *session) {
    if (!session) return;
    while (session->planned) drop(&session->planned);
    tt_model_close(session->model);
    free(session);
}

struct tt_model *tt_session_model(const struct tt_session *session) {
    return session->model;
}

void tt_session_observe(struct tt_session *session, const struct tt_observer *observers,
                        size_t count) {
    session->observers = observers;
    session->observer_count = count;
}

// ---- overrides ----

void tt_session_override(struct tt_session *session, const struct tt_override *override) {
    session->override = override;
}

// What steps read and write lies in the plan's own buffers, which may be written.
static float *writable(const float *data) {
    return (float *)(uintptr_t)data;
}

static int before(void *context, const struct tt_step *step) {
    const struct tt_override *override = context;
    struct tt_shape shape;
    if (!override->input || step->back || !step->tape) return 0;
    for (size_t i = 0; i < TT_MAX_INPUTS; i++) {
        const float *data = tt_step_input(step, i, &shape);
        if (data) override->input(override->context, step, i, &shape, writable(data));
    }
    return 0;
}

static void after(void *context, const struct tt_step *step) {
    const struct tt_override *override = context;
    if (!override->output || step->back || !step->tape) return;
    override->output(override->context, step, step->y);
}

// An override is the last of the observers, the one that may write.
static enum tt_status run(const struct tt_session *session, struct tt_network *network,
                          struct tt_error *err) {
    size_t count = session->observer_count;
    if (!session->override)
        return tt_network_run(network, session->engine, session->observers, count, err);
    struct tt_observer *all = malloc((count + 1) * sizeof *all);
    if (!all) return tt_fail(err, TT_SYSTEM, "out of memory for observers");
    if (count) memcpy(all, session->observers, count * sizeof *all);
    all[count] = (struct tt_observer){(void *)(uintptr_t)session->override, before, after};
    enum tt_status status = tt_network_run(network, session->engine, all, count + 1, err);
    free(all);
    return status;
}

// ---- plans ----

static bool same_size(const struct tt_size *a, const struct tt_size *b) {
    return !memcmp(a, b, sizeof *a);
}

static struct tt_planned *find(const struct tt_session *session, int part,
                               const struct tt_size *size) {
    struct tt_planned *at = session->planned;
    while (at && (at->part != part || (size && !same_size(&at->network.size, size)))) at = at->next;
    return at;
}

const struct tt_network *tt_session_network(const struct tt_session *session, int part,
                                            const struct tt_size *size) {
    const struct tt_planned *planned = find(session, part, size);
    return planned ? &planned->network : NULL;
}

static void move_to_front(struct tt_session *session, struct tt_planned *planned) {
    struct tt_planned **at = &session->planned;
    while (*at && *at != planned) at = &(*at)->next;
    if (*at) *at = planned->next;
    planned->next = session->planned;
    session->planned = planned;
}

// Drops what was not used for the longest time until so many bytes are left.
static void make_room(struct tt_session *session, size_t left) {
    size_t bytes = 0;
    for (struct tt_planned **at = &session->planned; *at;) {
        bytes += (*at)->bytes;
        if (bytes > left) drop(at);
        else at = &(*at)->next;
    }
}

static enum tt_status plan(struct tt_session *session, struct tt_planned *planned, bool both_ways,
                           struct tt_error *err) {
    const struct tt_held *held = &session->model->parts[planned->part];
    struct tt_network *network = &planned->network;
    size_t most = session->plan_bytes;
    if (both_ways) {
        make_room(session, 0); // the largest there are: room for it alone
        enum tt_status status =
            tt_network_plan_both_ways(network, session->engine, &held->source, err);
        planned->bytes = status ? 0 : tt_plan_arena_bytes(network->plan);
        return status;
    }
    enum tt_status status =
        tt_plan_measure(&network->tape, held->bank, &session->engine->plan, &planned->bytes, err);
    if (!status) make_room(session, planned->bytes < most ? most - planned->bytes : 0);
    return status ? status : tt_network_plan(network, session->engine, held->bank, err);
}

static enum tt_status prepare(struct tt_session *session, int part, struct tt_size size,
                              bool both_ways, struct tt_error *err) {
    struct tt_model *model = session->model;
    enum tt_status status = tt_check_part(model, part, err);
    if (!status) status = tt_check_size(model, part, &size, err);
    if (status) return status;
    struct tt_planned *planned = find(session, part, &size);
    if (planned && both_ways && !planned->network.params) {
        move_to_front(session, planned);
        drop(&session->planned);
        planned = NULL;
    }
    if (planned) {
        move_to_front(session, planned);
        return TT_OK;
    }
    status = tt_open_weights(model, part, err);
    if (status) return status;
    planned = calloc(1, sizeof *planned);
    if (!planned) return tt_fail(err, TT_SYSTEM, "out of memory for a plan");
    planned->part = part;
    status = tt_part_lay_out(model, part, &size, &planned->network, err);
    if (!status) status = plan(session, planned, both_ways, err);
    move_to_front(session, planned);
    if (status) drop(&session->planned);
    return status;
}

enum tt_status tt_session_prepare(struct tt_session *session, int part, struct tt_size size,
                                  struct tt_error *err) {
    return prepare(session, part, size, false, err);
}

enum tt_status tt_session_prepare_training(struct tt_session *session, int part,
                                           struct tt_size size, struct tt_error *err) {
    return prepare(session, part, size, true, err);
}

enum tt_status tt_session_check_room(const struct tt_session *session, enum tt_part part,
                                     struct tt_size size, struct tt_error *err) {
    struct tt_network network = {0};
    size_t bytes;
    enum tt_status status = tt_check_part(session->model, part, err);
    if (!status) status = tt_check_size(session->model, part, &size, err);
    if (status) return status;
    status = tt_part_lay_out(session->model, part, &size, &network, err);
    if (!status)
        status = tt_plan_measure(&network.tape, session->model->parts[part].bank,
                                 &session->engine->plan, &bytes, err);
    tt_network_drop(&network);
    return status;
}

size_t tt_session_activations(const struct tt_session *session, int part) {
    const struct tt_planned *planned = find(session, part, NULL);
    return planned ? planned->bytes : 0;
}

// ---- calls ----

// Of what is planned.
static enum tt_status call(struct tt_session *session, int part, const struct tt_arrays *arrays,
                           struct tt_error *err) {
    const struct tt_engine *engine = session->engine;
    struct tt_network *network = &session->planned->network;
    enum tt_status status = tt_network_feed(network, engine, arrays, err);
    if (!status) status = run(session, network, err);
    if (!status) status = tt_weights_check_whole(session->model->parts[part].weights, err);
    if (!status) status = tt_model_check_loras(session->model, err);
    network->ran = !status;
    if (status) return status;
    bool finite = tt_network_is_finite(network, arrays);
    if (!finite && session->override) // another run would be without it
        return tt_fail(err, TT_BAD_INPUT, "%s: found values that are not finite in its output",
                       tt_part_name(part));
    if (!finite)
        return tt_network_explain(network, engine, arrays, tt_part_name(part), err);
    tt_network_get(network, engine, arrays);
    return TT_OK;
}

enum tt_status tt_session_call(struct tt_session *session, int part, struct tt_size size,
                               const struct tt_arrays *arrays, struct tt_error *err) {
    const struct tt_follower *follower = session->follower;
    // The thread may be another than the one that made the engine.
    enum tt_status status = tt_stack_check_here(TT_STACK_CALL, err);
    if (!status) status = tt_session_prepare(session, part, size, err);
    if (!status && follower)
        status = follower->begin(follower->context, part, &session->planned->network, arrays, err);
    if (status) return status;
    status = call(session, part, arrays, err);
    return follower ? follower->end(follower->context, status, arrays, err) : status;
}

enum tt_status tt_session_backward(struct tt_session *session, int part, const float *dout,
                                   struct tt_error *err) {
    enum tt_status status = tt_check_part(session->model, part, err);
    if (!status) status = tt_stack_check_here(TT_STACK_CALL, err);
    if (status) return status;
    struct tt_planned *planned = find(session, part, NULL);
    if (!planned || !planned->network.params || !planned->network.ran)
        return tt_fail(err, TT_BAD_INPUT, "%s: found no call to go back from, expected "
                       "tt_session_prepare_training and a call", tt_part_name(part));
    return tt_network_back(&planned->network, session->engine, dout, session->observers,
                           session->observer_count, err);
}

const float *tt_session_gradient(const struct tt_session *session, int part, const char *weight,
                                 struct tt_shape *shape) {
    const struct tt_planned *planned = find(session, part, NULL);
    const struct tt_params *params = planned ? planned->network.params : NULL;
    int i = params ? tt_params_find(params, weight) : -1;
    if (i < 0) return NULL;
    if (shape) *shape = params->values[i].shape;
    return tt_params_gradient(params, i);
}
