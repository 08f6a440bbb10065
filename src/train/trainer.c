// SPDX-License-Identifier: MIT
#include "train/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct tt_trainer {
    struct tt_train_settings settings;
    struct tt_run run;
    struct tt_train_line line; // of the last step
    size_t saved;              // the step of the last checkpoint
    double start, mark;        // of the steps; of the log's last line
    bool ended;                // by an error
    const struct tt_observer *observers;
    size_t observer_count;
    struct tt_observer all; // shows them all
};

static bool due(size_t step, size_t every) {
    return every && step % every == 0;
}

// Whatever ends the run early, the steps that were done up to `step` are kept; but not what a loss
// that is not finite has led to: the last checkpoint is from before.
static enum tt_status stop_after(struct tt_trainer *trainer, size_t step, enum tt_status why,
                                 struct tt_error *err) {
    struct tt_run *run = &trainer->run;
    struct tt_error failed = {0};
    trainer->ended = true;
    if (run->wild) return why;
    enum tt_status status = step > trainer->saved ? tt_run_save(run, &failed) : TT_OK;
    if (why == TT_CANCELLED) {
        if (err) *err = (struct tt_error){TT_OK, ""}; // of the node that did not run any more
        if (status) return tt_fail(err, status, "%s", failed.message);
        if (!step) return tt_fail(err, TT_CANCELLED, "stopped before the first step was done");
        return tt_fail(err, TT_CANCELLED, "stopped after step %zu; --resume goes on", step);
    }
    if (status)
        tt_fail_prefix(err, "after step %zu, which could not be saved (%s)", step, failed.message);
    else if (step) tt_fail_prefix(err, "after step %zu, which is saved: --resume goes on", step);
    return why;
}

// ---- beginning ----

// A run that ended between a checkpoint and what is due with it does that now.
static enum tt_status catch_up(struct tt_run *run, size_t begun, struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    enum tt_status status = TT_OK;
    if (begun && due(begun, s->sample_every) &&
        !tt_samples_there(s, run->model, run->prompts, run->data, begun))
        status = tt_run_sample(run, begun, err);
    // And a new run begins with the loss of pictures that are held out.
    if (!status && tt_run_validation_due(run, begun) && !tt_train_log_has_held(run->log, begun) &&
        !tt_changes_count(&run->changes))
        status = tt_run_validate(run, begun, err);
    return status;
}

static enum tt_status begin(struct tt_run *run, const struct tt_engine *engine,
                            struct tt_error *err) {
    const struct tt_train_settings *s = run->settings;
    enum tt_status status = tt_train_settings_check(s, err);
    if (!status) status = tt_train_output_check(&run->output, err);
    if (!status) status = tt_run_open_model(run, engine, err);
    if (!status) status = tt_run_open_data(run, err);
    if (!status && s->sample_every)
        status = tt_sample_prompts_new(s, run->model, run->data, &run->notes, &run->prompts, err);
    if (!status) status = tt_run_open_task(run, err);
    if (!status) status = tt_run_resume(run, err);
    if (!status) status = tt_train_output_take(&run->output, &run->notes, err);
    struct tt_task_cache cache = {run->output.latents, engine->files, run->notes,
                                  tt_run_show_latents, run};
    if (!status && run->task.prepare) status = run->task.prepare(&run->task, &cache, err);
    if (!status) status = tt_run_open_log(run, err);
    return status ? status : tt_run_changed(run, err);
}

enum tt_status tt_trainer_new(const struct tt_train_settings *settings,
                              const struct tt_engine *engine, struct tt_trainer **out,
                              struct tt_error *err) {
    struct tt_trainer *trainer = calloc(1, sizeof *trainer);
    if (!trainer) return tt_fail(err, TT_SYSTEM, "out of memory for a trainer");
    struct tt_run *run = &trainer->run;
    enum tt_status status = tt_train_settings_take(&trainer->settings, settings, err);
    tt_run_init(run, &trainer->settings, engine);
    if (!status) status = begin(run, engine, err);
    trainer->start = trainer->mark = tt_seconds();
    if (!status) {
        size_t begun = tt_trainer_steps(trainer);
        trainer->saved = begun;
        status = catch_up(run, begun, err);
        if (status) stop_after(trainer, begun, status, err);
    }
    if (status) tt_trainer_free(trainer);
    else *out = trainer;
    return status;
}

void tt_trainer_free(struct tt_trainer *trainer) {
    if (!trainer) return;
    tt_run_close(&trainer->run);
    free(trainer);
}

// ---- steps ----

size_t tt_trainer_steps(const struct tt_trainer *trainer) {
    return (size_t)tt_optimiser_steps(trainer->run.optimiser);
}

const struct tt_train_line *tt_trainer_line(const struct tt_trainer *trainer) {
    return &trainer->line;
}

static int show_before(void *context, const struct tt_step *step) {
    const struct tt_trainer *trainer = context;
    int stop = 0;
    for (size_t i = 0; !stop && i < trainer->observer_count; i++) {
        const struct tt_observer *o = &trainer->observers[i];
        if (o->before) stop = o->before(o->context, step);
    }
    return stop;
}

static void show_after(void *context, const struct tt_step *step) {
    const struct tt_trainer *trainer = context;
    for (size_t i = 0; i < trainer->observer_count; i++) {
        const struct tt_observer *o = &trainer->observers[i];
        if (o->after) o->after(o->context, step);
    }
}

void tt_trainer_observe(struct tt_trainer *trainer, const struct tt_observer *observers,
                        size_t count) {
    trainer->observers = observers;
    trainer->observer_count = count;
    trainer->all = (struct tt_observer){trainer, show_before, show_after};
    trainer->run.observer = count ? &trainer->all : NULL;
}

static enum tt_status may_go_on(const struct tt_trainer *trainer, struct tt_error *err) {
    return trainer->ended ? tt_fail(err, TT_BAD_INPUT, "found a run that an error has ended, "
                                    "expected a new one that resumes")
                          : TT_OK;
}

// What is due after a step. stop: the run ends here.
static enum tt_status after_step(struct tt_trainer *trainer, size_t step, int stop,
                                 struct tt_error *err) {
    struct tt_run *run = &trainer->run;
    const struct tt_train_settings *s = run->settings;
    enum tt_status status = TT_OK;
    if (due(step, s->log_every) || step == s->steps) {
        run->line = trainer->line;
        status = tt_run_write_line(run, err);
        run->seen = 0;
        trainer->mark = trainer->start + run->line.seconds;
    }
    if (!status && !stop && tt_run_validation_due(run, step))
        status = tt_run_validate(run, step, err);
    if (!status && (due(step, s->save_every) || step == s->steps)) {
        status = tt_run_save(run, err);
        trainer->ended = status != TT_OK;
        if (status) return status; // the one before is still there
        trainer->saved = step;
    }
    if (!status && !stop && due(step, s->sample_every)) status = tt_run_sample(run, step, err);
    if (!status && stop) status = TT_CANCELLED;
    return status ? stop_after(trainer, step, status, err) : TT_OK;
}

enum tt_status tt_trainer_step(struct tt_trainer *trainer, struct tt_error *err) {
    struct tt_run *run = &trainer->run;
    size_t step = tt_trainer_steps(trainer);
    struct tt_train_line line = {.steps = run->settings->steps, .held = run->held};
    double loss = 0;
    enum tt_status status = may_go_on(trainer, err);
    if (status) return status;
    if (step >= run->settings->steps)
        return tt_fail(err, TT_BAD_INPUT, "found %zu steps done, expected fewer: steps is %zu",
                       step, run->settings->steps);
    status = tt_run_step(run, step, &line, &loss, err);
    if (status) return stop_after(trainer, step, status, err);
    step++;
    run->losses += loss;
    double now = tt_seconds();
    line.step = step;
    line.loss = run->losses / (double)(step - run->logged);
    line.seconds = now - trainer->start;
    line.images_per_second =
        (double)run->seen / (now > trainer->mark ? now - trainer->mark : 1e-9);
    trainer->line = line;
    return after_step(trainer, step, tt_run_show(run, "training", &line), err);
}

enum tt_status tt_trainer_save(struct tt_trainer *trainer, struct tt_error *err) {
    size_t step = tt_trainer_steps(trainer);
    enum tt_status status = may_go_on(trainer, err);
    if (status || step == trainer->saved) return status;
    status = tt_run_save(&trainer->run, err);
    if (!status) trainer->saved = step;
    return status;
}

enum tt_status tt_trainer_export(struct tt_trainer *trainer, struct tt_error *err) {
    enum tt_status status = may_go_on(trainer, err);
    return status ? status : tt_run_finish(&trainer->run, err);
}

enum tt_status tt_train(const struct tt_train_settings *settings, const struct tt_engine *engine,
                        struct tt_error *err) {
    struct tt_trainer *trainer = NULL;
    enum tt_status status = tt_trainer_new(settings, engine, &trainer, err);
    while (!status && tt_trainer_steps(trainer) < trainer->settings.steps)
        status = tt_trainer_step(trainer, err);
    if (!status) status = tt_trainer_export(trainer, err);
    tt_trainer_free(trainer);
    return status;
}
