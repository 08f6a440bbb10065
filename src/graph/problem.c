// SPDX-License-Identifier: MIT
#include "graph/problem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What an operation's text may have beside its sizes.
enum {
    PADDING = 1, CAUSAL = 2, FLIP = 4, SCALE = 8, SHIFT = 16, EPS = 32,
    BIAS = 64, IMAGE_BIAS = 128, RESIDUAL = 256, SILU = 512,
};

static const struct form {
    const char *sizes;
    unsigned has;
} forms[TT_OP_COUNT] = {
    [TT_OP_conv2d] = {"n c h w k r s", PADDING | BIAS | IMAGE_BIAS | RESIDUAL},
    [TT_OP_linear] = {"m k n", BIAS | RESIDUAL},
    [TT_OP_attention] = {"n q k heads d", CAUSAL | SCALE},
    [TT_OP_group_norm] = {"n c h w g", EPS | SILU},
    [TT_OP_layer_norm] = {"m c", EPS},
    [TT_OP_embedding] = {"m v c", 0},
    [TT_OP_sinusoidal] = {"n c", FLIP | SHIFT},
    [TT_OP_silu] = {"m c", 0},
    [TT_OP_gelu] = {"m c", 0},
    [TT_OP_quick_gelu] = {"m c", 0},
    [TT_OP_geglu] = {"m c", 0},
    [TT_OP_relu] = {"m c", 0},
    [TT_OP_tanh] = {"m c", 0},
    [TT_OP_affine] = {"m c", SCALE | SHIFT},
    [TT_OP_scale] = {"m c", SCALE},
    [TT_OP_add] = {"m c b", 0},
    [TT_OP_add_image] = {"n c h w", 0},
    [TT_OP_upsample_nearest] = {"n c h w oh ow", 0},
    [TT_OP_concat] = {"n a b h w", 0},
    [TT_OP_take_row] = {"n t c", 0},
};

static const struct {
    const char *text;
    unsigned bit;
} folds[] = {
    {"+bias", BIAS}, {"+image_bias", IMAGE_BIAS}, {"+residual", RESIDUAL}, {"+silu", SILU},
};

enum { FOLDS = sizeof folds / sizeof *folds, MOST = 1 << 28, KEY = 8 };

static bool *fold_of(struct tt_problem *p, int i) {
    bool *const fields[FOLDS] = {&p->bias, &p->image_bias, &p->residual, &p->silu};
    return fields[i];
}

// Key i of a list of sizes, and whether there is one.
static bool size_key(const char *sizes, int i, char key[KEY]) {
    for (; sizes && *sizes && i; i--) {
        sizes += strcspn(sizes, " ");
        sizes += *sizes == ' ';
    }
    if (!sizes || !*sizes) return false;
    snprintf(key, KEY, "%.*s", (int)strcspn(sizes, " "), sizes);
    return true;
}

static float usual_scale(const struct tt_problem *p) {
    return p->op == TT_OP_attention ? 1 / sqrtf((float)p->size[4]) : 1;
}

static bool usual_padding(const struct tt_problem *p) {
    for (int i = 0; i < 4; i++)
        if (p->padding[i] != (p->size[5] - 1) / 2) return false;
    return true;
}

// ---- from a step ----

static void take_sizes(struct tt_problem *p, const struct tt_shape *in, const struct tt_shape *out,
                       const struct tt_node *node) {
    const size_t *x = in[0].dim, *y = out->dim;
    size_t rows = tt_rows(out), columns = tt_columns(out);
    size_t hw = in[0].rank ? tt_rows(&in[0]) / x[0] : 1;
    // Of (N, C, H, W); (N, T, C) lies like it, with T pixels.
    size_t h = in[0].rank == 4 ? x[2] : hw, w = in[0].rank == 4 ? x[3] : 1;
    size_t all[TT_PROBLEM_SIZES] = {rows, columns};
#define SIZES(...) memcpy(all, (const size_t[TT_PROBLEM_SIZES]){__VA_ARGS__}, sizeof all)
    switch (p->op) {
    case TT_OP_conv2d:
        SIZES(x[0], x[1], h, w, y[1], node->with.conv.kernel, node->with.conv.stride);
        break;
    case TT_OP_linear: SIZES(rows, tt_columns(&in[0]), columns); break;
    case TT_OP_attention:
        SIZES(x[0], x[1], in[1].dim[1], node->with.attention.heads,
              x[2] / node->with.attention.heads);
        break;
    case TT_OP_group_norm: SIZES(x[0], columns, h, w, node->with.norm.groups); break;
    case TT_OP_embedding: SIZES(rows, node->param[0]->shape.dim[0], columns); break;
    case TT_OP_add: SIZES(rows, columns, tt_shape_count(&in[1]) / columns); break;
    case TT_OP_add_image: SIZES(x[0], columns, h, w); break;
    case TT_OP_upsample_nearest: SIZES(x[0], x[1], h, w, y[2], y[3]); break;
    case TT_OP_concat: SIZES(x[0], x[1], in[1].dim[1], h, w); break;
    case TT_OP_take_row: SIZES(x[0], x[1], x[2]); break;
    default: break;
    }
#undef SIZES
    memcpy(p->size, all, sizeof all);
}

static void take_attributes(struct tt_problem *p, const struct tt_node *node) {
    if (!node) return;
    if (forms[p->op].has & EPS) p->eps = node->with.norm.eps;
    switch (p->op) {
    case TT_OP_conv2d:
        p->padding[0] = node->with.conv.pad_top;
        p->padding[1] = node->with.conv.pad_left;
        p->padding[2] = node->with.conv.pad_bottom;
        p->padding[3] = node->with.conv.pad_right;
        break;
    case TT_OP_attention:
        p->causal = node->with.attention.causal;
        p->scale = node->with.attention.scale;
        break;
    case TT_OP_sinusoidal:
        p->flip = node->with.sinusoidal.flip_sin_to_cos;
        p->shift = node->with.sinusoidal.shift;
        break;
    case TT_OP_affine:
        p->scale = node->with.affine.scale;
        p->shift = node->with.affine.shift;
        break;
    case TT_OP_scale: p->scale = node->with.scale; break;
    default: break;
    }
}

bool tt_problem_of_step(const struct tt_step *step, struct tt_problem *problem) {
    const struct tt_node *node = !step->tape ? NULL : step->node;
    if (!forms[step->op].sizes) return false;
    *problem = (struct tt_problem){.op = step->op, .dtype = TT_F32};
    take_sizes(problem, step->in, &step->out, node);
    take_attributes(problem, node);
    if (!node) return true;
    if (node->param[0] && step->weight.dtype != TT_F64) problem->dtype = step->weight.dtype;
    unsigned has = forms[step->op].has;
    problem->bias = has & BIAS && node->param[1];
    problem->image_bias = has & IMAGE_BIAS && step->image_bias != TT_NO_VALUE;
    problem->residual = has & RESIDUAL && step->residual != TT_NO_VALUE;
    problem->silu = has & SILU && step->silu;
    if (!step->back) return true;
    problem->backward = true;
    problem->nodx = has & BIAS && !step->back->dx[0];
    problem->nodw = node->param[0] && !step->back->dweight;
    return true;
}

// ---- to text ----

static const struct {
    const char *name;
    enum tt_dtype dtype;
} dtypes[] = {
    {"f32", TT_F32},   {"f16", TT_F16},   {"bf16", TT_BF16}, {"q8_0", TT_Q8_0},
    {"q4_0", TT_Q4_0}, {"q4_1", TT_Q4_1}, {"q5_0", TT_Q5_0}, {"q5_1", TT_Q5_1},
    {"q4_k", TT_Q4_K}, {"q5_k", TT_Q5_K}, {"q6_k", TT_Q6_K},
};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

const char *tt_problem_dtype(enum tt_dtype dtype) {
    for (size_t i = 0; i < DTYPES; i++)
        if (dtypes[i].dtype == dtype) return dtypes[i].name;
    return dtypes[0].name;
}

struct writing {
    char *text;
    size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void put(struct writing *w, const char *format, ...) {
    if (w->used >= w->size) return;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(w->text + w->used, w->size - w->used, format, args);
    va_end(args);
    w->used += length > 0 ? (size_t)length : 0;
}

// In as few digits as give the same float again.
static void put_float(struct writing *w, const char *key, float value) {
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    put(w, " %s%s", key, text);
}

char *tt_problem_text(const struct tt_problem *problem, char *text, size_t size) {
    struct tt_problem p = *problem;
    struct writing w = {text, size, 0};
    unsigned has = forms[p.op].has;
    char key[KEY];
    put(&w, "%s", tt_ops[p.op]->name);
    for (int i = 0; size_key(forms[p.op].sizes, i, key); i++) put(&w, " %s%zu", key, p.size[i]);
    if (has & PADDING && !usual_padding(&p))
        put(&w, " p%zu,%zu,%zu,%zu", p.padding[0], p.padding[1], p.padding[2], p.padding[3]);
    if (p.causal) put(&w, " causal");
    if (p.flip) put(&w, " flip");
    if (has & SCALE && p.scale != usual_scale(&p)) put_float(&w, "scale", p.scale);
    if (has & SHIFT && p.shift != 0) put_float(&w, "shift", p.shift);
    if (has & EPS && p.eps != 1e-5f) put_float(&w, "eps", p.eps);
    put(&w, " %s", tt_problem_dtype(p.dtype));
    for (int i = 0; i < FOLDS; i++)
        if (*fold_of(&p, i)) put(&w, " %s", folds[i].text);
    if (p.backward) put(&w, " backward");
    if (p.nodx) put(&w, " nodx");
    if (p.nodw) put(&w, " nodw");
    return text;
}

// ---- from text ----

// A text, word by word.
struct reading {
    const char *at;
    char word[64]; // the next one; "" at the end
    struct tt_error *err;
};

static void next(struct reading *r) {
    r->at += strspn(r->at, " ");
    size_t length = strcspn(r->at, " ");
    snprintf(r->word, sizeof r->word, "%.*s", (int)length, r->at);
    r->at += length;
}

__attribute__((format(printf, 2, 3))) static enum tt_status
unexpected(const struct reading *r, const char *format, ...) {
    char expected[256];
    va_list args;
    va_start(args, format);
    vsnprintf(expected, sizeof expected, format, args);
    va_end(args);
    if (!*r->word)
        return tt_fail(r->err, TT_BAD_INPUT, "problem: found its end, expected %s", expected);
    return tt_fail(r->err, TT_BAD_INPUT, "problem: found '%s', expected %s", r->word, expected);
}

// A whole number from least to most; where it ends.
static bool read_size(const char *text, size_t least, size_t most, size_t *out, const char **end) {
    size_t value = 0, digits = 0;
    for (; *text >= '0' && *text <= '9' && value <= most; text++, digits++)
        value = 10 * value + (size_t)(*text - '0');
    *out = value;
    *end = text;
    return digits && value >= least && value <= most;
}

static enum tt_status take_op(struct reading *r, struct tt_problem *p) {
    char names[256] = "";
    for (size_t op = 0, used = 0; op < TT_OP_COUNT; op++) {
        if (!forms[op].sizes) continue;
        p->op = (enum tt_op_kind)op;
        if (!strcmp(r->word, tt_ops[op]->name)) return TT_OK;
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                 tt_ops[op]->name);
    }
    return unexpected(r, "an operation: %s", names);
}

static enum tt_status take_numbers(struct reading *r, struct tt_problem *p) {
    char key[KEY];
    for (int i = 0; size_key(forms[p->op].sizes, i, key); i++, next(r)) {
        size_t length = strlen(key);
        const char *end = "?";
        size_t most = !strcmp(key, "r") ? 3 : !strcmp(key, "s") ? 2 : MOST;
        if (strncmp(r->word, key, length) ||
            !read_size(r->word + length, 1, most, &p->size[i], &end) || *end)
            return unexpected(r, "%s and a whole number from 1 to %zu", key, most);
        if (!strcmp(key, "r") && p->size[i] == 2) return unexpected(r, "r1 or r3");
    }
    return TT_OK;
}

static enum tt_status take_padding(struct reading *r, struct tt_problem *p) {
    const char *at = r->word;
    for (int i = 0; i < 4; i++)
        if (!read_size(at + 1, 0, p->size[5] - 1, &p->padding[i], &at) || *at != (i < 3 ? ',' : 0))
            return unexpected(r, "p and the padding above, left, below, right, each 0 to %zu",
                              p->size[5] - 1);
    return TT_OK;
}

// "scale0.5": KEY and a finite number; false: another word.
static bool is_number(const struct reading *r, const char *key, float *value,
                      enum tt_status *status) {
    size_t length = strlen(key);
    if (strncmp(r->word, key, length)) return false;
    char *end;
    const char *text = r->word + length;
    *value = strtof(text, &end);
    if (!strchr("-.0123456789", *text) || !*text || *end || !isfinite(*value))
        *status = unexpected(r, "%s and a finite number", key);
    return true;
}

static enum tt_status take_flags(struct reading *r, struct tt_problem *p) {
    unsigned has = forms[p->op].has, had = 0;
    enum tt_status status = TT_OK;
    p->eps = has & EPS ? 1e-5f : 0;
    p->scale = has & SCALE ? usual_scale(p) : 0;
    for (int i = 0; has & PADDING && i < 4; i++) p->padding[i] = (p->size[5] - 1) / 2;
    for (; *r->word; next(r)) {
        unsigned bit = 0;
        if (!strcmp(r->word, "causal")) bit = CAUSAL;
        else if (!strcmp(r->word, "flip")) bit = FLIP;
        else if (*r->word == 'p') bit = PADDING;
        else if (is_number(r, "scale", &p->scale, &status)) bit = SCALE;
        else if (is_number(r, "shift", &p->shift, &status)) bit = SHIFT;
        else if (is_number(r, "eps", &p->eps, &status)) bit = EPS;
        if (!bit) return TT_OK;
        if (!(has & bit)) return unexpected(r, "nothing that %s lacks", tt_ops[p->op]->name);
        if (had & bit) return unexpected(r, "it once");
        had |= bit;
        p->causal |= bit == CAUSAL;
        p->flip |= bit == FLIP;
        if (bit == PADDING) status = take_padding(r, p);
        if (status) return status;
    }
    return TT_OK;
}

static enum tt_status take_dtype(struct reading *r, struct tt_problem *p) {
    unsigned takes = tt_op_weights[p->op] ? tt_op_weights[p->op] : tt_op_inputs[p->op][0];
    char names[160] = "";
    for (size_t i = 0, used = 0; i < DTYPES; i++) {
        if (!(takes & 1u << dtypes[i].dtype)) continue;
        p->dtype = dtypes[i].dtype;
        if (!strcmp(r->word, dtypes[i].name)) {
            next(r);
            return TT_OK;
        }
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? " or " : "",
                                 dtypes[i].name);
    }
    return unexpected(r, "%s", names);
}

static enum tt_status take_folds(struct reading *r, struct tt_problem *p) {
    for (int i = 0; i < FOLDS; i++) {
        if (!(forms[p->op].has & folds[i].bit) || strcmp(r->word, folds[i].text)) continue;
        *fold_of(p, i) = true;
        next(r);
    }
    if (!strcmp(r->word, "backward") && tt_ops[p->op]->backward) {
        p->backward = true;
        next(r);
    }
    if (!strcmp(r->word, "nodx") && p->backward && forms[p->op].has & BIAS) {
        p->nodx = true;
        next(r);
    }
    if (!strcmp(r->word, "nodw") && p->backward && !p->nodx && tt_op_weights[p->op]) {
        p->nodw = true;
        next(r);
    }
    return *r->word ? unexpected(r, "the end, or what can be folded into %s, in order",
                                 tt_ops[p->op]->name)
                    : TT_OK;
}

// Sizes that do not go together, and tensors that no machine holds.
static enum tt_status check(const struct tt_problem *p, struct tt_error *err) {
    enum { WEIGHTS_MOST = 1 << 30 };
    if (p->op == TT_OP_group_norm && p->size[1] % p->size[4])
        return tt_fail(err, TT_BAD_INPUT, "problem: found c%zu and g%zu, expected c to divide by g",
                       p->size[1], p->size[4]);
    if (p->op == TT_OP_add && p->size[0] % p->size[2])
        return tt_fail(err, TT_BAD_INPUT, "problem: found m%zu and b%zu, expected m to divide by b",
                       p->size[0], p->size[2]);
    struct tt_tape tape = {0};
    struct tt_problem_values values;
    struct tt_error own = {0};
    tt_problem_tape(p, "problem", &tape, &values);
    enum tt_status status = tt_tape_status(&tape, &own);
    for (int i = 0; !status && i < tape.node_count; i++)
        for (int j = 0; !status && j < TT_MAX_PARAMS; j++) {
            const struct tt_param *param = tape.nodes[i].param[j];
            size_t n = 1;
            for (size_t k = 0; param && k < param->shape.rank; k++)
                if (!tt_mul_size(n, param->shape.dim[k], &n)) n = SIZE_MAX / 2;
            if (n > WEIGHTS_MOST)
                status = tt_fail(&own, TT_BAD_INPUT, "problem: found more than %d weights",
                                 WEIGHTS_MOST);
        }
    tt_tape_free(&tape);
    return status ? tt_fail(err, status, "%s", own.message) : TT_OK;
}

enum tt_status tt_problem_parse(const char *text, struct tt_problem *problem,
                                struct tt_error *err) {
    struct reading r = {.at = text, .err = err};
    struct tt_problem p = {0};
    next(&r);
    enum tt_status status = take_op(&r, &p);
    next(&r);
    if (!status) status = take_numbers(&r, &p);
    if (!status) status = take_flags(&r, &p);
    if (!status) status = take_dtype(&r, &p);
    if (!status) status = take_folds(&r, &p);
    if (!status) status = check(&p, err);
    if (!status) *problem = p;
    return status;
}
