// SPDX-License-Identifier: MIT
// tintype verify: a model's networks on recorded inputs, every module beside the recorded one.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/compare.h"

// A part that is verified: what its call takes and gives, and how it compared.
struct part {
    enum tt_part part;
    struct tt_size size;
    float *sample, *timesteps, *embeddings, *conditions, *out;
    int32_t *ids;
    struct compare compare;
    size_t inputs; // that were recorded and are taken
    // Of what was compared:
    size_t compared, differ, left_out, absent;
    const struct tt_recorded *first, *first_absent; // that differs; that the model lacks
    size_t hardest;                                 // needs the largest factor
};

struct verify {
    struct cli *cli;
    struct tt_model *model;
    struct tt_recording *recording;
    const char *model_path, *recording_path;
    double factor; // NaN: the part's own
    struct part parts[TT_PARTS];
    size_t count;
};

// ---- inputs ----

enum { ANY = 0 }; // a size that the recording chooses

static enum tt_status wrong_input(struct verify *v, const struct part *p, const char *name,
                                  const char *found, const struct tt_shape *expected) {
    char text[96];
    size_t used = 0;
    for (size_t i = 0; i < expected->rank; i++)
        used += (size_t)(expected->dim[i] == ANY
                             ? snprintf(text + used, sizeof text - used, "%sany", i ? ", " : "")
                             : snprintf(text + used, sizeof text - used, "%s%zu", i ? ", " : "",
                                        expected->dim[i]));
    return tt_fail(&v->cli->error, TT_BAD_INPUT,
                   "%s: input '%s': found %s, expected shape (%s) for %s of %s",
                   tt_recording_file(v->recording, p->part), name, found, text,
                   tt_part_name(p->part), tt_model_info(v->model)->name);
}

// A recorded input of the shape, whose sizes that are ANY it then has.
static enum tt_status find_input(struct verify *v, struct part *p, const char *name,
                                 struct tt_shape *shape, const struct tt_recorded **r) {
    char found[128];
    *r = tt_recording_find(v->recording, p->part, name);
    if (!*r || (*r)->kind != TT_RECORDED_INPUT) return wrong_input(v, p, name, "none", shape);
    bool same = (*r)->shape.rank == shape->rank;
    for (size_t i = 0; same && i < shape->rank; i++)
        same = shape->dim[i] == ANY || shape->dim[i] == (*r)->shape.dim[i];
    tt_shape_text(&(*r)->shape, found, sizeof found);
    if (!same) return wrong_input(v, p, name, found, shape);
    *shape = (*r)->shape;
    p->inputs++;
    return TT_OK;
}

static enum tt_status take_floats(struct verify *v, struct part *p, const char *name,
                                  struct tt_shape *shape, float **data) {
    const struct tt_recorded *r;
    enum tt_status status = find_input(v, p, name, shape, &r);
    if (!status && r->view->dtype == TT_I64)
        status = wrong_input(v, p, name, "whole numbers (I64)", shape);
    if (status) return status;
    *data = malloc(tt_shape_count(shape) * sizeof **data);
    if (!*data) return tt_fail(&v->cli->error, TT_SYSTEM, "out of memory");
    tt_view_floats(r->view, 0, tt_shape_count(shape), *data);
    return TT_OK;
}

static enum tt_status take_ids(struct verify *v, struct part *p) {
    static const char name[] = "input_ids";
    struct tt_shape shape = {2, {ANY, ANY}};
    const struct tt_recorded *r;
    enum tt_status status = find_input(v, p, name, &shape, &r);
    if (!status && r->view->dtype != TT_I64)
        status = wrong_input(v, p, name, tt_dtype_name(r->view->dtype), &shape);
    if (status) return status;
    p->size = (struct tt_size){.n = shape.dim[0], .tokens = shape.dim[1]};
    size_t n = tt_shape_count(&shape);
    p->ids = malloc(n * sizeof *p->ids);
    if (!p->ids) return tt_fail(&v->cli->error, TT_SYSTEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        int64_t id;
        memcpy(&id, (const char *)r->view->data + i * sizeof id, sizeof id);
        if (id < 0 || id > INT32_MAX)
            return tt_fail(&v->cli->error, TT_BAD_INPUT, "%s: input '%s': found %lld, expected "
                           "token ids", tt_recording_file(v->recording, p->part), name,
                           (long long)id);
        p->ids[i] = (int32_t)id;
    }
    return TT_OK;
}

static enum tt_status take_unet(struct verify *v, struct part *p) {
    const struct tt_model_info *info = tt_model_info(v->model);
    struct tt_shape sample = {4, {ANY, info->latent_channels, ANY, ANY}};
    enum tt_status status = take_floats(v, p, "sample", &sample, &p->sample);
    if (status) return status;
    p->size = (struct tt_size){sample.dim[0], sample.dim[2], sample.dim[3], 0};
    struct tt_shape timesteps = {1, {p->size.n}};
    struct tt_shape text = {3, {p->size.n, ANY, info->text_width}};
    struct tt_shape conditions = {2, {p->size.n, info->guidance_width}};
    status = take_floats(v, p, "timestep", &timesteps, &p->timesteps);
    if (!status && !info->unconditional)
        status = take_floats(v, p, "encoder_hidden_states", &text, &p->embeddings);
    if (!status && info->guidance_width)
        status = take_floats(v, p, "timestep_cond", &conditions, &p->conditions);
    p->size.tokens = info->unconditional ? 0 : text.dim[1];
    return status;
}

static enum tt_status take_picture(struct verify *v, struct part *p, size_t channels) {
    struct tt_shape sample = {4, {ANY, channels, ANY, ANY}};
    enum tt_status status = take_floats(v, p, "sample", &sample, &p->sample);
    p->size = (struct tt_size){sample.dim[0], sample.dim[2], sample.dim[3], 0};
    return status;
}

// Every recorded input is one of the model's, too: another would have changed what was recorded.
static enum tt_status check_inputs(struct verify *v, const struct part *p) {
    size_t inputs = 0;
    for (size_t i = 0; i < p->compare.count; i++)
        inputs += tt_recording_at(v->recording, p->part, i)->kind == TT_RECORDED_INPUT;
    if (inputs == p->inputs) return TT_OK;
    return tt_fail(&v->cli->error, TT_BAD_INPUT, "%s: found %zu inputs, expected %zu: that is what "
                   "%s of %s takes", tt_recording_file(v->recording, p->part), inputs, p->inputs,
                   tt_part_name(p->part), tt_model_info(v->model)->name);
}

// Inputs, and room for what the call gives.
static enum tt_status take_inputs(struct verify *v, struct part *p) {
    const struct tt_model_info *info = tt_model_info(v->model);
    enum tt_status status;
    switch (p->part) {
    case TT_PART_TEXT: status = take_ids(v, p); break;
    case TT_PART_UNET: status = take_unet(v, p); break;
    case TT_PART_VAE_ENCODE: status = take_picture(v, p, 3); break;
    default: status = take_picture(v, p, info->latent_channels); break;
    }
    if (!status) status = check_inputs(v, p);
    // It checks the sizes, so that their products below are sound.
    if (!status) status = tt_model_prepare(v->model, p->part, p->size, &v->cli->error);
    if (status) return status;
    size_t pixels = p->size.height * p->size.width, each = info->latent_channels * pixels;
    if (p->part == TT_PART_TEXT) each = p->size.tokens * info->text_width;
    if (p->part == TT_PART_VAE_ENCODE) each = 2 * info->latent_channels * pixels;
    if (p->part == TT_PART_VAE_DECODE) each = 3 * pixels * info->factor * info->factor;
    p->out = calloc(p->size.n, each * sizeof *p->out);
    return p->out ? TT_OK : tt_fail(&v->cli->error, TT_SYSTEM, "out of memory");
}

// ---- running ----

static enum tt_status call(struct verify *v, const struct part *p) {
    struct tt_error *err = &v->cli->error;
    switch (p->part) {
    case TT_PART_TEXT:
        return tt_model_text(v->model, p->ids, p->size.n, p->size.tokens, p->out, err);
    case TT_PART_UNET:
        return tt_model_unet_conditioned(v->model, p->size, p->sample, p->timesteps, p->embeddings,
                                         p->conditions, p->out, err);
    case TT_PART_VAE_ENCODE: return tt_model_encode(v->model, p->size, p->sample, p->out, err);
    default: return tt_model_decode(v->model, p->size, p->sample, p->out, err);
    }
}

static void count(struct verify *v, struct part *p) {
    for (size_t i = 0; i < p->compare.count; i++) {
        const struct tt_recorded *r = tt_recording_at(v->recording, p->part, i);
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
    enum tt_status status = compare_new(&p->compare, v->recording, p->part, factor, err);
    if (!status) status = take_inputs(v, p);
    if (status) return status;
    struct tt_observer observer = compare_observer(&p->compare);
    tt_model_observe(v->model, &observer, 1);
    status = call(v, p);
    tt_model_observe(v->model, NULL, 0);
    // A tensor of another shape comes before what it may have led to.
    if (p->compare.error.status && status != TT_CANCELLED) {
        *err = p->compare.error;
        return err->status;
    }
    if (!status && p->part == TT_PART_VAE_ENCODE)
        status = compare_moments(&p->compare, p->out, p->size.n, info->latent_channels,
                                 p->size.height * p->size.width / (info->factor * info->factor),
                                 err);
    if (status) return status;
    count(v, p);
    if (p->compared) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT,
                   "%s: found no tensor to compare, expected modules of %s of %s",
                   tt_recording_file(v->recording, p->part), tt_part_name(p->part), info->name);
}

// ---- the table ----

enum { NAME = 62 }; // columns

static void print_name(const char *name) {
    cli_print(stdout, name);
}

static void print_row(const struct tt_recorded *r, const struct comparison *c) {
    char shape[96];
    print_name(r->name);
    size_t length = strlen(r->name);
    printf("%*s %-18s ", length < NAME ? (int)(NAME - length) : 0, "",
           tt_shape_text(&r->shape, shape, sizeof shape));
    if (c->state == COMPARED)
        printf("%10.2e %9.2e %9.3g  %s\n", c->difference, r->err32, c->needed,
               c->agrees ? "ok" : "DIFFERS");
    else
        printf("%10s %9s %9s  %s\n", "-", "-", "-",
               c->state == LEFT_OUT ? "left out" : "not in the model");
}

// With --quiet only what is not as it should be.
static void print_table(const struct verify *v, const struct part *p) {
    if (v->cli->quiet && !p->differ && !p->absent) return;
    printf("%s: ", tt_part_name(p->part));
    print_name(tt_recording_file(v->recording, p->part));
    printf(", at most %g times PyTorch's own error (err32)\n", p->compare.factor);
    printf("%-*s %-18s %10s %9s %9s\n", NAME, "module", "shape", "difference", "err32", "times");
    for (size_t i = 0; i < p->compare.count; i++) {
        const struct tt_recorded *r = tt_recording_at(v->recording, p->part, i);
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
        print_name(json_string_value(json_array_get(names, i)));
    }
    if (n > MOST) printf(" and %zu more", n - MOST);
    putchar('\n');
}

// The recorded tensors, inputs of the part apart, that the run showed nothing of.
static json_t *absent(const struct verify *v, const struct part *p) {
    json_t *names = json_array();
    for (size_t i = 0; i < p->compare.count; i++) {
        const struct tt_recorded *r = tt_recording_at(v->recording, p->part, i);
        if (r->kind != TT_RECORDED_INPUT && p->compare.results[i].state == NOT_SEEN)
            json_array_append_new(names, json_string(r->name));
    }
    return names;
}

static void print_summary(const struct verify *v, const struct part *p) {
    const struct tt_recorded *hardest = tt_recording_at(v->recording, p->part, p->hardest);
    printf("%s: %zu compared, ", tt_part_name(p->part), p->compared);
    if (!p->differ)
        printf("all within %g times err32 (most: %.3g, ", p->compare.factor,
               p->compare.results[p->hardest].needed);
    else
        printf("%zu DIFFER (most: %.3g times err32, ", p->differ,
               p->compare.results[p->hardest].needed);
    print_name(hardest->name);
    puts(")");
    if (p->differ) {
        const struct tt_recorded *r = p->first;
        const struct comparison *c =
            &p->compare.results[r - tt_recording_at(v->recording, p->part, 0)];
        fputs("  FIRST TO DIFFER: ", stdout);
        print_name(r->name);
        fputs(" (", stdout);
        print_name(r->type);
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
                     "shape", shape, "difference", real(c->difference), "err32", real(r->err32),
                     "times", real(c->needed), "agrees", c->agrees);
}

static json_t *describe_part(const struct verify *v, const struct part *p) {
    json_t *tensors = json_array();
    for (size_t i = 0; i < p->compare.count; i++)
        if (p->compare.results[i].state == COMPARED)
            json_array_append_new(
                tensors, describe_tensor(tt_recording_at(v->recording, p->part, i),
                                         &p->compare.results[i]));
    return json_pack("{s:s, s:o, s:f, s:I, s:I, s:o, s:s?, s:I, s:o, s:O, s:o}", "part",
                     tt_part_name(p->part), "file",
                     cli_json_text(tt_recording_file(v->recording, p->part)),
                     "factor", p->compare.factor, "compared", (json_int_t)p->compared, "differ",
                     (json_int_t)p->differ, "times", real(p->compare.results[p->hardest].needed),
                     "first", p->first ? p->first->name : NULL, "left_out",
                     (json_int_t)p->left_out, "not_in_model", absent(v, p), "not_recorded",
                     p->compare.unrecorded, "tensors", tensors);
}

static enum tt_status print_json(const struct verify *v, bool agrees) {
    json_t *parts = json_array();
    for (size_t i = 0; i < v->count; i++)
        json_array_append_new(parts, describe_part(v, &v->parts[i]));
    json_t *root = json_pack("{s:o, s:o, s:s, s:b, s:o}", "model",
                             cli_json_text(tt_model_info(v->model)->name), "recording",
                             cli_json_text(v->recording_path), "conv",
                             v->cli->conv ? v->cli->conv : "auto", "agrees", agrees, "parts",
                             parts);
    return cli_print_json(v->cli, root, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
}

// ---- the verb ----

// The parts that were asked for, each once, in the order of a run; or all that are recorded.
static enum tt_status choose(struct verify *v, const struct cli_list *names) {
    bool wanted[TT_PARTS] = {0};
    for (int i = 0; i < names->count; i++) {
        enum tt_part part;
        enum tt_status status = cli_part(v->cli, names->item[i], &part);
        if (status) return status;
        wanted[part] = true;
        if (!tt_recording_count(v->recording, part))
            return tt_fail(&v->cli->error, TT_BAD_INPUT,
                           "%s: recording.json: parts: found none of %s, for --part, expected one",
                           v->recording_path, names->item[i]);
    }
    for (int part = 0; part < TT_PARTS; part++)
        if (names->count ? wanted[part] : tt_recording_count(v->recording, (enum tt_part)part) > 0)
            v->parts[v->count++].part = (enum tt_part)part;
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
                           tt_recording_file(v->recording, p->part), p->first_absent->name,
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
    for (size_t i = 0; !v->cli->json && i < v->count; i++) print_table(v, &v->parts[i]);
    for (size_t i = 0; !v->cli->json && i < v->count; i++) print_summary(v, &v->parts[i]);
    enum tt_status printed = v->cli->json ? print_json(v, !status) : TT_OK;
    return printed ? printed : status;
}

static void free_all(struct verify *v) {
    for (size_t i = 0; i < v->count; i++) {
        struct part *p = &v->parts[i];
        compare_free(&p->compare);
        free(p->sample);
        free(p->timesteps);
        free(p->embeddings);
        free(p->conditions);
        free(p->out);
        free(p->ids);
    }
    tt_model_close(v->model);
    tt_recording_close(v->recording);
}

enum tt_status cli_verify(struct cli *cli, int argc, char **argv) {
    struct verify v = {.cli = cli, .factor = NAN};
    struct cli_list parts = {0};
    const struct cli_option options[] = {
        {"model", 'm', CLI_TEXT, "MODEL", "model folder; default: the built-in model",
         &v.model_path},
        CLI_VARIANT(cli),
        CLI_WEIGHTS(cli),
        {"part", 0, CLI_LIST, "PART",
         "text, unet, vae-encode or vae-decode; again for more (default: all recorded)", &parts},
        {"factor", 0, CLI_NUMBER, "F",
         "how many times PyTorch's own error to allow; default: 3 to 10, by the part", &v.factor},
        CLI_CONV(cli),
        {0},
    };
    cli->every_node = true;
    enum tt_status status = cli_options(cli, options, argc, argv, &v.recording_path, 1);
    if (status || cli->help) return status;
    status = tt_recording_open(cli->files, v.recording_path, &v.recording, &cli->error);
    if (!status) status = choose(&v, &parts);
    if (!status) status = cli_open_model(cli, v.model_path, &v.model);
    if (!status) status = verify(&v);
    free_all(&v);
    return status;
}
