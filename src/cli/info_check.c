// SPDX-License-Identifier: MIT
// tintype info --check: what a file or folder is, what is wrong with it, and what to do.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/info_check.h"
#include "cli/profile.h"

static const char help[] =
    "--check PATH looks at any file or folder: what it is, what is missing, superfluous,\n"
    "misshapen, not finite, all zero, and what drawing with it takes here. Exit status: 0; 1\n"
    "when there is an error among the findings; 2 when nothing is at PATH.\n"
    "\n"
    "--json then prints: path, kind (a word), is (the same in words), sound (no errors),\n"
    "errors and warnings (how many), facts (name: text or number, or a list where there may\n"
    "be several), parts (facts of each, by its folder: class, file, tensors, parameters,\n"
    "bytes, dtypes), cost (null, or of a picture of the model's own size: width, height,\n"
    "steps, weight_bytes, activation_bytes, peak_bytes, machine_bytes, flops, seconds,\n"
    "without reading the files), and findings: a list of objects of code, severity (error,\n"
    "warning, note), file, tensor, found, expected, advice: texts, \"\" where there is nothing\n"
    "to say.\n"
    "\n"
    "Codes:\n";

static const char *severity_of(enum tt_severity severity) {
    return severity == TT_IS_ERROR ? "error" : severity == TT_IS_WARNING ? "warning" : "note";
}

const char *info_check_help(void) {
    static char text[16384];
    size_t used = (size_t)snprintf(text, sizeof text, "%s", help);
    const char *code, *means, *kind, *is;
    enum tt_severity severity;
    for (size_t i = 0; tt_finding_code(i, &code, &severity, &means) && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "  %-22s %-8s %s\n", code,
                                 severity_of(severity), means);
    if (used < sizeof text)
        used += (size_t)snprintf(text + used, sizeof text - used, "\nKinds:\n");
    for (size_t i = 0; tt_kind_list(i, &kind, &is) && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "  %-22s %s\n", kind, is);
    return text;
}

// ---- as JSON ----

static json_t *value_of(const struct tt_fact *fact) {
    if (isnan(fact->number)) return cli_json_text(fact->text);
    if (fact->number == floor(fact->number) && fabs(fact->number) < 0x1p53)
        return json_integer((json_int_t)fact->number);
    return json_real(fact->number);
}

static void add_fact(json_t *object, const struct tt_fact *fact) {
    json_t *list = json_object_get(object, fact->name);
    if (!fact->listed) {
        json_object_set_new(object, fact->name, value_of(fact));
        return;
    }
    if (!list) json_object_set_new(object, fact->name, list = json_array());
    json_array_append_new(list, value_of(fact));
}

static json_t *facts_of(const struct tt_examination *x, json_t *parts, json_t *cost) {
    json_t *facts = json_object();
    const struct tt_fact *fact;
    for (size_t i = 0; (fact = tt_fact_at(x, i)); i++) {
        json_t *part = json_object_get(parts, fact->of);
        if (!*fact->of) add_fact(facts, fact);
        else if (!strcmp(fact->of, "cost")) add_fact(cost, fact);
        else {
            if (!part) json_object_set_new(parts, fact->of, part = json_object());
            add_fact(part, fact);
        }
    }
    return facts;
}

static json_t *findings_of(const struct tt_examination *x, size_t *errors, size_t *warnings) {
    json_t *list = json_array();
    const struct tt_finding *f;
    for (size_t i = 0; (f = tt_finding_at(x, i)); i++) {
        *errors += f->severity == TT_IS_ERROR;
        *warnings += f->severity == TT_IS_WARNING;
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "code", f->code, "severity",
                            severity_of(f->severity), "file", cli_json_text(f->file), "tensor",
                            cli_json_text(f->tensor), "found", cli_json_text(f->found), "expected",
                            cli_json_text(f->expected), "advice", cli_json_text(f->advice)));
    }
    return list;
}

static json_t *describe(const char *path, const struct tt_examination *x) {
    json_t *parts = json_object(), *cost = json_object();
    json_t *facts = facts_of(x, parts, cost);
    size_t errors = 0, warnings = 0;
    json_t *findings = findings_of(x, &errors, &warnings);
    if (!json_object_size(cost)) {
        json_decref(cost);
        cost = json_null();
    }
    return json_pack("{s:o, s:s, s:s, s:b, s:I, s:I, s:o, s:o, s:o, s:o}", "path",
                     cli_json_text(path), "kind", tt_examination_kind(x), "is",
                     tt_examination_is(x), "sound", tt_examination_is_sound(x), "errors",
                     (json_int_t)errors, "warnings", (json_int_t)warnings, "facts", facts, "parts",
                     parts, "cost", cost, "findings", findings);
}

// ---- in words ----

// A text of several lines, one below the other.
static void print_lines(const char *text, const char *indent) {
    for (size_t length; *text; text += length + (text[length] != 0)) {
        char line[512];
        length = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)(length < sizeof line ? length : sizeof line - 1),
                 text);
        cli_print(stdout, line);
        if (text[length] && text[length + 1]) printf("\n%s%-16s ", indent, "");
    }
}

// "NAME  VALUE", a list on one line.
static void print_facts(const json_t *object, const char *indent) {
    const char *key;
    json_t *value, *item;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        printf("%s%-16s ", indent, key);
        if (json_is_string(value)) print_lines(json_string_value(value), indent);
        else if (json_is_number(value)) printf("%.12g", json_number_value(value));
        json_array_foreach(value, i, item) {
            if (i) printf(", ");
            cli_print(stdout, json_string_value(item));
        }
        putchar('\n');
    }
}

// "  LABEL text", nothing for an empty one.
static void print_text(const char *label, const json_t *finding, const char *key) {
    const char *text = text_of(finding, key);
    if (!*text) return;
    printf("    %-9s ", label);
    cli_print(stdout, text);
    putchar('\n');
}

static void print_cost(const json_t *cost) {
    if (!json_object_size(cost)) return;
    printf("a picture of %.0fx%.0f in %.0f steps takes about %.2f GB of memory, %.2f of them "
           "weights (this machine has %.1f), and %.3g s here\n", real_of(cost, "width"),
           real_of(cost, "height"), real_of(cost, "steps"), real_of(cost, "peak_bytes") / 1e9,
           real_of(cost, "weight_bytes") / 1e9, real_of(cost, "machine_bytes") / 1e9,
           real_of(cost, "seconds"));
}

static void print(const json_t *root) {
    const char *part;
    json_t *facts, *finding;
    size_t i;
    cli_print(stdout, text_of(root, "path"));
    printf(": %s\n", text_of(root, "is"));
    print_facts(json_object_get(root, "facts"), "  ");
    json_object_foreach(json_object_get(root, "parts"), part, facts) {
        printf("  %s\n", part);
        print_facts(facts, "    ");
    }
    print_cost(json_object_get(root, "cost"));
    json_array_foreach(json_object_get(root, "findings"), i, finding) {
        printf("%s: %s", text_of(finding, "severity"), text_of(finding, "code"));
        if (*text_of(finding, "file")) printf(": ");
        cli_print(stdout, text_of(finding, "file"));
        if (*text_of(finding, "tensor")) printf(": ");
        cli_print(stdout, text_of(finding, "tensor"));
        putchar('\n');
        print_text("found", finding, "found");
        print_text("expected", finding, "expected");
        print_text("to do", finding, "advice");
    }
    double errors = real_of(root, "errors"), warnings = real_of(root, "warnings");
    printf("%s: %.0f error%s, %.0f warning%s\n", errors > 0 ? "NOT SOUND" : "sound", errors,
           errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
}

// ---- the verb ----

static int show(void *context, uint64_t done, uint64_t all) {
    cli_progress_step(context, (size_t)(done >> 20), (size_t)(all >> 20));
    return cli_cancelled(NULL);
}

enum tt_status cli_info_check(struct cli *cli, const char *path, bool quick) {
    struct tt_examination *x = NULL;
    struct tt_examine_settings settings;
    struct cli_progress progress = {0};
    char cache[PROFILE_PATH];
    tt_examine_defaults(&settings, sizeof settings);
    settings.quick = quick;
    settings.variant = cli->variant;
    settings.cache = profile_cache(cache);
    settings.progress = show;
    settings.context = &progress;
    cli_progress_begin(&progress, cli, "MB of values");
    cli->bar = &progress;
    enum tt_status status = tt_examine(path, cli->engine, &settings, &x, &cli->error);
    cli_progress_end(&progress);
    cli->bar = NULL;
    if (status) return status;
    json_t *root = describe(path, x);
    if (root && !cli->json) print(root);
    if (root && !tt_examination_is_sound(x))
        status = tt_fail(&cli->error, TT_MISMATCH, "%s: found %.0f error%s, expected none", path,
                         real_of(root, "errors"), real_of(root, "errors") > 1 ? "s" : "");
    tt_examination_free(x);
    if (cli->json || !root) {
        enum tt_status printed = cli_print_json(cli, root, JSON_INDENT(1));
        return printed ? printed : status;
    }
    json_decref(root);
    return status;
}
