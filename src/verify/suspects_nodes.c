// SPDX-License-Identifier: MIT
// Explanations that change what a node does.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/suspects.h"

// ---- norms ----

static bool is_norm(const struct tt_node *node) {
    return node->op == TT_OP_group_norm || node->op == TT_OP_layer_norm;
}

static bool set_eps(const struct tt_trial *trial, struct tt_changed *c) {
    float eps = (float)trial->number;
    if (!is_norm(&c->node) || eps == c->node.with.norm.eps) return false;
    c->node.with.norm.eps = eps;
    return true;
}

static bool set_groups(const struct tt_trial *trial, struct tt_changed *c) {
    size_t groups = (size_t)trial->which, own = c->node.with.norm.groups;
    if (c->node.op != TT_OP_group_norm || groups == own || tt_columns(&c->out) % groups)
        return false;
    c->node.with.norm.groups = groups;
    return true;
}

static enum tt_status try_norms(struct tt_search *s, struct tt_error *err) {
    static const double eps[] = {1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 0};
    char text[96];
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < sizeof eps / sizeof *eps; i++) {
        struct tt_trial trial = {.change = set_eps, .number = eps[i]};
        snprintf(text, sizeof text, "an eps of %g", eps[i]);
        status = tt_search_each(s, trial, "eps", text, err);
    }
    for (int groups = 1; !status && groups <= 64; groups++) {
        struct tt_trial trial = {.change = set_groups, .which = groups};
        snprintf(text, sizeof text, "%d groups", groups);
        status = tt_search_each(s, trial, "groups", text, err);
    }
    return status;
}

// ---- attention ----

enum { KEEP_SCALE, SCALE_TOO }; // with another number of heads

static bool set_heads(const struct tt_trial *trial, struct tt_changed *c) {
    size_t heads = (size_t)trial->which, width = c->in[0].dim[2];
    if (c->node.op != TT_OP_attention || heads == c->node.with.attention.heads ||
        heads > width || width % heads)
        return false;
    if (trial->number == SCALE_TOO)
        c->node.with.attention.scale = (float)(1 / sqrt((double)(width / heads)));
    c->node.with.attention.heads = heads;
    return true;
}

static const char *const scales[] = {
    "none (1)", "1/d", "1/sqrt(all channels)", "sqrt(d)", "1/sqrt(heads)", "1/sqrt(2d)",
    "1/sqrt(d/2)", "1/d^(1/4)", "1/(8 sqrt(d)) ", "1/8",
};
enum { SCALES = sizeof scales / sizeof *scales };

static bool set_scale(const struct tt_trial *trial, struct tt_changed *c) {
    if (c->node.op != TT_OP_attention) return false;
    double width = (double)c->in[0].dim[2], heads = (double)c->node.with.attention.heads;
    double d = width / heads;
    const double values[SCALES] = {1, 1 / d, 1 / sqrt(width), sqrt(d), 1 / sqrt(heads),
                                   1 / sqrt(2 * d), 1 / sqrt(d / 2), 1 / sqrt(sqrt(d)),
                                   1 / (8 * sqrt(d)), 0.125};
    float scale = (float)values[trial->which];
    if (scale == c->node.with.attention.scale) return false;
    for (int i = 0; i < trial->which; i++)
        if ((float)values[i] == scale) return false; // tried before
    c->node.with.attention.scale = scale;
    return true;
}

static bool multiply_scale(const struct tt_trial *trial, struct tt_changed *c) {
    if (c->node.op != TT_OP_attention) return false;
    c->node.with.attention.scale *= (float)trial->number;
    return true;
}

static bool turn_causal(const struct tt_trial *trial, struct tt_changed *c) {
    (void)trial;
    if (c->node.op != TT_OP_attention || c->in[0].dim[1] < 2) return false;
    c->node.with.attention.causal = !c->node.with.attention.causal;
    return true;
}

static bool swap_keys_and_values(const struct tt_trial *trial, struct tt_changed *c) {
    (void)trial;
    if (c->node.op != TT_OP_attention) return false;
    tt_value keys = c->node.input[1];
    c->node.input[1] = c->node.input[2];
    c->node.input[2] = keys;
    return true;
}

static enum tt_status try_attention(struct tt_search *s, struct tt_error *err) {
    char text[96];
    enum tt_status status = TT_OK;
    for (int heads = 1; !status && heads <= 128; heads++) {
        for (int how = KEEP_SCALE; !status && how <= SCALE_TOO; how++) {
            struct tt_trial trial = {.change = set_heads, .which = heads, .number = how};
            snprintf(text, sizeof text, "%d heads%s", heads,
                     how == SCALE_TOO ? "" : " at the same scale");
            status = tt_search_each(s, trial, "heads", text, err);
        }
    }
    for (int i = 0; !status && i < SCALES; i++) {
        struct tt_trial trial = {.change = set_scale, .which = i};
        snprintf(text, sizeof text, "a scale of %s", scales[i]);
        status = tt_search_each(s, trial, "scale", text, err);
    }
    struct tt_trial causal = {.change = turn_causal};
    if (!status)
        status = tt_search_each(s, causal, "causal-mask",
                                "the causal mask missing, or there where none should be", err);
    struct tt_trial keys = {.change = swap_keys_and_values};
    if (!status)
        status = tt_search_each(s, keys, "swapped-weights", "keys and values swapped", err);
    return status;
}

// ---- activations ----

static enum tt_function function_of(enum tt_op_kind op) {
    switch (op) {
    case TT_OP_silu: return TT_FUNCTION_silu;
    case TT_OP_gelu: return TT_FUNCTION_gelu;
    case TT_OP_quick_gelu: return TT_FUNCTION_quick_gelu;
    case TT_OP_relu: return TT_FUNCTION_relu;
    case TT_OP_tanh: return TT_FUNCTION_tanh;
    default: return TT_FUNCTIONS;
    }
}

static bool set_function(const struct tt_trial *trial, struct tt_changed *c) {
    enum tt_function own = function_of(c->node.op);
    if (own == TT_FUNCTIONS || (int)own == trial->which) return false;
    c->compute = tt_compute_function;
    c->which = trial->which;
    return true;
}

static bool set_gate(const struct tt_trial *trial, struct tt_changed *c) {
    if (c->node.op != TT_OP_geglu || (trial->which == TT_FUNCTION_gelu && !trial->number))
        return false;
    c->compute = tt_compute_gated;
    c->which = trial->which;
    c->number = trial->number;
    return true;
}

static enum tt_status try_activations(struct tt_search *s, struct tt_error *err) {
    char text[96];
    enum tt_status status = TT_OK;
    for (int f = 0; !status && f < TT_FUNCTIONS; f++) {
        struct tt_trial trial = {.change = set_function, .which = f};
        status = tt_search_each(s, trial, "activation", tt_function_names[f], err);
        struct tt_trial gate = {.change = set_gate, .which = f};
        if (!status) status = tt_search_each(s, gate, "activation", tt_function_names[f], err);
        gate.number = 1;
        snprintf(text, sizeof text, "halves swapped: the gate before the hidden half%s%s",
                 f == TT_FUNCTION_gelu ? "" : ", with ",
                 f == TT_FUNCTION_gelu ? "" : tt_function_names[f]);
        if (!status) status = tt_search_each(s, gate, "swapped-halves", text, err);
    }
    return status;
}

// ---- the rest ----

static bool turn_sin_and_cos(const struct tt_trial *trial, struct tt_changed *c) {
    (void)trial;
    if (c->node.op != TT_OP_sinusoidal) return false;
    c->node.with.sinusoidal.flip_sin_to_cos = !c->node.with.sinusoidal.flip_sin_to_cos;
    return true;
}

static bool set_shift(const struct tt_trial *trial, struct tt_changed *c) {
    float shift = (float)trial->number;
    if (c->node.op != TT_OP_sinusoidal || c->node.with.sinusoidal.shift == shift) return false;
    c->node.with.sinusoidal.shift = shift;
    return true;
}

static const size_t paddings[][4] = {{1, 1, 1, 1}, {0, 0, 1, 1}, {1, 1, 0, 0}, {0, 0, 0, 0},
                                     {1, 0, 0, 1}, {0, 1, 1, 0}, {2, 2, 0, 0}, {0, 0, 2, 2}};
enum { PADDINGS = sizeof paddings / sizeof *paddings };

static bool set_padding(const struct tt_trial *trial, struct tt_changed *c) {
    const size_t *to = paddings[trial->which];
    if (c->node.op != TT_OP_conv2d || c->node.with.conv.kernel < 2) return false;
    size_t own[4] = {c->node.with.conv.pad_top, c->node.with.conv.pad_left,
                     c->node.with.conv.pad_bottom, c->node.with.conv.pad_right};
    size_t kernel = c->node.with.conv.kernel, stride = c->node.with.conv.stride;
    size_t height = c->in[0].dim[2] + to[0] + to[2], width = c->in[0].dim[3] + to[1] + to[3];
    if (!memcmp(own, to, sizeof own) || height < kernel || width < kernel ||
        (height - kernel) / stride + 1 != c->out.dim[2] ||
        (width - kernel) / stride + 1 != c->out.dim[3])
        return false;
    c->node.with.conv.pad_top = to[0];
    c->node.with.conv.pad_left = to[1];
    c->node.with.conv.pad_bottom = to[2];
    c->node.with.conv.pad_right = to[3];
    return true;
}

static bool set_bilinear(const struct tt_trial *trial, struct tt_changed *c) {
    c->compute = tt_compute_bilinear;
    c->which = trial->which;
    return c->node.op == TT_OP_upsample_nearest;
}

static bool swap_concat(const struct tt_trial *trial, struct tt_changed *c) {
    (void)trial;
    c->compute = tt_compute_concat_swapped;
    return c->node.op == TT_OP_concat;
}

static bool is_sum(const struct tt_node *node) {
    return node->op == TT_OP_add || node->op == TT_OP_add_image;
}

static bool take_one(const struct tt_trial *trial, struct tt_changed *c) {
    c->compute = tt_compute_one_input;
    c->which = trial->which;
    return is_sum(&c->node) && tt_shape_count(&c->in[trial->which]) == tt_shape_count(&c->out);
}

static bool add_times(const struct tt_trial *trial, struct tt_changed *c) {
    c->compute = tt_compute_sum;
    c->number = trial->number;
    return c->node.op == TT_OP_add && tt_shape_count(&c->in[0]) == tt_shape_count(&c->in[1]);
}

static bool set_factor(const struct tt_trial *trial, struct tt_changed *c) {
    if (c->node.op != TT_OP_scale) return false;
    double own = (double)c->node.with.scale;
    c->compute = tt_compute_scaled;
    c->number = trial->which == 0 ? 1 : trial->which == 1 ? own * own : 1 / own;
    return true;
}

static bool take_row(const struct tt_trial *trial, struct tt_changed *c) {
    c->compute = tt_compute_row;
    c->which = trial->which;
    return c->node.op == TT_OP_take_row;
}

static enum tt_status try_paddings(struct tt_search *s, struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (int i = 0; !status && i < PADDINGS; i++) {
        struct tt_trial trial = {.change = set_padding, .which = i};
        char text[96];
        snprintf(text, sizeof text, "padding of %zu above, %zu left, %zu below, %zu right",
                 paddings[i][0], paddings[i][1], paddings[i][2], paddings[i][3]);
        status = tt_search_each(s, trial, "padding", text, err);
    }
    return status;
}

static enum tt_status try_rest(struct tt_search *s, struct tt_error *err) {
    static const struct {
        struct tt_trial trial;
        const char *name, *text;
    } list[] = {
        {{.change = turn_sin_and_cos}, "swapped-halves", "sines and cosines swapped"},
        {{.change = set_shift, .number = 0}, "timestep-shift", "a downscale_freq_shift of 0"},
        {{.change = set_shift, .number = 1}, "timestep-shift", "a downscale_freq_shift of 1"},
        {{.change = set_bilinear, .which = 0}, "upsampling", "bilinear in place of nearest"},
        {{.change = set_bilinear, .which = 1}, "upsampling",
         "bilinear with aligned corners in place of nearest"},
        {{.change = swap_concat}, "concat-order", "what is joined, the other way round"},
        {{.change = take_one, .which = 0}, "residual", "the second summand missing"},
        {{.change = take_one, .which = 1}, "residual", "the first summand missing"},
        {{.change = add_times, .number = 2}, "residual", "the second summand twice"},
        {{.change = add_times, .number = -1}, "residual", "the second summand subtracted"},
        {{.change = set_factor, .which = 0}, "scale", "the scale left out"},
        {{.change = set_factor, .which = 1}, "scale", "the scale applied twice"},
        {{.change = set_factor, .which = 2}, "scale", "the scale inverted"},
        {{.change = take_row, .which = 0}, "pooled-row", "each text's first row"},
        {{.change = take_row, .which = 1}, "pooled-row", "each text's last row"},
    };
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < sizeof list / sizeof *list; i++)
        status = tt_search_each(s, list[i].trial, list[i].name, list[i].text, err);
    return status ? status : try_paddings(s, err);
}

enum tt_status tt_suspects_nodes(struct tt_search *s, struct tt_error *err) {
    enum tt_status status = try_norms(s, err);
    if (!status) status = try_attention(s, err);
    if (!status) status = try_activations(s, err);
    return status ? status : try_rest(s, err);
}

// ---- numbers that no list has ----

// The sum of the squared differences at exp(x); what agrees is found on the way.
static enum tt_status probe(struct tt_search *s, struct tt_trial *trial, double x, double *sum,
                            struct tt_error *err) {
    float *ours = NULL;
    trial->number = exp(x);
    enum tt_status status = tt_stretch_try(&s->stretch, trial, &ours, err);
    *sum = INFINITY;
    for (size_t i = 0; ours && i < tt_shape_count(s->shape); i++) {
        double difference = (double)ours[i] - (double)((const float *)s->recorded)[i];
        *sum = (i ? *sum : 0) + difference * difference;
    }
    if (ours && trial->change == set_eps)
        tt_search_judge(s, ours, "eps", "an eps of about %.3g", trial->number);
    else if (ours)
        tt_search_judge(s, ours, "scale", "attention's scale times about %.4g", trial->number);
    free(ours);
    return status;
}

// The best between exp(low) and exp(high): of 13 points, then by the golden section around it.
static enum tt_status fit(struct tt_search *s, struct tt_trial trial, double low, double high,
                          struct tt_error *err) {
    enum { POINTS = 13, STEPS = 40 };
    const double golden = 0.61803398874989485;
    double best = INFINITY, at = low, step = (high - low) / (POINTS - 1), sum[2];
    enum tt_status status = TT_OK;
    for (int i = 0; !status && i < POINTS; i++) {
        status = probe(s, &trial, low + i * step, &sum[0], err);
        if (sum[0] < best) {
            best = sum[0];
            at = low + i * step;
        }
    }
    double a = at - step, b = at + step, x[2] = {b - golden * (b - a), a + golden * (b - a)};
    for (int j = 0; !status && j < 2; j++) status = probe(s, &trial, x[j], &sum[j], err);
    for (int i = 0; !status && i < STEPS; i++) {
        bool left = sum[0] < sum[1];
        if (left) b = x[1];
        else a = x[0];
        x[left] = x[!left];
        sum[left] = sum[!left];
        x[!left] = left ? b - golden * (b - a) : a + golden * (b - a);
        status = probe(s, &trial, x[!left], &sum[!left], err);
    }
    return status;
}

enum tt_status tt_suspects_fit(struct tt_search *s, struct tt_error *err) {
    struct tt_trial eps = {.node = -1, .change = set_eps, .number = 0.5};
    struct tt_trial scale = {.node = -1, .change = multiply_scale, .number = 1};
    enum tt_status status = TT_OK;
    if (tt_stretch_changes(&s->stretch, &eps) == 1)
        status = fit(s, eps, log(1e-13), log(10), err);
    if (!status && tt_stretch_changes(&s->stretch, &scale) == 1)
        status = fit(s, scale, log(1.0 / 512), log(512), err);
    return status;
}
