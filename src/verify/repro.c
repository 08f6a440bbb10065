// SPDX-License-Identifier: MIT
#include "verify/repro.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "graph/problem.h"
#include "graph/steps.h"

// ---- values ----

// What will be written as one file; the arrays are owned.
struct values {
    struct tt_view *views;
    size_t count, room;
};

static void free_values(struct values *v) {
    for (size_t i = 0; i < v->count; i++) {
        free((void *)(uintptr_t)v->views[i].name);
        free((void *)(uintptr_t)v->views[i].data);
    }
    free(v->views);
}

// Takes data, which may be NULL without memory.
static enum tt_status put(struct values *v, const char *name, enum tt_dtype dtype,
                          const struct tt_shape *shape, void *data, struct tt_error *err) {
    char *own = strdup(name);
    if (!own || !data || v->count == v->room) {
        free(own);
        free(data);
        return tt_fail(err, TT_SYSTEM, "out of memory for '%s'", name);
    }
    v->views[v->count++] = (struct tt_view){own, dtype, *shape, data,
                                            tt_shape_count(shape) * tt_dtype_size(dtype)};
    return TT_OK;
}

// A value as PyTorch has it: whole numbers as I64.
static enum tt_status put_value(struct values *v, const struct tt_alone *alone, const char *name,
                                tt_value value, const void *data, struct tt_error *err) {
    const struct tt_shape *s = &alone->network.tape.tensors[value].shape;
    size_t n = tt_shape_count(s);
    if (tt_alone_is_whole(alone, value)) {
        int64_t *wide = malloc(n * sizeof *wide);
        for (size_t i = 0; wide && i < n; i++) wide[i] = ((const int32_t *)data)[i];
        return put(v, name, TT_I64, s, wide, err);
    }
    float *out = malloc(n * sizeof *out + 1);
    if (out && s->rank == 4)
        alone->session->engine->kernels.nhwc_to_nchw_f32(data, out, s->dim[0], s->dim[1],
                                                         s->dim[2] * s->dim[3]);
    else if (out)
        memcpy(out, data, n * sizeof *out);
    return put(v, name, TT_F32, s, out, err);
}

static enum tt_status put_param(struct values *v, const struct tt_alone *alone,
                                const struct tt_param *param, struct tt_error *err) {
    const struct tt_view *found;
    struct tt_view view;
    for (size_t i = 0; i < v->count; i++)
        if (!strcmp(v->views[i].name, param->name)) return TT_OK;
    enum tt_status status = tt_find_checked(&alone->weights, param, &found, err);
    if (!status) status = tt_source_acquire(&alone->weights, found, &view, err);
    if (status) return status;
    float *data = malloc(tt_shape_count(&param->shape) * sizeof *data);
    if (data) tt_view_floats(&view, 0, tt_shape_count(&param->shape), data);
    tt_source_release(&alone->weights, &view);
    return put(v, param->name, TT_F32, &param->shape, data, err);
}

// Inputs, weights, what is made, and what was recorded.
static enum tt_status collect(const struct tt_stretch *s, size_t k, struct values *v,
                              struct tt_error *err) {
    const struct tt_alone *alone = s->alone;
    const struct tt_tape *tape = &alone->network.tape;
    enum tt_status status = TT_OK;
    char name[512];
    v->room = ((size_t)s->target + 2) * (1 + TT_MAX_PARAMS) + 2;
    v->views = calloc(v->room, sizeof *v->views);
    if (!v->views) return tt_fail(err, TT_SYSTEM, "out of memory for a folder");
    for (int i = 0; !status && i <= s->target; i++) {
        if (s->data[i] && !s->made[i])
            status = put_value(v, alone, tt_repro_name(s, i, name, sizeof name), i, s->data[i],
                               err);
        for (int j = 0; !status && s->made[i] && j < TT_MAX_PARAMS; j++)
            if (tape->nodes[i].param[j]) status = put_param(v, alone, tape->nodes[i].param[j], err);
    }
    void *recorded = status ? NULL : tt_alone_load(alone, k);
    if (!status && !recorded) status = tt_fail(err, TT_SYSTEM, "out of memory for a folder");
    if (!status) status = put_value(v, alone, "tintype", s->target, s->data[s->target], err);
    // As rows, which the made ones are, too: what was recorded may be shaped otherwise.
    if (!status) status = put_value(v, alone, "expected", s->target, recorded, err);
    free(recorded);
    return status;
}

// ---- how it is made ----

static enum tt_status problem_of(const struct tt_alone *alone, const struct tt_node *node,
                                 char *text, size_t size, struct tt_error *err) {
    static const char *const names[TT_MAX_INPUTS] = {"0", "1", "2", "3"};
    const struct tt_tape *from = &alone->network.tape;
    struct tt_tape tape = {0};
    struct tt_steps steps = {0};
    struct tt_problem problem;
    tt_value in[TT_MAX_INPUTS];
    for (int j = 0; j < node->input_count; j++)
        in[j] = tt_nn_input(&tape, names[j], from->tensors[node->input[j]].shape,
                            from->tensors[node->input[j]].dtype);
    tt_set_output(&tape, tt_nn_copy(&tape, node, in, from->tensors[node->output].shape));
    enum tt_status status = tt_steps_make(&tape, TT_FOLD_NOTHING, false, &steps, err);
    if (!status && tt_problem_of_step(&steps.step[0], &problem)) {
        problem.dtype = TT_F32; // as the weights are written
        tt_problem_text(&problem, text, size);
    }
    tt_steps_free(&steps);
    tt_tape_free(&tape);
    return status;
}

static json_t *shape_of(const struct tt_shape *s) {
    json_t *list = json_array();
    for (size_t i = 0; i < s->rank; i++)
        json_array_append_new(list, json_integer((json_int_t)s->dim[i]));
    return list;
}

static enum tt_status describe_node(const struct tt_stretch *s, int i, json_t *nodes,
                                    struct tt_error *err) {
    const struct tt_node *node = &s->alone->network.tape.nodes[i];
    char problem[TT_PROBLEM_TEXT] = "", text[512];
    json_t *inputs = json_array();
    enum tt_status status = problem_of(s->alone, node, problem, sizeof problem, err);
    for (int j = 0; j < node->input_count; j++) {
        tt_value root = s->alone->root[node->input[j]];
        if (s->made[root])
            snprintf(text, sizeof text, "%s", s->alone->network.tape.nodes[root].name);
        else
            tt_repro_name(s, root, text, sizeof text);
        json_array_append_new(inputs, json_string(text));
    }
    json_array_append_new(nodes, json_pack("{s:s, s:s, s:o}", "name", node->name, "problem",
                                           problem, "inputs", inputs));
    return status;
}

static enum tt_status describe(const struct tt_stretch *s, size_t k, struct tt_bounds bounds,
                               char **text, struct tt_error *err) {
    const struct tt_alone *alone = s->alone;
    const struct tt_recorded *r = tt_recording_at(alone->recording, alone->call, k);
    json_t *nodes = json_array();
    enum tt_status status = TT_OK;
    for (int i = 0; !status && i <= s->target; i++)
        if (s->made[i]) status = describe_node(s, i, nodes, err);
    char output[512];
    if (s->made_count) snprintf(output, sizeof output, "%s",
                                alone->network.tape.nodes[s->target].name);
    else tt_repro_name(s, s->target, output, sizeof output);
    json_t *root = json_pack(
        "{s:s, s:i, s:s, s:s, s:I, s:s, s:s, s:o, s:f, s:f, s:f, s:s, s:o}", "format",
        "tintype-repro", "version", 1, "model", tt_model_info(alone->session->model)->name, "part",
        tt_part_name(alone->part), "call",
        (json_int_t)tt_recording_call(alone->recording, alone->call)->call, "name", r->name, "type",
        r->type, "shape", shape_of(&r->shape), "absolute", bounds.absolute, "relative",
        bounds.relative, "l2", bounds.l2, "output", output, "nodes", nodes);
    *text = status || !root ? NULL : json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    if (status || *text) return status;
    return tt_fail(err, TT_SYSTEM, "out of memory for %s", TT_REPRO_JSON);
}

// ---- writing ----

static enum tt_status write_text(const char *folder, const char *name, const char *text,
                                 size_t size, struct tt_error *err) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return tt_write_file(NULL, path, text, size, err);
}

static enum tt_status write_all(const char *folder, const struct tt_stretch *s, size_t k,
                                struct tt_bounds bounds, struct tt_error *err) {
    struct values values = {0};
    char path[4200], *json = NULL, *script = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", folder, TT_REPRO_VALUES);
    enum tt_status status = collect(s, k, &values, err);
    if (!status) status = tt_safetensors_write(NULL, path, values.views, values.count, NULL, err);
    if (!status) status = describe(s, k, bounds, &json, err);
    if (!status) status = write_text(folder, TT_REPRO_JSON, json, strlen(json), err);
    FILE *to = status ? NULL : open_memstream(&script, &size);
    if (!status && !to) status = tt_fail(err, TT_SYSTEM, "out of memory for %s", TT_REPRO_SCRIPT);
    if (to) {
        tt_repro_script(to, s, k);
        if (fclose(to)) status = tt_fail(err, TT_SYSTEM, "out of memory for %s", TT_REPRO_SCRIPT);
        else status = write_text(folder, TT_REPRO_SCRIPT, script, size, err);
    }
    free(script);
    free(json);
    free_values(&values);
    return status;
}

enum tt_status tt_save_repro(const struct tt_alone *alone, size_t k, struct tt_bounds bounds,
                             const char *path, struct tt_error *err) {
    struct tt_stretch s = {0};
    struct tt_new_folder *folder;
    if (k >= alone->count || alone->value[k] == TT_NO_VALUE)
        return tt_fail(err, TT_BAD_INPUT, "tensor %zu: found none that the network has", k);
    enum tt_status status =
        tt_stretch_make(alone, alone->root[alone->value[k]], k, 0, 0,
                        (struct tt_preset){TT_NO_VALUE, NULL}, &s, err);
    if (!status) status = tt_new_folder_begin(path, &folder, err);
    if (!status) {
        status = write_all(tt_new_folder_path(folder), &s, k, bounds, err);
        enum tt_status ended = tt_new_folder_end(folder, !status, err);
        if (!status) status = ended;
    }
    tt_stretch_free(&s);
    return status;
}
