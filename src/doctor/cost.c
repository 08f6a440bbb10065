// SPDX-License-Identifier: MIT
// What a picture of a model would take here: memory by the plans that would be made, time by their
// operations and by what this machine can do.
#include "doctor/doctor.h"
#include "graph/steps.h"
#include "session.h"

// The steps of the picture that is reckoned.
enum { STEPS = 20 };

// Networks reach this share of the roof, as measured by `profile` on Stable Diffusion 1.5 (README,
// "Why is this model slow on my CPU").
static const double reached = 0.8;

struct call {
    bool too_large; // for this machine
    size_t arena;
    double flops, seconds;
};

// One call of a part at a size, reckoned.
static enum tt_status reckon(struct tt_examination *x, struct tt_model *model, enum tt_part part,
                             size_t n, const struct tt_roof *roof, struct call *call,
                             struct tt_error *err) {
    const struct tt_engine *engine = x->engine;
    struct tt_network network = {0};
    struct tt_steps steps = {0};
    struct tt_size size;
    enum tt_status status = tt_part_size_for(model, (int)part, n, 0, 0, &size, err);
    if (!status) status = tt_part_lay_out(model, part, &size, &network, err);
    if (!status)
        status = tt_plan_measure(&network.tape, model->parts[part].bank, &engine->plan,
                                 &call->arena, err);
    if (status == TT_SYSTEM && !tt_memory_has(call->arena)) call->too_large = true;
    if (!status)
        status = tt_steps_make(&network.tape, TT_FOLD_ALL, engine->plan.conv_direct, &steps, err);
    for (int i = 0; !status && i < steps.count; i++) {
        double flops =
            tt_step_executed(&steps.step[i], &engine->kernels, engine->plan.threads);
        double compute = flops / roof->flops_per_second;
        double move = tt_step_bytes(&steps.step[i]) / roof->bytes_per_second;
        call->flops += flops;
        call->seconds += (compute > move ? compute : move) / reached;
    }
    tt_steps_free(&steps);
    tt_network_drop(&network);
    return status;
}

// How often the U-Net is called.
static enum tt_status count_calls(struct tt_model *model, size_t *calls, struct tt_error *err) {
    struct tt_scheduler *scheduler = NULL;
    *calls = STEPS;
    if (model->no_scheduler) return TT_OK;
    enum tt_status status = tt_scheduler_open(&scheduler, NULL, model, NULL, err);
    if (!status) status = tt_scheduler_set_timesteps(scheduler, STEPS, err);
    if (!status) *calls = tt_scheduler_calls(scheduler);
    tt_scheduler_free(scheduler);
    return status;
}

// A session keeps the plans of earlier calls while they are few bytes.
static size_t keep(size_t kept, size_t arena, size_t most) {
    size_t left = arena < most ? most - arena : 0;
    return arena + (kept < left ? kept : left);
}

static void tell_short(struct tt_examination *x, const char *path, double bytes) {
    tt_doctor_find(x, TT_CODE_SHORT_MEMORY, path, NULL,
                   tt_doctor_text(x, "%.1f GB that a picture takes", bytes / 1e9),
                   tt_doctor_text(x, "at most %.1f GB that this machine has",
                                  (double)tt_memory_most() / 1e9), NULL);
}

enum tt_status tt_doctor_cost(struct tt_examination *x, struct tt_model *model,
                              double weight_bytes, struct tt_error *err) {
    struct tt_session_settings session;
    struct tt_roof roof;
    struct tt_error why = {TT_OK, ""};
    const struct tt_model_info *info = &model->info;
    bool two = !info->guidance_width && !info->unconditional;
    size_t calls, kept = 0, peak = 0;
    double flops = 0, seconds = 0;
    if (!tt_model_has_part(model, TT_PART_UNET) || !info->width || !info->height) return TT_OK;
    tt_session_defaults(&session, sizeof session);
    enum tt_status status = tt_roof_find(x->engine, x->settings.cache, false, &roof, err);
    if (!status) status = count_calls(model, &calls, err);
    for (enum tt_part part = 0; !status && part < TT_PARTS; part++) {
        struct call call = {0};
        if (!tt_model_has_part(model, (int)part) || part == TT_PART_VAE_ENCODE) continue;
        size_t n = two && part != TT_PART_VAE_DECODE ? 2 : 1;
        status = reckon(x, model, part, n, &roof, &call, &why);
        if (call.too_large) tell_short(x, info->name, weight_bytes + (double)call.arena);
        if (call.too_large) return TT_OK;
        if (status == TT_BAD_INPUT) { // a size of its own that it cannot draw
            tt_doctor_find(x, TT_CODE_CANNOT_OPEN, info->name, NULL, why.message, NULL, NULL);
            return TT_OK;
        }
        double times = part == TT_PART_UNET ? (double)calls : 1;
        flops += times * call.flops;
        seconds += times * call.seconds;
        kept = keep(kept, call.arena, session.plan_bytes);
        if (kept > peak) peak = kept;
    }
    if (status) return tt_fail(err, status, "%s", why.message);
    double bytes = weight_bytes + (double)peak, machine = (double)tt_memory_most();
    tt_doctor_number(x, "cost", "width", (double)info->width);
    tt_doctor_number(x, "cost", "height", (double)info->height);
    tt_doctor_number(x, "cost", "steps", STEPS);
    tt_doctor_number(x, "cost", "weight_bytes", weight_bytes);
    tt_doctor_number(x, "cost", "activation_bytes", (double)peak);
    tt_doctor_number(x, "cost", "peak_bytes", bytes);
    tt_doctor_number(x, "cost", "machine_bytes", machine);
    tt_doctor_number(x, "cost", "flops", flops);
    tt_doctor_number(x, "cost", "seconds", seconds);
    if (bytes > machine) tell_short(x, info->name, bytes);
    return TT_OK;
}
