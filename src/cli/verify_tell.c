// SPDX-License-Identifier: MIT
// What verify prints: a table of each call, sums, what differs first and worst, the verdict.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

// Recordings of more calls than this are told by their sums and by what differs.
enum { FEW_CALLS = 8 };

const struct verify_call *verify_first(const struct verify *v, const struct verify_row **row) {
    for (size_t i = 0; i < v->count; i++) {
        *row = v->calls[i].first;
        if (*row) return &v->calls[i];
    }
    return NULL;
}

size_t verify_worst(const struct verify *v, struct verify_worst worst[VERIFY_WORST]) {
    size_t n = 0;
    for (size_t i = 0; i < v->count; i++)
        for (size_t k = 0; k < v->calls[i].count; k++) {
            const struct verify_row *row = &v->calls[i].rows[k];
            if (row->state != VERIFY_COMPARED || row->agrees) continue;
            size_t at = n;
            while (at > 0 && row->times > worst[at - 1].row->times) at--;
            if (at == VERIFY_WORST) continue;
            if (n < VERIFY_WORST) n++;
            memmove(worst + at + 1, worst + at, (n - at - 1) * sizeof *worst);
            worst[at] = (struct verify_worst){&v->calls[i], row};
        }
    return n;
}

// ---- a table ----

// Columns are as wide as the longest that stands in them: names never break them.
struct widths {
    int name, shape;
};

static bool is_compared_kind(const struct verify_row *row) {
    return row->kind != TT_RECORDED_INPUT && row->kind != TT_RECORDED_SEED;
}

static bool is_shown(const struct verify *v, const struct verify_row *row) {
    bool bad = row->state == VERIFY_COMPARED ? !row->agrees : row->state == VERIFY_NOT_SEEN;
    return is_compared_kind(row) && (bad || (!v->cli->quiet && (v->all || v->count <= FEW_CALLS)));
}

// How many columns a text takes on a terminal, as cli_print() shows it.
static int columns(const char *text) {
    int n = 0;
    for (size_t bytes; *text; text += bytes, n++) cli_is_shown(text, &bytes);
    return n;
}

static void pad(int used, int width) {
    printf("%*s", used < width ? width - used : 0, "");
}

static const char *label(const struct verify_row *row) {
    return row->kind == TT_RECORDED_GRADIENT ? "gradient of " : "";
}

static int width_of(const struct verify_row *row) {
    return columns(row->name) + (int)strlen(label(row));
}

static struct widths widths_of(const struct verify *v, const struct verify_call *c) {
    struct widths w = {6, 5};
    char text[96];
    for (size_t i = 0; i < c->count; i++) {
        if (!is_shown(v, &c->rows[i])) continue;
        int name = width_of(&c->rows[i]);
        int shape = (int)strlen(tt_shape_text(&c->rows[i].shape, text, sizeof text));
        if (name > w.name) w.name = name;
        if (shape > w.shape) w.shape = shape;
    }
    return w;
}

static bool has_two_limits(const struct verify_call *c) {
    return c->by == VERIFY_BY_F16 || c->by == VERIFY_BY_BF16;
}

static void print_row(const struct verify_call *c, const struct verify_row *row,
                      const struct widths *w) {
    char shape[96];
    fputs(label(row), stdout);
    cli_print(stdout, row->name);
    pad(width_of(row), w->name);
    printf(" %-*s ", w->shape, tt_shape_text(&row->shape, shape, sizeof shape));
    if (row->state != VERIFY_COMPARED) {
        printf("%10s %9s %9s %s%9s  %s\n", "-", "-", "-",
               has_two_limits(c) ? "        - " : "", "-",
               row->state == VERIFY_LEFT_OUT ? "left out" : "not in the model");
        return;
    }
    printf("%10.2e %9.2e %9.2e ", row->difference, row->limit, row->d.relative_l2);
    if (has_two_limits(c)) printf("%9.2e ", row->limit_l2);
    printf("%9.3g  %s", row->times, row->agrees ? "ok" : "DIFFERS");
    if (row->what && !row->agrees) printf(" (%s)", row->what);
    if (row->d.nan_ours || row->d.infinite_ours)
        printf(" (ours: %zu NaN, %zu Inf)", row->d.nan_ours, row->d.infinite_ours);
    if (row->d.nan_reference || row->d.infinite_reference)
        printf(" (recorded: %zu NaN, %zu Inf)", row->d.nan_reference, row->d.infinite_reference);
    putchar('\n');
}

static void print_limit(const struct verify *v, const struct verify_call *c) {
    const struct verify_tolerance *t = &v->tolerance;
    const char *which = v->mode == VERIFY_ISOLATED ? "alone" : "up to there";
    switch (c->by) {
    case VERIFY_BY_CLOSE: printf("%g |recorded| + %g, element by element", t->rtol, t->atol); break;
    case VERIFY_BY_F16:
    case VERIFY_BY_BF16:
        printf("what rounding to %s explains, of the largest difference and of the relative L2",
               verify_by_name(c->by));
        break;
    default:
        printf("at most %g times the recorded error (err32) of the module %s, + 2^-23 of the "
               "largest magnitude", c->factor, which);
    }
}

static void print_table(const struct verify *v, const struct verify_call *c) {
    struct widths w = widths_of(v, c);
    bool any = false;
    for (size_t i = 0; i < c->count; i++) any = any || is_shown(v, &c->rows[i]);
    if (!any) return;
    cli_print(stdout, c->name);
    fputs(": ", stdout);
    cli_print(stdout, c->file);
    fputs("; limit: ", stdout);
    print_limit(v, c);
    printf("\n%-*s %-*s %10s %9s %9s %s%9s\n", w.name, "module", w.shape, "shape", "difference",
           "limit", "rel. L2", has_two_limits(c) ? " limit L2 " : "", "times");
    for (size_t i = 0; i < c->count; i++)
        if (is_shown(v, &c->rows[i])) print_row(c, &c->rows[i], &w);
    putchar('\n');
}

// ---- sums ----

// "(0, 3, 2, 1)": where element `at` is.
static void print_index(const struct tt_shape *shape, size_t at) {
    struct tt_shape place = verify_place(shape, at);
    char text[160];
    fputs(tt_shape_text(&place, text, sizeof text), stdout);
}

static void print_names(const char *what, const json_t *names) {
    enum { MOST = 5 };
    size_t n = json_array_size(names);
    if (!n) return;
    printf("  %s: ", what);
    for (size_t i = 0; i < n && i < MOST; i++) {
        if (i) fputs(", ", stdout);
        cli_print(stdout, json_string_value(json_array_get(names, i)));
    }
    if (n > MOST) printf(" and %zu more", n - MOST);
    putchar('\n');
}

json_t *verify_absent(const struct verify_call *c) {
    json_t *names = json_array();
    for (size_t i = 0; i < c->count; i++)
        if (is_compared_kind(&c->rows[i]) && c->rows[i].state == VERIFY_NOT_SEEN)
            json_array_append_new(names, json_string(c->rows[i].name));
    return names;
}

static void print_summary(const struct verify *v, const struct verify_call *c) {
    const bool whole = tt_recording_info(v->recording)->whole;
    cli_print(stdout, c->name);
    printf(": %zu compared, ", c->compared);
    if (c->differ + c->bad) printf("%zu DIFFER", c->differ + c->bad);
    else fputs("all within the limit", stdout);
    printf(" (most: %.3g times the limit, ", c->hardest->times);
    fputs(label(c->hardest), stdout);
    cli_print(stdout, c->hardest->name);
    puts(")");
    if (v->count > FEW_CALLS && !v->all && !c->differ && !c->absent) return;
    json_t *lacks = verify_absent(c);
    print_names("recorded, but not in the model", lacks);
    print_names(whole ? "in the model, but not recorded" : "in the model, but left out of the "
                "recording", c->unrecorded);
    if (c->left_out)
        printf("  left out: %zu (whole numbers, second inputs, padded pictures, gradients that "
               "no step has)\n", c->left_out);
    json_decref(lacks);
}

static void print_details(const struct verify_row *row) {
    const struct tt_difference *d = &row->d;
    printf("  at "), print_index(&row->shape, d->at);
    printf(": ours %.9g, recorded %.9g; largest relative %.3g, %.0f ulp, cosine %.9g, SQNR %.1f dB",
           (double)d->ours, (double)d->reference, d->max_relative, d->ulp, d->cosine, d->sqnr);
    printf("; NaN: ours %zu, recorded %zu, Inf: %zu, %zu\n", d->nan_ours, d->nan_reference,
           d->infinite_ours, d->infinite_reference);
    fputs("  differences by decade:", stdout);
    for (int i = 0; i < TT_DECADES; i++) {
        if (!d->decades[i]) continue;
        if (!i) printf(" below 1e-12: %zu", d->decades[i]);
        else printf(" %s1e%d: %zu", "from ", i - 13, d->decades[i]);
    }
    putchar('\n');
}

static void print_first(const struct verify *v) {
    const struct verify_row *row;
    const struct verify_call *c = verify_first(v, &row);
    if (!c) return;
    fputs("FIRST TO DIFFER: ", stdout);
    fputs(label(row), stdout);
    cli_print(stdout, row->name);
    fputs(" (", stdout);
    cli_print(stdout, row->type);
    fputs(") of ", stdout);
    cli_print(stdout, c->name);
    printf(": %.3g, limit %.3g, relative L2 %.3g", row->difference, row->limit,
           row->d.relative_l2);
    if (row->what) printf(" (%s)", row->what);
    putchar('\n');
    print_details(row);
}

static void print_worst(const struct verify *v) {
    struct verify_worst worst[VERIFY_WORST];
    size_t n = verify_worst(v, worst);
    int name = 0;
    if (n < 2) return;
    for (size_t i = 0; i < n; i++)
        if (width_of(worst[i].row) > name) name = width_of(worst[i].row);
    printf("the %s, by how many times the limit they are off:\n",
           n < VERIFY_WORST ? "worst" : "ten worst");
    for (size_t i = 0; i < n; i++) {
        fputs("  ", stdout);
        fputs(label(worst[i].row), stdout);
        cli_print(stdout, worst[i].row->name);
        pad(width_of(worst[i].row), name);
        printf(" %9.3g times, difference %.2e, relative L2 %.2e, ", worst[i].row->times,
               worst[i].row->difference, worst[i].row->d.relative_l2);
        cli_print(stdout, worst[i].call->name);
        putchar('\n');
    }
}

static void print_suspects(const struct verify *v) {
    size_t i;
    const json_t *line;
    json_array_foreach(v->lines, i, line) {
        cli_print(stdout, json_string_value(line));
        putchar('\n');
    }
}

void verify_print(const struct verify *v) {
    verify_weights_print(v, &v->weights);
    for (size_t i = 0; i < v->count; i++) print_table(v, &v->calls[i]);
    for (size_t i = 0; i < v->count; i++) print_summary(v, &v->calls[i]);
    verify_drift_print(v, &v->drift);
    print_first(v);
    print_worst(v);
    print_suspects(v);
    if (!tt_recording_info(v->recording)->whole)
        puts("the recording is not whole: modules or calls were left out of it");
    printf("verdict: ");
    cli_print(stdout, v->verdict);
    putchar('\n');
}
