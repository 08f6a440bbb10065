// SPDX-License-Identifier: MIT
// Explanations that change values: what is made, and what is read to make it.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/suspects.h"

// A value that is changed: the one that is made, or one that is read.
struct subject {
    struct tt_search *search;
    tt_value value; // a root
    const float *data;
    size_t n;
    struct tt_shape shape; // as it is recorded
    bool target;
    char where[160]; // "", or what is read
};

// Judges the target with these values in the subject's place.
static enum tt_status judge(const struct subject *u, const float *values, const char *name,
                            const char *text, struct tt_error *err) {
    char whole[240];
    snprintf(whole, sizeof whole, "%s%s", text, u->where);
    if (u->target) {
        tt_search_judge(u->search, values, name, "%s", whole);
        return TT_OK;
    }
    struct tt_trial trial = {.node = -1, .preset = {u->value, values}};
    return tt_search_try(u->search, &trial, name, whole, err);
}

// ---- order ----

static const struct tt_kernels *kernels_of(const struct subject *u) {
    return &u->search->alone->session->engine->kernels;
}

// The axes as they are recorded, with the two of a picture that lies as rows; how many.
static int axes_of(const struct subject *u, size_t dims[4]) {
    const struct tt_shape *s = &u->shape;
    const struct tt_shape *root = &u->search->alone->network.tape.tensors[u->value].shape;
    for (int i = 0; i < 4; i++) dims[i] = 1;
    if (s->rank == 3 && root->rank == 4) {
        dims[0] = root->dim[0];
        dims[1] = root->dim[2];
        dims[2] = root->dim[3];
        dims[3] = root->dim[1];
        return 4;
    }
    if (s->rank > 4) return 0;
    for (size_t i = 0; i < s->rank; i++) dims[4 - s->rank + i] = s->dim[i];
    return (int)s->rank;
}

static const char *order_text(const struct subject *u, int order) {
    bool picture = u->shape.rank == 4;
    switch (order) {
    case 3: case 28: return picture ? "NHWC in place of NCHW" : "the order of axes turned (NHWC)";
    case 4: case 27: return picture ? "NHWC read as NCHW" : "NCHW read as NHWC";
    case 1: case 25: return picture ? "height and width swapped" : "the last two axes swapped";
    default: return "the axes in another order (as NHWC for NCHW)";
    }
}

static enum tt_status try_orders(const struct subject *u, struct tt_error *err) {
    size_t dims[4];
    if (axes_of(u, dims) < 2) return TT_OK;
    float *flat = malloc(u->n * sizeof *flat), *turned = malloc(u->n * sizeof *turned);
    float *rows = malloc(u->n * sizeof *rows);
    enum tt_status status = flat && turned && rows
                                ? TT_OK
                                : tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    size_t pixels = dims[2] * dims[3];
    bool picture = u->shape.rank == 4;
    if (!status && picture)
        kernels_of(u)->nhwc_to_nchw_f32(u->data, flat, dims[0], dims[1], pixels);
    else if (!status) memcpy(flat, u->data, u->n * sizeof *flat);
    for (int order = 1; !status && order < TT_ORDERS; order++) {
        // What is read is tried with the batch where it is.
        if (!u->target && order % (TT_ORDERS / 2) >= 6) continue;
        if (!tt_permute(flat, dims, order, turned)) continue;
        if (picture) kernels_of(u)->nchw_to_nhwc_f32(turned, rows, dims[0], dims[1], pixels);
        status = judge(u, picture ? rows : turned, "axis-order", order_text(u, order), err);
    }
    free(flat);
    free(turned);
    free(rows);
    return status;
}

// ---- element by element ----

// What becomes of element x of a value, at column j of `columns`.
static void scale(const struct subject *u, double by, double plus, float *y) {
    for (size_t i = 0; i < u->n; i++) y[i] = (float)((double)u->data[i] * by + plus);
}

// The factor that fits best, where it is one number for all. A free number explains a few values
// always: at least 16.
static void try_any_scale(const struct subject *u, float *y) {
    const float *recorded = u->search->recorded;
    double both = 0, own = 0;
    if (!u->target || u->n < 16) return;
    for (size_t i = 0; i < u->n; i++) {
        both += (double)u->data[i] * (double)recorded[i];
        own += (double)u->data[i] * (double)u->data[i];
    }
    if (own == 0 || both == 0) return;
    scale(u, both / own, 0, y);
    tt_search_judge(u->search, y, "scale", "all values times %.6g", both / own);
}

// A norm takes no notice of its input's scale, but for its eps: another scale is another eps.
static bool is_normed(const struct subject *u) {
    const struct tt_alone *alone = u->search->alone;
    for (int i = 0; !u->target && i <= u->search->stretch.target; i++) {
        const struct tt_node *node = &alone->network.tape.nodes[i];
        if (u->search->stretch.made[i] && alone->root[node->input[0]] == u->value)
            return node->op == TT_OP_group_norm || node->op == TT_OP_layer_norm;
    }
    return false;
}

static enum tt_status try_scales(const struct subject *u, float *y, struct tt_error *err) {
    const struct tt_model_info *info = tt_model_info(u->search->alone->session->model);
    const double factor = info->scaling_factor > 0 ? info->scaling_factor : 1;
    const struct {
        double by, plus;
        const char *text;
    } list[] = {
        {factor, 0, "times the autoencoder's scaling factor"},
        {1 / factor, 0, "divided by the autoencoder's scaling factor"},
        {factor * factor, 0, "times the square of the autoencoder's scaling factor"},
        {0.18215, 0, "times 0.18215"}, {1 / 0.18215, 0, "divided by 0.18215"},
        {0.13025, 0, "times 0.13025"}, {1 / 0.13025, 0, "divided by 0.13025"},
        {2, -1, "from [0, 1] to [-1, 1]"}, {0.5, 0.5, "from [-1, 1] to [0, 1]"},
        {-1, 0, "with the other sign"}, {2, 0, "doubled"}, {0.5, 0, "halved"},
        {1.4142135623730951, 0, "times sqrt(2)"}, {0.70710678118654752, 0, "divided by sqrt(2)"},
        {1.0 / 3, 0, "divided by 3"}, {3, 0, "times 3"}, {255, 0, "times 255"},
        {1.0 / 255, 0, "divided by 255"},
    };
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < sizeof list / sizeof *list; i++) {
        if (list[i].by == 1) continue;
        scale(u, list[i].by, list[i].plus, y);
        status = judge(u, y, "scale", list[i].text, err);
    }
    if (!status) try_any_scale(u, y);
    return status;
}

static enum tt_status try_functions(const struct subject *u, float *y, struct tt_error *err) {
    enum tt_status status = TT_OK;
    char text[64];
    for (int f = 0; !status && f < TT_FUNCTION_none; f++) {
        if (f == TT_FUNCTION_tanh || f == TT_FUNCTION_sigmoid) continue;
        for (size_t i = 0; i < u->n; i++) y[i] = tt_function((enum tt_function)f, u->data[i]);
        snprintf(text, sizeof text, "%s where there is none", tt_function_names[f]);
        status = judge(u, y, "activation", text, err);
    }
    return status;
}

static enum tt_status try_rows(const struct subject *u, float *y, struct tt_error *err) {
    size_t batch = u->shape.rank > 1 ? u->shape.dim[0] : 1, half = u->n / 2;
    enum tt_status status = TT_OK;
    if (batch >= 2 && batch % 2 == 0) {
        memcpy(y, u->data + half, half * sizeof *y);
        memcpy(y + half, u->data, half * sizeof *y);
        status = judge(u, y, "swapped-rows",
                       "the halves of the batch swapped (guided and unguided)", err);
    }
    for (size_t from = 0; !status && batch >= 2 && from < 2; from++) {
        size_t each = u->n / batch;
        for (size_t i = 0; i < u->n; i++)
            y[i] = u->data[(from ? batch - 1 : 0) * each + i % each];
        status = judge(u, y, "same-rows", from ? "every row of the batch the last"
                                               : "every row of the batch the first", err);
    }
    return status;
}

static enum tt_status try_halves(const struct subject *u, float *y, struct tt_error *err) {
    size_t columns = u->shape.rank == 4 ? u->shape.dim[1] : u->shape.dim[u->shape.rank - 1];
    if (columns % 2 || columns < 2 || u->shape.rank < 2) return TT_OK;
    for (size_t i = 0; i < u->n; i++) {
        size_t row = i / columns, j = (i % columns + columns / 2) % columns;
        y[i] = u->data[row * columns + j];
    }
    return judge(u, y, "swapped-halves", "the halves of the channels swapped", err);
}

static bool is_timestep(const struct subject *u) {
    const struct tt_node *node = &u->search->alone->network.tape.nodes[u->value];
    return node->op == TT_OP_input && !strcmp(node->name, "timestep");
}

static enum tt_status try_timesteps(const struct subject *u, float *y, struct tt_error *err) {
    static const struct {
        double by, plus;
        const char *text;
    } list[] = {
        {1, 1, "the timestep one higher"}, {1, -1, "the timestep one lower"},
        {1000, 0, "the timestep times 1000"}, {0.001, 0, "the timestep divided by 1000"},
        {-1, 999, "999 less the timestep"}, {-1, 1000, "1000 less the timestep"},
        {0, 0, "timestep 0"}, {0.5, 0, "half the timestep"}, {2, 0, "twice the timestep"},
    };
    enum tt_status status = TT_OK;
    if (!is_timestep(u)) return TT_OK;
    for (size_t i = 0; !status && i < sizeof list / sizeof *list; i++) {
        scale(u, list[i].by, list[i].plus, y);
        status = judge(u, y, "timestep", list[i].text, err);
    }
    for (size_t i = 0; i < u->n; i++) y[i] = rintf(u->data[i]);
    if (!status) status = judge(u, y, "timestep", "the timestep rounded to a whole number", err);
    for (size_t i = 0; i < u->n; i++) y[i] = u->data[0];
    if (!status && u->n > 1)
        status = judge(u, y, "timestep", "the first row's timestep in all rows", err);
    return status;
}

static enum tt_status try_value(struct subject *u, struct tt_error *err) {
    float *y = malloc(u->n * sizeof *y);
    if (!y) return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
    enum tt_status status = try_timesteps(u, y, err);
    if (!status && !is_timestep(u)) status = try_orders(u, err);
    if (!status && !is_timestep(u) && !is_normed(u)) status = try_scales(u, y, err);
    if (!status) status = try_rows(u, y, err);
    if (!status) status = try_halves(u, y, err);
    if (!status && !is_timestep(u)) status = try_functions(u, y, err);
    free(y);
    return status;
}

// ---- rounding ----

// All that is read rounded, and perhaps the weights.
static enum tt_status try_rounded_inputs(struct tt_search *s, enum tt_dtype dtype, bool weights,
                                         struct tt_error *err) {
    struct tt_stretch rounded = {0};
    char text[96];
    enum tt_status status =
        tt_stretch_make(s->alone, s->stretch.target, s->k, 0, 0,
                        (struct tt_preset){TT_NO_VALUE, NULL}, &rounded, err);
    bool differs = false;
    for (int i = 0; !status && i <= s->stretch.target; i++) {
        float *x = rounded.data[i];
        if (!x || rounded.made[i] || tt_alone_is_whole(s->alone, i)) continue;
        for (size_t j = 0; j < tt_alone_size(s->alone, i); j++) {
            float y = tt_rounded(dtype, x[j]);
            differs = differs || y != x[j];
            x[j] = y;
        }
    }
    struct tt_trial trial = {.node = -1, .preset = {TT_NO_VALUE, NULL},
                             .change = tt_change_rounds, .which = dtype};
    if (!status && differs) status = tt_stretch_again(&rounded, err);
    float *ours = NULL;
    if (!status && differs && weights) status = tt_stretch_try(&rounded, &trial, &ours, err);
    snprintf(text, sizeof text, "what it reads%s rounded to %s",
             weights ? ", and its weights," : "", tt_dtype_name(dtype));
    if (!status && differs && (ours || !weights))
        tt_search_judge(s, weights ? ours : rounded.data[s->stretch.target], "dtype", "%s", text);
    free(ours);
    tt_stretch_free(&rounded);
    return status;
}

// As near as arithmetic in half precision comes: 16 units in its last place.
static bool try_rounded_output(struct tt_search *s) {
    const float *ours = s->stretch.data[s->stretch.target];
    enum tt_dtype dtype;
    if (!tt_alone_is_rounded(s->alone, s->k, ours, s->recorded, &dtype)) return false;
    double most = 0;
    for (size_t i = 0; i < tt_shape_count(s->shape); i++)
        most = fmax(most, fabs((double)((const float *)s->recorded)[i]));
    struct tt_bounds bounds = s->bounds;
    bounds.absolute += ldexp(most, dtype == TT_F16 ? -7 : -4);
    char text[96];
    size_t before = s->count;
    snprintf(text, sizeof text, "computed in %s, or rounded to it: every recorded value is one of "
             "its", tt_dtype_name(dtype));
    tt_search_judge_within(s, bounds, ours, "dtype", text);
    return s->count > before;
}

enum tt_status tt_suspects_rounding(struct tt_search *s, struct tt_error *err) {
    static const enum tt_dtype dtypes[] = {TT_BF16, TT_F16};
    enum tt_status status = TT_OK;
    if (try_rounded_output(s)) return TT_OK;
    for (int i = 0; !status && i < 2; i++) {
        if (s->stretch.made_count)
            status = try_rounded_inputs(s, dtypes[i], false, err);
        if (!status && s->stretch.made_count)
            status = try_rounded_inputs(s, dtypes[i], true, err);
    }
    return status;
}

// ---- all of them ----

static void name_read(struct subject *u) {
    const struct tt_alone *alone = u->search->alone;
    size_t k = tt_alone_recorded(alone, u->value, u->search->k);
    if (k == TT_NOT_RECORDED) return;
    const struct tt_recorded *r = tt_recording_at(alone->recording, alone->call, k);
    u->shape = alone->network.tape.tensors[alone->value[k]].shape;
    snprintf(u->where, sizeof u->where, ": what it reads, %s", r->name);
}

enum tt_status tt_suspects_values(struct tt_search *s, struct tt_error *err) {
    enum tt_status status = TT_OK;
    const struct tt_stretch *stretch = &s->stretch;
    for (int i = stretch->target; !status && i >= 0; i--) {
        bool target = i == stretch->target;
        if (!stretch->data[i] || (stretch->made[i] && !target) || tt_alone_is_whole(s->alone, i))
            continue;
        struct subject u = {.search = s, .value = i, .data = stretch->data[i],
                            .n = tt_alone_size(s->alone, i), .target = target,
                            .shape = s->alone->network.tape.tensors[i].shape};
        if (target) u.shape = *s->shape;
        else name_read(&u);
        status = try_value(&u, err);
    }
    return status ? status : tt_suspects_rounding(s, err);
}
