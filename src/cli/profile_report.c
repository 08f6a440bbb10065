// SPDX-License-Identifier: MIT
// What a profile says, as a JSON object.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/profile.h"

// null for what is not known.
static json_t *count(size_t value) { return json_integer((json_int_t)value); }

// How long the roof says that it takes at least, and what binds there.
static double least(const struct profile_report *r, double flop, double bytes,
                    const char **bound) {
    double compute = flop / r->roof.flops_per_second, memory = bytes / r->roof.bytes_per_second;
    *bound = compute >= memory ? "compute" : "memory";
    return compute >= memory ? compute : memory;
}

// How often a node runs in one repeat.
static double calls_of(const struct profile_report *r, const struct tt_profile_node *node) {
    return (double)node->runs / (double)(r->repeat ? r->repeat : 1);
}

struct sums {
    double seconds, cpu, flop, flop_direct, bytes, least;
    size_t nodes;
};

static void add(struct sums *sums, const struct profile_report *r,
                const struct tt_profile_node *node) {
    const char *bound;
    double calls = calls_of(r, node);
    sums->seconds += calls * node->median;
    sums->cpu += node->cpu_seconds / (double)(r->repeat ? r->repeat : 1);
    sums->flop += calls * node->flops_executed;
    sums->flop_direct += calls * node->flops;
    sums->bytes += calls * node->bytes;
    sums->least += calls * least(r, node->flops_executed, node->bytes, &bound);
    sums->nodes++;
}

static struct sums sum_all(const struct profile_report *r) {
    struct sums all = {0};
    const struct tt_profile_node *node;
    for (size_t i = 0; (node = tt_profile_at(r->profile, i)); i++)
        if (node->runs) add(&all, r, node);
    return all;
}

static double rate(double amount, double seconds) {
    return seconds > 0 ? 1e-9 * amount / seconds : (double)NAN;
}

// ---- nodes ----

static void set(json_t *object, const char *key, json_t *value) {
    json_object_set_new(object, key, value);
}

static json_t *node_json(const struct profile_report *r, const struct tt_profile_node *node,
                         double total) {
    json_t *o = json_object();
    const char *bound;
    double calls = calls_of(r, node);
    double roof = least(r, node->flops_executed, node->bytes, &bound);
    set(o, "name", cli_json_text(node->name));
    set(o, "module", cli_json_text(node->module));
    set(o, "op", json_string(node->op));
    set(o, "kernel", json_string(node->kernel));
    set(o, "variant", json_string(node->variant));
    set(o, "dtype", json_string(node->dtype));
    set(o, "shape", cli_json_shape(&node->shape));
    set(o, "problem", json_string(node->problem));
    set(o, "why", json_string(node->why));
    set(o, "stage", json_string(node->stage));
    set(o, "ms", cli_json_real(1e3 * node->median));
    set(o, "q1_ms", cli_json_real(1e3 * node->q1));
    set(o, "q3_ms", cli_json_real(1e3 * node->q3));
    set(o, "best_ms", cli_json_real(1e3 * node->best));
    set(o, "cpu_ms", cli_json_real(1e3 * node->cpu_seconds / (double)node->runs));
    set(o, "flop", cli_json_real(node->flops_executed));
    set(o, "flop_direct", cli_json_real(node->flops));
    set(o, "bytes", cli_json_real(node->bytes));
    set(o, "gflops_per_s", cli_json_real(rate(node->flops_executed, node->median)));
    set(o, "gb_per_s", cli_json_real(rate(node->bytes, node->median)));
    set(o, "bound", json_string(bound));
    set(o, "share_of_roof", cli_json_real(node->median > 0 ? roof / node->median : (double)NAN));
    set(o, "imbalance", cli_json_real(node->waiting));
    set(o, "live_bytes", count(node->live_bytes));
    set(o, "share", cli_json_real(total > 0 ? calls * node->median / total : (double)NAN));
    set(o, "calls", cli_json_real(calls));
    set(o, "runs", count(node->runs));
    return o;
}

static json_t *nodes_json(const struct profile_report *r, double total) {
    json_t *nodes = json_array();
    const struct tt_profile_node *node;
    for (size_t i = 0; (node = tt_profile_at(r->profile, i)); i++)
        if (node->runs) json_array_append_new(nodes, node_json(r, node, total));
    return nodes;
}

// ---- totals ----

static json_t *row_json(const char *name, const struct sums *s, double total) {
    json_t *o = json_object();
    set(o, "name", cli_json_text(name));
    set(o, "nodes", count(s->nodes));
    set(o, "ms", cli_json_real(1e3 * s->seconds));
    set(o, "cpu_ms", cli_json_real(1e3 * s->cpu));
    set(o, "share", cli_json_real(total > 0 ? s->seconds / total : (double)NAN));
    set(o, "flop", cli_json_real(s->flop));
    set(o, "flop_direct", cli_json_real(s->flop_direct));
    set(o, "bytes", cli_json_real(s->bytes));
    set(o, "gflops_per_s", cli_json_real(rate(s->flop, s->seconds)));
    set(o, "gb_per_s", cli_json_real(rate(s->bytes, s->seconds)));
    set(o, "share_of_roof", cli_json_real(s->seconds > 0 ? s->least / s->seconds : (double)NAN));
    return o;
}

typedef const char *key_of(const struct tt_profile_node *node);

static const char *module_key(const struct tt_profile_node *node) { return node->module; }
static const char *kernel_key(const struct tt_profile_node *node) { return node->kernel; }
static const char *dtype_key(const struct tt_profile_node *node) { return node->dtype; }
static const char *stage_key(const struct tt_profile_node *node) { return node->stage; }

// The operation without what is folded into it: op is a word, or two.
static const char *op_key(const struct tt_profile_node *node) { return node->op; }

static size_t key_length(key_of *key, const char *text) {
    return key == op_key ? strcspn(text, "+") : strlen(text);
}

// A row for each value of the key, in the order of their first nodes.
static json_t *group(const struct profile_report *r, key_of *key, double total) {
    json_t *rows = json_array();
    const struct tt_profile_node *first, *node;
    for (size_t i = 0; (first = tt_profile_at(r->profile, i)); i++) {
        const char *text = key(first);
        size_t length = key_length(key, text), j = 0;
        struct sums sums = {0};
        for (; first->runs && (node = tt_profile_at(r->profile, j)); j++) {
            const char *other = key(node);
            if (!node->runs || key_length(key, other) != length || memcmp(other, text, length))
                continue;
            if (j < i) break; // told already
            add(&sums, r, node);
        }
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)length, text);
        if (sums.nodes) json_array_append_new(rows, row_json(name, &sums, total));
    }
    return rows;
}

// Of each sampling step: its networks. An empty list where there are none.
static json_t *steps_json(const struct profile_report *r) {
    json_t *rows = json_array();
    const struct tt_profile_stage *stage;
    double repeats = (double)(r->repeat ? r->repeat : 1);
    for (size_t i = 0; (stage = tt_profile_stage_at(r->profile, i)); i++) {
        if (!stage->step) continue;
        json_t *row = json_object();
        set(row, "name", cli_json_text(stage->name));
        set(row, "step", count(stage->step));
        set(row, "ms", cli_json_real(1e3 * stage->seconds / repeats));
        set(row, "nodes_ms", cli_json_real(1e3 * stage->nodes / repeats));
        set(row, "flop", cli_json_real(stage->flops_executed));
        set(row, "flop_direct", cli_json_real(stage->flops));
        set(row, "bytes", cli_json_real(stage->bytes));
        set(row, "gflops_per_s", cli_json_real(rate(stage->flops_executed, stage->nodes)));
        json_array_append_new(rows, row);
    }
    return rows;
}

// The mean over the repeats, which all have the same stages; of one they stand as they came.
static json_t *mean_stages(const struct profile_report *r) {
    json_t *rows = json_array();
    const struct tt_profile_stage *stage;
    size_t i, each = 0;
    while (tt_profile_stage_at(r->profile, each)) each++;
    each /= r->repeat;
    for (i = 0; i < each; i++) {
        double seconds = 0;
        for (size_t k = i; (stage = tt_profile_stage_at(r->profile, k)); k += each)
            seconds += stage->seconds / (double)r->repeat;
        json_array_append_new(rows, json_pack(
            "{s:o, s:o}", "name", cli_json_text(tt_profile_stage_at(r->profile, i)->name), "ms",
            cli_json_real(1e3 * seconds)));
    }
    return rows;
}

static json_t *stages_json(const struct profile_report *r) {
    if (r->repeat > 1) return mean_stages(r);
    json_t *rows = json_array();
    const struct tt_profile_stage *stage;
    for (size_t i = 0; (stage = tt_profile_stage_at(r->profile, i)); i++) {
        json_t *row = json_pack("{s:o, s:o}", "name", cli_json_text(stage->name), "ms",
                                cli_json_real(1e3 * stage->seconds));
        if (stage->step) set(row, "step", count(stage->step));
        json_array_append_new(rows, row);
    }
    return rows;
}

// ---- a busy machine ----

static json_t *reasons(const struct profile_report *r) {
    const struct profile_machine *m = &r->machine;
    double threads = (double)tt_engine_threads(r->cli->engine);
    json_t *list = json_array();
    char text[256];
    if (m->others >= 1 && m->others + threads > m->processors) {
        snprintf(text, sizeof text, "%.0f other threads run or want to, on %.0f processors",
                 m->others, m->processors);
        json_array_append_new(list, json_string(text));
    }
    if (m->share < 0.9) {
        snprintf(text, sizeof text, "a loop of one thread had %.0f %% of a processor",
                 100 * m->share);
        json_array_append_new(list, json_string(text));
    }
    if (m->seconds > 0.05 && m->switches / m->seconds > 50 * threads) {
        snprintf(text, sizeof text, "threads were put aside %.0f times a second",
                 m->switches / m->seconds);
        json_array_append_new(list, json_string(text));
    }
    if (m->spread > 0.1) {
        snprintf(text, sizeof text, "half of the repeats differ by more than %.0f %%",
                 100 * m->spread);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *seconds, size_t n) {
    double *sorted = malloc((n + 1) * sizeof *sorted), middle = n ? seconds[0] : (double)NAN;
    if (sorted && n) {
        memcpy(sorted, seconds, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, by_size);
        middle = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    }
    free(sorted);
    return middle;
}

static void set_run(json_t *root, const struct profile_report *r) {
    struct cli *cli = r->cli;
    char processor[128];
    set(root, "format", json_string("tintype-profile"));
    set(root, "version", json_integer(1));
    set(root, "tintype", json_string(tt_version()));
    set(root, "model", cli_json_text(r->model));
    set(root, "part", json_string(r->part));
    set(root, "batch", count(r->batch));
    set(root, "width", count(r->width));
    set(root, "height", count(r->height));
    set(root, "train", json_boolean(r->train));
    if (r->scheduler) {
        set(root, "steps", count(r->steps));
        set(root, "pictures", count(r->pictures));
        set(root, "scheduler", json_string(r->scheduler));
    }
    set(root, "cpu", json_string(tt_engine_cpu(cli->engine)));
    set(root, "cpu_model", cli_json_text(tt_processor_name(processor, sizeof processor)));
    set(root, "threads", count(tt_engine_threads(cli->engine)));
    set(root, "precision", json_string("f32"));
    set(root, "weights", json_string(cli->weights ? cli->weights : "stored"));
    set(root, "conv", json_string(cli->conv ? cli->conv : "auto"));
    set(root, "repeat", count(r->repeat));
}

json_t *profile_json(const struct profile_report *r) {
    json_t *root = json_object(), *times = json_array(), *totals = json_object();
    struct sums all = sum_all(r);
    json_t *why_busy = reasons(r);
    set_run(root, r);
    set(root, "busy", json_boolean(json_array_size(why_busy)));
    set(root, "busy_because", why_busy);
    set(root, "flop", cli_json_real(all.flop));
    set(root, "flop_direct", cli_json_real(all.flop_direct));
    set(root, "bytes", cli_json_real(all.bytes));
    set(root, "median_ms", cli_json_real(1e3 * median(r->seconds, r->repeat)));
    set(root, "nodes_ms", cli_json_real(1e3 * all.seconds));
    set(root, "cpu_ms", cli_json_real(1e3 * all.cpu));
    set(root, "gflops_per_s", cli_json_real(rate(all.flop, all.seconds)));
    set(root, "gb_per_s", cli_json_real(rate(all.bytes, all.seconds)));
    set(root, "roof", json_pack("{s:f, s:f, s:b}", "gflops", 1e-9 * r->roof.flops_per_second,
                                "gb_per_s", 1e-9 * r->roof.bytes_per_second, "measured",
                                (int)r->roof.measured));
    set(root, "share_of_roof",
        cli_json_real(all.seconds > 0 ? all.least / all.seconds : (double)NAN));
    set(root, "arena_bytes", count(r->arena_bytes));
    set(root, "peak_bytes", count(r->peak_bytes));
    for (size_t i = 0; i < r->repeat; i++) json_array_append_new(times, json_real(r->seconds[i]));
    set(root, "seconds", times);
    set(root, "stages", stages_json(r));
    set(root, "nodes", nodes_json(r, all.seconds));
    set(totals, "module", group(r, module_key, all.seconds));
    set(totals, "op", group(r, op_key, all.seconds));
    set(totals, "kernel", group(r, kernel_key, all.seconds));
    set(totals, "dtype", group(r, dtype_key, all.seconds));
    set(totals, "stage", group(r, stage_key, all.seconds));
    set(totals, "step", steps_json(r));
    set(root, "totals", totals);
    return root;
}
