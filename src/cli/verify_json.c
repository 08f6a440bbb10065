// SPDX-License-Identifier: MIT
// verify --json: one object. 'tintype verify --help' tells its fields.
#include <math.h>

#include "cli/verify.h"

// A number that is not finite says so: null is what is not known.
static json_t *value(float x) {
    return isfinite(x)  ? json_real((double)x)
           : isnan(x)   ? json_string("nan")
           : x > 0      ? json_string("inf")
                        : json_string("-inf");
}

static void add_details(json_t *tensor, const struct verify_row *row) {
    const struct tt_difference *d = &row->d;
    json_t *decades = json_array();
    for (int i = 0; i < TT_DECADES; i++)
        json_array_append_new(decades, json_integer((json_int_t)d->decades[i]));
    struct tt_shape place = verify_place(&row->shape, d->at);
    json_object_set_new(tensor, "at", cli_json_shape(&place));
    json_object_set_new(tensor, "ours", value(d->ours));
    json_object_set_new(tensor, "recorded", value(d->reference));
    json_object_set_new(tensor, "max_relative", cli_json_real(d->max_relative));
    json_object_set_new(tensor, "ulp", cli_json_real(d->ulp));
    json_object_set_new(tensor, "cosine", cli_json_real(d->cosine));
    json_object_set_new(tensor, "sqnr", cli_json_real(d->sqnr));
    json_object_set_new(tensor, "nan", json_pack("[I, I]", (json_int_t)d->nan_ours,
                                                 (json_int_t)d->nan_reference));
    json_object_set_new(tensor, "inf", json_pack("[I, I]", (json_int_t)d->infinite_ours,
                                                 (json_int_t)d->infinite_reference));
    json_object_set_new(tensor, "decades", decades);
}

static json_t *describe_tensor(const struct verify_row *row) {
    json_t *tensor = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "name", row->name, "type", row->type,
        "shape", cli_json_shape(&row->shape), "difference", cli_json_real(row->difference),
        "relative_l2", cli_json_real(row->d.relative_l2), "limit", cli_json_real(row->limit),
        "err32", cli_json_real(row->err32), "times", cli_json_real(row->times), "agrees",
        row->agrees);
    if (!isnan(row->limit_l2))
        json_object_set_new(tensor, "limit_l2", cli_json_real(row->limit_l2));
    if (row->what) json_object_set_new(tensor, "what", json_string(row->what));
    if (row->d.whole) add_details(tensor, row);
    return tensor;
}

static json_t *describe_call(const struct verify_call *c) {
    json_t *tensors = json_array();
    for (size_t i = 0; i < c->count; i++)
        if (c->rows[i].state == VERIFY_COMPARED)
            json_array_append_new(tensors, describe_tensor(&c->rows[i]));
    const struct verify_row *first = c->first ? c->first : c->first_bad;
    return json_pack("{s:s, s:I, s:o, s:o, s:s, s:o, s:I, s:I, s:o, s:s?, s:I, s:o, s:O, s:o}",
                     "part", tt_part_name(c->part), "call", (json_int_t)c->call, "step",
                     c->has_step ? json_integer((json_int_t)c->step) : json_null(), "file",
                     cli_json_text(c->file), "tolerance", verify_by_name(c->by), "factor",
                     c->by == VERIFY_BY_ERR32 ? json_real(c->factor) : json_null(), "compared",
                     (json_int_t)c->compared, "differ", (json_int_t)(c->differ + c->bad), "times",
                     cli_json_real(c->hardest ? c->hardest->times : 0), "first",
                     first ? first->name : NULL, "left_out", (json_int_t)c->left_out,
                     "not_in_model", verify_absent(c), "not_recorded", c->unrecorded, "tensors",
                     tensors);
}

static json_t *describe_worst(const struct verify *v) {
    struct verify_worst worst[VERIFY_WORST];
    size_t n = verify_worst(v, worst);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:s, s:o, s:o, s:o}", "part",
                            tt_part_name(worst[i].call->part), "call",
                            (json_int_t)worst[i].call->call, "name", worst[i].row->name, "times",
                            cli_json_real(worst[i].row->times), "difference",
                            cli_json_real(worst[i].row->difference), "relative_l2",
                            cli_json_real(worst[i].row->d.relative_l2)));
    return list;
}

static json_t *describe_tolerance(const struct verify *v) {
    const struct verify_tolerance *t = &v->tolerance;
    bool close = t->by == VERIFY_BY_CLOSE;
    return json_pack("{s:s, s:o, s:o, s:o}", "by", verify_by_name(t->by), "factor",
                     cli_json_real(t->factor), "rtol", close ? json_real(t->rtol) : json_null(),
                     "atol", close ? json_real(t->atol) : json_null());
}

static json_t *describe_weights(const struct verify_weights *w) {
    if (!w->recorded) return json_null();
    return json_pack("{s:I, s:I, s:I, s:I, s:O}", "compared", (json_int_t)w->compared, "differ",
                     (json_int_t)w->differ, "missing", (json_int_t)w->missing, "unrecorded",
                     (json_int_t)w->unrecorded, "differing", w->differing);
}

json_t *verify_describe(const struct verify *v, bool agrees) {
    static const char *const modes[] = {"end-to-end", "isolated", "weights-only"};
    const struct tt_recording_info *info = tt_recording_info(v->recording);
    const struct verify_row *row;
    const struct verify_call *first = verify_first(v, &row);
    json_t *parts = json_array();
    for (size_t i = 0; i < v->count; i++)
        json_array_append_new(parts, describe_call(&v->calls[i]));
    json_t *root = json_pack(
        "{s:s, s:o, s:o, s:s, s:o, s:s, s:b, s:s, s:b, s:s}", "format", "tintype-verification",
        "model", cli_json_text(tt_model_info(v->model)->name), "recording",
        cli_json_text(v->recording_path), "mode", modes[v->mode], "tolerance",
        describe_tolerance(v), "precision", tt_dtype_name(info->precision), "whole", info->whole,
        "conv", v->cli->conv ? v->cli->conv : "auto", "agrees", agrees, "verdict", v->verdict);
    if (!root) {
        json_decref(parts);
        return NULL;
    }
    json_object_set_new(root, "first",
                        first ? json_pack("{s:I, s:s, s:s}", "call", (json_int_t)first->call,
                                          "part", tt_part_name(first->part), "name", row->name)
                              : json_null());
    json_object_set_new(root, "worst", describe_worst(v));
    json_object_set_new(root, "weights", describe_weights(&v->weights));
    json_object_set(root, "suspects", v->suspects);
    json_object_set_new(root, "pipeline",
                        v->drift.drawn ? json_incref(v->drift.rows) : json_null());
    json_object_set_new(root, "parts", parts);
    return root;
}
