// SPDX-License-Identifier: MIT
// A profile as a table, as CSV and as folded stacks, each made from its JSON object.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/profile.h"

// ---- sorting ----

static const struct {
    const char *name, *key; // of the node
    bool falls;             // the largest first
} keys[] = {
    {"order", NULL, false}, {"time", "share", true}, {"name", "name", false},
    {"op", "op", false}, {"kernel", "kernel", false}, {"gflops", "gflops_per_s", true},
    {"gb", "gb_per_s", true}, {"roof", "share_of_roof", false}, {"flop", "flop", true},
    {"bytes", "bytes", true}, {"wait", "imbalance", true}, {"memory", "live_bytes", true},
};
enum { KEYS = sizeof keys / sizeof *keys };

const char *profile_sort_keys(void) {
    return "order, time, name, op, kernel, gflops, gb, roof, flop, bytes, wait or memory";
}

static int find_key(const char *key) {
    for (int i = 0; i < KEYS; i++)
        if (!strcmp(key, keys[i].name)) return i;
    return -1;
}

bool profile_is_sort_key(const char *key) { return find_key(key) >= 0; }

struct line {
    const json_t *node;
    size_t index;
    int key;
};

static int compare_lines(const void *a, const void *b) {
    const struct line *x = a, *y = b;
    const char *key = keys[x->key].key;
    const json_t *of_x = key ? json_object_get(x->node, key) : NULL;
    int order = 0;
    if (json_is_string(of_x)) {
        order = strcmp(json_string_value(of_x), text_of(y->node, key));
    } else if (key) {
        double p = real_of(x->node, key), q = real_of(y->node, key);
        if (isnan(p) || isnan(q)) order = isnan(p) - isnan(q); // unknown: last
        else order = keys[x->key].falls ? (p < q) - (p > q) : (p > q) - (p < q);
    }
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

// ---- the table ----

enum { NAME_MOST = 64 };

// A number in a column, "-" where there is none.
static void cell(int width, int digits, double value, double factor) {
    if (isfinite(value)) printf("%*.*f", width, digits, factor * value);
    else printf("%*s", width, "-");
}

static size_t columns(const char *name) {
    size_t used = 0;
    for (size_t bytes; *name; name += bytes, used++) cli_is_shown(name, &bytes);
    return used;
}

// A name that is longer than its column loses its middle, and stays one word.
static void print_name(const char *name, size_t width) {
    size_t length = strlen(name), plain = columns(name);
    if (plain <= width) {
        cli_print(stdout, name);
        printf("%*s", (int)(width - plain), "");
        return;
    }
    char cut[NAME_MOST + 4];
    size_t head = width / 3, tail = width - head - 1;
    if (plain != length) head = width, tail = 0; // not in the middle of a character
    snprintf(cut, sizeof cut, "%.*s~%s", (int)(tail ? head : width - 1), name,
             name + length - tail);
    cli_print(stdout, cut);
}

static size_t name_width(const json_t *list) {
    size_t i, width = 4;
    const json_t *o;
    json_array_foreach(list, i, o) {
        size_t length = columns(text_of(o, "name"));
        if (length > width) width = length;
    }
    return width < NAME_MOST ? width : NAME_MOST;
}

static void print_line(const json_t *node, size_t width) {
    double ms = real_of(node, "ms");
    cell(9, 3, ms, 1);
    cell(6, 0, (real_of(node, "q3_ms") - real_of(node, "q1_ms")) / ms, 50);
    cell(7, 1, real_of(node, "share"), 100);
    cell(9, 1, real_of(node, "gflops_per_s"), 1);
    cell(8, 1, real_of(node, "gb_per_s"), 1);
    cell(6, 0, real_of(node, "share_of_roof"), 100);
    cell(6, 0, real_of(node, "imbalance"), 100);
    cell(8, 1, real_of(node, "live_bytes"), 0x1p-20);
    printf("  %-7s ", text_of(node, "variant"));
    print_name(text_of(node, "name"), width);
    printf(" %s\n", text_of(node, "problem"));
}

static void print_nodes(const json_t *root, const struct profile_options *o) {
    const json_t *nodes = json_object_get(root, "nodes");
    size_t count = json_array_size(nodes), width = name_width(nodes);
    struct line *lines = calloc(count + 1, sizeof *lines);
    int key = o->sort ? find_key(o->sort) : 0;
    for (size_t i = 0; lines && i < count; i++)
        lines[i] = (struct line){json_array_get(nodes, i), i, key};
    if (lines) qsort(lines, count, sizeof *lines, compare_lines);
    printf("\n%9s%6s%7s%9s%8s%6s%6s%8s  %-7s %-*s problem\n", "ms", "+-%", "%", "GFLOP/s", "GB/s",
           "roof%", "wait%", "live MB", "variant", (int)width, "node");
    size_t shown = o->top && o->top < count ? o->top : count;
    for (size_t i = 0; lines && i < shown; i++) print_line(lines[i].node, width);
    if (shown < count) printf("%9s  %zu more nodes\n", "...", count - shown);
    free(lines);
}

static void print_totals(const json_t *root, const char *key, const char *title, size_t fewest) {
    const json_t *rows = json_object_get(json_object_get(root, "totals"), key), *row;
    size_t i, width = name_width(rows);
    if (json_array_size(rows) < fewest) return;
    printf("\n%9s%7s%10s%9s%8s%6s  %s\n", "ms", "%", "GFLOP", "GFLOP/s", "GB/s", "roof%", title);
    json_array_foreach(rows, i, row) {
        cell(9, 2, real_of(row, "ms"), 1);
        cell(7, 1, real_of(row, "share"), 100);
        cell(10, 2, real_of(row, "flop"), 1e-9);
        cell(9, 1, real_of(row, "gflops_per_s"), 1);
        cell(8, 1, real_of(row, "gb_per_s"), 1);
        cell(6, 0, real_of(row, "share_of_roof"), 100);
        printf("  ");
        print_name(text_of(row, "name"), width);
        putchar('\n');
    }
}

static void print_stages(const json_t *root) {
    const json_t *stages = json_object_get(root, "stages"), *stage;
    size_t i;
    if (!json_array_size(stages)) return;
    printf("\n%9s  stage\n", "ms");
    json_array_foreach(stages, i, stage) {
        cell(9, 2, real_of(stage, "ms"), 1);
        printf("  ");
        cli_print(stdout, text_of(stage, "name"));
        putchar('\n');
    }
}

static void print_heading(const json_t *root) {
    const json_t *roof = json_object_get(root, "roof"), *why;
    const json_t *list = json_object_get(root, "busy_because");
    double repeat = real_of(root, "repeat");
    size_t i;
    printf("tintype %s profile: ", text_of(root, "tintype"));
    cli_print(stdout, text_of(root, "model"));
    printf(", %s%s, batch %.0f, %.0fx%.0f", text_of(root, "part"),
           json_is_true(json_object_get(root, "train")) ? " there and back" : "",
           real_of(root, "batch"), real_of(root, "width"), real_of(root, "height"));
    if (json_object_get(root, "steps"))
        printf(", %.0f steps of %s, %.0f pictures", real_of(root, "steps"),
               text_of(root, "scheduler"),
               real_of(root, "pictures"));
    putchar('\n');
    cli_print(stdout, text_of(root, "cpu_model"));
    printf(", %s, %.0f threads; precision %s, weights %s, conv %s\n", text_of(root, "cpu"),
           real_of(root, "threads"), text_of(root, "precision"), text_of(root, "weights"),
           text_of(root, "conv"));
    printf("roof: %.1f GFLOP/s, %.1f GB/s (%s); %.0f %s\n", real_of(roof, "gflops"),
           real_of(roof, "gb_per_s"),
           json_is_true(json_object_get(roof, "measured")) ? "measured now" : "measured before",
           repeat, repeat == 1 ? "run" : "runs, of which medians");
    json_array_foreach(list, i, why) printf("BUSY: %s\n", json_string_value(why));
}

static void print_all(const json_t *root) {
    printf("\n%.2f ms a run, %.2f in nodes; %.2f GFLOP done (%.2f counted directly), %.1f GFLOP/s; "
           "%.2f GB at least, %.1f GB/s; %.0f %% of the roof\n", real_of(root, "median_ms"),
           real_of(root, "nodes_ms"), 1e-9 * real_of(root, "flop"),
            1e-9 * real_of(root, "flop_direct"),
           real_of(root, "gflops_per_s"), 1e-9 * real_of(root, "bytes"), real_of(root, "gb_per_s"),
           100 * real_of(root, "share_of_roof"));
    printf("memory: %.1f MB of activations, at most %.1f in use at once\n",
           0x1p-20 * real_of(root, "arena_bytes"), 0x1p-20 * real_of(root, "peak_bytes"));
}

void profile_print(const json_t *root, const struct profile_options *o) {
    print_heading(root);
    print_nodes(root, o);
    print_totals(root, "module", "block", 1);
    print_totals(root, "op", "operation", 1);
    print_totals(root, "kernel", "kernel", 2);
    print_totals(root, "dtype", "dtype", 2);
    print_totals(root, "stage", "stage", 2);
    print_stages(root);
    print_all(root);
}

// ---- files ----

static void put_quoted(FILE *to, const char *value) {
    bool plain = !strpbrk(value, ",\"\r\n");
    if (plain) {
        fputs(value, to);
        return;
    }
    fputc('"', to);
    for (; *value; value++) {
        if (*value == '"') fputc('"', to);
        fputc(*value, to);
    }
    fputc('"', to);
}

char *profile_csv(const json_t *root) {
    static const char *const wanted[] = {
        "name", "module", "op", "kernel", "variant", "dtype", "stage", "problem", "ms", "q1_ms",
        "q3_ms", "best_ms", "cpu_ms", "flop", "flop_direct", "bytes", "gflops_per_s", "gb_per_s",
        "bound", "share_of_roof", "imbalance", "live_bytes", "share", "calls", "runs", "why",
    };
    enum { WANTED = sizeof wanted / sizeof *wanted };
    char *data = NULL;
    size_t size, i;
    const json_t *node;
    FILE *to = open_memstream(&data, &size);
    if (!to) return NULL;
    for (int k = 0; k < WANTED; k++) fprintf(to, "%s%s", k ? "," : "", wanted[k]);
    fputs("\r\n", to);
    json_array_foreach(json_object_get(root, "nodes"), i, node) {
        for (int k = 0; k < WANTED; k++) {
            const json_t *value = json_object_get(node, wanted[k]);
            if (k) fputc(',', to);
            if (json_is_string(value)) put_quoted(to, json_string_value(value));
            else if (json_is_number(value)) fprintf(to, "%.9g", json_number_value(value));
        }
        fputs("\r\n", to);
    }
    if (fclose(to)) return NULL;
    return data;
}

// "unet;down_blocks;0;resnets;1;conv1 1234", in nanoseconds of one repeat.
char *profile_folded(const json_t *root) {
    char *data = NULL;
    size_t size, i;
    const json_t *node;
    FILE *to = open_memstream(&data, &size);
    if (!to) return NULL;
    json_array_foreach(json_object_get(root, "nodes"), i, node) {
        fputs(text_of(root, "part"), to);
        if (strcmp(text_of(root, "part"), text_of(node, "stage")))
            fprintf(to, ";%s", text_of(node, "stage"));
        fputc(';', to);
        for (const char *c = text_of(node, "name"); *c; c++)
            fputc(*c == '.' ? ';' : *c == ' ' || *c == ';' || *c == '\n' ? '_' : *c, to);
        fprintf(to, ";%s %.0f\n", text_of(node, "op"),
                1e6 * real_of(node, "ms") * real_of(node, "calls"));
    }
    if (fclose(to)) return NULL;
    return data;
}
