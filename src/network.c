// SPDX-License-Identifier: MIT
#include "network.h"

#include <string.h>

#include "base/finite.h"

void tt_network_drop(struct tt_network *network) {
    tt_plan_free(network->plan);
    tt_params_free(network->params);
    tt_tape_free(&network->tape);
    *network = (struct tt_network){0};
}

static void find_named(const struct tt_tape *tape, const struct tt_named *names, tt_value *values) {
    for (size_t i = 0; names[i].name; i++) values[i] = tt_find_value(tape, names[i].name);
}

enum tt_status tt_network_lay_out(struct tt_network *network, const struct tt_part_network *of,
                                  const void *config, const struct tt_size *size,
                                  struct tt_error *err) {
    *network = (struct tt_network){.of = of, .config = config, .size = *size};
    of->tape(&network->tape, config, size);
    enum tt_status status = tt_tape_status(&network->tape, err);
    if (status) return status;
    find_named(&network->tape, of->inputs, network->inputs);
    find_named(&network->tape, of->outputs, network->outputs);
    for (size_t i = 0; of->outputs[i].name; i++)
        tt_set_output(&network->tape, network->outputs[i]);
    return TT_OK;
}

enum tt_status tt_network_plan(struct tt_network *network, const struct tt_engine *engine,
                               struct tt_bank *bank, struct tt_error *err) {
    return tt_plan_new(&network->tape, bank, &engine->plan, &network->plan, err);
}

enum tt_status tt_network_plan_both_ways(struct tt_network *network,
                                         const struct tt_engine *engine,
                                         const struct tt_source *source, struct tt_error *err) {
    const struct tt_tape *tape = &network->tape;
    enum tt_status status = tt_params_new(&tape, 1, true, &network->params, err);
    if (!status) status = tt_params_load(network->params, source, err);
    if (status) return status;
    struct tt_both_ways back = {
        .params = network->params, .outputs = &network->outputs[0], .output_count = 1};
    return tt_plan_new_both_ways(tape, &engine->plan, &back, &network->plan, err);
}

bool tt_network_is_planned(const struct tt_network *network) {
    return network->plan != NULL;
}

// ---- calling ----

// PyTorch's (N, C, H, W) into a value's buffer, and out of it; other shapes lie as they are.
static void put(const struct tt_engine *engine, struct tt_shape s, const void *data, float *to) {
    if (s.rank == 4)
        engine->kernels.nchw_to_nhwc_f32(data, to, s.dim[0], s.dim[1], s.dim[2] * s.dim[3]);
    else
        memcpy(to, data, tt_shape_count(&s) * sizeof *to);
}

static void get(const struct tt_engine *engine, struct tt_shape s, const float *from, float *data) {
    if (s.rank == 4)
        engine->kernels.nhwc_to_nchw_f32(from, data, s.dim[0], s.dim[1], s.dim[2] * s.dim[3]);
    else
        memcpy(data, from, tt_shape_count(&s) * sizeof *from);
}

enum tt_status tt_network_feed(struct tt_network *network, const struct tt_engine *engine,
                               const struct tt_arrays *arrays, struct tt_error *err) {
    const struct tt_part_network *of = network->of;
    for (size_t i = 0; of->inputs[i].name; i++) {
        tt_value value = network->inputs[i];
        if (value == TT_NO_VALUE) continue;
        struct tt_shape shape = tt_shape_of(&network->tape, value);
        if (arrays->in[i]) put(engine, shape, arrays->in[i], tt_plan_data(network->plan, value));
        else memset(tt_plan_data(network->plan, value), 0, tt_shape_count(&shape) * sizeof(float));
    }
    void *made[TT_NAMED] = {NULL};
    for (size_t i = 0; of->derived[i]; i++)
        made[i] = tt_plan_data(network->plan, tt_find_value(&network->tape, of->derived[i]));
    return of->derive ? of->derive(network->config, &network->size, arrays->in, made, err) : TT_OK;
}

enum tt_status tt_network_run(struct tt_network *network, const struct tt_engine *engine,
                              const struct tt_observer *observers, size_t count,
                              struct tt_error *err) {
    return tt_plan_run(network->plan, &engine->kernels, observers, count, err);
}

bool tt_network_is_finite(const struct tt_network *network, const struct tt_arrays *arrays) {
    bool finite = true;
    for (size_t i = 0; finite && network->of->outputs[i].name; i++) {
        if (!arrays->out[i]) continue;
        struct tt_shape shape = tt_shape_of(&network->tape, network->outputs[i]);
        finite = tt_all_finite(tt_plan_data(network->plan, network->outputs[i]),
                               tt_shape_count(&shape));
    }
    return finite;
}

void tt_network_get(const struct tt_network *network, const struct tt_engine *engine,
                    const struct tt_arrays *arrays) {
    for (size_t i = 0; network->of->outputs[i].name; i++)
        if (arrays->out[i])
            get(engine, tt_shape_of(&network->tape, network->outputs[i]),
                tt_plan_data(network->plan, network->outputs[i]), arrays->out[i]);
}

static int stop_when_found(void *context, const struct tt_step *step) {
    (void)step;
    return *(const struct tt_step **)context != NULL;
}

static void look(void *context, const struct tt_step *step) {
    const struct tt_step **found = context;
    if (!tt_step_is_finite(step)) *found = step;
}

enum tt_status tt_network_explain(struct tt_network *network, const struct tt_engine *engine,
                                  const struct tt_arrays *arrays, const char *name,
                                  struct tt_error *err) {
    const struct tt_step *found = NULL;
    struct tt_observer observer = {&found, stop_when_found, look};
    enum tt_status status = tt_network_feed(network, engine, arrays, err);
    for (int i = 0; !status && i < network->tape.node_count; i++) {
        const struct tt_tensor *tensor = &network->tape.tensors[i];
        if (network->tape.nodes[i].op == TT_OP_input && tensor->dtype == TT_F32 &&
            !tt_all_finite(tt_plan_data(network->plan, i), tt_shape_count(&tensor->shape)))
            return tt_fail(err, TT_BAD_INPUT, "input %s of %s is not finite",
                           network->tape.nodes[i].name, name);
    }
    if (!status) status = tt_network_run(network, engine, &observer, 1, NULL);
    if (!found) return tt_fail(err, status ? status : TT_SYSTEM, "cancelled");
    char op[96], shape[96];
    size_t first, n = tt_shape_count(&found->out), bad = tt_count_not_finite(found->y, n, &first);
    return tt_fail(err, TT_BAD_INPUT, "node %s of %s: %s: found %g and %zu more of %zu values that "
                   "are not finite in its output %s", found->name, name,
                   tt_step_text(found, op, sizeof op), (double)found->y[first], bad - 1, n,
                   tt_shape_text(&found->out, shape, sizeof shape));
}

enum tt_status tt_network_back(struct tt_network *network, const struct tt_engine *engine,
                               const float *dout, const struct tt_observer *observers,
                               size_t count, struct tt_error *err) {
    tt_value out = network->outputs[0];
    network->ran = false; // its buffers are used again on the way
    tt_params_zero_gradients(network->params);
    put(engine, tt_shape_of(&network->tape, out), dout, tt_plan_seed(network->plan, out));
    return tt_plan_run_back(network->plan, &engine->kernels, observers, count, err);
}
