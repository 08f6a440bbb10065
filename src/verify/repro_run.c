// SPDX-License-Identifier: MIT
// A folder of a difference alone, run: without the model, from its own values and weights.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/problem.h"
#include "io/json.h"
#include "verify/repro.h"

// A value: as it is read from the file, or as a node makes it. Data lie as plans have them.
struct made {
    const char *name;
    size_t n;
    bool whole;
    float *data;
};

struct repro {
    const struct tt_engine *engine;
    struct tt_folder *folder;
    struct tt_json *json;
    struct tt_bytes bytes;
    struct tt_safetensors *file;
    struct tt_source weights;
    struct made *made;
    size_t count;
};

static const struct tt_view *find_weight(void *context, const char *name) {
    return tt_safetensors_find(context, name);
}

static struct made *add(struct repro *r, const char *name, size_t n, bool whole,
                        struct tt_error *err) {
    struct made *m = &r->made[r->count];
    *m = (struct made){name, n, whole, malloc(n * sizeof *m->data + 1)};
    if (!m->data) {
        tt_fail(err, TT_SYSTEM, "out of memory for '%s'", name);
        return NULL;
    }
    r->count++;
    return m;
}

// A tensor of the file, turned into rows of channels.
static struct made *read_value(struct repro *r, const char *name, struct tt_error *err) {
    const struct tt_view *view = tt_safetensors_find(r->file, name);
    if (!view || (view->dtype != TT_F32 && view->dtype != TT_I64)) {
        tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s': found %s, expected F32 or I64",
                tt_safetensors_name(r->file), name, view ? tt_dtype_name(view->dtype) : "none");
        return NULL;
    }
    const struct tt_shape *s = &view->shape;
    size_t n = tt_shape_count(s);
    struct made *m = add(r, name, n, view->dtype == TT_I64, err);
    for (size_t i = 0; m && m->whole && i < n; i++) {
        int64_t wide;
        memcpy(&wide, (const char *)view->data + 8 * i, sizeof wide);
        ((int32_t *)m->data)[i] = (int32_t)wide;
    }
    if (!m || m->whole) return m;
    float *plain = malloc(n * sizeof *plain + 1);
    if (!plain) {
        tt_fail(err, TT_SYSTEM, "out of memory for '%s'", name);
        return NULL;
    }
    tt_view_floats(view, 0, n, plain);
    if (s->rank == 4)
        r->engine->kernels.nchw_to_nhwc_f32(plain, m->data, s->dim[0], s->dim[1],
                                            s->dim[2] * s->dim[3]);
    else
        memcpy(m->data, plain, n * sizeof *plain);
    free(plain);
    return m;
}

static struct made *value_of(struct repro *r, const char *name, struct tt_error *err) {
    for (size_t i = 0; i < r->count; i++)
        if (!strcmp(r->made[i].name, name)) return &r->made[i];
    return read_value(r, name, err);
}

// ---- nodes ----

static enum tt_status fill(struct repro *r, const json_t *inputs, const char *name,
                           const struct tt_tape *tape, const struct tt_problem_values *values,
                           struct tt_plan *plan, struct tt_error *err) {
    for (size_t j = 0; j < TT_MAX_INPUTS && values->input[j] != TT_NO_VALUE; j++) {
        const char *from = json_string_value(json_array_get(inputs, j));
        const struct tt_tensor *tensor = &tape->tensors[values->input[j]];
        struct made *m = from ? value_of(r, from, err) : NULL;
        if (!m && err->status) return err->status;
        if (!m || m->n != tt_shape_count(&tensor->shape) || m->whole != (tensor->dtype == TT_I32))
            return tt_fail(err, TT_BAD_INPUT, "%s: '%s': input %zu: found %zu elements, expected "
                           "%zu", tt_json_file(r->json), name, j, m ? m->n : 0,
                           tt_shape_count(&tensor->shape));
        memcpy(tt_plan_data(plan, values->input[j]), m->data, m->n * sizeof *m->data);
    }
    return TT_OK;
}

// Ids must be rows of their table: nothing below looks.
static enum tt_status check_ids(const struct repro *r, const struct tt_problem *p,
                                const struct tt_problem_values *values, const struct tt_tape *tape,
                                struct tt_plan *plan, const char *name, struct tt_error *err) {
    int j = p->op == TT_OP_embedding ? 0 : p->op == TT_OP_take_row ? 1 : -1;
    if (j < 0) return TT_OK;
    const int32_t *ids = (const int32_t *)tt_plan_data(plan, values->input[j]);
    for (size_t i = 0; i < tt_shape_count(&tape->tensors[values->input[j]].shape); i++)
        if (ids[i] < 0 || (size_t)ids[i] >= p->size[1])
            return tt_fail(err, TT_BAD_INPUT, "%s: '%s': found row %d, expected 0 to %zu",
                           tt_json_file(r->json), name, (int)ids[i], p->size[1] - 1);
    return TT_OK;
}

static enum tt_status run_planned(struct repro *r, const struct tt_problem *p,
                                  const struct tt_problem_values *values,
                                  const struct tt_tape *tape, struct tt_plan *plan,
                                  const json_t *node, struct tt_error *err) {
    const char *name = json_string_value(json_object_get(node, "name"));
    enum tt_status status =
        fill(r, json_object_get(node, "inputs"), name, tape, values, plan, err);
    if (!status) status = check_ids(r, p, values, tape, plan, name, err);
    if (!status) status = tt_plan_run(plan, &r->engine->kernels, NULL, 0, err);
    if (status) return status;
    size_t n = tt_shape_count(&tape->tensors[values->output].shape);
    struct made *m = add(r, name, n, false, err);
    if (!m) return TT_SYSTEM;
    memcpy(m->data, tt_plan_data(plan, values->output), n * sizeof *m->data);
    return TT_OK;
}

static enum tt_status run_node(struct repro *r, const json_t *node, size_t i,
                               struct tt_error *err) {
    const char *text = json_string_value(json_object_get(node, "problem"));
    const char *name = json_string_value(json_object_get(node, "name"));
    struct tt_problem problem;
    struct tt_problem_values values;
    struct tt_tape tape = {0};
    struct tt_plan *plan = NULL;
    if (!text || !name)
        return tt_fail(err, TT_BAD_INPUT, "%s: nodes[%zu]: found no name or problem, expected both",
                       tt_json_file(r->json), i);
    enum tt_status status = tt_problem_parse(text, &problem, err);
    if (status) return tt_fail_prefix(err, "%s: nodes[%zu]", tt_json_file(r->json), i);
    if (problem.backward || problem.image_bias || problem.residual || problem.silu)
        return tt_fail(err, TT_BAD_INPUT, "%s: nodes[%zu]: found '%.200s', expected a node alone",
                       tt_json_file(r->json), i, text);
    tt_problem_tape(&problem, name, &tape, &values);
    struct tt_bank *bank = tt_bank_new(&r->weights, &(struct tt_bank_options){.in_use = true});
    status = tt_tape_status(&tape, err);
    if (!status && !bank) status = tt_fail(err, TT_SYSTEM, "out of memory for '%s'", name);
    if (!status) status = tt_plan_new(&tape, bank, &r->engine->plan, &plan, err);
    if (!status) status = run_planned(r, &problem, &values, &tape, plan, node, err);
    tt_plan_free(plan);
    tt_bank_free(bank);
    tt_tape_free(&tape);
    return status;
}

// ---- the folder ----

static enum tt_status open_folder(struct repro *r, const char *path, struct tt_files *files,
                                  struct tt_error *err) {
    static const char *const formats[] = {"tintype-repro", NULL};
    struct tt_bytes bytes = {0};
    char where[1024];
    enum tt_status status = tt_folder_open_any(path, &r->folder, err);
    if (status) return status;
    tt_folder_note_in(r->folder, files);
    status = tt_folder_read(r->folder, TT_REPRO_JSON, &bytes, err);
    if (status) return status;
    tt_folder_where(r->folder, TT_REPRO_JSON, where, sizeof where);
    status = tt_json_open(where, bytes.data, bytes.size, &r->json, err);
    tt_bytes_free(&bytes);
    if (status) return status;
    tt_json_choice(r->json, "format", formats, -1);
    tt_json_int(r->json, "version", 1, 1);
    status = tt_json_status(r->json, err);
    if (!status) status = tt_folder_map(r->folder, TT_REPRO_VALUES, &r->bytes, err);
    tt_folder_where(r->folder, TT_REPRO_VALUES, where, sizeof where);
    if (!status)
        status = tt_safetensors_open_memory(where, r->bytes.data, r->bytes.size, &r->file, err);
    r->weights = (struct tt_source){.context = r->file, .find = find_weight};
    return status;
}

static enum tt_status judge(struct repro *r, struct tt_repro *told, struct tt_error *err) {
    struct tt_bounds bounds = {.absolute = tt_json_number(r->json, "absolute"),
                               .relative = tt_json_number(r->json, "relative"),
                               .l2 = tt_json_number_or(r->json, "l2", 0)};
    const char *output = tt_json_string(r->json, "output");
    enum tt_status status = tt_json_status(r->json, err);
    if (status) return status;
    const struct made *ours = value_of(r, output, err);
    const struct made *expected = ours ? value_of(r, "expected", err) : NULL;
    if (!expected) return err->status;
    if (ours->n != expected->n || ours->whole || expected->whole)
        return tt_fail(err, TT_BAD_INPUT, "%s: tensor 'expected': found %zu elements, expected %zu "
                       "floats", tt_safetensors_name(r->file), expected->n, ours->n);
    double apart = 0, norm = 0;
    told->agrees = true;
    for (size_t i = 0; i < ours->n; i++) {
        double b = (double)expected->data[i], d = fabs((double)ours->data[i] - b);
        if (!isfinite(d)) d = INFINITY;
        if (!(d <= bounds.absolute + bounds.relative * fabs(b))) told->agrees = false;
        apart += d * d;
        norm += b * b;
        if (d > told->difference) told->difference = d;
        if (fabs(b) > told->largest) told->largest = fabs(b);
    }
    if (bounds.l2 > 0 && !(apart <= bounds.l2 * bounds.l2 * norm)) told->agrees = false;
    told->allowed = bounds.absolute;
    snprintf(told->name, sizeof told->name, "%s", tt_json_string(r->json, "name"));
    return TT_OK;
}

bool tt_is_repro(const char *path) {
    struct tt_folder *folder;
    if (tt_folder_open_any(path, &folder, NULL)) return false;
    bool is = tt_folder_has(folder, TT_REPRO_JSON);
    tt_folder_close(folder);
    return is;
}

enum tt_status tt_repro_run(const struct tt_engine *engine, struct tt_files *files,
                            const char *path, struct tt_repro *told, struct tt_error *err) {
    struct repro r = {.engine = engine};
    struct tt_error own = {TT_OK, ""};
    struct tt_error *e = err ? err : &own;
    *told = (struct tt_repro){0};
    enum tt_status status = open_folder(&r, path, files, e);
    const json_t *nodes = status ? NULL : tt_json_value(r.json, "nodes");
    size_t count = json_array_size(nodes);
    if (!status) {
        r.weights.name = tt_safetensors_name(r.file);
        r.made = calloc(tt_safetensors_count(r.file) + count + 2, sizeof *r.made);
        if (!r.made) status = tt_fail(e, TT_SYSTEM, "out of memory for %s", path);
    }
    for (size_t i = 0; !status && i < count; i++)
        status = run_node(&r, json_array_get(nodes, i), i, e);
    if (!status) status = judge(&r, told, e);
    told->nodes = count;
    for (size_t i = 0; i < r.count; i++) free(r.made[i].data);
    free(r.made);
    tt_safetensors_close(r.file);
    tt_bytes_free(&r.bytes);
    tt_json_free(r.json);
    tt_folder_close(r.folder);
    return status;
}
