// SPDX-License-Identifier: MIT
// tintype verify: a model's networks on recorded inputs, every module beside the recorded one.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/compare.h"
#include "cli/report.h"

// A part that is verified: what its call takes and gives, and how it compared.
struct part {
    int part;
    size_t call; // of the recording
    struct tt_view inputs[TT_PORTS];
    size_t count;
    struct tt_room out; // the main output
    struct compare compare;
    // Of what was compared:
    size_t compared, differ, left_out, absent;
    const struct tt_recorded *first, *first_absent; // that differs; that the model lacks
    size_t hardest;                                 // needs the largest factor
};

struct verify {
    struct cli *cli;
    struct tt_session *session;
    struct tt_model *model; // the session's
    struct tt_recording *recording;
    const char *model_path, *recording_path, *html;
    double factor; // NaN: the part's own
    struct part *parts; // too large for small stacks
    size_t count;
};

// ---- inputs ----

// Whole numbers are token ids.
static enum tt_status copy_ids(struct verify *v, const struct part *p, const struct tt_recorded *r,
                               int32_t *ids) {
    for (size_t i = 0; i < tt_shape_count(&r->shape); i++) {
        int64_t id;
        memcpy(&id, (const char *)r->view->data + i * sizeof id, sizeof id);
        if (id < 0 || id > INT32_MAX)
            return tt_fail(&v->cli->error, TT_BAD_INPUT, "%s: input '%s': found %lld, expected "
                           "token ids", tt_recording_file(v->recording, p->call), r->name,
                           (long long)id);
        ids[i] = (int32_t)id;
    }
    return TT_OK;
}

static enum tt_status take_input(struct verify *v, struct part *p, const struct tt_recorded *r) {
    if (p->count == TT_PORTS)
        return tt_fail(&v->cli->error, TT_BAD_INPUT, "%s: found more than %d inputs",
                       tt_recording_file(v->recording, p->call), TT_PORTS);
    bool ids = r->view->dtype == TT_I64;
    size_t n = tt_shape_count(&r->shape), each = ids ? sizeof(int32_t) : sizeof(float);
    void *data = malloc(n * each);
    if (!data) return tt_fail(&v->cli->error, TT_SYSTEM, "out of memory");
    p->inputs[p->count++] =
        (struct tt_view){r->name, ids ? TT_I32 : TT_F32, r->shape, data, n * each};
    if (ids) return copy_ids(v, p, r, data);
    tt_view_floats(r->view, 0, n, data);
    return TT_OK;
}

// Inputs, and room for what the call gives. What is recorded must be what the part takes: another
// input would have changed what was recorded.
static enum tt_status take_inputs(struct verify *v, struct part *p) {
    struct tt_error *err = &v->cli->error;
    struct tt_port ports[TT_PORTS];
    struct tt_size size;
    size_t count = 0, main = 0;
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < p->compare.count; i++) {
        const struct tt_recorded *r = tt_recording_at(v->recording, p->call, i);
        if (r->kind == TT_RECORDED_INPUT) status = take_input(v, p, r);
    }
    if (status) return status;
    status = tt_part_size_of(v->model, p->part, p->inputs, p->count, &size, err);
    if (status == TT_BAD_INPUT)
        return tt_fail_prefix(err, "%s", tt_recording_file(v->recording, p->call));
    if (!status) status = tt_part_ports(v->model, p->part, size, ports, &count, err);
    if (status) return status;
    while (!ports[main].output) main++;
    const struct tt_port *port = &ports[main];
    size_t n = tt_shape_count(&port->shape), each = tt_dtype_size(port->dtype);
    p->out = (struct tt_room){port->name, port->dtype, port->shape, calloc(n, each), n * each};
    return p->out.data ? TT_OK : tt_fail(err, TT_SYSTEM, "out of memory");
}

// ---- running ----

static void count(struct verify *v, struct part *p) {
    for (size_t i = 0; i < p->compare.count; i++) {
        const struct tt_recorded *r = tt_recording_at(v->recording, p->call, i);
        const struct comparison *c = &p->compare.results[i];
        if (r->kind == TT_RECORDED_INPUT) continue;
        if (c->state == COMPARED) {
            if (!p->compared++ || c->needed > p->compare.results[p->hardest].needed) p->hardest = i;
            if (!c->agrees && !p->differ++) p->first = r;
        } else if (c->state == LEFT_OUT) {
            p->left_out++;
        } else if (!p->absent++) {
            p->first_absent = r;
        }
    }
}

static enum tt_status run(struct verify *v, struct part *p) {
    const struct tt_model_info *info = tt_model_info(v->model);
    bool direct = v->cli->conv && !strcmp(v->cli->conv, "direct");
    double factor = isnan(v->factor) ? tt_recorded_factor(p->part, direct) : v->factor;
    struct tt_error *err = &v->cli->error;
    enum tt_status status = tt_recording_check_values(v->recording, p->call, err);
    if (!status) status = compare_new(&p->compare, v->recording, p->call, factor, err);
    if (!status) status = take_inputs(v, p);
    if (status) return status;
    struct tt_observer observer = compare_observer(&p->compare);
    tt_session_observe(v->session, &observer, 1);
    status = tt_part_run(v->session, p->part, p->inputs, p->count, &p->out, 1, err);
    tt_session_observe(v->session, NULL, 0);
    // A tensor of another shape comes before what it may have led to.
    if (p->compare.error.status && status != TT_CANCELLED) {
        *err = p->compare.error;
        return err->status;
    }
    if (!status && !strcmp(p->out.name, "moments"))
        status = compare_moments(&p->compare, p->out.data, &p->out.shape, err);
    if (status) return status;
    count(v, p);
    if (p->compared) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT,
                   "%s: found no tensor to compare, expected modules of %s of %s",
                   tt_recording_file(v->recording, p->call), tt_part_name(p->part), info->name);
}

// ---- the table ----

enum { NAME = 62 }; // columns

static void print_row(const struct tt_recorded *r, const struct comparison *c) {
    char shape[96];
    cli_print(stdout, r->name);
    size_t length = strlen(r->name);
    printf("%*s %-18s ", length < NAME ? (int)(NAME - length) : 0, "",
           tt_shape_text(&r->shape, shape, sizeof shape));
    if (c->state == COMPARED)
        printf("%10.2e %9.2e %9.3g  %s\n", c->difference, r->drift32, c->needed,
               c->agrees ? "ok" : "DIFFERS");
    else
        printf("%10s %9s %9s  %s\n", "-", "-", "-",
               c->state == LEFT_OUT ? "left out" : "not in the model");
}

// With --quiet only what is not as it should be.
static void print_table(const struct verify *v, const struct part *p) {
    if (v->cli->quiet && !p->differ && !p->absent) return;
    printf("%s: ", tt_part_name(p->part));
    cli_print(stdout, tt_recording_file(v->recording, p->call));
    printf(", at most %g times PyTorch's own error (err32)\n", p->compare.factor);
    printf("%-*s %-18s %10s %9s %9s\n", NAME, "module", "shape", "difference", "err32", "times");
    for (size_t i = 0; i < p->compare.count; i++) {
        const struct tt_recorded *r = tt_recording_at(v->recording, p->call, i);
        const struct comparison *c = &p->compare.results[i];
        bool bad = c->state == COMPARED ? !c->agrees : c->state == NOT_SEEN;
        if (r->kind != TT_RECORDED_INPUT && (bad || !v->cli->quiet)) print_row(r, c);
    }
    putchar('\n');
}

// "(0, 3, 2, 1)": where element `at` is.
static void print_index(const struct tt_shape *shape, size_t at) {
    size_t below = tt_shape_count(shape);
    for (size_t i = 0; i < shape->rank; i++) {
        below /= shape->dim[i];
        printf("%s%zu", i ? ", " : "(", at / below % shape->dim[i]);
    }
    fputs(shape->rank ? ")" : "()", stdout);
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

// The recorded tensors, inputs of the part apart, that the run showed nothing of.
static json_t *absent(const struct verify *v, const struct part *p) {
    json_t *names = json_array();
    for (size_t i = 0; i < p->compare.count; i++) {
        const struct tt_recorded *r = tt_recording_at(v->recording, p->call, i);
        if (r->kind != TT_RECORDED_INPUT && p->compare.results[i].state == NOT_SEEN)
            json_array_append_new(names, json_string(r->name));
    }
    return names;
}

static void print_summary(const struct verify *v, const struct part *p) {
    const struct tt_recorded *hardest = tt_recording_at(v->recording, p->call, p->hardest);
    printf("%s: %zu compared, ", tt_part_name(p->part), p->compared);
    if (!p->differ)
        printf("all within %g times err32 (most: %.3g, ", p->compare.factor,
               p->compare.results[p->hardest].needed);
    else
        printf("%zu DIFFER (most: %.3g times err32, ", p->differ,
               p->compare.results[p->hardest].needed);
    cli_print(stdout, hardest->name);
    puts(")");
    if (p->differ) {
        const struct tt_recorded *r = p->first;
        const struct comparison *c =
            &p->compare.results[r - tt_recording_at(v->recording, p->call, 0)];
        fputs("  FIRST TO DIFFER: ", stdout);
        cli_print(stdout, r->name);
        fputs(" (", stdout);
        cli_print(stdout, r->type);
        printf("): %.9g, recorded %.9g, at ", (double)c->ours, (double)c->recorded);
        print_index(&r->shape, c->at);
        putchar('\n');
    }
    json_t *lacks = absent(v, p);
    print_names("recorded, but not in the model", lacks);
    print_names("in the model, but not recorded", p->compare.unrecorded);
    if (p->left_out)
        printf("  left out: %zu (whole numbers, second inputs, padded pictures)\n", p->left_out);
    json_decref(lacks);
}

// ---- --json ----

static json_t *real(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *describe_tensor(const struct tt_recorded *r, const struct comparison *c) {
    json_t *shape = json_array();
    for (size_t i = 0; i < r->shape.rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)r->shape.dim[i]));
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:b}", "name", r->name, "type", r->type,
                     "shape", shape, "difference", real(c->difference), "err32", real(r->drift32),
                     "times", real(c->needed), "agrees", c->agrees);
}

static json_t *describe_part(const struct verify *v, const struct part *p) {
    json_t *tensors = json_array();
    for (size_t i = 0; i < p->compare.count; i++)
        if (p->compare.results[i].state == COMPARED)
            json_array_append_new(
                tensors, describe_tensor(tt_recording_at(v->recording, p->call, i),
                                         &p->compare.results[i]));
    return json_pack("{s:s, s:o, s:f, s:I, s:I, s:o, s:s?, s:I, s:o, s:O, s:o}", "part",
                     tt_part_name(p->part), "file",
                     cli_json_text(tt_recording_file(v->recording, p->call)),
                     "factor", p->compare.factor, "compared", (json_int_t)p->compared, "differ",
                     (json_int_t)p->differ, "times", real(p->compare.results[p->hardest].needed),
                     "first", p->first ? p->first->name : NULL, "left_out",
                     (json_int_t)p->left_out, "not_in_model", absent(v, p), "not_recorded",
                     p->compare.unrecorded, "tensors", tensors);
}

static json_t *describe(const struct verify *v, bool agrees) {
    json_t *parts = json_array();
    for (size_t i = 0; i < v->count; i++)
        json_array_append_new(parts, describe_part(v, &v->parts[i]));
    return json_pack("{s:s, s:o, s:o, s:s, s:b, s:o}", "format", "tintype-verification", "model",
                     cli_json_text(tt_model_info(v->model)->name), "recording",
                     cli_json_text(v->recording_path), "conv",
                     v->cli->conv ? v->cli->conv : "auto", "agrees", agrees, "parts", parts);
}

// ---- the verb ----

static bool is_wanted(const struct cli_list *names, int part) {
    if (part < 0) return false;
    bool wanted = !names->count;
    for (int i = 0; i < names->count; i++)
        wanted = wanted || !strcmp(names->item[i], tt_part_name(part));
    return wanted;
}

// The calls of the parts that were asked for, in the order of the run; or all of them.
static enum tt_status choose(struct verify *v, const struct cli_list *names) {
    size_t calls = tt_recording_calls(v->recording);
    v->parts = calloc(calls, sizeof *v->parts);
    if (!v->parts) return tt_fail(&v->cli->error, TT_SYSTEM, "out of memory");
    for (int i = 0; i < names->count; i++) {
        int part;
        bool found = false;
        enum tt_status status = cli_part(v->cli, names->item[i], &part);
        if (status) return status;
        for (size_t j = 0; j < calls; j++)
            found = found || tt_recording_call(v->recording, j)->part == part;
        if (!found)
            return tt_fail(&v->cli->error, TT_BAD_INPUT,
                           "%s: recording.json: parts: found none of %s, for --part, expected one",
                           v->recording_path, names->item[i]);
    }
    for (size_t j = 0; j < calls; j++) {
        int part = tt_recording_call(v->recording, j)->part;
        if (!is_wanted(names, part)) continue;
        v->parts[v->count].part = part;
        v->parts[v->count++].call = j;
    }
    return TT_OK;
}

// What differs comes before what could not be compared.
static enum tt_status verdict(struct verify *v) {
    for (size_t i = 0; i < v->count; i++) {
        const struct part *p = &v->parts[i];
        if (p->differ)
            return tt_fail(&v->cli->error, TT_MISMATCH,
                           "%s: '%s' is the first of %zu tensors that differ",
                           tt_part_name(p->part), p->first->name, p->differ);
    }
    for (size_t i = 0; i < v->count; i++) {
        const struct part *p = &v->parts[i];
        if (p->absent)
            return tt_fail(&v->cli->error, TT_BAD_INPUT,
                           "%s: tensor '%s': found %zu that %s of %s lacks, expected modules of it",
                           tt_recording_file(v->recording, p->call), p->first_absent->name,
                           p->absent, tt_part_name(p->part), tt_model_info(v->model)->name);
    }
    return TT_OK;
}

static enum tt_status verify(struct verify *v) {
    enum tt_status status = TT_OK;
    struct cli_progress progress = {0};
    cli_progress_begin(&progress, v->cli, "verify");
    for (size_t i = 0; !status && i < v->count; i++) {
        status = run(v, &v->parts[i]);
        cli_progress_step(&progress, i + 1, v->count);
    }
    cli_progress_end(&progress);
    if (status) return status;
    status = verdict(v);
    bool tables = !v->cli->json && !v->cli->uses_stdout;
    for (size_t i = 0; tables && i < v->count; i++) print_table(v, &v->parts[i]);
    for (size_t i = 0; tables && i < v->count; i++) print_summary(v, &v->parts[i]);
    enum tt_status told = TT_OK;
    json_t *root = v->cli->json || v->html ? describe(v, !status) : NULL;
    if (v->html) told = report_write(v->cli, v->html, root);
    if (v->cli->json && !told)
        told = cli_print_json(v->cli, json_incref(root), JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(root);
    return told ? told : status;
}

static void free_all(struct verify *v) {
    for (size_t i = 0; i < v->count; i++) {
        struct part *p = &v->parts[i];
        compare_free(&p->compare);
        for (size_t j = 0; j < p->count; j++) free((void *)(uintptr_t)p->inputs[j].data);
        free(p->out.data);
    }
    tt_session_free(v->session);
    free(v->parts);
    tt_recording_close(v->recording);
}

enum tt_status cli_verify(struct cli *cli, int argc, char **argv) {
    struct verify v = {.cli = cli, .factor = NAN};
    struct cli_list parts = {0};
    char which[320];
    snprintf(which, sizeof which, "%s; again for more (default: all recorded)", cli_parts());
    const struct cli_option options[] = {
        {"model", 'm', CLI_TEXT, "MODEL", "model folder; default: the built-in model",
         &v.model_path},
        CLI_VARIANT(cli),
        CLI_WEIGHTS(cli),
        CLI_VAE(cli),
        {"part", 0, CLI_LIST, "PART", which, &parts},
        {"factor", 0, CLI_NUMBER, "F",
         "how many times PyTorch's own error to allow; default: 3 to 10, by the part", &v.factor},
        CLI_CONV(cli),
        CLI_HTML(&v.html),
        {0},
    };
    cli->every_node = true;
    enum tt_status status = cli_options(cli, options, argc, argv, &v.recording_path, 1);
    if (status || cli->help) return status;
    status = tt_recording_open(cli->files, v.recording_path, &v.recording, &cli->error);
    if (!status) status = choose(&v, &parts);
    if (!status) status = cli_open_session(cli, v.model_path, &v.session, &v.model);
    if (!status) status = report_plan(cli, v.html);
    if (!status) status = verify(&v);
    free_all(&v);
    return status;
}
