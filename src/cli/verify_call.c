// SPDX-License-Identifier: MIT
// One call of a part beside the recorded one: an observer compares every module's output, and what
// modules are given, as the run goes along. In isolation an override then puts the recorded values
// in their place, so that whoever reads them reads what the recorded module read.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

static const struct tt_recorded *recorded_at(const struct verify_call *c, size_t i) {
    return tt_recording_at(c->of->recording, c->index, i);
}

static enum tt_status out_of_memory(const struct verify_call *c) {
    return tt_fail(&c->of->cli->error, TT_SYSTEM, "out of memory for comparing");
}

// ---- rows ----

// The length of PATH when name is "PATH.in": what the module at PATH is given first; else 0.
static size_t first_input(const char *name) {
    size_t length = strlen(name);
    return length > 3 && !strcmp(name + length - 3, ".in") ? length - 3 : 0;
}

static enum tt_status add_row(struct verify_call *c, size_t i) {
    const struct tt_recorded *r = recorded_at(c, i);
    struct verify_row *row = &c->rows[i];
    bool gradient = r->kind == TT_RECORDED_GRADIENT;
    *row = (struct verify_row){.name = strdup(r->name), .type = strdup(r->type), .kind = r->kind,
                               .own = verify_name_of(c->of->names, r->name), .shape = r->shape,
                               .limit_l2 = NAN, .recorded = i};
    c->count = i + 1;
    if (!row->name || !row->type || !row->own) return out_of_memory(c);
    bool second = r->kind == TT_RECORDED_GIVEN && !first_input(row->own);
    if (second || r->view->dtype == TT_I64) row->state = VERIFY_LEFT_OUT;
    if (r->kind == TT_RECORDED_SEED) return TT_OK;
    json_t *places = gradient ? c->gradients : c->places;
    if (json_object_get(places, row->own))
        return tt_fail(&c->of->cli->error, TT_BAD_INPUT, "%s: tensor '%s': found two that are "
                       "called '%s' here, expected one", c->file, r->name, row->own);
    return json_object_set_new(places, row->own, json_integer((json_int_t)i)) ? out_of_memory(c)
                                                                              : TT_OK;
}

static enum tt_status make_rows(struct verify_call *c) {
    size_t count = tt_recording_count(c->of->recording, c->index);
    const char *file = tt_recording_file(c->of->recording, c->index);
    c->rows = calloc(count + 1, sizeof *c->rows);
    c->places = json_object();
    c->gradients = json_object();
    c->modules = json_object();
    c->unrecorded = json_array();
    c->file = strdup(file ? file : "");
    if (!c->rows || !c->places || !c->gradients || !c->modules || !c->unrecorded || !c->file)
        return out_of_memory(c);
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < count; i++) status = add_row(c, i);
    return status;
}

static struct verify_row *row_of(const struct verify_call *c, const json_t *places,
                                 const char *own) {
    const json_t *place = json_object_get(places, own);
    return place ? &c->rows[json_integer_value(place)] : NULL;
}

// ---- the hooks ----

// Whether `step` is the module of a recorded input "PATH.in", or a step inside that module.
static bool reads(const char *step, const char *own) {
    size_t length = first_input(own);
    return !strncmp(step, own, length) && (!step[length] || step[length] == '.');
}

// A convolution that pads on two sides reads less than PyTorch's, which is given the padded
// picture.
static bool is_padded(const struct tt_shape *recorded, const struct tt_shape *own) {
    return recorded->rank == 4 && own->rank == 4 && recorded->dim[0] == own->dim[0] &&
           recorded->dim[1] == own->dim[1] && recorded->dim[2] == own->dim[2] + 1 &&
           recorded->dim[3] == own->dim[3] + 1;
}

// What a step of the backward pass was given is the gradient of what modules returned.
static void before_back(struct verify_call *c, const struct tt_step *step) {
    struct tt_shape shape;
    const char *module;
    const float *data = tt_step_gradient(step, &shape);
    for (size_t i = 0; data && (module = tt_step_gradient_of(step, i)); i++) {
        struct verify_row *row = row_of(c, c->gradients, module);
        if (!row || row->state != VERIFY_NOT_SEEN) continue;
        // A module may call what the step gives another shape: rows of pixels are a picture.
        bool other = !tt_shape_same_order(&row->shape, &shape) &&
                     tt_shape_count(&row->shape) == tt_shape_count(&shape);
        verify_check(c, row, &(struct verify_ours){data, other ? &row->shape : &shape,
                                                   TT_LIES_STEP});
    }
}

// What a module is given is what its first step reads.
static int before(void *context, const struct tt_step *step) {
    struct verify_call *c = context;
    struct tt_shape shape;
    const float *data = tt_step_input(step, 0, &shape);
    c->given = NULL;
    if (c->back) before_back(c, step);
    for (size_t i = 0; !c->back && data && i < c->count; i++) {
        struct verify_row *row = &c->rows[i];
        if (row->kind != TT_RECORDED_GIVEN || row->state != VERIFY_NOT_SEEN) continue;
        if (!reads(tt_step_name(step), row->own)) continue;
        if (is_padded(&row->shape, &shape)) {
            row->state = VERIFY_LEFT_OUT;
            continue;
        }
        verify_check(c, row, &(struct verify_ours){data, &shape, TT_LIES_STEP});
        c->given = row;
    }
    return 0;
}

// The row of a module's output, as it was compared.
static struct verify_row *output_row(struct verify_call *c, const char *name) {
    struct verify_row *row = row_of(c, c->places, name);
    return row && row->kind == TT_RECORDED_OUTPUT ? row : NULL;
}

static bool seen(struct verify_call *c, const struct tt_step *step, const char *name) {
    struct verify_row *row = output_row(c, name);
    verify_names_met(c->of->names, name);
    if (row && row->state == VERIFY_NOT_SEEN)
        verify_check(c, row, &(struct verify_ours){tt_step_output(step), tt_step_shape(step),
                                                   TT_LIES_STEP});
    return row;
}

static void look_for_error(struct verify_call *c, const char *name) {
    struct verify_row *row = output_row(c, name);
    const struct tt_recorded *r = row ? recorded_at(c, row->recorded) : NULL;
    double error = r ? verify_error(c, r) : 0;
    if (error > c->step_error) c->step_error = error;
}

static void after(void *context, const struct tt_step *step) {
    struct verify_call *c = context;
    const char *module;
    c->looked.view = NULL; // the buffer has other values now
    if (c->back) return;
    c->steps++;
    c->step_error = 0;
    look_for_error(c, tt_step_name(step));
    for (size_t i = 0; (module = tt_step_module(step, i)); i++) look_for_error(c, module);
    seen(c, step, tt_step_name(step));
    for (size_t i = 0; (module = tt_step_module(step, i)); i++) {
        json_object_set_new(c->modules, module, json_true());
        if (!seen(c, step, module)) json_array_append_new(c->unrecorded, json_string(module));
    }
    c->step_error = 0;
}

static void put(struct verify_call *c, const struct verify_row *row, const struct tt_shape *shape,
                float *to) {
    c->looked.view = NULL;
    if (!row || row->state != VERIFY_COMPARED) return;
    const struct tt_recorded *r = recorded_at(c, row->recorded);
    tt_lay_steps(c->of->cli->engine, r->view, shape, to);
    tt_recording_release(c->of->recording, c->index, r);
}

static void replace_input(void *context, const struct tt_step *step, size_t i,
                          const struct tt_shape *shape, float *x) {
    struct verify_call *c = context;
    (void)step;
    if (!i) put(c, c->given, shape, x);
}

// All names of an output have the same values: one of them will do.
static void replace_output(void *context, const struct tt_step *step, float *y) {
    struct verify_call *c = context;
    const char *module;
    struct verify_row *row = output_row(c, tt_step_name(step));
    for (size_t i = 0; !row && (module = tt_step_module(step, i)); i++)
        row = output_row(c, module);
    put(c, row, tt_step_shape(step), y);
}

// ---- running ----

// Whole numbers are token ids.
static enum tt_status copy_ids(const struct verify_call *c, const struct tt_recorded *r,
                               int32_t *ids) {
    for (size_t i = 0; i < tt_shape_count(&r->shape); i++) {
        int64_t id;
        memcpy(&id, (const char *)r->view->data + i * sizeof id, sizeof id);
        if (id < 0 || id > INT32_MAX)
            return tt_fail(&c->of->cli->error, TT_BAD_INPUT, "%s: input '%s': found %lld, expected "
                           "token ids", c->file, r->name, (long long)id);
        ids[i] = (int32_t)id;
    }
    return TT_OK;
}

// What a call is given, and room for the main one of what it gives.
struct given {
    struct tt_view inputs[TT_PORTS];
    size_t count;
    struct tt_room out;
    float *seed; // the gradient of it; NULL: there is no backward pass
};

static enum tt_status take_input(const struct verify_call *c, struct given *g,
                                 const struct verify_row *row) {
    const struct tt_recorded *r = recorded_at(c, row->recorded);
    struct tt_error *err = &c->of->cli->error;
    if (g->count == TT_PORTS)
        return tt_fail(err, TT_BAD_INPUT, "%s: found more than %d inputs", c->file, TT_PORTS);
    bool ids = r->view->dtype == TT_I64;
    size_t n = tt_shape_count(&r->shape), each = ids ? sizeof(int32_t) : sizeof(float);
    if (r->statistics)
        return tt_fail(err, TT_BAD_INPUT, "%s: input '%s': found statistics, expected its values",
                       c->file, r->name);
    void *data = malloc(n * each);
    if (!data) return out_of_memory(c);
    verify_names_met(c->of->names, row->own);
    g->inputs[g->count++] =
        (struct tt_view){row->own, ids ? TT_I32 : TT_F32, r->shape, data, n * each};
    if (ids) return copy_ids(c, r, data);
    tt_view_floats(r->view, 0, n, data);
    return TT_OK;
}

static enum tt_status take_seed(const struct verify_call *c, struct given *g,
                                const struct verify_row *row) {
    const struct tt_recorded *r = recorded_at(c, row->recorded);
    char found[96], expected[96];
    size_t n = tt_shape_count(&g->out.shape);
    if (strcmp(row->own, g->out.name) || g->seed || r->statistics ||
        !tt_shape_same_order(&r->shape, &g->out.shape))
        return tt_fail(&c->of->cli->error, TT_BAD_INPUT, "%s: seed '%s': found shape %s, expected "
                       "one seed, '%s', of shape %s", c->file, r->name,
                       tt_shape_text(&r->shape, found, sizeof found), g->out.name,
                       tt_shape_text(&g->out.shape, expected, sizeof expected));
    g->seed = malloc(n * sizeof *g->seed);
    if (!g->seed) return out_of_memory(c);
    tt_view_floats(r->view, 0, n, g->seed);
    return TT_OK;
}

// What is recorded must be what the part takes: another input would have changed what was recorded.
static enum tt_status take_inputs(struct verify_call *c, struct given *g) {
    const struct verify *v = c->of;
    struct tt_error *err = &v->cli->error;
    struct tt_port ports[TT_PORTS];
    struct tt_size size;
    size_t count = 0, main = 0;
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < c->count; i++)
        if (c->rows[i].kind == TT_RECORDED_INPUT) status = take_input(c, g, &c->rows[i]);
    if (status) return status;
    status = tt_part_size_of(v->model, c->part, g->inputs, g->count, &size, err);
    if (status == TT_BAD_INPUT) return tt_fail_prefix(err, "%s", c->file);
    if (!status) status = tt_part_ports(v->model, c->part, size, ports, &count, err);
    if (status) return status;
    while (!ports[main].output) main++;
    const struct tt_port *port = &ports[main];
    size_t n = tt_shape_count(&port->shape), each = tt_dtype_size(port->dtype);
    g->out = (struct tt_room){port->name, port->dtype, port->shape, calloc(n, each), n * each};
    if (!g->out.data) return out_of_memory(c);
    for (size_t i = 0; !status && i < c->count; i++)
        if (c->rows[i].kind == TT_RECORDED_SEED) status = take_seed(c, g, &c->rows[i]);
    if (!status && g->seed) status = tt_session_prepare_training(v->session, c->part, size, err);
    return status;
}

// What is no module's output but made of one: mean, logvar and std of the encoder's moments.
static enum tt_status check_moments(struct verify_call *c, const float *moments,
                                    const struct tt_shape *of) {
    static const char *const names[] = {"mean", "logvar", "std"};
    size_t n = of->dim[0], channels = of->dim[1] / 2, pixels = of->dim[2] * of->dim[3];
    struct tt_shape shape = {3, {n, channels, pixels}};
    size_t each = channels * pixels;
    float *made = malloc(n * each * sizeof *made);
    if (!made) return out_of_memory(c);
    for (int k = 0; k < 3; k++) {
        struct verify_row *row = output_row(c, names[k]);
        if (!row || row->state != VERIFY_NOT_SEEN) continue;
        for (size_t i = 0; i < n * each; i++) {
            const float *image = moments + i / each * 2 * each;
            float logvar = fminf(fmaxf(image[each + i % each], -30.0f), 20.0f);
            made[i] = k == 0 ? image[i % each] : k == 1 ? logvar : expf(0.5f * logvar);
        }
        verify_check(c, row, &(struct verify_ours){made, &shape, TT_LIES_TORCH});
    }
    free(made);
    return TT_OK;
}

// Gradients of parameters are there when all steps have run. A module whose gradient no step of
// ours is given by itself is left out.
static void check_parameters(struct verify_call *c) {
    for (size_t i = 0; i < c->count; i++) {
        struct verify_row *row = &c->rows[i];
        struct tt_shape shape;
        if (row->kind != TT_RECORDED_GRADIENT || row->state != VERIFY_NOT_SEEN) continue;
        const float *data = tt_session_gradient(c->of->session, c->part, row->own, &shape);
        if (data) verify_check(c, row, &(struct verify_ours){data, &shape, TT_LIES_TORCH});
        else if (json_object_get(c->modules, row->own)) row->state = VERIFY_LEFT_OUT;
    }
}

static bool saw_not_finite(const struct verify_call *c) {
    for (size_t i = 0; i < c->count; i++)
        if (c->rows[i].d.nan_ours || c->rows[i].d.infinite_ours) return true;
    return false;
}

static enum tt_status run(struct verify *v, struct verify_call *c, struct given *g) {
    struct tt_error *err = &v->cli->error;
    struct tt_observer observer = {c, before, after};
    struct tt_override override = {c, replace_input, replace_output};
    tt_session_observe(v->session, &observer, 1);
    if (v->mode == VERIFY_ISOLATED) tt_session_override(v->session, &override);
    enum tt_status status = tt_part_run(v->session, c->part, g->inputs, g->count, &g->out, 1, err);
    tt_session_override(v->session, NULL);
    // Outputs that are not finite have rows as others do.
    bool finite = status != TT_BAD_INPUT || c->error.status || !saw_not_finite(c);
    if (!finite) {
        *err = (struct tt_error){0};
        status = TT_OK;
    }
    if (g->seed) json_array_clear(c->unrecorded); // modules' outputs are those of the way there
    if (!status && finite && g->seed) {
        c->back = true;
        status = tt_session_backward(v->session, c->part, g->seed, err);
        if (!status) check_parameters(c);
    }
    tt_session_observe(v->session, NULL, 0);
    if (!status && finite && !strcmp(g->out.name, "moments"))
        status = check_moments(c, g->out.data, &g->out.shape);
    // A tensor of another shape comes before what it may have led to.
    if (c->error.status && status != TT_CANCELLED) {
        *err = c->error;
        return err->status;
    }
    return status;
}

// ---- sums ----

static int by_order(const void *a, const void *b) {
    const struct verify_row *x = a, *y = b;
    if (!x->order != !y->order) return x->order ? -1 : 1;
    if (x->order != y->order) return x->order < y->order ? -1 : 1;
    return x->recorded < y->recorded ? -1 : x->recorded > y->recorded;
}

static bool is_worse(const struct verify_row *a, const struct verify_row *b) {
    return !b || a->times > b->times;
}

// What a NaN in the recording makes differ is no fault of ours.
static bool is_bad(const struct verify_row *row) {
    return !row->agrees && row->d.nan_reference + row->d.infinite_reference >
                               row->d.nan_ours + row->d.infinite_ours;
}

static void count(struct verify_call *c) {
    qsort(c->rows, c->count, sizeof *c->rows, by_order);
    for (size_t i = 0; i < c->count; i++) {
        const struct verify_row *row = &c->rows[i];
        if (row->kind == TT_RECORDED_INPUT || row->kind == TT_RECORDED_SEED) continue;
        if (row->state == VERIFY_COMPARED) {
            c->compared++;
            if (is_worse(row, c->hardest)) c->hardest = row;
            if (is_bad(row)) {
                if (!c->bad++) c->first_bad = row;
            } else if (!row->agrees && !c->differ++) {
                c->first = row;
            }
        } else if (row->state == VERIFY_LEFT_OUT) {
            c->left_out++;
        } else if (!c->absent++) {
            c->first_absent = row;
        }
    }
}

enum tt_status verify_call_run(struct verify *v, struct verify_call *c) {
    struct given g = {.count = 0};
    struct tt_error *err = &v->cli->error;
    enum tt_status status = tt_recording_load(v->recording, c->index, err);
    if (!status) status = make_rows(c);
    if (!status) verify_choose_limit(c);
    if (!status) status = take_inputs(c, &g);
    if (!status) status = run(v, c, &g);
    for (size_t i = 0; i < g.count; i++) free((void *)(uintptr_t)g.inputs[i].data);
    free(g.out.data);
    free(g.seed);
    json_decref(c->places);
    json_decref(c->gradients);
    json_decref(c->modules);
    c->places = c->gradients = c->modules = NULL;
    tt_recording_unload(v->recording, c->index);
    if (status) return status;
    count(c);
    if (c->compared) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: found no tensor to compare, expected modules of %s of "
                   "%s", c->file, tt_part_name(c->part), tt_model_info(v->model)->name);
}

void verify_call_free(struct verify_call *c) {
    for (size_t i = 0; i < c->count; i++) {
        free(c->rows[i].name);
        free(c->rows[i].type);
        free(c->rows[i].own);
    }
    free(c->rows);
    free(c->name);
    free(c->file);
    json_decref(c->unrecorded);
    json_decref(c->places);
    json_decref(c->gradients);
    json_decref(c->modules);
}
