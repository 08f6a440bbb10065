// SPDX-License-Identifier: MIT
// How a profile is told: its options, its files, and the trace.
#include <stdlib.h>
#include <string.h>

#include "cli/profile.h"
#include "cli/report.h"

void profile_add_options(struct profile_options *o, struct cli_option *to) {
    static char sorts[160];
    snprintf(sorts, sizeof sorts, "lines of the table by %s; default: order",
             profile_sort_keys());
    const struct cli_option own[PROFILE_OPTIONS] = {
        {"sort", 0, CLI_TEXT, "KEY", sorts, &o->sort},
        {"top", 0, CLI_COUNT, "N", "no more than the first N lines; default: all", &o->top},
        {"csv", 0, CLI_TEXT, "F.csv", "also write the nodes as CSV; default: none", &o->csv},
        {"trace", 0, CLI_TEXT, "F.json",
         "also write every run of every node, for chrome://tracing or ui.perfetto.dev; default: "
         "none", &o->trace},
        {"folded", 0, CLI_TEXT, "F", "also write folded stacks, for flamegraph.pl; default: none",
         &o->folded},
        CLI_HTML(&o->html),
        {0},
    };
    memcpy(to, own, sizeof own);
}

enum tt_status profile_check(struct cli *cli, const struct profile_options *o) {
    const char *const files[] = {o->csv, o->trace, o->folded};
    if (o->sort && !profile_is_sort_key(o->sort))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--sort: found '%s', expected %s", o->sort,
                       profile_sort_keys());
    enum tt_status status = TT_OK;
    for (int i = 0; !status && i < 3; i++)
        if (files[i]) status = cli_plan(cli, files[i]);
    return status ? status : report_plan(cli, o->html);
}

// ---- the trace ----

static void event(json_t *list, const char *name, const char *category, size_t track, double begun,
                  double seconds, json_t *args) {
    json_array_append_new(list, json_pack(
        "{s:o, s:s, s:s, s:i, s:I, s:f, s:f, s:o}", "name", cli_json_text(name), "cat", category,
        "ph", "X", "pid", 1, "tid", (json_int_t)track, "ts", 1e6 * begun, "dur", 1e6 * seconds,
        "args", args));
}

static void name_track(json_t *list, size_t track, const char *what, const char *name) {
    json_array_append_new(list, json_pack(
        "{s:s, s:s, s:i, s:I, s:f, s:{s:s}}", "name", what, "ph", "M", "pid", 1, "tid",
        (json_int_t)track, "ts", 0.0, "args", "name", name));
}

// The first thread runs the step from its begin to its end; the others what they had of it.
static void add_event(json_t *list, const struct profile_report *r,
                      const struct tt_profile_event *e) {
    const struct tt_profile_node *node = tt_profile_at(r->profile, e->node);
    event(list, node->name, node->stage, 1, e->begun, e->seconds,
          json_pack("{s:s, s:s, s:s, s:f, s:f}", "op", node->op, "variant", node->variant,
                    "problem", node->problem, "cpu_ms", 1e3 * e->cpu_seconds, "flop",
                    node->flops_executed));
    for (size_t i = 1; i < e->threads; i++) {
        const struct tt_profile_thread *t = &e->thread[i];
        if (t->begun > 0)
            event(list, node->name, node->stage, 1 + i, t->begun, t->ended - t->begun,
                  json_pack("{s:f}", "worked_ms", 1e3 * t->worked));
    }
}

char *profile_trace(const struct profile_report *r) {
    json_t *list = json_array();
    struct tt_profile_event e;
    const struct tt_profile_stage *stage;
    char name[64];
    name_track(list, 0, "process_name", "tintype");
    name_track(list, 0, "thread_name", "stages");
    for (size_t i = 0; i < tt_engine_threads(r->cli->engine); i++) {
        snprintf(name, sizeof name, "thread %zu", i);
        name_track(list, 1 + i, "thread_name", name);
    }
    for (size_t i = 0; (stage = tt_profile_stage_at(r->profile, i)); i++)
        event(list, stage->name, "stage", 0, stage->begun, stage->seconds, json_object());
    for (size_t i = 0; tt_profile_event_at(r->profile, i, &e); i++) add_event(list, r, &e);
    json_t *root = json_pack("{s:o, s:s}", "traceEvents", list, "displayTimeUnit", "ms");
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(root);
    return text;
}

// ---- all of it ----

// Writes a text, which may be NULL for want of memory, and frees it.
static enum tt_status write_text(struct cli *cli, const char *path, char *text) {
    if (!text) return tt_fail(&cli->error, TT_SYSTEM, "%s: out of memory", path);
    enum tt_status status = cli_write(cli, path, text, strlen(text));
    if (!status) cli_written(cli, path);
    free(text);
    return status;
}

enum tt_status profile_tell(const struct profile_report *r, const struct profile_options *o) {
    struct cli *cli = r->cli;
    if (!tt_profile_is_whole(r->profile))
        return tt_fail(&cli->error, TT_SYSTEM, "out of memory for the profile");
    json_t *root = profile_json(r), *why;
    enum tt_status status = TT_OK;
    size_t i;
    if (!root) return tt_fail(&cli->error, TT_SYSTEM, "out of memory for the profile");
    json_array_foreach(json_object_get(root, "busy_because"), i, why) {
        char note[300];
        snprintf(note, sizeof note, "the machine is busy: %s", json_string_value(why));
        cli_note(cli, note);
    }
    if (o->csv) status = write_text(cli, o->csv, profile_csv(root));
    if (!status && o->folded) status = write_text(cli, o->folded, profile_folded(root));
    if (!status && o->trace) status = write_text(cli, o->trace, profile_trace(r));
    if (!status && o->html) status = report_write(cli, o->html, root);
    if (!status && cli->json)
        return cli_print_json(cli, root, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    if (!status && !cli->uses_stdout) profile_print(root, o);
    json_decref(root);
    return status;
}
