// SPDX-License-Identifier: MIT
// What a run goes on from, and what it leaves to go on from.
#include <inttypes.h>
#include <stdlib.h>

#include "train/remarks.h"
#include "train/run.h"

static struct tt_checkpoint describe(const struct tt_run *run) {
    struct tt_checkpoint c = {
        .step = tt_optimiser_steps(run->optimiser), .settings = run->kept, .model = run->identity,
        .logged = run->logged, .losses = run->losses, .frozen = run->frozen,
        .threads = run->model->engine->plan.threads, .pictures = run->pictures,
        .order = run->order, .changed = run->changed, .changes = run->told,
    };
    c.states = tt_optimiser_states(run->optimiser, &c.count);
    return c;
}

// Whether an epoch is cut into other batches, of other sizes.
static bool buckets_changed(const struct tt_run *run) {
    static const char *const those[] = {"buckets", "bucket_step", "width", "height", "batch"};
    const struct tt_changes *changes = &run->changes;
    bool changed = changes->replaced;
    for (size_t i = 0; i < sizeof those / sizeof *those; i++)
        changed = changed || tt_changes_has(changes, those[i]);
    return changed && (run->buckets || tt_changes_has(changes, "buckets"));
}

// Batches go on being counted where they were; other pictures or buckets begin a new epoch, of the
// number that follows.
static void change_order(struct tt_run *run, uint64_t step) {
    const struct tt_train_settings *s = run->settings;
    const struct tt_changes *changes = &run->changes;
    size_t batch = tt_changes_was(changes, "batch", s->batch);
    size_t accumulate = tt_changes_was(changes, "accumulate", s->accumulate);
    bool other = changes->other || buckets_changed(run);
    bool bucketed = s->buckets != tt_changes_has(changes, "buckets"); // until now
    if (!other && batch == s->batch && accumulate == s->accumulate) return;
    uint64_t batches = (step - run->order.step) * accumulate;
    uint64_t position = run->order.position + batches * (bucketed ? 1 : batch);
    uint64_t before = run->order.epoch;
    uint64_t now = run->buckets ? run->buckets->batches : tt_dataset_count(run->data);
    if (other) position = (position + before - 1) / before * now;
    run->order = (struct tt_order){step, run->order.batches + batches, position, now};
}

static enum tt_status take_changes(struct tt_run *run, uint64_t step, struct tt_error *err) {
    const struct tt_changes *changes = &run->changes;
    size_t count = tt_changes_count(changes);
    if (run->settings->change && !count)
        tt_note(&run->notes, "--change: nothing is another than in %s", run->output.checkpoint);
    for (size_t i = 0; i < count; i++) {
        char *text = tt_changes_sentence(changes, i);
        if (!text) return tt_fail(err, TT_SYSTEM, "out of memory for a list of changes");
        tt_note(&run->notes, "changed after step %" PRIu64 ": %s", step, text);
        free(text);
    }
    change_order(run, step);
    return TT_OK;
}

enum tt_status tt_run_resume(struct tt_run *run, struct tt_error *err) {
    struct tt_checkpoint c = describe(run);
    bool unchecked = false;
    if (!run->settings->resume) return TT_OK;
    if (!run->output.has_checkpoint) {
        tt_note(&run->notes, "no checkpoint yet: this run begins at step 0%s",
                run->settings->change ? ", and there is nothing to change" : "");
        return TT_OK;
    }
    enum tt_status status = tt_changes_begin(&run->changes, run->settings->change,
                                             run->output.checkpoint, err);
    if (!status)
        status = tt_checkpoint_read(run->output.checkpoint, run->settings, &c, &run->changes,
                                    &unchecked, err);
    if (status) return status;
    if (unchecked)
        tt_note(&run->notes, "%s: is of tintype 0.1, without digests: neither it nor the networks "
                "that do not learn could be checked", run->output.checkpoint);
    tt_optimiser_set_steps(run->optimiser, c.step);
    run->logged = c.logged;
    run->losses = c.losses;
    run->order = c.order;
    run->changed = c.changed;
    run->told = c.changes;
    if (c.step > run->settings->steps)
        tt_note(&run->notes, "%s holds %" PRIu64 " steps, more than --steps %zu: nothing is "
                "trained, the model is written as it is after step %" PRIu64,
                run->output.checkpoint, c.step, run->settings->steps, c.step);
    else tt_note(&run->notes, "goes on after step %" PRIu64, c.step);
    status = take_changes(run, c.step, err);
    bool asked = tt_changes_has(&run->changes, "learning_rate") ||
                 tt_changes_has(&run->changes, "schedule") ||
                 tt_changes_has(&run->changes, "warmup_steps");
    if (!status && !asked)
        tt_remark_rate(run->settings, run->output.lines, c.step, &run->notes);
    return status;
}

enum tt_status tt_run_changed(struct tt_run *run, struct tt_error *err) {
    size_t count = tt_changes_count(&run->changes), step;
    enum tt_status status = TT_OK;
    if (!count) return TT_OK;
    step = (size_t)tt_optimiser_steps(run->optimiser);
    for (size_t i = 0; !status && i < count; i++) {
        char *line = tt_changes_line(&run->changes, i, step);
        status = line ? tt_train_log_add_text(run->log, line, err)
                      : tt_fail(err, TT_SYSTEM, "out of memory for a list of changes");
        free(line);
    }
    run->told = (run->changed == step ? run->told : 0) + count;
    run->changed = step;
    if (!status && run->settings->validate > 0) status = tt_run_validate(run, step, err);
    if (!status) return tt_run_save(run, err);
    if (status == TT_CANCELLED && err) {
        *err = (struct tt_error){TT_OK, ""};
        return tt_fail(err, status, "stopped before the change was saved: --resume --change does "
                       "it again");
    }
    return status;
}

enum tt_status tt_run_write_line(struct tt_run *run, struct tt_error *err) {
    enum tt_status status = tt_train_log_add(run->log, &run->line, err);
    run->pending = status != TT_OK;
    if (status) return status;
    run->logged = run->line.step;
    run->losses = 0;
    return TT_OK;
}

enum tt_status tt_run_save(struct tt_run *run, struct tt_error *err) {
    if (run->pending) tt_run_write_line(run, NULL);
    struct tt_checkpoint c = describe(run);
    enum tt_status logged = tt_train_log_sync(run->log, err); // no line should lag behind it,
    enum tt_status status =                                   // but the steps matter more
        tt_checkpoint_write(run->output.files, run->output.checkpoint, &c, err);
    if (!status) status = tt_train_output_saved(&run->output, err);
    return status ? status : logged;
}
