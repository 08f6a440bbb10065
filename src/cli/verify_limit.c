// SPDX-License-Identifier: MIT
// How far from the recorded value is too far.
//
// err32: a factor times the error that the recorder measured against float64, and one unit in the
// last place of the tensor's largest magnitude. In isolation the module's own error, end to end
// that of the network up to there.
//
// Names of one output (a container and its last module, a dropout and its input) have the largest
// of their errors. An activation has no less than its input: its slope is about 1 at most, and
// which elements it lets through is not the error's doing. Where a recording of float32 has no
// errors of the network, but modules' own, end to end is held against what rounding explains:
//
// f16, bf16: the modules computed in half precision and nobody measured their errors. A result
// rounded to half is off by at most u |x|, u the unit roundoff: 2^-11, 2^-8. A module rounds a few
// times inside, each an independent error of about u / 2 of the norm, so that alone its relative L2
// stays near u, and its largest error near 2 u of the largest magnitude; reductions accumulate in
// float32, so their length does not count. End to end the errors of k modules that follow each
// other add like their squares: like sqrt(k). Measured in float16 and bfloat16 beside float32 on
// the tiny models, the shipped one and their autoencoders and text encoders (PyTorch 2.13, about
// 4,500 modules): alone at most 2.6 u of relative L2 and 3.2 u of the largest magnitude; end to end
// mostly within 0.3 sqrt(k) u and 1 sqrt(k) u, and, where a sharp softmax amplified what came in,
// up to 1.2 sqrt(k) u and 5 sqrt(k) u. Both numbers are held against their limits: the largest
// error finds one wrong element, the relative L2 a small error everywhere. In float32 reductions
// round, too: the largest error alone, of twice as many u.
#include <math.h>
#include <string.h>

#include "cli/verify.h"

static const char *const names[] = {
    [VERIFY_BY_DEFAULT] = "default", [VERIFY_BY_ERR32] = "err32", [VERIFY_BY_F16] = "f16",
    [VERIFY_BY_BF16] = "bf16",       [VERIFY_BY_CLOSE] = "rtol",
};

const char *verify_by_name(enum verify_by by) {
    return names[by];
}

enum tt_status verify_by_of(struct cli *cli, const char *name, enum verify_by *by) {
    for (*by = VERIFY_BY_ERR32; *by <= VERIFY_BY_BF16; (*by)++)
        if (!strcmp(name, names[*by])) return TT_OK;
    return tt_fail(&cli->error, TT_BAD_INPUT, "--tolerance: found '%s', expected err32, f16 or "
                   "bf16", name);
}

// How far off is too far, where the command line leaves it open: a recording in half precision
// that measured its own errors is compared by them.
void verify_choose_limit(struct verify_call *c) {
    const struct verify *v = c->of;
    const struct tt_recording_info *info = tt_recording_info(v->recording);
    bool direct = v->cli->conv && !strcmp(v->cli->conv, "direct"), measured = false;
    bool drifts = false;
    enum tt_dtype dtype = info->precision;
    for (size_t i = 0; i < c->count; i++) {
        const struct tt_recorded *r = tt_recording_at(v->recording, c->index, i);
        bool made = r->kind == TT_RECORDED_OUTPUT || r->kind == TT_RECORDED_GRADIENT;
        if (!made || r->view->dtype == TT_I64) continue;
        double unknown = ldexp(r->maxabs, -18);
        measured = measured || r->err32 < unknown || r->err32 > unknown;
        drifts = drifts || r->drift32 < r->err32 || r->drift32 > r->err32;
        if (dtype == TT_F32 && (r->dtype == TT_F16 || r->dtype == TT_BF16)) dtype = r->dtype;
        if (dtype == TT_F32 && r->view->dtype != TT_F32) dtype = r->view->dtype;
    }
    bool half = dtype == TT_F16 || dtype == TT_BF16;
    c->drift = info->version < 2 || drifts || !measured || !isnan(v->tolerance.factor);
    c->by = v->tolerance.by;
    if (c->by == VERIFY_BY_DEFAULT && half && !measured)
        c->by = dtype == TT_F16 ? VERIFY_BY_F16 : VERIFY_BY_BF16;
    if (c->by == VERIFY_BY_DEFAULT) c->by = VERIFY_BY_ERR32;
    // Version 1 holds the truth; later ones what was computed, which has an error of its own. Of
    // half precision that error is nearly all that there is.
    c->factor = tt_recorded_factor(c->part, direct);
    if (half && c->factor > 2) c->factor = 2;
    else if (info->version > 1) c->factor += 1;
    if (!isnan(v->tolerance.factor)) c->factor = v->tolerance.factor;
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

static void judge_rounding(const struct verify_call *c, const struct tt_recorded *r, size_t step,
                       struct verify_row *row) {
    double u = c->by == VERIFY_BY_F16 ? 0x1p-11 : c->by == VERIFY_BY_BF16 ? 0x1p-8 : 0x1p-23;
    bool alone = c->of->mode == VERIFY_ISOLATED;
    double l2 = alone ? 5 : 4 + 1.2 * sqrt((double)step);
    double largest = alone ? 8 : 20 + 4.5 * sqrt((double)step);
    row->limit = u * largest * r->maxabs;
    if (c->by != VERIFY_BY_ERR32) row->limit_l2 = u * l2;
}

// What such a module is given; NULL: it is none.
static const struct tt_recorded *passed_on(const struct verify_call *c,
                                           const struct tt_recorded *r) {
    static const char *const types[] = {"SiLU", "GELU", "GELUActivation", "QuickGELUActivation",
                                        "QuickGELU", "ReLU", "Tanh", "Dropout", "Identity"};
    for (size_t i = 0; r->inputs && r->inputs[0] && i < sizeof types / sizeof *types; i++) {
        if (strcmp(r->type, types[i])) continue;
        const struct tt_recorded *input =
            tt_recording_find(c->of->recording, c->index, r->inputs[0]);
        return input && tt_shape_equal(&input->shape, &r->shape) ? input : NULL;
    }
    return NULL;
}

double verify_error(const struct verify_call *c, const struct tt_recorded *r) {
    enum { CHAIN = 4 }; // a dropout behind an activation, and no circle
    double error = r->drift32;
    if (c->of->mode == VERIFY_ISOLATED) return r->err32;
    for (int i = 0; i < CHAIN && (r = passed_on(c, r)); i++) error = larger(error, r->drift32);
    return error;
}

void verify_judge(const struct verify_call *c, const struct tt_recorded *r, size_t step,
                  struct verify_row *row) {
    bool alone = c->of->mode == VERIFY_ISOLATED, half = c->by == VERIFY_BY_F16 ||
                                                        c->by == VERIFY_BY_BF16;
    row->err32 = larger(verify_error(c, r), c->step_error);
    row->limit_l2 = NAN;
    if (half || (c->by == VERIFY_BY_ERR32 && !alone && !c->drift))
        judge_rounding(c, r, step, row);
    if (c->by == VERIFY_BY_ERR32)
        row->limit = larger(!alone && !c->drift ? row->limit : 0,
                            c->factor * row->err32 + ldexp(r->maxabs, -23));
    row->times = row->difference > 0 ? row->difference / row->limit : 0;
    if (!isnan(row->limit_l2) && row->d.relative_l2 > 0)
        row->times = larger(row->times, row->d.relative_l2 / row->limit_l2);
    row->agrees = row->times <= 1;
}
