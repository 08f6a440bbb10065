// SPDX-License-Identifier: MIT
// A tensor beside the statistics of another one: a sample of its elements, moments and quantiles.
#include <math.h>

#include "compare/compare.h"
#include "engine.h"
#include "io/digest.h"
#include "io/weights.h"
#include "verify/statistics.h"

struct worst {
    double difference;
    const char *what;
};

static void look(struct worst *w, const char *what, double a, double b) {
    double d = fabs(a - b);
    if (d <= w->difference) return;
    w->difference = d;
    w->what = what;
}

// None of these is farther off than the element that is farthest off.
static void look_at_all(struct worst *w, const struct tt_recorded_statistics *a,
                        const struct tt_recorded_statistics *b, size_t n) {
    look(w, "mean", a->mean, b->mean);
    look(w, "std", a->std, b->std);
    look(w, "min", a->min, b->min);
    look(w, "max", a->max, b->max);
    look(w, "l2", a->l2 / sqrt((double)n), b->l2 / sqrt((double)n));
    for (int k = 0; k < TT_QUANTILES; k++)
        look(w, "quantiles", a->quantiles[k], b->quantiles[k]);
}

enum tt_status tt_compare_statistics(const struct tt_engine *engine, const float *ours,
                                     const struct tt_shape *shape, enum tt_lies lies,
                                     const struct tt_recorded *recorded, bool whole,
                                     struct tt_difference *difference, const char **what,
                                     struct tt_error *err) {
    size_t n = tt_shape_count(shape), samples = n < TT_SAMPLE ? n : TT_SAMPLE;
    struct tt_compare_pair place = {.images = 1, .pixels = n, .channels = 1};
    struct tt_shape row = {1, {samples}};
    struct tt_recorded_statistics own;
    float sample[TT_SAMPLE] = {0};
    if (lies == TT_LIES_STEP && shape->rank == 4) {
        place.images = shape->dim[0];
        place.channels = shape->dim[1];
        place.pixels = shape->dim[2] * shape->dim[3];
    }
    for (size_t i = 0; i < samples; i++)
        sample[i] = ours[tt_compare_first(&place, tt_recorded_sample(n, i))];
    enum tt_status status = tt_compare(engine, sample, &row, TT_LIES_TORCH, recorded->view, whole,
                                       difference, err);
    if (status) return status;
    struct tt_statistics_room room = {0};
    bool good = tt_statistics_of(&room, ours, n, &own);
    tt_statistics_free(&room);
    if (!good) return tt_fail(err, TT_SYSTEM, "out of memory for statistics");
    struct worst w = {difference->largest, "sample"};
    look_at_all(&w, &own, recorded->statistics, n);
    difference->at = tt_recorded_sample(n, difference->at);
    difference->largest = w.difference;
    *what = w.what;
    if (own.not_finite == recorded->statistics->not_finite) return TT_OK;
    // Where these are, the recording does not say.
    difference->largest = difference->relative_l2 = INFINITY;
    difference->nan_ours = own.not_finite;
    difference->nan_reference = recorded->statistics->not_finite;
    if (difference->nan_reference > difference->nan_ours) difference->reference = NAN;
    else difference->ours = NAN;
    *what = "not_finite";
    return TT_OK;
}

void tt_view_digest(const struct tt_view *view, char text[TT_VIEW_DIGEST]) {
    tt_bytes_digest(view->data, view->bytes, text);
}

const struct tt_view *tt_weights_named(const struct tt_weights *weights, const char *name) {
    return tt_weights_find((void *)(uintptr_t)weights, name);
}
