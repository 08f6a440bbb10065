// SPDX-License-Identifier: MIT
// tintype bench: one node alone, on made-up or recorded numbers, beside what the machine can do.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/profile.h"

struct asked {
    bool roof, again, peers;
    const char *from, *model, *problem;
    size_t repeat;
};

// What a recorded node gave beside what it gives here.
struct beside {
    bool known;
    double largest, limit;
    char name[256];
};

static json_t *roof_json(const struct tt_roof *roof) {
    return json_pack("{s:f, s:f, s:f, s:f, s:b}", "gflops", 1e-9 * roof->flops_per_second,
                     "gb_per_s", 1e-9 * roof->bytes_per_second, "read_gb_per_s", 1e-9 * roof->read,
                     "copy_gb_per_s", 1e-9 * roof->copy, "measured", (int)roof->measured);
}

static void set_machine(json_t *root, struct cli *cli) {
    char processor[128];
    tt_processor_name(processor, sizeof processor);
    json_object_set_new(root, "cpu_model", cli_json_text(processor));
    json_object_set_new(root, "cpu", json_string(tt_engine_cpu(cli->engine)));
    json_object_set_new(root, "threads", json_integer((json_int_t)tt_engine_threads(cli->engine)));
    json_object_set_new(root, "tintype", json_string(tt_version()));
}

static void print_machine(struct cli *cli, const struct tt_roof *roof) {
    char processor[128];
    cli_print(stdout, tt_processor_name(processor, sizeof processor));
    printf(", %s, %zu threads: roof %.1f GFLOP/s, %.1f GB/s (read %.1f, copy %.1f; %s)\n",
           tt_engine_cpu(cli->engine), tt_engine_threads(cli->engine),
           1e-9 * roof->flops_per_second, 1e-9 * roof->bytes_per_second, 1e-9 * roof->read,
           1e-9 * roof->copy, roof->measured ? "measured now" : "measured before");
}

static enum tt_status tell_roof(struct cli *cli, const struct tt_roof *roof) {
    if (!cli->json) {
        print_machine(cli, roof);
        return TT_OK;
    }
    json_t *root = json_object();
    json_object_set_new(root, "format", json_string("tintype-roof"));
    set_machine(root, cli);
    json_object_set_new(root, "roof", roof_json(roof));
    return cli_print_json(cli, root, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
}

static enum tt_status tell_json(struct cli *cli, const struct tt_profile_node *node,
                                const struct tt_roof *roof, double share, const char *bound,
                                const struct beside *beside) {
    json_t *root = json_object();
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"ms", 1e3 * node->median}, {"q1_ms", 1e3 * node->q1}, {"q3_ms", 1e3 * node->q3},
        {"best_ms", 1e3 * node->best}, {"cpu_ms", 1e3 * node->cpu_seconds / (double)node->runs},
        {"flop", node->flops_executed}, {"flop_direct", node->flops}, {"bytes", node->bytes},
        {"gflops_per_s", 1e-9 * node->flops_executed / node->median},
        {"gb_per_s", 1e-9 * node->bytes / node->median}, {"share_of_roof", share},
        {"imbalance", node->waiting},
    };
    json_object_set_new(root, "format", json_string("tintype-bench"));
    set_machine(root, cli);
    json_object_set_new(root, "problem", json_string(node->problem));
    json_object_set_new(root, "kernel", json_string(node->kernel));
    json_object_set_new(root, "variant", json_string(node->variant));
    json_object_set_new(root, "why", json_string(node->why));
    json_object_set_new(root, "bound", json_string(bound));
    json_object_set_new(root, "runs", json_integer((json_int_t)node->runs));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_object_set_new(root, numbers[i].key, cli_json_real(numbers[i].value));
    json_object_set_new(root, "roof", roof_json(roof));
    if (beside->known)
        json_object_set_new(root, "recorded", json_pack(
            "{s:o, s:f, s:f}", "name", cli_json_text(beside->name), "difference", beside->largest,
            "limit", beside->limit));
    return cli_print_json(cli, root, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
}

static enum tt_status tell(struct cli *cli, const struct tt_profile_node *node,
                           const struct tt_roof *roof, const struct beside *beside) {
    double compute = node->flops_executed / roof->flops_per_second;
    double memory = node->bytes / roof->bytes_per_second, least = fmax(compute, memory);
    const char *bound = compute >= memory ? "compute" : "memory";
    if (cli->json) return tell_json(cli, node, roof, least / node->median, bound, beside);
    print_machine(cli, roof);
    printf("%s\n", node->problem);
    printf("  %.4f ms (quartiles %.4f to %.4f, best %.4f, %zu runs), processor time %.4f ms\n",
           1e3 * node->median, 1e3 * node->q1, 1e3 * node->q3, 1e3 * node->best, node->runs,
           1e3 * node->cpu_seconds / (double)node->runs);
    printf("  %.4f GFLOP done (%.4f counted directly): %.1f GFLOP/s (%.1f)\n",
           1e-9 * node->flops_executed, 1e-9 * node->flops,
           1e-9 * node->flops_executed / node->median, 1e-9 * node->flops / node->median);
    printf("  %.4f GB at least: %.1f GB/s\n", 1e-9 * node->bytes,
           1e-9 * node->bytes / node->median);
    printf("  %.0f %% of the roof (%s)", 100 * least / node->median, bound);
    if (isfinite(node->waiting)) printf(", threads wait %.0f %%", 100 * node->waiting);
    printf("\n  why: %s\n", node->why);
    if (!beside->known) return TT_OK;
    printf("  recorded ");
    cli_print(stdout, beside->name);
    printf(": largest difference %.3g (PyTorch's own error %.3g)\n", beside->largest,
           beside->limit);
    return TT_OK;
}

// ---- recorded tensors ----

// Where it comes from: the call of a recording that has the node, and the model's plan of it.
struct source {
    struct tt_recording *recording;
    size_t call;
    const struct tt_recorded *node;
    struct tt_session *session;
    struct tt_model *model;
    int part;
};

static enum tt_status find_node(struct cli *cli, struct source *s, const char *path,
                                const char *name) {
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && !s->node && i < tt_recording_calls(s->recording); i++) {
        s->part = tt_recording_call(s->recording, i)->part;
        if (s->part < 0) continue;
        status = tt_recording_load(s->recording, i, &cli->error);
        const struct tt_recorded *found =
            status ? NULL : tt_recording_find(s->recording, i, name);
        s->call = i;
        if (found && found->kind == TT_RECORDED_OUTPUT) s->node = found;
        else if (!status) tt_recording_unload(s->recording, i);
    }
    if (!status && !s->node)
        status = tt_fail(&cli->error, TT_BAD_INPUT, "%s: found no module '%s'", path, name);
    return status;
}

// The recorded values as floats; NULL with the error set.
static float *floats_of(struct cli *cli, const struct tt_recorded *r, size_t *n) {
    *n = tt_shape_count(&r->shape);
    float *data = r->statistics ? NULL : malloc(*n * sizeof *data);
    if (data) tt_view_floats(r->view, 0, *n, data);
    else if (r->statistics)
        tt_fail(&cli->error, TT_BAD_INPUT, "'%s': found statistics, expected all of its values",
                r->name);
    else tt_fail(&cli->error, TT_SYSTEM, "out of memory for '%s'", r->name);
    return data;
}

static enum tt_status plan_part(struct cli *cli, struct source *s) {
    struct tt_view inputs[TT_PORTS];
    size_t count = 0;
    struct tt_size size;
    for (size_t k = 0; k < tt_recording_count(s->recording, s->call) && count < TT_PORTS; k++) {
        const struct tt_recorded *r = tt_recording_at(s->recording, s->call, k);
        if (r->kind != TT_RECORDED_INPUT) continue;
        enum tt_dtype dtype = r->view->dtype == TT_I64 ? TT_I32 : TT_F32;
        inputs[count++] = (struct tt_view){r->name, dtype, r->shape, r->view->data,
                                           4 * tt_shape_count(&r->shape)}; // no data are read
    }
    enum tt_status status =
        tt_part_size_of(s->model, s->part, inputs, count, &size, &cli->error);
    return status ? status : tt_session_prepare(s->session, s->part, size, &cli->error);
}

static enum tt_status give_inputs(struct cli *cli, const struct source *s,
                                  struct tt_bench *bench) {
    char given[600];
    const char *const *names = s->node->inputs, *own[] = {given, NULL};
    snprintf(given, sizeof given, "%s.in", s->node->name);
    if (!names || !*names) names = own;
    enum tt_status status = TT_OK;
    for (int i = 0; !status && names[i]; i++) {
        size_t n;
        const struct tt_recorded *r = tt_recording_find(s->recording, s->call, names[i]);
        if (!r)
            return tt_fail(&cli->error, TT_BAD_INPUT, "%s: found no '%s', which '%s' is given",
                           tt_recording_file(s->recording, s->call), names[i], s->node->name);
        float *data = floats_of(cli, r, &n);
        if (!data) return cli->error.status;
        status = tt_bench_give(bench, i, data, n, &cli->error);
        free(data);
        if (status) return tt_fail_prefix(&cli->error, "%s", names[i]);
    }
    return status;
}

static enum tt_status give_weights(struct cli *cli, const struct source *s,
                                   struct tt_bench *bench) {
    static const char *const ends[] = {".weight", ".bias"};
    const struct tt_weights *weights = NULL;
    enum tt_status status = tt_model_weights(s->model, s->part, &weights, &cli->error);
    for (int i = 0; !status && i < 2; i++) {
        char name[600];
        const struct tt_view *view = NULL;
        snprintf(name, sizeof name, "%s%s", s->node->name, ends[i]);
        for (size_t k = 0; !view && k < tt_weights_count(weights); k++)
            if (!strcmp(tt_weights_at(weights, k)->name, name)) view = tt_weights_at(weights, k);
        if (!view) continue;
        size_t n = tt_shape_count(&view->shape);
        float *data = malloc(n * sizeof *data);
        if (!data) return tt_fail(&cli->error, TT_SYSTEM, "out of memory for '%s'", name);
        tt_view_floats(view, 0, n, data);
        status = tt_bench_give(bench, TT_BENCH_WEIGHT + i, data, n, &cli->error);
        free(data);
    }
    return status;
}

static enum tt_status compare(struct cli *cli, const struct source *s,
                              const struct tt_bench *bench, struct beside *beside) {
    struct tt_shape shape = {0};
    size_t n;
    const float *ours = tt_bench_output(bench, &shape);
    float *theirs = floats_of(cli, s->node, &n);
    if (!theirs) return cli->error.status;
    if (!ours || tt_shape_count(&shape) != n) {
        free(theirs);
        return tt_fail(&cli->error, TT_BAD_INPUT, "%s: found %zu numbers, expected %zu",
                       s->node->name, n, tt_shape_count(&shape));
    }
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)ours[i] - (double)theirs[i]);
        if (!(difference <= beside->largest)) beside->largest = difference;
    }
    snprintf(beside->name, sizeof beside->name, "%s", s->node->name);
    beside->limit = s->node->err32;
    beside->known = true;
    free(theirs);
    return TT_OK;
}

static enum tt_status run(struct cli *cli, const struct asked *asked, const char *problem,
                          const struct source *s) {
    struct tt_bench *bench = NULL;
    struct beside beside = {0};
    struct tt_roof roof;
    char cache[PROFILE_PATH];
    const struct tt_profile_node *node = NULL;
    enum tt_status status = tt_bench_new(problem, cli->engine, &bench, &cli->error);
    if (!status && s) status = give_inputs(cli, s, bench);
    if (!status && s) status = give_weights(cli, s, bench);
    if (!status)
        status = tt_roof_find(cli->engine, profile_cache(cache), asked->again, &roof,
                              &cli->error);
    if (!status) status = tt_bench_run(bench, asked->repeat, &node, &cli->error);
    if (!status && s) status = compare(cli, s, bench, &beside);
    if (!status) status = tell(cli, node, &roof, &beside);
    tt_bench_free(bench);
    return status;
}

static enum tt_status run_recorded(struct cli *cli, const struct asked *asked, const char *name) {
    struct source s = {0};
    struct tt_profile *profile = NULL;
    const struct tt_profile_node *node = NULL;
    enum tt_status status =
        tt_recording_open(cli->files, asked->from, &s.recording, &cli->error);
    if (!status) status = cli_open_session(cli, asked->model, &s.session, &s.model);
    if (!status) status = find_node(cli, &s, asked->from, name);
    if (!status) status = plan_part(cli, &s);
    if (!status) status = tt_profile_new(s.session, s.part, &profile, &cli->error);
    for (size_t i = 0; !status && (node = tt_profile_at(profile, i)); i++)
        if (!strcmp(node->name, name)) break;
    if (!status && !node)
        status = tt_fail(&cli->error, TT_BAD_INPUT, "%s: '%s' is more than one node, expected one "
                         "that the profile lists", asked->from, name);
    if (!status) status = run(cli, asked, node->problem, &s);
    tt_profile_free(profile);
    tt_session_free(s.session);
    tt_recording_close(s.recording);
    return status;
}

// Other programs on the same problem, where they are installed; tintype itself needs no Python.
static enum tt_status run_peers(struct cli *cli, const char *problem) {
    char threads[32];
    snprintf(threads, sizeof threads, "%zu", tt_engine_threads(cli->engine));
    fflush(stdout);
    execlp("python3", "python3", "bench/peers/problem.py", problem, "--threads", threads,
           cli->json ? "--json" : NULL, (char *)NULL);
    return tt_fail(&cli->error, TT_SYSTEM, "--peers: python3 cannot be started");
}

enum tt_status cli_bench(struct cli *cli, int argc, char **argv) {
    struct asked asked = {.repeat = 21};
    const struct cli_option options[] = {
        {"problem", 0, CLI_ONCE, "PROBLEM",
         "the node, as `profile` prints it: 'conv2d n2 c320 h64 w64 k320 r3 s1 f32'; or, with "
         "--from, its name; default: none", &asked.problem},
        {"roof", 0, CLI_FLAG, NULL, "only what the machine can do: GFLOP/s and GB/s", &asked.roof},
        {"again", 0, CLI_FLAG, NULL, "measure that again, though it is known", &asked.again},
        {"repeat", 0, CLI_COUNT, "N", "timed runs, after one that is not", &asked.repeat},
        {"from", 0, CLI_TEXT, "RECORDING", "on the inputs that are recorded there, with the "
         "model's weights, beside what was recorded; default: made-up numbers", &asked.from},
        {"model", 'm', CLI_TEXT, "MODEL", "with --from: the model; default: the built-in model",
         &asked.model},
        {"peers", 0, CLI_FLAG, NULL,
         "then PyTorch and OpenVINO on the same problem: bench/peers/problem.py, with python3",
         &asked.peers},
        CLI_VARIANT(cli),
        CLI_CONV(cli),
        {0},
    };
    cli->every_node = true; // recorded modules are nodes of their own
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    if (asked.roof == (asked.problem != NULL) || (asked.roof && asked.from))
        return tt_fail(&cli->error, TT_BAD_INPUT, "usage: tintype %s %s", cli->verb, cli->usage);
    if (asked.peers && (asked.roof || asked.from))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--peers: found it with --%s, expected a problem",
                       asked.roof ? "roof" : "from");
    if (asked.roof) {
        struct tt_roof roof;
        char cache[PROFILE_PATH];
        status = tt_roof_find(cli->engine, profile_cache(cache), asked.again, &roof, &cli->error);
        return status ? status : tell_roof(cli, &roof);
    }
    if (asked.from) return run_recorded(cli, &asked, asked.problem);
    status = run(cli, &asked, asked.problem, NULL);
    return status || !asked.peers ? status : run_peers(cli, asked.problem);
}
