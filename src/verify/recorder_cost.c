// SPDX-License-Identifier: MIT
// What a recording will take: calls, bytes, time.
#include <stdlib.h>

#include "base/clock.h"
#include "graph/steps.h"
#include "verify/recorder.h"

struct tally {
    struct tt_recorder *r;
    size_t number;
    struct tt_error *err;
};

static void count(struct tally *t, const char *part, const struct tt_record_layout *layout) {
    struct tt_recorder_cost *cost = &t->r->cost;
    cost->calls++;
    cost->tensors += (size_t)layout->entry_count;
    if (tt_recorder_kept(t->r, t->number++, part)) cost->kept++;
    else cost->bytes += (double)tt_record_measure(layout);
}

static double flops_of(const struct tt_network *network) {
    struct tt_steps steps = {0};
    double flops = 0;
    if (!tt_steps_make(&network->tape, TT_FOLD_NOTHING, true, &steps, NULL))
        for (int i = 0; i < steps.count; i++) flops += tt_step_flops(&steps.step[i]);
    tt_steps_free(&steps);
    return flops;
}

// What a call of a part leaves, and its floating point operations.
static enum tt_status lay_out(const struct tally *t, enum tt_part part, struct tt_size size,
                              struct tt_record_layout *layout, double *flops) {
    struct tt_recorder *r = t->r;
    struct tt_network network = {0};
    *layout = (struct tt_record_layout){.statistics = r->settings.statistics};
    enum tt_status status = tt_check_size(r->session->model, part, &size, t->err);
    if (!status) status = tt_part_lay_out(r->session->model, part, &size, &network, t->err);
    if (!status) *flops = flops_of(&network);
    if (!status)
        status = tt_record_network(layout, &network, r->has_regex ? &r->regex : NULL, t->err);
    tt_network_drop(&network);
    return status;
}

static enum tt_status count_part(struct tally *t, enum tt_part part, struct tt_size size) {
    struct tt_record_layout layout;
    double flops = 0;
    enum tt_status status = lay_out(t, part, size, &layout, &flops);
    if (!status) count(t, tt_part_recorded(part), &layout);
    t->r->cost.flops += flops;
    tt_record_layout_free(&layout);
    return status;
}

static enum tt_status count_steps(struct tally *t, struct tt_size size, size_t calls, bool noise) {
    struct tt_recorder *r = t->r;
    struct tt_record_layout unet, step = {0};
    double flops = 0;
    enum tt_status status = lay_out(t, TT_PART_UNET, size, &unet, &flops);
    tt_recorder_scheduler_layout(r, &step, noise ? 1 : 0);
    if (!status && step.error.status) status = tt_recorder_no_memory(t->err);
    for (size_t i = 0; !status && i < calls; i++) {
        r->cost.flops += flops;
        if (i % r->settings.every) continue;
        count(t, tt_part_recorded(TT_PART_UNET), &unet);
        count(t, "scheduler", &step);
    }
    tt_record_layout_free(&unet);
    tt_record_layout_free(&step);
    return status;
}

enum tt_status tt_recorder_measure(struct tt_recorder *r, size_t calls, bool noise,
                                   struct tt_error *err) {
    const struct tt_model *model = r->session->model;
    const struct tt_model_info *info = &model->info;
    struct tally t = {r, 0, err};
    struct tt_record_layout pipeline;
    bool two = r->run.guidance_scale > 1 && !info->guidance_width && !model->unconditional;
    struct tt_size size = {two ? 2 : 1, r->run.height / info->factor, r->run.width / info->factor,
                           info->tokens};
    enum tt_status status = TT_OK;
    struct tt_size text = size;
    if (two && model->force_zeros && !r->run.negative) text.n = 1;
    for (enum tt_part part = 0; !status && part < TT_PARTS; part++)
        if (tt_tokenizer_of(model, part)) status = count_part(&t, part, text);
    if (!status) status = count_steps(&t, size, calls, noise);
    size.n = 1;
    if (!status && !model->unconditional) status = count_part(&t, TT_PART_VAE_DECODE, size);
    tt_recorder_pipeline_layout(r, &pipeline);
    if (!status && pipeline.error.status) status = tt_recorder_no_memory(err);
    if (!status) count(&t, "pipeline", &pipeline);
    tt_record_layout_free(&pipeline);
    return status ? status : tt_check_disk(r->path, r->cost.bytes, "the recording", err);
}

const struct tt_recorder_cost *tt_recorder_cost(const struct tt_recorder *recorder) {
    return &recorder->cost;
}

// ---- time ----

// A call of the U-Net on zeros.
static enum tt_status call(struct tt_recorder *r, struct tt_size size, struct tt_error *err) {
    const struct tt_model_info *info = &r->session->model->info;
    size_t n = size.n * info->latent_channels * size.height * size.width;
    float *sample = calloc(n, sizeof *sample), *out = malloc(n * sizeof *out), timestep = 1;
    size_t each = size.n * size.tokens * info->text_width;
    float *text = calloc(each + size.n * info->pooled_width + 1, sizeof *text);
    struct tt_told told = {.embeddings = text, .guidance_scale = 1,
                           .text_embeds = text && info->pooled_width ? text + each : NULL};
    enum tt_status status =
        sample && out && text
            ? tt_session_unet_told(r->session, size, sample, &timestep, &told, out, err)
            : tt_recorder_no_memory(err);
    free(sample);
    free(out);
    free(text);
    return status;
}

enum tt_status tt_recorder_estimate(struct tt_recorder *r, double *seconds, struct tt_error *err) {
    enum { SIDE = 32, DISK = 500000000 }; // bytes a second, about
    const struct tt_model_info *info = &r->session->model->info;
    struct tt_size size = {1, r->run.height / info->factor, r->run.width / info->factor,
                           info->tokens};
    struct tt_network network = {0};
    if (size.height > SIDE && SIDE % ((size_t)1 << (info->unet_levels - 1)) == 0)
        size.height = SIDE;
    if (size.width > SIDE && SIDE % ((size_t)1 << (info->unet_levels - 1)) == 0) size.width = SIDE;
    enum tt_status status = tt_check_size(r->session->model, TT_PART_UNET, &size, err);
    if (!status) status = tt_part_lay_out(r->session->model, TT_PART_UNET, &size, &network, err);
    double flops = status ? 0 : flops_of(&network);
    tt_network_drop(&network);
    if (!status) status = tt_session_prepare(r->session, TT_PART_UNET, size, err);
    double begun = tt_seconds();
    if (!status) status = call(r, size, err);
    if (status) return status;
    *seconds = (tt_seconds() - begun) * r->cost.flops / flops + r->cost.bytes / DISK;
    return TT_OK;
}
