// SPDX-License-Identifier: MIT
// tintype profile: where the time of one network goes, node by node.
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "graph/profile.h"

// Any numbers will do to time a network, but they must be finite and not all alike.
static void fill_inputs(const struct tt_network *network) {
    uint32_t state = 1;
    for (int i = 0; i < network->tape.node_count; i++) {
        if (network->tape.nodes[i].op != TT_OP_input || network->tape.tensors[i].is_int) continue;
        struct tt_shape shape = network->tape.tensors[i].shape;
        float *data = tt_plan_data(network->plan, i);
        for (size_t j = 0; j < tt_shape_count(&shape); j++) {
            state = state * 1664525u + 1013904223u;
            data[j] = (float)(state >> 8) * 0x1p-23f - 1.0f;
        }
    }
}

static enum tt_status time_runs(struct cli *cli, struct tt_model *model, enum tt_part part,
                                size_t repeat, struct tt_profile *profile, double *seconds) {
    struct tt_network *network = &model->networks[part];
    struct tt_observer observer = tt_profile_observer(profile);
    for (size_t i = 0; i < repeat; i++) {
        fill_inputs(network);
        double begun = tt_seconds();
        enum tt_status status =
            tt_plan_run(network->plan, model->engine.kernels, &observer, 1, &cli->error);
        if (status) return status;
        seconds[i] = tt_seconds() - begun;
    }
    return TT_OK;
}

static void print_table(const struct cli *cli, const struct tt_profile *profile) {
    double total = 0, flops = 0;
    printf("%-56s %-24s %-22s %-7s %9s %9s\n", "node", "operation", "output", "variant", "ms",
           "GFLOP/s");
    for (int i = 0; i < profile->count; i++) {
        const struct tt_profile_node *node = &profile->nodes[i];
        char op[64], shape[64];
        double each = node->seconds / node->runs, work = tt_step_flops(node->step);
        printf("%-56s %-24s %-22s %-7s %9.3f %9.1f\n", node->step->name,
               tt_step_text(node->step, op, sizeof op),
               tt_shape_text(&node->step->out, shape, sizeof shape),
               tt_step_variant(node->step, &cli->kernels), 1e3 * each, 1e-9 * work / each);
        total += each;
        flops += work;
    }
    printf("\n%-24s %9s %7s %9s %9s\n", "operation", "ms", "%", "GFLOP", "GFLOP/s");
    for (int op = 0; op < TT_OP_COUNT; op++) {
        double spent = 0, work = 0;
        for (int i = 0; i < profile->count; i++) {
            const struct tt_profile_node *node = &profile->nodes[i];
            if ((int)node->step->op != op) continue;
            spent += node->seconds / node->runs;
            work += tt_step_flops(node->step);
        }
        if (spent > 0)
            printf("%-24s %9.2f %6.1f%% %9.2f %9.1f\n", tt_ops[op]->name, 1e3 * spent,
                   100 * spent / total, 1e-9 * work, 1e-9 * work / spent);
    }
    printf("%-24s %9.2f %6.1f%% %9.2f %9.1f\n", "all", 1e3 * total, 100.0, 1e-9 * flops,
           1e-9 * flops / total);
}

static void print_json(const struct cli *cli, const struct tt_profile *profile, const char *part,
                       const double *seconds, size_t repeat, size_t arena) {
    json_t *root = json_object(), *times = json_array(), *nodes = json_array();
    for (size_t i = 0; i < repeat; i++) json_array_append_new(times, json_real(seconds[i]));
    for (int i = 0; i < profile->count; i++) {
        const struct tt_profile_node *node = &profile->nodes[i];
        char op[64];
        double each = node->seconds / node->runs;
        json_t *shape = json_array();
        for (size_t j = 0; j < node->step->out.rank; j++)
            json_array_append_new(shape, json_integer((json_int_t)node->step->out.dim[j]));
        json_array_append_new(nodes, json_pack(
            "{s:s, s:s, s:o, s:s, s:f, s:f}", "name", node->step->name, "op",
            tt_step_text(node->step, op, sizeof op), "shape", shape, "variant",
            tt_step_variant(node->step, &cli->kernels), "ms", 1e3 * each, "gflops",
            1e-9 * tt_step_flops(node->step) / each));
    }
    json_object_set_new(root, "part", json_string(part));
    json_object_set_new(root, "cpu", json_string(tt_cpu_name(cli->kernels.mask)));
    json_object_set_new(root, "threads", json_integer((json_int_t)cli->threads));
    json_object_set_new(root, "arena_bytes", json_integer((json_int_t)arena));
    json_object_set_new(root, "seconds", times);
    json_object_set_new(root, "nodes", nodes);
    json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
}

static enum tt_status part_named(struct cli *cli, const char *name, enum tt_part *part) {
    for (int i = 0; name && i < TT_PARTS; i++) {
        if (strcmp(name, tt_part_names[i])) continue;
        *part = (enum tt_part)i;
        return TT_OK;
    }
    return tt_fail(&cli->error, TT_BAD_INPUT,
                   "--part: found '%s', expected text, unet, vae-encode or vae-decode",
                   name ? name : "");
}

static enum tt_status prepare(struct cli *cli, struct tt_model *model, enum tt_part part,
                              size_t batch, size_t width, size_t height) {
    enum tt_status status = cli_size(cli, model, &width, &height);
    if (status) return status;
    size_t factor = part == TT_PART_VAE_ENCODE ? 1 : tt_model_factor(model);
    struct tt_size size = {batch, height / factor, width / factor,
                           tt_model_tokens(model)};
    return tt_model_prepare(model, part, size, &cli->error);
}

enum tt_status cli_profile(struct cli *cli, int argc, char **argv) {
    const char *path = NULL, *name = NULL, *conv = NULL;
    size_t batch = 1, width = 0, height = 0, repeat = 3;
    const struct cli_option options[] = {
        {"model", 'm', CLI_TEXT, "MODEL", "model folder; default: the built-in model", &path},
        {"part", 0, CLI_TEXT, "PART", "text, unet, vae-encode or vae-decode", &name},
        {"batch", 0, CLI_COUNT, "N", "batch size (default 1; guidance makes it 2)", &batch},
        {"width", 'W', CLI_COUNT, "PX", "width of the picture; default: the model's", &width},
        {"height", 'H', CLI_COUNT, "PX", "height of the picture", &height},
        {"repeat", 0, CLI_COUNT, "N", "timed runs, after one that is not (default 3)", &repeat},
        {"conv", 0, CLI_TEXT, "HOW", "convolutions: auto or direct", &conv},
        {0},
    };
    enum tt_part part = TT_PART_UNET;
    struct tt_model *model = NULL;
    struct tt_profile profile = {0}, warm = {0};
    double *seconds = NULL;
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    status = part_named(cli, name, &part);
    if (!status) status = cli_open_model(cli, path, conv, &model);
    if (!status) status = prepare(cli, model, part, batch, width, height);
    if (!status) status = tt_profile_new(model->networks[part].plan, &profile, &cli->error);
    if (!status) status = tt_profile_new(model->networks[part].plan, &warm, &cli->error);
    if (!status && !(seconds = malloc(repeat * sizeof *seconds)))
        status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    if (!status) status = time_runs(cli, model, part, 1, &warm, seconds);
    if (!status) status = time_runs(cli, model, part, repeat, &profile, seconds);
    if (!status && cli->json)
        print_json(cli, &profile, name, seconds, repeat,
                   tt_plan_arena_bytes(model->networks[part].plan));
    else if (!status)
        print_table(cli, &profile);
    free(seconds);
    tt_profile_free(&warm);
    tt_profile_free(&profile);
    tt_model_close(model);
    return status;
}
