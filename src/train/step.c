// SPDX-License-Identifier: MIT
// A step of training: its batches, and the move.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mix.h"
#include "train/run.h"

// Chance of a batch follows from the seed and the batch's number alone.
static uint64_t chance_of(uint64_t seed, uint64_t n) {
    return tt_mix(seed + (n + 1) * TT_MIX_STEP);
}

uint64_t tt_run_batch(const struct tt_run *run, size_t step, size_t a) {
    return run->order.batches + (step - run->order.step) * run->settings->accumulate + a;
}

uint64_t tt_run_position(const struct tt_run *run, size_t step, size_t a) {
    return run->order.position +
           (tt_run_batch(run, step, a) - run->order.batches) *
               (run->buckets ? 1 : run->settings->batch);
}

// The pictures of batch `a` of a step into run->items; returns how many.
static size_t take_items(struct tt_run *run, size_t step, size_t a) {
    const struct tt_train_settings *s = run->settings;
    uint64_t position = tt_run_position(run, step, a);
    if (run->buckets) return tt_buckets_batch(run->buckets, s->seed, position, run->items);
    for (size_t i = 0; i < s->batch; i++)
        run->items[i] = tt_dataset_order(run->data, s->seed, position + i);
    return s->batch;
}

// How many pictures a step sees: its gradient is the mean of theirs.
static size_t pictures_of(struct tt_run *run, size_t step) {
    size_t all = 0;
    for (size_t a = 0; a < run->settings->accumulate; a++) all += take_items(run, step, a);
    return all;
}

// Batch `a` of a step, counted from 0: its loss, and its gradients added. all: the step's pictures.
static enum tt_status run_batch(struct tt_run *run, size_t step, size_t a, size_t all,
                                const struct tt_observer *observer, double *loss,
                                struct tt_error *err) {
    struct tt_rng rng;
    run->taken = take_items(run, step, a);
    struct tt_batch batch = {.items = run->items, .count = run->taken, .rng = &rng,
                             .scale = (double)run->taken / (double)all, .observer = observer};
    tt_rng_seed(&rng, chance_of(run->settings->seed, tt_run_batch(run, step, a)));
    return run->task.batch(&run->task, &batch, loss, err);
}

void tt_run_look(void *context, const struct tt_step *step) {
    const char **first = context;
    if (!*first && !tt_step_is_finite(step)) *first = tt_step_name(step);
}

// The batches of a step up to number `last` once more, to find where it began: the error's text.
static enum tt_status not_finite(struct tt_run *run, size_t step, size_t last, const char *what,
                                 struct tt_error *err) {
    char names[600] = "";
    const char *node = NULL;
    struct tt_observer observer = {&node, NULL, tt_run_look};
    size_t all = pictures_of(run, step);
    for (size_t a = 0; !node && a <= last; a++) {
        double loss;
        enum tt_status status = run_batch(run, step, a, all, &observer, &loss, err);
        if (status) return status;
    }
    for (size_t i = 0; i < run->taken; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                 tt_dataset_name(run->data, run->items[i]));
    }
    return tt_fail(err, TT_BAD_INPUT, "step %zu: the %s is not finite; first node: %s; pictures: "
                   "%s; a lower learning rate may help", step + 1, what,
                   node ? node : "none, only their sum", names);
}

// One optimiser step: `accumulate` batches, then the move. *loss: their mean.
enum tt_status tt_run_step(struct tt_run *run, size_t step, struct tt_train_line *line,
                                 double *loss, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    size_t all = pictures_of(run, step);
    *loss = 0;
    for (size_t a = 0; a < s->accumulate; a++) {
        double one;
        enum tt_status status = run_batch(run, step, a, all, run->observer, &one, err);
        if (status) return status;
        run->wild = !isfinite(one);
        if (run->wild) return not_finite(run, step, a, "loss", err);
        *loss += one / ((double)all / (double)run->taken); // without buckets: s->accumulate
    }
    run->seen += all;
    line->norm = tt_optimiser_norm(run->optimiser);
    run->wild = !isfinite(line->norm);
    if (run->wild) return not_finite(run, step, s->accumulate - 1, "gradient", err);
    line->learning_rate = tt_learning_rate(s, step);
    tt_optimiser_step(run->optimiser, line->norm, line->learning_rate);
    return TT_OK;
}
