// SPDX-License-Identifier: MIT
// tintype profile: where the time of one network goes, node by node. Of a whole picture:
// profile_generate.c; how it is told: profile_report.c and what stands beside it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/profile.h"

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

static enum tt_status run(struct cli *cli, struct tt_session *session, struct tt_profile *profile,
                          const struct call *c) {
    if (c->dout) tt_profile_stage(profile, "forward", 0);
    enum tt_status status =
        tt_part_run(session, c->part, c->inputs, c->count, &c->out, 1, &cli->error);
    if (status || !c->dout) return status;
    tt_profile_stage(profile, "backward", 0);
    status = tt_session_backward(session, c->part, c->dout, &cli->error);
    tt_profile_stage(profile, "optimiser", 0);
    if (!status) status = tt_profile_optimise(profile, session, c->part, &cli->error);
    tt_profile_stage(profile, NULL, 0);
    return status;
}

// Once without counting, then `repeat` times.
static enum tt_status time_runs(struct cli *cli, struct tt_session *session,
                                const struct call *call, struct profile_report *r,
                                struct tt_profile *profile, double *seconds) {
    enum tt_status status = tt_profile_watch(profile, session, &cli->error);
    if (status) return status;
    status = run(cli, session, profile, call);
    tt_profile_reset(profile);
    profile_machine_before(&r->machine);
    for (size_t i = 0; !status && i < r->repeat; i++) {
        double begun = cli_seconds();
        status = run(cli, session, profile, call);
        seconds[i] = cli_seconds() - begun;
    }
    profile_machine_after(&r->machine, seconds, r->repeat);
    tt_profile_leave(profile, session);
    return status;
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

static const char more_help[] =
"Also: profile generate TEXT [OPTION]... draws a picture as generate does, and tells its stages;\n"
"profile diff A.json B.json [--limit PERCENT] tells what changed between two that --json printed.\n"
"\n"
"A node's line: the median of its times, +-% half the distance of the quartiles, its share, the\n"
"operations it does and the bytes that it must move in that time, roof% how much of the time\n"
"the machine would need at least (bench --roof), wait% the share of the threads' time in which\n"
"they wait for others, and the problem by which `tintype bench` runs it alone. More than 100 %\n"
"of the roof is what comes from caches: bytes are counted as if all came from memory.\n"
"\n"
"--json prints: format, version, tintype, model, part, batch, width, height, train, cpu,\n"
"cpu_model, threads, precision, weights, conv, repeat, busy and busy_because, flop (as done:\n"
"Winograd's with its transforms), flop_direct, bytes, median_ms (of a run), nodes_ms, cpu_ms,\n"
"gflops_per_s, gb_per_s, roof (gflops, gb_per_s, measured: now or before), share_of_roof,\n"
"arena_bytes, peak_bytes (in use at once), seconds (of each run), stages (name, ms, step),\n"
"nodes, totals (lists by module, op, kernel, dtype, stage and step: name, nodes, ms, cpu_ms,\n"
"share, flop, flop_direct, bytes, gflops_per_s, gb_per_s, share_of_roof) and notes; of generate\n"
"also steps, pictures, scheduler. nodes: name, module, op, kernel, variant, dtype, shape,\n"
"problem, why (this kernel: what was considered, what ruled the others out), stage, ms, q1_ms,\n"
"q3_ms and best_ms of a run, cpu_ms (all threads; those that wait spin), flop, flop_direct,\n"
"bytes, gflops_per_s, gb_per_s, bound (compute or memory), share_of_roof, imbalance (the\n"
"threads' waiting), live_bytes, share, calls (in a run), runs.\n";

// What the command line asks for.
struct asked {
    const char *path, *name;
    size_t batch, width, height, repeat;
    bool train;
    struct profile_options how;
};

static enum tt_status read_options(struct cli *cli, struct asked *asked, int argc, char **argv) {
    char parts[300];
    snprintf(parts, sizeof parts, "%s; must be given", cli_parts());
    const struct cli_option own[] = {
        {"model", 'm', CLI_TEXT, "MODEL", "a folder or a file; default: the built-in one",
         &asked->path},
        CLI_VARIANT(cli),
        CLI_WEIGHTS(cli),
        CLI_NETWORKS(cli),
        CLI_LORA(cli),
        {"part", 0, CLI_TEXT, "PART", parts, &asked->name},
        {"batch", 0, CLI_COUNT, "N", "batch size; guidance makes it 2", &asked->batch},
        {"width", 'W', CLI_COUNT, "PX", "width of the picture; default: the model's",
         &asked->width},
        {"height", 'H', CLI_COUNT, "PX", "height of the picture; default: the model's",
         &asked->height},
        {"repeat", 0, CLI_COUNT, "N", "timed runs, after one that is not", &asked->repeat},
        {"train", 0, CLI_FLAG, NULL, "a step of training: there, back, and the optimiser",
         &asked->train},
        CLI_CONV(cli),
    };
    enum { OWN = sizeof own / sizeof *own };
    struct cli_option options[OWN + PROFILE_OPTIONS];
    memcpy(options, own, sizeof own);
    profile_add_options(&asked->how, options + OWN);
    cli->more_help = more_help;
    return cli_options(cli, options, argc, argv, NULL, 0);
}

static enum tt_status profile_part(struct cli *cli, const struct asked *asked,
                                   const struct tt_roof *roof, struct tt_session *session,
                                   int part) {
    const struct tt_model *model = tt_session_model(session);
    struct profile_report r = {
        .cli = cli, .model = tt_model_info(model)->name, .part = tt_part_name(part),
        .batch = asked->batch, .width = asked->width, .height = asked->height,
        .repeat = asked->repeat, .train = asked->train, .roof = *roof,
    };
    struct tt_profile *profile = NULL;
    struct call call = {0};
    double *seconds = calloc(r.repeat, sizeof *seconds);
    enum tt_status status = TT_OK;
    if (!seconds) status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    if (!status)
        status = prepare(cli, session, part, r.batch, r.width, r.height, r.train, &call);
    if (!status) tt_model_size(model, &r.width, &r.height, NULL); // as prepared; 0: has none
    if (!status) status = tt_profile_new(session, part, &profile, &cli->error);
    if (!status && asked->how.trace) tt_profile_keep_events(profile);
    if (!status) status = time_runs(cli, session, &call, &r, profile, seconds);
    if (!status) {
        r.profile = profile;
        r.seconds = seconds;
        r.arena_bytes = tt_session_activations(session, part);
        r.peak_bytes = tt_session_peak(session, part);
        status = profile_tell(&r, &asked->how);
    }
    free(seconds);
    free_call(&call);
    tt_profile_free(profile);
    return status;
}

enum tt_status cli_profile(struct cli *cli, int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "diff")) return profile_diff(cli, argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "generate")) return profile_generate(cli, argc - 1, argv + 1);
    struct asked asked = {.batch = 1, .repeat = 5};
    struct tt_session *session = NULL;
    struct tt_model *model = NULL;
    struct tt_roof roof = {0};
    char cache[PROFILE_PATH];
    int part = 0;
    enum tt_status status = read_options(cli, &asked, argc, argv);
    if (status || cli->help) return status;
    status = cli_part(cli, asked.name, &part);
    if (!status) // before the model is there: its buffers shall not add to the peak of memory
        status = tt_roof_find(cli->engine, profile_cache(cache), false, &roof, &cli->error);
    if (!status) status = cli_open_session(cli, asked.path, &session, &model);
    if (!status) status = profile_check(cli, &asked.how); // what is read is known now
    if (!status) status = profile_part(cli, &asked, &roof, session, part);
    tt_session_free(session);
    return status;
}
