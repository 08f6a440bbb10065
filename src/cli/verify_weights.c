// SPDX-License-Identifier: MIT
// Weights first: whether the model is the one that was recorded. Names, shapes and dtypes, then the
// digest of the bytes; where dtype or digest differ, the values as far as the recording keeps them:
// 16 of them, mean, standard deviation and the largest magnitude.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

// What a weight's values are like: of the recorded rule, in the nearest floats.
struct values {
    double mean, std, maxabs, sample[TT_WEIGHT_SAMPLE];
};

static void measure(const struct tt_view *view, struct values *v) {
    enum { STRIP = 4096 };
    float strip[STRIP];
    size_t n = tt_shape_count(&view->shape);
    double sum = 0, squares = 0;
    *v = (struct values){.maxabs = 0};
    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0, count; i < n; i += count) {
            count = n - i < STRIP ? n - i : STRIP;
            tt_view_floats(view, i, count, strip);
            for (size_t k = 0; k < count; k++) {
                double x = (double)strip[k], off = x - v->mean;
                sum += x;
                squares += off * off;
                if (!(fabs(x) <= v->maxabs)) v->maxabs = fabs(x);
            }
        }
        if (!pass) v->mean = n ? sum / (double)n : 0;
        if (!pass) squares = 0;
    }
    v->std = n ? sqrt(squares / (double)n) : 0;
    for (size_t i = 0; i < TT_WEIGHT_SAMPLE && i < n; i++) {
        float x;
        size_t at = n <= TT_WEIGHT_SAMPLE
                        ? i
                        : (size_t)((double)n * fmod((double)i * 0.6180339887498949, 1));
        tt_view_floats(view, at, 1, &x);
        v->sample[i] = (double)x;
    }
}

static double roundoff(enum tt_dtype dtype) {
    return dtype == TT_BF16 ? 0x1p-8 : dtype == TT_F16 ? 0x1p-11 : 0x1p-23;
}

// The first number that is farther off than rounding to the coarser of two dtypes explains; NULL:
// none.
static const char *off_by(const struct tt_recorded_weight *r, const struct values *v, double u,
                          double *ours, double *recorded) {
    const double pairs[][2] = {{v->maxabs, r->maxabs}, {v->std, r->std}, {v->mean, r->mean}};
    static const char *const names[] = {"largest magnitude", "std", "mean"};
    double size = v->maxabs > r->maxabs ? v->maxabs : r->maxabs;
    if (isnan(size)) size = v->maxabs;
    for (size_t i = 0; i < r->samples; i++) {
        *ours = v->sample[i];
        *recorded = r->sample[i];
        if (!(fabs(*ours - *recorded) <= u * fabs(*recorded) + 0x1p-24 * size)) return "sample";
    }
    for (size_t i = 0; i < 3; i++) {
        *ours = pairs[i][0];
        *recorded = pairs[i][1];
        // Of these a recording may keep four digits.
        double most = 2 * u * size + 1e-3 * fabs(*recorded);
        if (!isnan(*recorded) && !(fabs(*ours - *recorded) <= most)) return names[i];
    }
    return NULL;
}

static void differ(struct verify_weights *w, const struct tt_recorded_weight *r, const char *what,
                   json_t *ours, json_t *recorded) {
    w->differ++;
    json_array_append_new(w->differing,
                          json_pack("{s:s, s:s, s:s, s:o, s:o}", "part", r->part_name, "name",
                                    r->name, "what", what, "ours", ours, "recorded", recorded));
}

static json_t *shape_text(const struct tt_shape *shape) {
    char text[96];
    return json_string(tt_shape_text(shape, text, sizeof text));
}

static void compare_values(struct verify_weights *w, const struct tt_recorded_weight *r,
                           const struct tt_view *view) {
    struct values v;
    double ours, recorded, u = roundoff(r->dtype);
    if (roundoff(view->dtype) > u) u = roundoff(view->dtype);
    measure(view, &v);
    const char *what = off_by(r, &v, u, &ours, &recorded);
    if (what) {
        differ(w, r, what, cli_json_real(ours), cli_json_real(recorded));
    } else if (view->dtype == r->dtype) {
        char digest[TT_VIEW_DIGEST];
        tt_view_digest(view, digest);
        differ(w, r, "digest", json_string(digest), json_string(r->sha256));
    }
}

static void compare(struct verify_weights *w, const struct tt_recorded_weight *r,
                    const struct tt_view *view) {
    char digest[TT_VIEW_DIGEST];
    w->compared++;
    if (!tt_shape_equal(&view->shape, &r->shape)) {
        // A vector may stand as a matrix of one column, and the other way round.
        differ(w, r, "shape", shape_text(&view->shape), shape_text(&r->shape));
        return;
    }
    if (view->dtype == r->dtype) {
        tt_view_digest(view, digest);
        if (!strcmp(digest, r->sha256)) return;
    }
    compare_values(w, r, view);
}

// A part's weights: those of the recording among the model's, and what is beside them.
static enum tt_status compare_part(struct verify *v, int part, const struct tt_weights *weights,
                                   struct verify_weights *w) {
    const char *folder = tt_part_folder(part);
    size_t met = 0;
    for (size_t i = 0; i < tt_recording_weight_count(v->recording); i++) {
        const struct tt_recorded_weight *r = tt_recording_weight_at(v->recording, i);
        if (r->part < 0 || strcmp(tt_part_folder(r->part), folder)) continue;
        struct tt_view view;
        bool there;
        enum tt_status status =
            tt_model_weight(v->model, part, r->name, &there, &view, &v->cli->error);
        if (status) return status;
        if (there) {
            met++;
            compare(w, r, &view);
            tt_model_weight_done(v->model, part, &view);
        } else {
            w->missing++;
            differ(w, r, "missing", json_null(), shape_text(&r->shape));
            w->differ--;
        }
        status = cli_go_on(v->cli);
        if (status) return status;
    }
    if (met && tt_weights_count(weights) > met) w->unrecorded += tt_weights_count(weights) - met;
    return TT_OK;
}

enum tt_status verify_weights_compare(struct verify *v, struct verify_weights *w) {
    const char *done = "";
    enum tt_status status = TT_OK;
    *w = (struct verify_weights){.differing = json_array(),
                                 .recorded = tt_recording_weight_count(v->recording)};
    if (!w->recorded && v->mode == VERIFY_WEIGHTS)
        return tt_fail(&v->cli->error, TT_BAD_INPUT, "%s: recording.json: weights: found none, "
                       "expected them for --weights-only", v->recording_path);
    for (int part = 0; !status && w->recorded && part < (int)tt_part_count(); part++) {
        const struct tt_weights *weights;
        if (!tt_model_has_part(v->model, part) || !strcmp(tt_part_folder(part), done)) continue;
        done = tt_part_folder(part);
        status = tt_model_weights(v->model, part, &weights, &v->cli->error);
        if (!status) status = compare_part(v, part, weights, w);
    }
    return status;
}

static void print_one(const json_t *one) {
    const json_t *ours = json_object_get(one, "ours"), *recorded = json_object_get(one, "recorded");
    char *a = json_dumps(ours, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    char *b = json_dumps(recorded, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    fputs("  ", stdout);
    cli_print(stdout, json_string_value(json_object_get(one, "part")));
    fputs(": ", stdout);
    cli_print(stdout, json_string_value(json_object_get(one, "name")));
    printf(": %s: ours %s, recorded %s\n", json_string_value(json_object_get(one, "what")),
           a ? a : "?", b ? b : "?");
    free(a);
    free(b);
}

void verify_weights_print(const struct verify *v, const struct verify_weights *w) {
    enum { MOST = 20 };
    size_t n = json_array_size(w->differing);
    if (!w->recorded) return;
    printf("weights: %zu compared, ", w->compared);
    if (n) printf("%zu DIFFER", w->differ);
    else fputs("all as recorded", stdout);
    if (w->missing) printf(", %zu recorded ones are missing here", w->missing);
    if (w->unrecorded) printf(", %zu not recorded", w->unrecorded);
    putchar('\n');
    for (size_t i = 0; i < n && (i < MOST || v->all); i++)
        print_one(json_array_get(w->differing, i));
    if (n > MOST && !v->all) printf("  and %zu more\n", n - MOST);
}
