// SPDX-License-Identifier: MIT
// One tensor of a run beside the recorded one.
#include "cli/verify.h"

struct tt_shape verify_place(const struct tt_shape *shape, size_t at) {
    struct tt_shape place = {.rank = shape->rank};
    size_t below = tt_shape_count(shape);
    for (size_t i = 0; i < shape->rank; i++) {
        below /= shape->dim[i];
        place.dim[i] = at / below % shape->dim[i];
    }
    return place;
}

// The element of all that is farthest outside of a limit of its own.
static enum tt_status judge_close(const struct verify_call *c, const struct tt_recorded *r,
                                  const struct verify_ours *ours, struct verify_row *row,
                                  struct tt_error *err) {
    const struct verify_tolerance *t = &c->of->tolerance;
    struct tt_excess e = {row->d.at, row->d.ours, row->d.reference, row->d.largest, 0};
    enum tt_status status = TT_OK;
    if (r->statistics) e.limit = t->atol + t->rtol * r->maxabs;
    else status = tt_compare_close(c->of->cli->engine, ours->data, ours->shape, ours->lies,
                                   r->view, t->rtol, t->atol, &e, err);
    row->d.at = e.at;
    row->d.ours = e.ours;
    row->d.reference = e.reference;
    row->difference = e.difference;
    row->limit = e.limit;
    return status;
}

// What differs: looked at once where modules return the same tensor, which is recorded once.
static enum tt_status look(struct verify_call *c, const struct tt_recorded *r,
                           const struct verify_ours *ours, bool whole, struct verify_row *row,
                           struct tt_error *err) {
    const struct tt_engine *engine = c->of->cli->engine;
    struct verify_looked *last = &c->looked;
    if (r->statistics)
        return tt_compare_statistics(engine, ours->data, ours->shape, ours->lies, r, whole, &row->d,
                                     &row->what, err);
    if (!whole && last->view == r->view && last->data == ours->data && last->lies == ours->lies) {
        row->d = last->d;
        return TT_OK;
    }
    enum tt_status status =
        tt_compare(engine, ours->data, ours->shape, ours->lies, r->view, whole, &row->d, err);
    if (!status) *last = (struct verify_looked){r->view, ours->data, ours->lies, row->d};
    return status;
}

static enum tt_status measure(struct verify_call *c, const struct tt_recorded *r,
                              const struct verify_ours *ours, bool whole, struct verify_row *row,
                              struct tt_error *err) {
    enum tt_status status = look(c, r, ours, whole, row, err);
    row->difference = row->d.largest;
    if (!status && c->by == VERIFY_BY_CLOSE) status = judge_close(c, r, ours, row, err);
    if (!status) verify_judge(c, r, c->steps, row);
    return status;
}

void verify_check(struct verify_call *c, struct verify_row *row, const struct verify_ours *ours) {
    const struct tt_recorded *r = tt_recording_at(c->of->recording, c->index, row->recorded);
    char found[96], expected[96];
    if (!tt_shape_same_order(&r->shape, ours->shape)) {
        tt_fail(&c->error, TT_BAD_INPUT, "%s: tensor '%s': found shape %s, expected %s", c->file,
                r->name, tt_shape_text(&r->shape, found, sizeof found),
                tt_shape_text(ours->shape, expected, sizeof expected));
        return;
    }
    row->state = VERIFY_COMPARED;
    row->order = ++c->order;
    enum tt_status status = measure(c, r, ours, c->of->all, row, &c->error);
    if (!status && !row->agrees && !c->of->all) status = measure(c, r, ours, true, row, &c->error);
    tt_recording_release(c->of->recording, c->index, r);
}
