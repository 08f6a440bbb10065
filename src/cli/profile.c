// SPDX-License-Identifier: MIT
// tintype profile: where the time of one network goes, node by node.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/report.h"

// One call of a part: what it takes, and the main one of what it gives.
struct call {
    int part;
    struct tt_view inputs[TT_PORTS];
    size_t count;
    struct tt_room out;
    float *dout; // and back again, from this gradient of the output; NULL: only there
};

// Any numbers will do to time a network, but they must be finite and not all alike.
static void fill(float *data, size_t n) {
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
    }
}

// Zeros, or for floats such numbers; whole numbers are ids, of which 0 is one.
static void *make_values(const struct tt_port *port, size_t *bytes) {
    size_t n = tt_shape_count(&port->shape);
    *bytes = n * tt_dtype_size(port->dtype);
    void *data = calloc(n, tt_dtype_size(port->dtype));
    if (data && port->dtype == TT_F32) fill(data, n);
    return data;
}

static enum tt_status make_call(struct cli *cli, const struct tt_model *model, int part,
                                struct tt_size size, bool train, struct call *c) {
    struct tt_port ports[TT_PORTS];
    size_t count = 0, bytes;
    c->part = part;
    enum tt_status status = tt_part_ports(model, part, size, ports, &count, &cli->error);
    for (size_t i = 0; !status && i < count && !c->out.data; i++) {
        const struct tt_port *port = &ports[i];
        void *data = make_values(port, &bytes);
        if (!data) return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
        if (port->output)
            c->out = (struct tt_room){port->name, port->dtype, port->shape, data, bytes};
        else
            c->inputs[c->count++] =
                (struct tt_view){port->name, port->dtype, port->shape, data, bytes};
        if (port->output && train && !(c->dout = make_values(port, &bytes)))
            return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    }
    return status;
}

static void free_call(struct call *c) {
    for (size_t i = 0; i < c->count; i++) free((void *)(uintptr_t)c->inputs[i].data);
    free(c->out.data);
    free(c->dout);
}

static enum tt_status run(struct cli *cli, struct tt_session *session, const struct call *c) {
    enum tt_status status =
        tt_part_run(session, c->part, c->inputs, c->count, &c->out, 1, &cli->error);
    if (status || !c->dout) return status;
    return tt_session_backward(session, c->part, c->dout, &cli->error);
}

// Once without counting, then `repeat` times.
static enum tt_status time_runs(struct cli *cli, struct tt_session *session,
                                const struct call *call, struct tt_profile *profile,
                                double *seconds, size_t repeat) {
    struct tt_observer observer = tt_profile_observer(profile);
    tt_session_observe(session, &observer, 1);
    enum tt_status status = run(cli, session, call);
    tt_profile_reset(profile);
    for (size_t i = 0; !status && i < repeat; i++) {
        double begun = cli_seconds();
        status = run(cli, session, call);
        seconds[i] = cli_seconds() - begun;
    }
    tt_session_observe(session, NULL, 0);
    return status;
}

// The operation without what is folded into it.
static size_t main_op(const struct tt_profile_node *node) {
    return strcspn(node->op, "+");
}

// One line for each operation, in the order of their first nodes, and one for all.
static void print_sums(const struct tt_profile *profile, double total, double flops) {
    printf("\n%-24s %9s %7s %9s %9s\n", "operation", "ms", "%", "GFLOP", "GFLOP/s");
    const struct tt_profile_node *first, *node;
    for (size_t i = 0; (first = tt_profile_at(profile, i)); i++) {
        double spent = 0, work = 0;
        size_t length = main_op(first), j = 0;
        for (; (node = tt_profile_at(profile, j)); j++) {
            if (main_op(node) != length || memcmp(node->op, first->op, length)) continue;
            if (j < i) break; // counted already
            spent += node->seconds / (double)node->runs;
            work += node->flops;
        }
        if (!node)
            printf("%-24.*s %9.2f %6.1f%% %9.2f %9.1f\n", (int)length, first->op, 1e3 * spent,
                   100 * spent / total, 1e-9 * work, 1e-9 * work / spent);
    }
    printf("%-24s %9.2f %6.1f%% %9.2f %9.1f\n", "all", 1e3 * total, 100.0, 1e-9 * flops,
           1e-9 * flops / total);
}

static void print_table(const struct tt_profile *profile) {
    double total = 0, flops = 0;
    printf("%-56s %-24s %-22s %-7s %9s %9s\n", "node", "operation", "output", "variant", "ms",
           "GFLOP/s");
    const struct tt_profile_node *node;
    for (size_t i = 0; (node = tt_profile_at(profile, i)); i++) {
        char shape[64];
        double each = node->seconds / (double)node->runs;
        printf("%-56s %-24s %-22s %-7s %9.3f %9.1f\n", node->name, node->op,
               tt_shape_text(&node->shape, shape, sizeof shape), node->variant, 1e3 * each,
               1e-9 * node->flops / each);
        total += each;
        flops += node->flops;
    }
    print_sums(profile, total, flops);
}

static json_t *describe(struct cli *cli, const struct tt_session *session, const struct call *call,
                        const struct tt_profile *profile, const double *seconds, size_t repeat) {
    json_t *root = json_object(), *times = json_array(), *nodes = json_array();
    for (size_t i = 0; i < repeat; i++) json_array_append_new(times, json_real(seconds[i]));
    const struct tt_profile_node *node;
    for (size_t i = 0; (node = tt_profile_at(profile, i)); i++) {
        double each = node->seconds / (double)node->runs;
        json_t *shape = json_array();
        for (size_t j = 0; j < node->shape.rank; j++)
            json_array_append_new(shape, json_integer((json_int_t)node->shape.dim[j]));
        json_array_append_new(nodes, json_pack(
            "{s:s, s:s, s:o, s:s, s:f, s:f}", "name", node->name, "op", node->op, "shape", shape,
            "variant", node->variant, "ms", 1e3 * each, "gflops", 1e-9 * node->flops / each));
    }
    json_object_set_new(root, "format", json_string("tintype-profile"));
    json_object_set_new(root, "part", json_string(tt_part_name(call->part)));
    json_object_set_new(root, "train", json_boolean(call->dout != NULL));
    json_object_set_new(root, "cpu", json_string(tt_engine_cpu(cli->engine)));
    json_object_set_new(root, "threads", json_integer((json_int_t)tt_engine_threads(cli->engine)));
    json_object_set_new(root, "arena_bytes",
                        json_integer((json_int_t)tt_session_activations(session, call->part)));
    json_object_set_new(root, "seconds", times);
    json_object_set_new(root, "nodes", nodes);
    return root;
}

static enum tt_status prepare(struct cli *cli, struct tt_session *session, int part, size_t batch,
                              size_t width, size_t height, bool train, struct call *call) {
    const struct tt_model *model = tt_session_model(session);
    struct tt_size size;
    enum tt_status status =
        tt_part_size_for(model, part, batch, width, height, &size, &cli->error);
    if (!status)
        status = (train ? tt_session_prepare_training
                        : tt_session_prepare)(session, part, size, &cli->error);
    return status ? status : make_call(cli, model, part, size, train, call);
}

enum tt_status cli_profile(struct cli *cli, int argc, char **argv) {
    const char *path = NULL, *name = NULL, *html = NULL;
    size_t batch = 1, width = 0, height = 0, repeat = 3;
    bool train = false;
    char parts[300];
    snprintf(parts, sizeof parts, "%s; must be given", cli_parts());
    const struct cli_option options[] = {
        {"model", 'm', CLI_TEXT, "MODEL", "model folder; default: the built-in model", &path},
        CLI_VARIANT(cli),
        CLI_WEIGHTS(cli),
        CLI_VAE(cli),
        {"part", 0, CLI_TEXT, "PART", parts, &name},
        {"batch", 0, CLI_COUNT, "N", "batch size; guidance makes it 2", &batch},
        {"width", 'W', CLI_COUNT, "PX", "width of the picture; default: the model's", &width},
        {"height", 'H', CLI_COUNT, "PX", "height of the picture; default: the model's", &height},
        {"repeat", 0, CLI_COUNT, "N", "timed runs, after one that is not", &repeat},
        {"train", 0, CLI_FLAG, NULL, "there and back: the steps of training, too", &train},
        CLI_CONV(cli),
        CLI_HTML(&html),
        {0},
    };
    json_t *root = NULL;
    int part = 0;
    struct tt_session *session = NULL;
    struct tt_model *model = NULL;
    struct tt_profile *profile = NULL;
    struct call call = {0};
    double *seconds = NULL;
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    status = cli_part(cli, name, &part);
    if (!status) status = cli_open_session(cli, path, &session, &model);
    if (!status) status = report_plan(cli, html);
    if (!status) status = prepare(cli, session, part, batch, width, height, train, &call);
    if (!status) status = tt_profile_new(session, part, &profile, &cli->error);
    if (!status && !(seconds = calloc(repeat, sizeof *seconds)))
        status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    if (!status) status = time_runs(cli, session, &call, profile, seconds, repeat);
    if (!status && !cli->json && !cli->uses_stdout) print_table(profile);
    if (!status && (cli->json || html))
        root = describe(cli, session, &call, profile, seconds, repeat);
    if (!status && html) status = report_write(cli, html, root);
    if (!status && cli->json)
        status = cli_print_json(cli, json_incref(root), JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    json_decref(root);
    free(seconds);
    free_call(&call);
    tt_profile_free(profile);
    tt_session_free(session);
    return status;
}
