// SPDX-License-Identifier: MIT
// tintype profile diff: what changed between two profiles, beyond the noise of their repeats.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/profile.h"

// What a node must have to be compared.
static enum tt_status check_nodes(struct cli *cli, const char *path, const json_t *root) {
    const json_t *nodes = json_object_get(root, "nodes"), *node;
    static const char *const wanted[] = {"ms", "q1_ms", "q3_ms"};
    size_t i;
    if (!json_is_array(nodes) || !json_array_size(nodes))
        return tt_fail(&cli->error, TT_BAD_INPUT, "%s: nodes: found none, expected a list", path);
    json_array_foreach(nodes, i, node) {
        if (!json_is_string(json_object_get(node, "name")))
            return tt_fail(&cli->error, TT_BAD_INPUT, "%s: nodes: entry %zu: name: expected a text",
                           path, i);
        for (int k = 0; k < 3; k++)
            if (!(real_of(node, wanted[k]) >= 0) || !isfinite(real_of(node, wanted[k])))
                return tt_fail(&cli->error, TT_BAD_INPUT, "%s: node '%s': %s: expected a number "
                               "from 0 on", path, text_of(node, "name"), wanted[k]);
    }
    if (!(real_of(root, "median_ms") > 0))
        return tt_fail(&cli->error, TT_BAD_INPUT, "%s: median_ms: expected a number above 0", path);
    return TT_OK;
}

static enum tt_status read_profile(struct cli *cli, const char *path, json_t **root) {
    enum tt_status status = cli_read_json(cli, path, root);
    if (status) return status;
    if (strcmp(text_of(*root, "format"), "tintype-profile"))
        return tt_fail(&cli->error, TT_BAD_INPUT, "%s: format: found '%s', expected "
                       "'tintype-profile', as profile --json prints it", path,
                       text_of(*root, "format"));
    if (real_of(*root, "version") != 1)
        return tt_fail(&cli->error, TT_BAD_INPUT, "%s: version: found another, expected 1", path);
    return check_nodes(cli, path, *root);
}

// Two runs of different things cannot be told to have become slower. The version may differ, and
// what was built from it: that is what is compared; --any lets the rest, too.
static enum tt_status check_same(struct cli *cli, const json_t *a, const json_t *b, bool any) {
    static const char *const keys[] = {
        "model", "part", "batch", "width", "height", "train", "cpu", "cpu_model", "threads",
        "precision", "weights", "conv", "steps", "pictures", "scheduler",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *x = json_object_get(a, keys[i]), *y = json_object_get(b, keys[i]);
        if (x == y || (x && y && json_equal(x, y))) continue;
        char *was = x ? json_dumps(x, JSON_ENCODE_ANY) : NULL;
        char *is = y ? json_dumps(y, JSON_ENCODE_ANY) : NULL;
        char said[600];
        snprintf(said, sizeof said, "%s differs: %.200s and %.200s", keys[i],
                 was ? was : "nothing", is ? is : "nothing");
        free(was);
        free(is);
        if (!any)
            return tt_fail(&cli->error, TT_BAD_INPUT, "%s; --any compares nevertheless", said);
        cli_note(cli, said);
    }
    return TT_OK;
}

// One node of both, or of one.
struct pair {
    const json_t *a, *b; // NULL: it is not there
    double calls;
    double change; // ms of a run, all calls together
    bool beyond;   // the noise
};

// The quartiles of both do not overlap, and the medians are further apart than clocks tell.
static bool is_beyond(const json_t *a, const json_t *b) {
    double least = 0.001 + 0.01 * real_of(a, "ms");
    if (fabs(real_of(b, "ms") - real_of(a, "ms")) < least) return false;
    return real_of(b, "q1_ms") > real_of(a, "q3_ms") || real_of(b, "q3_ms") < real_of(a, "q1_ms");
}

static bool same_node(const json_t *a, const json_t *b) {
    return !strcmp(text_of(a, "name"), text_of(b, "name")) &&
           !strcmp(text_of(a, "stage"), text_of(b, "stage"));
}

static double calls_of(const json_t *node) {
    double calls = real_of(node, "calls");
    return calls > 0 ? calls : 1;
}

// Nodes of a list in the order of the other where they follow one another, else wherever.
static size_t find(const json_t *nodes, const json_t *node, size_t from, const bool *taken) {
    size_t count = json_array_size(nodes);
    for (size_t k = 0; k < count; k++) {
        size_t i = (from + k) % count;
        if (!taken[i] && same_node(json_array_get(nodes, i), node)) return i;
    }
    return count;
}

static size_t make_pairs(const json_t *a, const json_t *b, struct pair *pairs, bool *taken) {
    const json_t *before = json_object_get(a, "nodes"), *after = json_object_get(b, "nodes");
    size_t i, count = 0, next = 0, others = json_array_size(after);
    const json_t *node;
    json_array_foreach(before, i, node) {
        size_t at = find(after, node, next, taken);
        struct pair pair = {.a = node, .calls = calls_of(node), .beyond = true};
        if (at < others) {
            taken[at] = true;
            next = at + 1;
            pair.b = json_array_get(after, at);
            pair.beyond = is_beyond(node, pair.b);
        }
        pair.change = (pair.b ? calls_of(pair.b) * real_of(pair.b, "ms") : 0) -
                      pair.calls * real_of(node, "ms");
        pairs[count++] = pair;
    }
    json_array_foreach(after, i, node) {
        if (taken[i]) continue;
        pairs[count++] = (struct pair){.b = node, .calls = calls_of(node), .beyond = true,
                                       .change = calls_of(node) * real_of(node, "ms")};
    }
    return count;
}

static int by_change(const void *a, const void *b) {
    double x = fabs(((const struct pair *)a)->change), y = fabs(((const struct pair *)b)->change);
    return (x < y) - (x > y);
}

static double percent(double was, double is) { return 100 * (is - was) / was; }

static json_t *pair_json(const struct pair *p) {
    json_t *o = json_object();
    const json_t *any = p->a ? p->a : p->b;
    json_object_set_new(o, "name", cli_json_text(text_of(any, "name")));
    json_object_set_new(o, "problem", cli_json_text(text_of(any, "problem")));
    json_object_set_new(o, "was_ms", p->a ? json_real(real_of(p->a, "ms")) : json_null());
    json_object_set_new(o, "is_ms", p->b ? json_real(real_of(p->b, "ms")) : json_null());
    json_object_set_new(o, "change_ms", json_real(p->change));
    return o;
}

static void print_pair(const struct pair *p) {
    const json_t *any = p->a ? p->a : p->b;
    if (p->a) printf("%10.3f", real_of(p->a, "ms"));
    else printf("%10s", "-");
    if (p->b) printf("%10.3f", real_of(p->b, "ms"));
    else printf("%10s", "-");
    if (p->a && p->b && real_of(p->a, "ms") > 0)
        printf("%+8.1f%%", percent(real_of(p->a, "ms"), real_of(p->b, "ms")));
    else printf("%9s", p->a ? "gone" : "new");
    printf("%+10.3f  ", p->change);
    cli_print(stdout, text_of(any, "name"));
    putchar(' ');
    cli_print(stdout, text_of(any, "problem"));
    putchar('\n');
}

struct comparison {
    double was, is, limit; // ms of a run; percent
    size_t changed, nodes;
};

static double noise(const json_t *root) {
    const json_t *seconds = json_object_get(root, "seconds"), *value;
    double least = INFINITY, most = 0;
    size_t i;
    json_array_foreach(seconds, i, value) {
        double one = json_number_value(value);
        if (one < least) least = one;
        if (one > most) most = one;
    }
    return most > 0 && isfinite(least) ? 1e3 * (most - least) : 0;
}

static enum tt_status tell(struct cli *cli, const struct comparison *c, const struct pair *pairs,
                           size_t count, bool slower) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        if (pairs[i].beyond && cli->json) json_array_append_new(list, pair_json(&pairs[i]));
    double change = percent(c->was, c->is);
    if (cli->json)
        return cli_print_json(cli, json_pack(
            "{s:s, s:f, s:f, s:f, s:o, s:b, s:o}", "format", "tintype-profile-diff", "was_ms",
            c->was, "is_ms", c->is, "percent", change, "limit",
            isnan(c->limit) ? json_null() : json_real(c->limit), "slower", (int)slower, "nodes",
            list), JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    json_decref(list);
    if (c->changed)
        printf("%10s%10s%9s%10s  node\n", "was ms", "is ms", "change", "in all ms");
    for (size_t i = 0; i < count; i++)
        if (pairs[i].beyond) print_pair(&pairs[i]);
    printf("%zu of %zu nodes changed beyond the noise of the repeats\n", c->changed, c->nodes);
    printf("a run: %.3f ms, was %.3f: %+.1f %%\n", c->is, c->was, change);
    return TT_OK;
}

// What takes longer than the limit allows: the run, by more than the repeats of either differ among
// themselves, or a node (*slow), beyond its noise and by a hundredth of the run; NULL: nothing.
static const char *find_slower(const json_t *a, const json_t *b, const struct pair *pairs,
                               const struct comparison *c, const struct pair **slow) {
    if (isnan(c->limit)) return NULL;
    if (percent(c->was, c->is) > c->limit && c->is - c->was > fmax(noise(a), noise(b)))
        return "a run";
    for (size_t i = 0; i < c->nodes; i++) { // the largest change first
        const struct pair *p = &pairs[i];
        if (!p->beyond || !p->a || !p->b || p->change < 0.01 * c->was) continue;
        if (!(percent(real_of(p->a, "ms"), real_of(p->b, "ms")) > c->limit)) continue;
        *slow = p;
        return text_of(p->b, "name");
    }
    return NULL;
}

static enum tt_status compare(struct cli *cli, const json_t *a, const json_t *b, double limit) {
    size_t most = json_array_size(json_object_get(a, "nodes")) +
                  json_array_size(json_object_get(b, "nodes"));
    struct pair *pairs = calloc(most, sizeof *pairs);
    bool *taken = calloc(most, sizeof *taken);
    enum tt_status status = TT_OK;
    if (!pairs || !taken) status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    if (!status) {
        struct comparison c = {real_of(a, "median_ms"), real_of(b, "median_ms"), limit, 0, 0};
        c.nodes = make_pairs(a, b, pairs, taken);
        for (size_t i = 0; i < c.nodes; i++) c.changed += pairs[i].beyond;
        qsort(pairs, c.nodes, sizeof *pairs, by_change);
        const struct pair *slow = NULL;
        const char *what = find_slower(a, b, pairs, &c, &slow);
        status = tell(cli, &c, pairs, c.nodes, what != NULL);
        if (!status && what)
            status = tt_fail(&cli->error, TT_MISMATCH, "%s takes %.3f ms, was %.3f: %+.1f %%, the "
                             "limit is %g %%", what, slow ? real_of(slow->b, "ms") : c.is,
                             slow ? real_of(slow->a, "ms") : c.was,
                             slow ? percent(real_of(slow->a, "ms"), real_of(slow->b, "ms"))
                                  : percent(c.was, c.is), limit);
    }
    free(pairs);
    free(taken);
    return status;
}

enum tt_status profile_diff(struct cli *cli, int argc, char **argv) {
    const char *words[2] = {NULL, NULL};
    double limit = (double)NAN;
    bool any = false;
    json_t *a = NULL, *b = NULL;
    const struct cli_option options[] = {
        {"limit", 0, CLI_NUMBER, "PERCENT",
         "exit status 1 when a run, or a node by 1 % of the run, takes so much longer, beyond the "
         "noise; default: none", &limit},
        {"any", 0, CLI_FLAG, NULL, "also profiles of different runs, whose differences are noted",
         &any},
        {0},
    };
    cli->verb = "profile diff";
    cli->usage = "BEFORE.json AFTER.json [OPTION]...";
    cli->takes = 0;
    enum tt_status status = cli_parse(cli, options, argc, argv, words, 2);
    if (status || cli->help) return status;
    status = read_profile(cli, words[0], &a);
    if (!status) status = read_profile(cli, words[1], &b);
    if (!status) status = check_same(cli, a, b, any);
    if (!status) status = compare(cli, a, b, limit);
    json_decref(a);
    json_decref(b);
    return status;
}
