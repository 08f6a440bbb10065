// SPDX-License-Identifier: MIT
// What `profile` and `bench` tell: fields and sums of the JSON, CSV, the trace by the Trace Event
// format, folded stacks, differences with planted slowdowns, and the cache of the roof. No test
// depends on how long anything takes, but that of what watching costs.
#include "util.h"

#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char output[4096]; // where standard output of the last command went

// A verb as main() runs it; its error in *err.
static enum tt_status command(enum tt_status (*verb)(struct cli *, int, char **),
                              struct tt_error *err, const char *const *words) {
    struct cli cli = {.takes = CLI_COMPUTES, .verb = words[0], .usage = "...", .quiet = true};
    char *argv[40];
    int argc = 0;
    for (; words[argc]; argc++) argv[argc] = (char *)(uintptr_t)words[argc];
    argv[argc] = NULL;
    cli.lone = !strcmp(words[0], "bench") ? "problem" : NULL;
    snprintf(output, sizeof output, "%s", test_path("output"));
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    ck_assert_ptr_nonnull(freopen(output, "w", stdout));
    ck_assert_int_eq(tt_files_new(NULL, NULL, &cli.files, &cli.error), TT_OK);
    enum tt_status status = verb(&cli, argc, argv);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    *err = cli.error;
    tt_engine_free(cli.engine);
    tt_files_free(cli.files);
    json_decref(cli.notes);
    json_decref(cli.written);
    return status;
}

static json_t *parsed(const char *path) {
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    ck_assert_msg(root, "%s: line %d: %s", path, error.line, error.text);
    return root;
}

// Runs it, and what it printed as JSON.
static json_t *printed(enum tt_status (*verb)(struct cli *, int, char **),
                       const char *const *words) {
    struct tt_error err = {0};
    enum tt_status status = command(verb, &err, words);
    ck_assert_msg(!status, "%s", err.message);
    return parsed(output);
}

static void refused(enum tt_status (*verb)(struct cli *, int, char **), const char *message,
                    const char *const *words) {
    struct tt_error err = {0};
    ck_assert_int_eq(command(verb, &err, words), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, message), "found '%s', expected '%s'", err.message, message);
}

#define WORDS(...) (const char *const[]){__VA_ARGS__, NULL}
#define MODEL "-m", "reference/tiny/sd15"

static double number(const json_t *o, const char *key) {
    const json_t *value = json_object_get(o, key);
    ck_assert_msg(json_is_number(value), "%s is no number", key);
    return json_number_value(value);
}

static const char *text(const json_t *o, const char *key) {
    const json_t *value = json_object_get(o, key);
    ck_assert_msg(json_is_string(value), "%s is no text", key);
    return json_string_value(value);
}

static void set_up(void) {
    char cache[4096];
    snprintf(cache, sizeof cache, "%s", test_path("cache"));
    setenv("XDG_CACHE_HOME", cache, 1);
}

static json_t *profile_of(const char *part, bool train) {
    return printed(cli_profile, WORDS("profile", MODEL, "--part", part, "-W", "32", "-H", "32",
                                      "--repeat", "2", "--threads", "2", "--json",
                                      train ? "--train" : "--json"));
}

static double sum_of(const json_t *rows, const char *key) {
    double sum = 0;
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) sum += number(row, key);
    return sum;
}

static void close_to(const char *what, double a, double b) {
    ck_assert_msg(fabs(a - b) <= 1e-4 * (fabs(a) + fabs(b)), "%s: %g and %g", what, a, b);
}

static void check_node(const json_t *node) {
    static const char *const texts[] = {"name", "module", "op", "kernel", "variant", "dtype",
                                        "problem", "why", "stage", "bound"};
    static const char *const numbers[] = {"ms", "q1_ms", "q3_ms", "best_ms", "cpu_ms", "flop",
                                          "flop_direct", "bytes", "live_bytes", "share", "runs"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(*text(node, texts[i]), "%s: %s is empty", text(node, "name"), texts[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        ck_assert(number(node, numbers[i]) >= 0);
    ck_assert(number(node, "best_ms") <= number(node, "q1_ms"));
    ck_assert(number(node, "q1_ms") <= number(node, "ms"));
    ck_assert(number(node, "ms") <= number(node, "q3_ms"));
    ck_assert(number(node, "bytes") > 0 && number(node, "live_bytes") > 0);
    double waits = number(node, "imbalance");
    ck_assert(waits >= 0 && waits <= 1);
    if (strstr(text(node, "why"), "Winograd:")) // less is done than counted
        ck_assert(number(node, "flop") != number(node, "flop_direct"));
}

START_TEST(json_of_a_part) {
    json_t *root = profile_of("unet", false);
    static const char *const groups[] = {"module", "op", "kernel", "dtype", "stage"};
    const json_t *nodes = json_object_get(root, "nodes"), *node;
    size_t i;
    ck_assert_str_eq(text(root, "format"), "tintype-profile");
    ck_assert_int_eq((int)number(root, "version"), 1);
    ck_assert_str_eq(text(root, "part"), "unet");
    ck_assert_str_eq(text(root, "precision"), "f32");
    ck_assert_str_eq(text(root, "weights"), "stored");
    ck_assert_str_eq(text(root, "conv"), "auto");
    ck_assert_str_eq(text(root, "tintype"), tt_version());
    ck_assert_int_eq((int)number(root, "threads"), 2);
    ck_assert_int_eq((int)number(root, "width"), 32);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "seconds")), 2);
    ck_assert(json_is_boolean(json_object_get(root, "busy")));
    ck_assert(number(json_object_get(root, "roof"), "gflops") > 0);
    ck_assert(number(json_object_get(root, "roof"), "gb_per_s") > 0);
    ck_assert(number(root, "peak_bytes") > 0);
    ck_assert(number(root, "peak_bytes") <= number(root, "arena_bytes"));
    ck_assert_uint_gt(json_array_size(nodes), 100);
    json_array_foreach(nodes, i, node) check_node(node);
    close_to("share", sum_of(nodes, "share"), 1);
    close_to("ms", sum_of(nodes, "ms"), number(root, "nodes_ms"));
    close_to("flop", sum_of(nodes, "flop"), number(root, "flop"));
    close_to("flop_direct", sum_of(nodes, "flop_direct"), number(root, "flop_direct"));
    close_to("bytes", sum_of(nodes, "bytes"), number(root, "bytes"));
    for (size_t k = 0; k < sizeof groups / sizeof *groups; k++) {
        const json_t *rows = json_object_get(json_object_get(root, "totals"), groups[k]);
        close_to(groups[k], sum_of(rows, "ms"), number(root, "nodes_ms"));
        close_to(groups[k], sum_of(rows, "flop"), number(root, "flop"));
        ck_assert_uint_eq((size_t)sum_of(rows, "nodes"), json_array_size(nodes));
    }
    json_decref(root);
}
END_TEST

START_TEST(json_of_training) {
    static const char *const parts[] = {"vae-decode", "unet", "text"};
    json_t *root = profile_of(parts[_i], true);
    const json_t *stages = json_object_get(json_object_get(root, "totals"), "stage");
    ck_assert(json_is_true(json_object_get(root, "train")));
    ck_assert_uint_ge(json_array_size(stages), 2);
    ck_assert_str_eq(text(json_array_get(stages, 0), "name"), "forward");
    ck_assert_str_eq(text(json_array_get(stages, 1), "name"), "backward");
    stages = json_object_get(root, "stages");
    ck_assert_uint_eq(json_array_size(stages), 3);
    ck_assert_str_eq(text(json_array_get(stages, 2), "name"), "optimiser");
    for (size_t i = 0; i < 3; i++) ck_assert(number(json_array_get(stages, i), "ms") > 0);
    const json_t *node;
    size_t i;
    json_array_foreach(json_object_get(root, "nodes"), i, node) check_node(node);
    json_decref(root);
}
END_TEST

// Every event as the Trace Event format has it: complete events on named tracks, one inside
// another or behind it, and of one thread never two at once.
static void check_trace(const char *path, size_t threads, const char *category) {
    json_t *root = parsed(path);
    const json_t *events = json_object_get(root, "traceEvents"), *e;
    double ended[TT_MOST_THREADS + 1] = {0};
    size_t i, named = 0, complete = 0, of_category = 0;
    ck_assert(json_is_array(events));
    json_array_foreach(events, i, e) {
        size_t track = (size_t)number(e, "tid");
        ck_assert(*text(e, "name") && number(e, "pid") == 1 && number(e, "ts") >= 0);
        ck_assert_uint_le(track, threads);
        ck_assert(json_is_object(json_object_get(e, "args")));
        if (!strcmp(text(e, "ph"), "M")) {
            named += !strcmp(text(e, "name"), "thread_name");
            ck_assert(*text(json_object_get(e, "args"), "name"));
            continue;
        }
        ck_assert_str_eq(text(e, "ph"), "X");
        ck_assert_msg(number(e, "ts") >= ended[track] - 0.01, "%s begins before another ended",
                      text(e, "name"));
        ck_assert(number(e, "dur") >= 0);
        ended[track] = number(e, "ts") + number(e, "dur");
        complete++;
        of_category += !strcmp(text(e, "cat"), category);
    }
    ck_assert_uint_eq(named, threads + 1);
    ck_assert_uint_gt(complete, 50);
    ck_assert_uint_gt(of_category, 0);
    json_decref(root);
}

// Stacks and numbers, whose sum is the time of the nodes.
static void check_folded(const char *path, double ms) {
    char line[1024];
    double sum = 0;
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file)) {
        char *space = strrchr(line, ' '), *end;
        ck_assert(space && strchr(line, ';') && strchr(line, ';') < space);
        long long value = strtoll(space + 1, &end, 10);
        ck_assert(value >= 0 && *end == '\n');
        sum += (double)value;
    }
    fclose(file);
    close_to("folded", 1e-6 * sum, ms);
}

// The fields of a record, up to `most`; quoted ones may hold commas and quotes.
static size_t fields(const char *line) {
    size_t count = 1;
    bool quoted = false;
    for (; *line && (quoted || *line != '\r'); line++) {
        if (*line == '"') quoted = !quoted;
        count += *line == ',' && !quoted;
    }
    ck_assert(!quoted);
    return count;
}

static void check_csv(const char *path, size_t nodes) {
    char line[4096];
    size_t lines = 0, columns = 0;
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file)) {
        ck_assert_msg(strstr(line, "\r\n"), "a line does not end: %s", line);
        if (!lines) columns = fields(line);
        if (!lines) ck_assert_msg(!strncmp(line, "name,module,op,", 15), "%s", line);
        ck_assert_uint_eq(fields(line), columns);
        lines++;
    }
    fclose(file);
    ck_assert_uint_eq(lines, nodes + 1);
    ck_assert_uint_gt(columns, 20);
}

START_TEST(files_of_a_part) {
    char csv[4096], trace[4096], folded[4096];
    snprintf(csv, sizeof csv, "%s", test_path("p.csv"));
    snprintf(trace, sizeof trace, "%s", test_path("p.trace.json"));
    snprintf(folded, sizeof folded, "%s", test_path("p.folded"));
    json_t *root = printed(cli_profile, WORDS(
        "profile", MODEL, "--part", "unet", "-W", "32", "-H", "32", "--repeat", "2", "--threads",
        "2", "--csv", csv, "--trace", trace, "--folded", folded, "--json"));
    check_csv(csv, json_array_size(json_object_get(root, "nodes")));
    check_folded(folded, number(root, "nodes_ms"));
    check_trace(trace, 2, "unet");
    json_decref(root);
}
END_TEST

START_TEST(a_whole_picture) {
    char trace[4096], picture[4096];
    snprintf(trace, sizeof trace, "%s", test_path("g.trace.json"));
    snprintf(picture, sizeof picture, "%s", test_path("g.png"));
    json_t *root = printed(cli_profile, WORDS(
        "profile", "generate", "a house", MODEL, "-W", "32", "-H", "32", "--steps", "3",
        "--scheduler", "ddim", "-o", picture, "--trace", trace, "--threads", "2", "--json"));
    static const char *const wanted[] = {"load", "text", "step 1", "step 2", "step 3", "decode",
                                         "png"};
    const json_t *stages = json_object_get(root, "stages"), *totals, *row;
    size_t i, count = sizeof wanted / sizeof *wanted;
    ck_assert_uint_eq(json_array_size(stages), count);
    for (i = 0; i < count; i++)
        ck_assert_str_eq(text(json_array_get(stages, i), "name"), wanted[i]);
    totals = json_object_get(root, "totals");
    ck_assert_uint_eq(json_array_size(json_object_get(totals, "step")), 3);
    json_array_foreach(json_object_get(totals, "step"), i, row) {
        ck_assert_uint_eq((size_t)number(row, "step"), i + 1);
        ck_assert(number(row, "flop") > 0);
    }
    ck_assert_uint_eq(json_array_size(json_object_get(totals, "stage")), 3);
    ck_assert_str_eq(text(root, "part"), "generate");
    ck_assert_int_eq((int)number(root, "steps"), 3);
    ck_assert_int_eq(access(picture, R_OK), 0);
    check_trace(trace, 2, "stage");
    json_decref(root);
}
END_TEST

// ---- the table ----

START_TEST(the_table) {
    struct tt_error err = {0};
    size_t size, lines = 0;
    ck_assert_int_eq(command(cli_profile, &err, WORDS("profile", MODEL, "--part", "unet", "-W",
                             "32", "-H", "32", "--repeat", "1", "--sort", "time", "--top", "7")),
                     TT_OK);
    char *all = test_read(output, &size), *table = strstr(all, " problem\n");
    ck_assert_ptr_nonnull(strstr(all, ", unet, batch 1, 32x32"));
    ck_assert(strstr(all, "precision f32, weights stored, conv auto"));
    ck_assert(strstr(all, "roof: ") && strstr(all, " more nodes\n") && strstr(all, "  block\n"));
    ck_assert_ptr_nonnull(table);
    double before = INFINITY;
    for (char *line = strchr(table, '\n') + 1; !strstr(line, "...") || lines < 7; lines++) {
        char name[200], variant[32];
        double ms, spread, share;
        if (lines == 7) break;
        ck_assert_msg(sscanf(line, "%lf %lf %lf %*s %*s %*s %*s %*s %31s %199s", &ms, &spread,
                             &share, variant, name) == 5, "%s", line);
        ck_assert(share <= before);
        before = share;
        line = strchr(line, '\n') + 1;
    }
    ck_assert_uint_eq(lines, 7);
    free(all);
}
END_TEST

START_TEST(bad_options) {
    refused(cli_profile, "--sort: found 'size', expected order, time",
            WORDS("profile", MODEL, "--part", "unet", "--sort", "size"));
    refused(cli_profile, "--part: found ''", WORDS("profile", MODEL));
    refused(cli_profile, "no-such-folder", WORDS("profile", MODEL, "--part", "unet", "--csv",
                                                 "no-such-folder/x.csv"));
    refused(cli_profile, "--sort", WORDS("profile", "generate", "x", MODEL, "-W", "32", "-H", "32",
                                         "--sort", "size", "-o", test_path("never.png")));
    refused(cli_bench, "problem: found 'k3', expected m and",
            WORDS("bench", "linear k3 m1 n2 f32"));
    refused(cli_bench, "usage: ", WORDS("bench"));
    refused(cli_bench, "usage: ", WORDS("bench", "--roof", "linear m1 k3 n2 f32"));
}
END_TEST

// ---- differences ----

static const char *saved(const char *name, json_t *root) {
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, 4096, "%s", test_path(name));
    ck_assert_int_eq(json_dump_file(root, path, JSON_REAL_PRECISION(9)), 0);
    return path;
}

// As steady as no machine is: each node 1 ms, quartiles 2 % around it.
static json_t *steady(size_t nodes) {
    json_t *list = json_array();
    for (size_t i = 0; i < nodes; i++) {
        char name[32];
        snprintf(name, sizeof name, "node.%zu", i);
        json_array_append_new(list, json_pack(
            "{s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:i}", "name", name, "stage", "unet", "problem",
            "silu m1 c1 f32", "ms", 1.0, "q1_ms", 0.99, "q3_ms", 1.01, "calls", 1.0, "runs", 5));
    }
    return json_pack("{s:s, s:i, s:s, s:s, s:i, s:i, s:s, s:f, s:[f, f, f], s:o}", "format",
                     "tintype-profile", "version", 1, "model", "m", "part", "unet", "batch", 1,
                     "threads", 2, "cpu", "avx2", "median_ms", (double)nodes, "seconds", 0.0199,
                     0.02, 0.0201, "nodes", list);
}

static void slow_down(json_t *root, size_t i, double factor) {
    static const char *const keys[] = {"ms", "q1_ms", "q3_ms"};
    json_t *node = json_array_get(json_object_get(root, "nodes"), i);
    double was = number(node, "ms");
    for (int k = 0; k < 3; k++)
        json_object_set_new(node, keys[k], json_real(factor * number(node, keys[k])));
    json_object_set_new(root, "median_ms",
                        json_real(number(root, "median_ms") + (factor - 1) * was));
}

static json_t *differences(enum tt_status expected, const json_t *a, const json_t *b,
                           const char *limit) {
    struct tt_error err = {0};
    const char *before = saved("a.json", (json_t *)(uintptr_t)a);
    const char *after = saved("b.json", (json_t *)(uintptr_t)b);
    enum tt_status status =
        command(cli_profile, &err, WORDS("profile", "diff", before, after, "--json",
                                         limit ? "--limit" : "--quiet", limit ? limit : "--quiet"));
    ck_assert_msg(status == expected, "%d: %s", (int)status, err.message);
    return parsed(output);
}

static size_t changed(const json_t *diff) {
    return json_array_size(json_object_get(diff, "nodes"));
}

START_TEST(diff_of_planted_slowdowns) {
    json_t *a = steady(20), *b = steady(20), *d;
    d = differences(TT_OK, a, b, "1"); // the same
    ck_assert_uint_eq(changed(d), 0);
    json_decref(d);
    slow_down(b, 3, 1.015); // within the quartiles of either
    d = differences(TT_OK, a, b, "1");
    ck_assert_uint_eq(changed(d), 0);
    json_decref(d);
    slow_down(b, 7, 1.5); // beyond them: 2.5 % of the run
    d = differences(TT_OK, a, b, NULL);
    ck_assert_uint_eq(changed(d), 1);
    ck_assert_str_eq(text(json_array_get(json_object_get(d, "nodes"), 0), "name"), "node.7");
    json_decref(d);
    json_decref(differences(TT_OK, a, b, "60"));
    d = differences(TT_MISMATCH, a, b, "10"); // the node, though the run is within 10 %
    ck_assert(json_is_true(json_object_get(d, "slower")));
    json_decref(d);
    json_decref(differences(TT_OK, b, a, "1")); // faster
    slow_down(b, 11, 9);
    json_decref(differences(TT_MISMATCH, a, b, "30")); // the run
    json_decref(a);
    json_decref(b);
}
END_TEST

START_TEST(diff_of_other_nodes) {
    json_t *a = steady(5), *b = steady(6), *d;
    json_object_set_new(b, "median_ms", json_real(5));
    d = differences(TT_OK, a, b, "1");
    ck_assert_uint_eq(changed(d), 1);
    ck_assert(json_is_null(json_object_get(json_array_get(json_object_get(d, "nodes"), 0),
                                           "was_ms")));
    json_decref(d);
    json_decref(a);
    json_decref(b);
}
END_TEST

START_TEST(diff_of_different_runs) {
    json_t *a = steady(5), *b = steady(5);
    const char *before = saved("a.json", a);
    struct tt_error err = {0};
    json_object_set_new(b, "threads", json_integer(4));
    const char *after = saved("b.json", b);
    refused(cli_profile, "threads differs: 2 and 4", WORDS("profile", "diff", before, after));
    ck_assert_int_eq(command(cli_profile, &err, WORDS("profile", "diff", before, after, "--any",
                                                      "--quiet")), TT_OK);
    json_object_set_new(b, "format", json_string("tintype-verification"));
    refused(cli_profile, "format: found 'tintype-verification'",
            WORDS("profile", "diff", before, saved("c.json", b)));
    json_object_del(a, "nodes");
    refused(cli_profile, "nodes: found none", WORDS("profile", "diff", saved("d.json", a), before));
    refused(cli_profile, "missing.json", WORDS("profile", "diff", before, "missing.json"));
    FILE *broken = fopen(test_path("e.json"), "we");
    fputs("{\"format\": ", broken);
    fclose(broken);
    refused(cli_profile, "e.json: line 1", WORDS("profile", "diff", test_path("e.json"), before));
    json_decref(a);
    json_decref(b);
}
END_TEST

// A profile is no slower than itself, and can be read back.
START_TEST(diff_of_a_real_one) {
    json_t *root = profile_of("text", false);
    json_t *d = differences(TT_OK, root, root, "0");
    ck_assert_uint_eq(changed(d), 0);
    json_decref(d);
    json_decref(root);
}
END_TEST

// ---- bench and the roof ----

START_TEST(one_problem) {
    json_t *root = printed(cli_bench, WORDS("bench", "conv2d n1 c40 h8 w8 k24 r3 s1 f16 +bias",
                                            "--repeat", "3", "--threads", "1", "--json"));
    ck_assert_str_eq(text(root, "problem"), "conv2d n1 c40 h8 w8 k24 r3 s1 f16 +bias");
    ck_assert(strstr(text(root, "why"), "Winograd: 144 products"));
    ck_assert(number(root, "runs") == 3 && number(root, "ms") > 0 && number(root, "flop") > 0);
    // 1024 inputs of 40 channels, 24 outputs, weights of two bytes, biases of four.
    ck_assert(number(root, "bytes") == 4 * 64 * 40 + 4 * 64 * 24 + 2 * 9 * 40 * 24 + 4 * 24);
    ck_assert(number(root, "flop_direct") == 2.0 * 9 * 40 * 24 * 64);
    // 4 tiles of 36 products, 288 and 160 operations to transform each, 117 for each weight.
    ck_assert(number(root, "flop") ==
              2.0 * 36 * 4 * 40 * 24 + 288 * 4 * 40 + 160 * 4 * 24 + 117 * 40 * 24);
    json_decref(root);
    root = printed(cli_bench, WORDS("bench", "linear m4 k40 n24 f32 +bias backward", "--repeat",
                                    "1", "--json", "--cpu", "scalar"));
    ck_assert_str_eq(text(root, "variant"), "scalar");
    json_decref(root);
    root = printed(cli_bench, WORDS("bench", "conv2d n1 c40 h8 w8 k24 r3 s1 f32", "--conv",
                                    "direct", "--repeat", "1", "--json"));
    ck_assert(strstr(text(root, "why"), "asked for"));
    ck_assert(number(root, "flop") == number(root, "flop_direct"));
    json_decref(root);
}
END_TEST

START_TEST(recorded_tensors) {
    static const char *const names[] = {"conv_in", "down_blocks.0.resnets.0.norm1",
                                        "time_embedding.linear_2"};
    for (int i = 0; i < 3; i++) {
        json_t *root = printed(cli_bench, WORDS(
            "bench", "--from", "reference/golden/sd15/square", names[i], MODEL, "--repeat", "1",
            "--json"));
        const json_t *recorded = json_object_get(root, "recorded");
        ck_assert_str_eq(text(recorded, "name"), names[i]);
        ck_assert(number(recorded, "difference") <= 10 * number(recorded, "limit"));
        ck_assert(!strchr(text(root, "problem"), '+') || strstr(text(root, "problem"), "+bias"));
        json_decref(root);
    }
    refused(cli_bench, "found no module 'nowhere'", WORDS(
        "bench", "--from", "reference/golden/sd15/square", "nowhere", MODEL));
}
END_TEST

// ---- what it costs ----

struct watched {
    struct tt_engine *engine;
    struct tt_model *model;
    struct tt_session *session;
    struct tt_view inputs[TT_PORTS];
    struct tt_room out;
    size_t count;
    struct tt_error err;
};

static void open_watched(struct watched *w, int part) {
    const struct tt_size size = {2, 4, 4, 6};
    struct tt_engine_settings settings;
    struct tt_port ports[TT_PORTS];
    size_t count;
    *w = (struct watched){.count = 0};
    tt_engine_defaults(&settings, sizeof settings);
    settings.threads = 2;
    ck_assert(!tt_engine_new(&settings, &w->engine, &w->err));
    ck_assert(!tt_model_open("reference/tiny/sd15", w->engine, &w->model, &w->err));
    ck_assert(!tt_session_new(w->model, NULL, &w->session, &w->err));
    ck_assert(!tt_part_ports(w->model, part, size, ports, &count, &w->err));
    for (size_t i = 0; i < count; i++) {
        size_t bytes = tt_shape_count(&ports[i].shape) * tt_dtype_size(ports[i].dtype);
        void *data = calloc(1, bytes);
        ck_assert_ptr_nonnull(data);
        if (ports[i].output)
            w->out = (struct tt_room){ports[i].name, ports[i].dtype, ports[i].shape, data, bytes};
        else
            w->inputs[w->count++] =
                (struct tt_view){ports[i].name, ports[i].dtype, ports[i].shape, data, bytes};
    }
}

static void close_watched(struct watched *w) {
    for (size_t i = 0; i < w->count; i++) free((void *)(uintptr_t)w->inputs[i].data);
    free(w->out.data);
    tt_session_free(w->session);
    tt_model_close(w->model);
    tt_engine_free(w->engine);
}

// Nodes so small that the hooks and the clocks in parallel regions are much of the time; the best
// of many runs, by turns. A step of Stable Diffusion 1.5 at 512x512 has 5 ms a node.
START_TEST(what_watching_costs) {
    enum { RUNS = 1100 }; // more than a profile keeps
    const double most = 50e-6;
    struct watched w;
    struct tt_profile *profile;
    double best[2] = {INFINITY, INFINITY};
    size_t nodes = 0;
    int part = tt_part_find("unet");
#ifdef TT_SANITIZED
    test_skip("a sanitizer's own time is in it");
    return;
#endif
    open_watched(&w, part);
    ck_assert(!tt_part_run(w.session, part, w.inputs, w.count, &w.out, 1, &w.err));
    ck_assert(!tt_profile_new(w.session, part, &profile, &w.err));
    for (int run = 0; run < 2 * RUNS; run++) {
        if (run % 2) ck_assert(!tt_profile_watch(profile, w.session, &w.err));
        double begun = cli_seconds();
        ck_assert(!tt_part_run(w.session, part, w.inputs, w.count, &w.out, 1, &w.err));
        best[run % 2] = fmin(best[run % 2], cli_seconds() - begun);
        if (run % 2) tt_profile_leave(profile, w.session);
    }
    while (tt_profile_at(profile, nodes)) nodes++;
    ck_assert_uint_gt(nodes, 100);
    ck_assert_uint_eq(tt_profile_at(profile, 0)->runs, RUNS);
    for (size_t i = 0; i < nodes; i++) {
        const struct tt_profile_node *node = tt_profile_at(profile, i);
        ck_assert(node->best <= node->q1 && node->q1 <= node->median && node->median <= node->q3);
    }
    double each = (best[1] - best[0]) / (double)nodes;
    printf("%zu nodes: %.0f us, watched %.0f us, %.2f us a node\n", nodes, best[0] * 1e6,
           best[1] * 1e6, each * 1e6);
    ck_assert_msg(each < most, "watching costs %g s a node, expected at most %g", each, most);
    tt_profile_free(profile);
    close_watched(&w);
}
END_TEST

static bool measured(void) {
    json_t *root = printed(cli_bench, WORDS("bench", "--roof", "--json", "--threads", "1"));
    const json_t *roof = json_object_get(root, "roof");
    ck_assert(number(roof, "gflops") > 0 && number(roof, "gb_per_s") > 0);
    bool now = json_is_true(json_object_get(roof, "measured"));
    json_decref(root);
    return now;
}

START_TEST(cache_of_the_roof) {
    char folder[4096], path[8192] = "", shell[9000];
    snprintf(folder, sizeof folder, "%s", test_path("roofs"));
    setenv("XDG_CACHE_HOME", folder, 1);
    ck_assert(measured());
    ck_assert(!measured());
    snprintf(shell, sizeof shell, "ls %s/tintype/roof-*.txt", folder);
    FILE *list = popen(shell, "r");
    ck_assert(list && fgets(path, sizeof path, list));
    pclose(list);
    path[strcspn(path, "\n")] = '\0';
    static const char *const damage[] = {"", "tintype-roof 1 another\n1e11 1e10 1e10\n", "\xff"};
    for (int i = 0; i < 3; i++) { // what is damaged is measured again, and mended
        FILE *file = fopen(path, "we");
        fputs(damage[i], file);
        fclose(file);
        ck_assert_msg(measured(), "damage %d", i);
        ck_assert_msg(!measured(), "damage %d", i);
    }
    char *whole = test_read(path, &(size_t){0});
    FILE *file = fopen(path, "we");
    fprintf(file, "%.*s-1 nan 0\n", (int)strcspn(whole, "\n") + 1, whole);
    fclose(file);
    ck_assert(measured());
    free(whole);
    setenv("XDG_CACHE_HOME", "/dev/null", 1); // cannot be written in: no error
    ck_assert(measured());
}
END_TEST

int main(void) {
    Suite *suite = suite_create("profile");
    TCase *tcase = tcase_create("profile");
    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_test(tcase, json_of_a_part);
    tcase_add_loop_test(tcase, json_of_training, 0, 3);
    tcase_add_test(tcase, files_of_a_part);
    tcase_add_test(tcase, a_whole_picture);
    tcase_add_test(tcase, the_table);
    tcase_add_test(tcase, bad_options);
    tcase_add_test(tcase, diff_of_planted_slowdowns);
    tcase_add_test(tcase, diff_of_other_nodes);
    tcase_add_test(tcase, diff_of_different_runs);
    tcase_add_test(tcase, diff_of_a_real_one);
    tcase_add_test(tcase, one_problem);
    tcase_add_test(tcase, recorded_tensors);
    tcase_add_test(tcase, cache_of_the_roof);
    tcase_add_test(tcase, what_watching_costs);
    tcase_set_timeout(tcase, 240);
    suite_add_tcase(suite, tcase);
    return test_main(suite, NULL);
}
