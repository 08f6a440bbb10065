// SPDX-License-Identifier: MIT
// The loss of the pictures that are held out: each of them, always with the same noise, timesteps
// and captions, so that only the weights make a difference.
#include <math.h>
#include <stdlib.h>

#include "train/run.h"

static bool due(size_t step, size_t every) {
    return every && step % every == 0;
}

bool tt_run_validation_due(const struct tt_run *run, size_t step) {
    const struct tt_train_settings *s = run->settings;
    if (!(s->validate > 0) || step > s->steps) return false;
    if (!step || step == s->steps || due(step, s->validate_every)) return true;
    return !s->validate_every && (due(step, s->save_every) || due(step, s->sample_every));
}

// A batch of draws: items and fixed are of `batch`. held: those held out, ordered by size.
struct draws {
    size_t *items, *held;
    struct tt_fixed *fixed;
    size_t all; // draws of all pictures
};

// Draws from number `first` on, of one size; returns how many. Behind the last of them it is the
// last again, to fill the batch.
static size_t fill(const struct tt_run *run, const struct draws *draws, size_t first) {
    size_t each = run->task.draws, n = first, count = 0;
    struct tt_picture_size size = tt_dataset_size(run->data, draws->held[first / each]);
    for (size_t i = 0; i < run->settings->batch; i++) {
        if (count == i && first + i < draws->all) {
            struct tt_picture_size next =
                tt_dataset_size(run->data, draws->held[(first + i) / each]);
            if (next.width == size.width && next.height == size.height) n = first + count++;
        }
        draws->items[i] = draws->held[n / each];
        draws->fixed[i] = (struct tt_fixed){
            .seed = tt_dataset_chance(run->data, ~run->settings->seed, draws->items[i]),
            .draw = n % each, .draws = each};
    }
    return count;
}

static enum tt_status not_finite(struct tt_run *run, const struct draws *draws, size_t i,
                                 struct tt_batch *batch, size_t step, struct tt_error *err) {
    const char *node = NULL, *name = tt_dataset_name(run->data, draws->items[i]);
    struct tt_observer observer = {&node, NULL, tt_run_look};
    double none;
    batch->observer = &observer;
    enum tt_status status = run->task.batch(&run->task, batch, &none, err);
    run->wild = true;
    if (status) return status;
    return tt_fail(err, TT_BAD_INPUT, "after step %zu: the loss of held-out pictures is not "
                   "finite; first node: %s; picture: %s; a lower learning rate may help", step,
                   node ? node : "none, only the loss", name);
}

static enum tt_status measure(struct tt_run *run, const struct draws *draws, size_t step,
                              struct tt_error *err) {
    struct tt_batch batch = {.items = draws->items, .count = run->settings->batch,
                             .fixed = draws->fixed};
    double sum = 0, none;
    enum tt_status status = TT_OK;
    for (size_t first = 0, count = 0; !status && first < draws->all; first += count) {
        count = fill(run, draws, first);
        status = run->task.batch(&run->task, &batch, &none, err);
        for (size_t i = 0; !status && i < count; i++) {
            if (!isfinite(draws->fixed[i].loss))
                return not_finite(run, draws, i, &batch, step, err);
            sum += draws->fixed[i].loss;
        }
        if (!status && tt_run_show_part(run, TT_TRAIN_HELD, first, draws->all))
            status = TT_CANCELLED;
    }
    if (!status) run->held = sum / (double)draws->all;
    return status;
}

enum tt_status tt_run_validate(struct tt_run *run, size_t step, struct tt_error *err) {
    size_t batch = run->settings->batch, held = tt_dataset_held(run->data);
    struct draws draws = {malloc(batch * sizeof *draws.items), malloc(held * sizeof *draws.held),
                          malloc(batch * sizeof *draws.fixed), held * run->task.draws};
    enum tt_status status = TT_OK;
    if (!draws.items || !draws.fixed || !draws.held)
        status = tt_fail(err, TT_SYSTEM, "out of memory for a batch");
    if (!status)
        status = tt_buckets_sort(run->data, tt_dataset_count(run->data), held, draws.held, err);
    tt_optimiser_swap(run->optimiser);
    if (!status) status = measure(run, &draws, step, err);
    tt_optimiser_swap(run->optimiser);
    if (!status) status = tt_train_log_add_held(run->log, step, run->held, err);
    run->held_step = step;
    free(draws.items);
    free(draws.held);
    free(draws.fixed);
    return status;
}
