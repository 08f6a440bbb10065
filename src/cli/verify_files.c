// SPDX-License-Identifier: MIT
// verify A.safetensors B.safetensors: two files, tensor by tensor.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

struct pair {
    const char *name;
    const struct tt_view *a, *b; // NULL: it is in the other alone
    struct tt_difference d;
    double difference, limit, times;
    bool agrees;
};

struct pairs {
    struct cli *cli;
    const struct verify_tolerance *tolerance;
    struct tt_safetensors *a, *b;
    struct pair *all;
    size_t count, differ;
};

static bool is_whole(enum tt_dtype dtype) {
    return dtype != TT_F64 && dtype != TT_F32 && dtype != TT_F16 && dtype != TT_BF16;
}

// Of whole numbers and doubles floats do not hold every difference: the bytes decide.
static bool same_bytes(const struct tt_view *a, const struct tt_view *b) {
    return a->dtype == b->dtype && a->bytes == b->bytes && !memcmp(a->data, b->data, a->bytes);
}

static enum tt_status compare_values(const struct pairs *p, struct pair *pair) {
    struct cli *cli = p->cli;
    const struct verify_tolerance *t = p->tolerance;
    size_t n = tt_shape_count(&pair->a->shape);
    float *ours = malloc((n + 1) * sizeof *ours);
    struct tt_excess e;
    bool close = t->by == VERIFY_BY_CLOSE;
    if (!ours) return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    tt_view_floats(pair->a, 0, n, ours);
    enum tt_status status = tt_compare(cli->engine, ours, &pair->a->shape, TT_LIES_TORCH, pair->b,
                                       true, &pair->d, &cli->error);
    pair->difference = pair->d.largest;
    pair->limit = 0;
    if (!status && close) {
        status = tt_compare_close(cli->engine, ours, &pair->a->shape, TT_LIES_TORCH, pair->b,
                                  t->rtol, t->atol, &e, &cli->error);
        if (!status) {
            pair->d.at = e.at;
            pair->d.ours = e.ours;
            pair->d.reference = e.reference;
            pair->difference = e.difference;
            pair->limit = e.limit;
        }
    }
    free(ours);
    pair->agrees = pair->difference <= pair->limit;
    // What floats do not tell apart.
    bool exact = pair->a->dtype == pair->b->dtype &&
                 (is_whole(pair->a->dtype) || pair->a->dtype == TT_F64) && !close;
    if (pair->agrees && exact) pair->agrees = same_bytes(pair->a, pair->b);
    pair->times = pair->difference > 0 ? pair->difference / pair->limit : 0;
    return status;
}

static enum tt_status compare(struct pairs *p) {
    size_t a = 0, b = 0;
    const struct tt_view *x, *y;
    p->all = calloc(tt_safetensors_count(p->a) + tt_safetensors_count(p->b) + 1, sizeof *p->all);
    if (!p->all) return tt_fail(&p->cli->error, TT_SYSTEM, "out of memory");
    // Both are in the order of their names.
    while ((x = tt_safetensors_at(p->a, a)), (y = tt_safetensors_at(p->b, b)), x || y) {
        int order = !x ? 1 : !y ? -1 : strcmp(x->name, y->name);
        struct pair *pair = &p->all[p->count++];
        enum tt_status status = cli_go_on(p->cli);
        if (order <= 0) pair->a = x, a++;
        if (order >= 0) pair->b = y, b++;
        pair->name = order <= 0 ? x->name : y->name;
        if (!status && !order && tt_shape_equal(&x->shape, &y->shape))
            status = compare_values(p, pair);
        if (status) return status;
        p->differ += !pair->agrees;
    }
    return TT_OK;
}

static const char *word(const struct pair *p) {
    if (!p->b) return "only in A";
    if (!p->a) return "only in B";
    if (!tt_shape_equal(&p->a->shape, &p->b->shape)) return "SHAPE DIFFERS";
    if (p->agrees) return "ok";
    return p->difference > 0 ? "DIFFERS" : "BYTES DIFFER";
}

static void print_pair(const struct pair *p, int width) {
    char shape[96];
    const struct tt_view *one = p->a ? p->a : p->b;
    cli_print(stdout, p->name);
    printf("%*s %s", width - (int)strlen(p->name), "", tt_dtype_name(one->dtype));
    if (p->a && p->b && p->a->dtype != p->b->dtype) printf("/%s", tt_dtype_name(p->b->dtype));
    printf(" %s", tt_shape_text(&one->shape, shape, sizeof shape));
    if (p->a && p->b && !tt_shape_equal(&p->a->shape, &p->b->shape))
        printf(" and %s", tt_shape_text(&p->b->shape, shape, sizeof shape));
    else if (p->a && p->b)
        printf("  largest %.3e, relative L2 %.3e, cosine %.9g, %.0f ulp, NaN %zu %zu",
               p->difference, p->d.relative_l2, p->d.cosine, p->d.ulp, p->d.nan_ours,
               p->d.nan_reference);
    if (p->a && p->b && !p->agrees && p->difference > 0)
        printf(", element %zu: %.9g and %.9g", p->d.at, (double)p->d.ours,
               (double)p->d.reference);
    printf("  %s\n", word(p));
}

static json_t *describe(const struct pairs *p) {
    json_t *list = json_array();
    for (size_t i = 0; i < p->count; i++) {
        const struct pair *one = &p->all[i];
        bool both = one->a && one->b && tt_shape_equal(&one->a->shape, &one->b->shape);
        char a[96] = "", b[96] = "";
        if (one->a) tt_shape_text(&one->a->shape, a, sizeof a);
        if (one->b) tt_shape_text(&one->b->shape, b, sizeof b);
        json_t *item = json_pack("{s:s, s:s?, s:s?, s:b, s:s}", "name", one->name, "shape_a",
                                 one->a ? a : NULL, "shape_b", one->b ? b : NULL, "agrees",
                                 one->agrees, "what", word(one));
        if (both)
            json_object_update_new(
                item, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "difference",
                                cli_json_real(one->difference), "limit", cli_json_real(one->limit),
                                "relative_l2", cli_json_real(one->d.relative_l2), "max_relative",
                                cli_json_real(one->d.max_relative), "ulp",
                                cli_json_real(one->d.ulp), "cosine", cli_json_real(one->d.cosine),
                                "sqnr", cli_json_real(one->d.sqnr), "element",
                                (json_int_t)one->d.at));
        json_array_append_new(list, item);
    }
    return list;
}

static enum tt_status tell(const struct pairs *p, const char *a, const char *b) {
    int width = 0;
    if (p->cli->json) {
        json_t *root = json_pack("{s:s, s:o, s:o, s:I, s:I, s:b, s:o}", "format",
                                 "tintype-tensors-compared", "a", cli_json_text(a), "b",
                                 cli_json_text(b), "compared", (json_int_t)p->count, "differ",
                                 (json_int_t)p->differ, "agrees", !p->differ, "tensors",
                                 describe(p));
        return cli_print_json(p->cli, root, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    }
    for (size_t i = 0; i < p->count; i++)
        if ((int)strlen(p->all[i].name) > width) width = (int)strlen(p->all[i].name);
    for (size_t i = 0; i < p->count; i++)
        if (!p->cli->quiet || !p->all[i].agrees) print_pair(&p->all[i], width);
    printf("%zu tensors, %zu differ\n", p->count, p->differ);
    return TT_OK;
}

enum tt_status verify_two_files(struct cli *cli, const char *a, const char *b,
                                const struct verify_tolerance *tolerance) {
    struct pairs p = {.cli = cli, .tolerance = tolerance};
    enum tt_status status = TT_OK;
    if (tolerance->by != VERIFY_BY_DEFAULT && tolerance->by != VERIFY_BY_CLOSE)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--%s: found it with two files, expected --rtol "
                       "and --atol, or none", tolerance->by == VERIFY_BY_ERR32 ? "factor"
                                                                               : "tolerance");
    status = tt_safetensors_open(cli->files, a, &p.a, &cli->error);
    if (!status) status = tt_safetensors_open(cli->files, b, &p.b, &cli->error);
    if (!status) status = compare(&p);
    if (!status) status = tell(&p, a, b);
    if (!status && p.differ)
        status = tt_fail(&cli->error, TT_MISMATCH, "%zu of %zu tensors differ", p.differ, p.count);
    free(p.all);
    tt_safetensors_close(p.a);
    tt_safetensors_close(p.b);
    return status;
}
