// SPDX-License-Identifier: MIT
// What is at fault where a recording differs, and what explains it.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

struct suspects {
    struct verify *v;
    struct cli *cli;
    struct tt_recording *recording; // the verb's, or a finer one
    const char *recording_path;
    const struct verify_call *call; // whose limits count
    const char *pipeline, *repro;   // NULL: no more
    bool found;
};

// How far off a recorded tensor may be that is made alone.
static struct tt_bounds bounds_of(void *context, const struct tt_recorded *r) {
    const struct suspects *s = context;
    const struct verify_call *c = s->call;
    double u = c->by == VERIFY_BY_F16 ? 0x1p-11 : 0x1p-8; // as verify_limit.c has it
    if (c->by == VERIFY_BY_F16 || c->by == VERIFY_BY_BF16)
        return (struct tt_bounds){8 * u * r->maxabs, 0, 5 * u};
    if (c->by == VERIFY_BY_CLOSE)
        return (struct tt_bounds){s->v->tolerance.atol, s->v->tolerance.rtol, 0};
    return (struct tt_bounds){c->factor * r->err32 + ldexp(r->maxabs, -23), 0, 0};
}

static char *own_name(void *context, const char *recorded) {
    return verify_name_of(context, recorded);
}

static void say(struct suspects *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static enum tt_status look_at(struct suspects *s, size_t call);

static void say(struct suspects *s, const char *format, ...) {
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(s->v->lines, cli_json_text(text));
}

// ---- what is at fault ----

struct fault {
    const struct tt_alone *alone;
    const struct tt_recorded_call *call;
    const struct tt_recorded *recorded;
    size_t k;
    struct tt_made made;
    char by[600], module[240];
};

static void add(struct suspects *s, const struct fault *f, const char *suspect, const char *text,
                double left) {
    json_t *entry = json_pack(
        "{s:s, s:I, s:o, s:s, s:s, s:o, s:f, s:f, s:o, s:o}", "part", tt_part_name(f->call->part),
        "call", (json_int_t)f->call->call, "name", cli_json_text(f->recorded->name), "type",
        f->recorded->type, "suspect", suspect, "text", cli_json_text(text), "difference",
        f->made.difference, "left", left, "made_by", cli_json_text(f->by), "module",
        cli_json_text(f->module));
    json_array_append_new(s->v->suspects, entry);
}

static void tell_fault(struct suspects *s, const struct fault *f) {
    bool given = f->recorded->kind == TT_RECORDED_GIVEN;
    say(s, "%s: AT FAULT: %s (%s): off by %.3g when it is made alone, of recorded tensors",
        tt_part_name(f->call->part), f->recorded->name,
        given ? "what a module is given" : f->recorded->type, f->made.difference);
    say(s, "  made by: %s", f->by);
    if (f->made.nodes) say(s, "  the smallest module around that: %s", f->module);
}

static enum tt_status try_suspects(struct suspects *s, const struct fault *f) {
    struct tt_suspect found[TT_SUSPECTS];
    size_t count, tried;
    char text[96];
    enum tt_status status =
        tt_suspects(f->alone, f->k, bounds_of(s, f->recorded), found, &count, &tried,
                    &s->cli->error);
    if (status) return status;
    for (size_t i = 0; i < count; i++) {
        say(s, "  SUSPECT %s: %s (%.3g is left)", found[i].name, found[i].text,
            found[i].difference);
        add(s, f, found[i].name, found[i].text, found[i].difference);
    }
    if (count) return TT_OK;
    snprintf(text, sizeof text, "none of %zu explanations fits", tried);
    say(s, "  SUSPECT unknown: %s", text);
    add(s, f, "unknown", text, f->made.difference);
    return TT_OK;
}

// ---- a folder of its own ----

static enum tt_status save(struct suspects *s, const struct fault *f) {
    enum tt_status status = tt_save_repro(f->alone, f->k, bounds_of(s, f->recorded),
                                          s->repro, &s->cli->error);
    if (status) return tt_fail_prefix(&s->cli->error, "--save-repro");
    say(s, "  %s shows it alone: 'python3 %s/repro.py', with torch and safetensors, and 'tintype "
        "verify %s'", s->repro, s->repro, s->repro);
    s->repro = NULL; // the first alone
    return TT_OK;
}

enum tt_status verify_repro(struct cli *cli, const char *path) {
    struct tt_repro told;
    enum tt_status status = tt_repro_run(cli->engine, cli->files, path, &told, &cli->error);
    if (status) return status;
    if (cli->json) {
        status = cli_print_json(
            cli, json_pack("{s:s, s:o, s:o, s:b, s:f, s:f, s:f, s:I}", "format",
                           "tintype-verification", "repro", cli_json_text(path), "name",
                           cli_json_text(told.name), "agrees", told.agrees, "difference",
                           told.difference, "allowed", told.allowed, "largest", told.largest,
                           "nodes", (json_int_t)told.nodes),
            JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    } else {
        cli_print(stdout, told.name);
        printf(": made by %zu nodes of what was recorded: off by %.3g, of at most %.3g (largest "
               "magnitude %.3g): %s\n", told.nodes, told.difference, told.allowed, told.largest,
               told.agrees ? "agrees" : "DIFFERS");
    }
    if (status || told.agrees) return status;
    return tt_fail(&cli->error, TT_MISMATCH, "%s: '%s' differs by %.3g", path, told.name,
                   told.difference);
}

// ---- what is inside of it ----

static bool has(const char *folder, const char *file) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *f = fopen(path, "re");
    if (f) fclose(f);
    return f;
}

// A text for a shell, between single quotes.
static size_t quoted(char *to, size_t size, size_t used, const char *option, const char *text) {
    if (used < size) used += (size_t)snprintf(to + used, size - used, " %s '", option);
    for (; *text && used + 5 < size; text++) {
        if (*text == '\'') used += (size_t)snprintf(to + used, size - used, "'\\''");
        else to[used++] = *text;
    }
    if (used < size) used += (size_t)snprintf(to + used, size - used, "'");
    return used;
}

// The command that records it, for those who have Python.
static void say_command(struct suspects *s, const struct fault *f) {
    const struct tt_recording_info *info = tt_recording_info(s->recording);
    const struct tt_recording_settings *set = &info->settings;
    char text[1600], modules[600] = "^", finer[600];
    size_t used = 1;
    for (const char *c = f->module; *c && used + 3 < sizeof modules - 8; c++) {
        if (*c == '.') modules[used++] = '\\';
        modules[used++] = *c;
    }
    snprintf(modules + used, sizeof modules - used, "(\\.|$)");
    snprintf(finer, sizeof finer, "%.500s-inside", s->recording_path);
    used = (size_t)snprintf(text, sizeof text, "python3 reference/record.py");
    used = quoted(text, sizeof text, used, "--pipeline", s->pipeline);
    if (set->prompt) used = quoted(text, sizeof text, used, "--prompt", set->prompt);
    if (set->negative) used = quoted(text, sizeof text, used, "--negative-prompt", set->negative);
    if (set->steps && used < sizeof text)
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 " --steps %zu --seed %llu --width %zu --height %zu "
                                 "--guidance-scale %g", set->steps, (unsigned long long)set->seed,
                                 set->width, set->height, set->guidance_scale);
    if (set->scheduler) used = quoted(text, sizeof text, used, "--scheduler", set->scheduler);
    used = quoted(text, sizeof text, used, "--modules", modules);
    used = quoted(text, sizeof text, used, "-o", finer);
    say(s, "  to look inside, with Python: %s", text);
    say(s, "  and then: tintype verify%s%s %s --bisect --pipeline %s",
        s->v->model_path ? " -m " : "", s->v->model_path ? s->v->model_path : "",
        s->recording_path, finer);
}

// Whether two recorded calls were given the same.
static bool same_inputs(struct tt_recording *a, size_t i, struct tt_recording *b, size_t j,
                        const char **which) {
    const struct tt_recorded *x;
    for (size_t k = 0; (x = tt_recording_at(a, i, k)); k++) {
        if (x->kind != TT_RECORDED_INPUT) continue;
        const struct tt_recorded *y = tt_recording_find(b, j, x->name);
        *which = x->name;
        if (!y || y->kind != TT_RECORDED_INPUT || y->view->bytes != x->view->bytes ||
            y->view->dtype != x->view->dtype ||
            memcmp(x->view->data, y->view->data, x->view->bytes))
            return false;
    }
    return true;
}

static enum tt_status look_inside(struct suspects *s, const struct fault *f, size_t call) {
    struct suspects inside = *s;
    struct tt_error *err = &s->cli->error;
    size_t i = 0;
    const struct tt_recorded_call *other;
    const char *which = "";
    inside.recording_path = inside.pipeline;
    inside.pipeline = NULL;
    enum tt_status status =
        tt_recording_open(s->cli->files, inside.recording_path, &inside.recording, err);
    if (status) return tt_fail_prefix(err, "--pipeline");
    while ((other = tt_recording_call(inside.recording, i)) &&
           (other->part != f->call->part || other->call != f->call->call))
        i++;
    if (!other)
        status = tt_fail(err, TT_BAD_INPUT, "--pipeline: %s: found no call %zu of %s, expected the "
                         "one at fault", inside.recording_path, f->call->call, f->call->name);
    if (!status) status = tt_recording_load(inside.recording, i, err);
    if (!status && !same_inputs(s->recording, call, inside.recording, i, &which))
        status = tt_fail(err, TT_BAD_INPUT, "--pipeline: %s: input '%s': found other values than "
                         "in %s, expected the same run", inside.recording_path, which,
                         s->recording_path);
    if (!status) {
        say(s, "inside, by %s:", inside.recording_path);
        status = look_at(&inside, i);
        s->repro = inside.repro;
    }
    tt_recording_close(inside.recording);
    return status;
}

static enum tt_status go_down(struct suspects *s, const struct fault *f, size_t call) {
    if (has(s->pipeline, "recording.json")) return look_inside(s, f, call);
    if (f->made.nodes <= 1) {
        say(s, "  that is one node: there is nothing inside to record");
        return TT_OK;
    }
    if (has(s->pipeline, "model_index.json")) {
        say_command(s, f);
        return TT_OK;
    }
    return tt_fail(&s->cli->error, TT_BAD_INPUT, "--pipeline: %s: found neither recording.json nor "
                   "model_index.json, expected a recording of what is inside, or a pipeline of "
                   "diffusers", s->pipeline);
}

// ---- a call ----

static enum tt_status tell(struct suspects *s, size_t call, const struct tt_alone *alone, size_t k,
                           const struct tt_made *made) {
    struct fault f = {.alone = alone, .call = tt_recording_call(s->recording, call), .k = k,
                      .recorded = tt_recording_at(s->recording, call, k), .made = *made};
    tt_alone_text(alone, k, f.by, sizeof f.by);
    tt_alone_module(alone, k, f.module, sizeof f.module);
    tell_fault(s, &f);
    bool deeper = s->pipeline && has(s->pipeline, "recording.json");
    enum tt_status status = try_suspects(s, &f);
    if (!status && s->pipeline) status = go_down(s, &f, call);
    if (!status && s->repro && !deeper) status = save(s, &f);
    return status;
}

static enum tt_status look_at(struct suspects *s, size_t call) {
    struct tt_error *err = &s->cli->error;
    struct tt_alone *alone;
    struct tt_made made;
    size_t k, compared;
    enum tt_status status = tt_alone_new(s->v->session, s->recording, call, own_name, s->v->names,
                                         &alone, err);
    if (status) return status;
    status = tt_bisect(alone, bounds_of, s, &k, &made, &compared, err);
    if (!status && k != SIZE_MAX) {
        s->found = true;
        status = tell(s, call, alone, k, &made);
    } else if (!status) {
        say(s, "%s: NONE AT FAULT: each of %zu tensors agrees when it is made alone, of recorded "
            "ones; what differs end to end has added up",
            tt_part_name(tt_recording_call(s->recording, call)->part), compared);
    }
    tt_alone_free(alone);
    tt_recording_unload(s->recording, call);
    return status;
}

// What lies between the networks.
static enum tt_status look_between(struct verify *v, bool *found) {
    struct tt_run_fault faults[TT_SUSPECTS];
    struct suspects s = {.v = v};
    size_t count;
    enum tt_status status =
        tt_suspects_of_run(v->session, v->recording, faults, &count, &v->cli->error);
    for (size_t i = 0; !status && i < count; i++) {
        const struct tt_recorded_call *c = tt_recording_call(v->recording, faults[i].call);
        say(&s, "%s call %zu: AT FAULT: %s, between the networks", c->name, c->call,
            faults[i].tensor);
        say(&s, "  SUSPECT %s: %s", faults[i].suspect.name, faults[i].suspect.text);
        json_array_append_new(
            v->suspects, json_pack("{s:s, s:I, s:s, s:s, s:s}", "part",
                                   c->part < 0 ? c->name : tt_part_name(c->part), "call",
                                   (json_int_t)c->call, "name", faults[i].tensor, "suspect",
                                   faults[i].suspect.name, "text", faults[i].suspect.text));
        *found = true;
    }
    return status;
}

enum tt_status verify_explain(struct verify *v, bool *found) {
    struct suspects s = {.v = v, .cli = v->cli, .recording = v->recording,
                         .recording_path = v->recording_path, .pipeline = v->pipeline,
                         .repro = v->repro};
    enum tt_status status = TT_OK;
    bool done[64] = {false}; // parts
    *found = false;
    for (size_t i = 0; !status && i < v->count; i++) {
        struct verify_call *c = &v->calls[i];
        if (done[c->part] || !(v->bisect || c->differ)) continue;
        s.call = c;
        s.found = false;
        status = look_at(&s, c->index);
        done[c->part] = c->differ || s.found;
        *found = *found || s.found;
    }
    if (!status && (v->bisect || v->drift.differ || *found)) status = look_between(v, found);
    if (!status && s.repro)
        return tt_fail(&v->cli->error, TT_BAD_INPUT, "--save-repro: found nothing at fault, so "
                       "that there is nothing to save");
    return status;
}
