// SPDX-License-Identifier: MIT
// What lies between the networks of a recorded run, and belongs to none of them: token ids, the
// rows of the batch, guidance, timesteps, the autoencoder's scale. Each is made from the
// recording's own settings and tensors.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parts.h"
#include "session.h"

struct run {
    struct tt_session *session;
    const struct tt_model *model;
    struct tt_recording *recording;
    const struct tt_recording_settings *settings;
    struct tt_run_fault *faults;
    size_t count;
    const struct tt_tokenizer *tokenizer; // of the present call's part
    size_t text[2];  // calls with the prompt and the negative prompt; SIZE_MAX: none
    size_t unet, decoder; // the last such call
};

static void tell(struct run *run, size_t call, const char *tensor, const char *name,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

// The first of each name.
static void tell(struct run *run, size_t call, const char *tensor, const char *name,
                 const char *format, ...) {
    for (size_t i = 0; i < run->count; i++)
        if (!strcmp(run->faults[i].suspect.name, name)) return;
    if (run->count == TT_SUSPECTS) return;
    struct tt_run_fault *fault = &run->faults[run->count++];
    *fault = (struct tt_run_fault){.call = call, .suspect.name = name};
    snprintf(fault->tensor, sizeof fault->tensor, "%s", tensor);
    va_list args;
    va_start(args, format);
    vsnprintf(fault->suspect.text, sizeof fault->suspect.text, format, args);
    va_end(args);
}

// A tensor of a call as floats, and how many; NULL: it is not there whole.
static float *load(const struct run *run, size_t call, const char *name, size_t *n) {
    const struct tt_recorded *r = tt_recording_find(run->recording, call, name);
    if (!r || r->statistics || r->view->dtype == TT_I64) return NULL;
    *n = tt_shape_count(&r->shape);
    float *values = malloc(*n * sizeof *values + 1);
    if (values) tt_view_floats(r->view, 0, *n, values);
    return values;
}

// Whether a is `by` b + `plus` c within rounding; c may be NULL.
static bool equals(const float *a, const float *b, double by, const float *c, double plus,
                   size_t n, double unit) {
    double most = 0, apart = 0;
    for (size_t i = 0; i < n; i++) {
        double terms[2] = {by * (double)b[i], c ? plus * (double)c[i] : 0};
        double size = fmax(fabs(terms[0]), fabs(terms[1]));
        double off = fabs((double)a[i] - (terms[0] + terms[1]));
        if (size > most) most = size;
        if (isnan(off)) return false;
        if (off > apart) apart = off;
    }
    return apart <= unit * most;
}

// ---- text ----

static bool same_ids(const int64_t *a, const int32_t *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i]) return false;
    return true;
}

// Ids that are `ours` up to the end of the text, and one other behind it.
static bool padded_otherwise(const struct run *run, const int64_t *ids, const int32_t *ours,
                             size_t n, long *pad) {
    size_t end = 0;
    while (end < n && ours[end] != tt_tokenizer_end(run->tokenizer)) end++;
    if (end + 1 >= n || !same_ids(ids, ours, end + 1)) return false;
    for (size_t i = end + 1; i < n; i++)
        if (ids[i] != ids[end + 1]) return false;
    *pad = (long)ids[end + 1];
    return true;
}

static void check_text(struct run *run, size_t call) {
    const struct tt_recorded *r = tt_recording_find(run->recording, call, "input_ids");
    const char *texts[2] = {run->settings->prompt, run->settings->negative};
    if (!r || r->view->dtype != TT_I64 || r->shape.rank != 2 || r->shape.dim[0] != 1) return;
    size_t n = r->shape.dim[1];
    int64_t *ids = malloc(n * sizeof *ids);
    int32_t *ours = malloc(n * sizeof *ours);
    long pad = -1, own = -1;
    bool known = !ids || !ours || n < 2;
    if (!known) memcpy(ids, r->view->data, n * sizeof *ids);
    for (int i = 0; !known && i < 2; i++) {
        const char *text = texts[i] ? texts[i] : "";
        if (tt_tokenizer_encode(run->tokenizer, text, ours, n, NULL, NULL)) continue;
        known = same_ids(ids, ours, n);
        if (known || padded_otherwise(run, ids, ours, n, &pad)) run->text[i] = call;
        if (!known && pad >= 0) own = ours[n - 1];
    }
    if (!known && pad >= 0)
        tell(run, call, "input_ids", "pad-token", "pad token %ld in place of %ld, behind the end "
             "of the text", pad, own);
    else if (!known)
        tell(run, call, "input_ids", "unknown", "the ids are neither the prompt's nor the negative "
             "prompt's");
    free(ids);
    free(ours);
}

// ---- the U-Net ----

// The rows that the U-Net attends to: those of the negative prompt first.
static void check_rows(struct run *run, size_t call) {
    size_t n = 0, each[2] = {0, 0};
    if (run->model->info.pooled_width) return; // of two encoders, side by side
    float *rows = load(run, call, "encoder_hidden_states", &n), *text[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++)
        if (run->text[i] != SIZE_MAX)
            text[i] = load(run, run->text[i], "last_hidden_state", &each[i]);
    if (rows && text[0] && text[1] && each[0] == each[1] && n == 2 * each[0]) {
        size_t bytes = each[0] * sizeof *rows;
        bool right = !memcmp(rows, text[1], bytes) && !memcmp(rows + each[0], text[0], bytes);
        bool swapped = !memcmp(rows, text[0], bytes) && !memcmp(rows + each[0], text[1], bytes);
        if (swapped && !right)
            tell(run, call, "encoder_hidden_states", "swapped-rows", "the prompt's row before the "
                 "negative prompt's (guided and unguided swapped)");
    }
    free(rows);
    free(text[0]);
    free(text[1]);
}

// model_output = u + s (c - u) of the U-Net's rows u, c.
static void check_guidance(struct run *run, size_t call) {
    size_t n = 0, both = 0;
    float *guided = load(run, call, "model_output", &n), *out = load(run, run->unet, "out", &both);
    double s = run->settings->guidance_scale, unit = ldexp(1, -18), with = 0, own = 0;
    bool half = tt_recording_info(run->recording)->precision != TT_F32;
    if (half) unit = ldexp(1, -6);
    if (guided && out && both == 2 * n && !equals(guided, out, 1 - s, out + n, s, n, unit)) {
        for (size_t i = 0; i < n; i++) {
            double d = (double)out[n + i] - (double)out[i];
            with += d * ((double)guided[i] - (double)out[i]);
            own += d * d;
        }
        double scale = own > 0 ? with / own : 0;
        if (equals(guided, out, s, out + n, 1 - s, n, unit))
            tell(run, call, "model_output", "swapped-rows", "guided and unguided rows swapped: "
                 "c + %g (u - c) in place of u + %g (c - u)", s, s);
        else if (n >= 16 && equals(guided, out, 1 - scale, out + n, scale, n, unit))
            tell(run, call, "model_output", "guidance-scale", "a guidance scale of %.6g in place "
                 "of %g", scale, s);
        else
            tell(run, call, "model_output", "unknown", "it is not u + %g (c - u) of what the U-Net "
                 "gave", s);
    }
    free(guided);
    free(out);
}

static void check_timestep(struct run *run, size_t call) {
    size_t n = 0, rows = 0;
    float *t = load(run, call, "timestep", &n), *given = load(run, run->unet, "timestep", &rows);
    for (size_t i = 0; t && given && n && i < rows; i++) {
        double by = (double)given[i] - (double)t[0];
        if (fabs(by) <= ldexp(fabs((double)t[0]), -20)) continue;
        if (fabs(by) <= 1)
            tell(run, run->unet, "timestep", "timestep", "the U-Net's timestep is %+g off the "
                 "scheduler's (%g)", by, (double)t[0]);
        else
            tell(run, run->unet, "timestep", "timestep", "the U-Net's timestep is %g, the "
                 "scheduler's %g", (double)given[i], (double)t[0]);
        break;
    }
    free(t);
    free(given);
}

// ---- the autoencoder ----

static void check_scaling(struct run *run, size_t call) {
    size_t n = 0, m = 0;
    const double factor = run->model->info.scaling_factor, unit = ldexp(1, -20);
    float *latents = load(run, call, "latents", &n), *given = NULL;
    if (run->decoder != SIZE_MAX) given = load(run, run->decoder, "sample", &m);
    if (latents && given && n == m && factor != 1 && factor > 0 &&
        tt_recording_info(run->recording)->precision == TT_F32 &&
        !equals(given, latents, 1 / factor, NULL, 0, n, unit)) {
        const char *text = equals(given, latents, 1, NULL, 0, n, unit)
                               ? "the autoencoder's scaling factor is not undone"
                           : equals(given, latents, factor, NULL, 0, n, unit)
                               ? "latents times the autoencoder's scaling factor, not divided by it"
                           : equals(given, latents, 1 / factor / factor, NULL, 0, n, unit)
                               ? "the autoencoder's scaling factor undone twice" : NULL;
        tell(run, run->decoder, "sample", text ? "scale" : "unknown", "%s",
             text ? text : "it is not the latents divided by the autoencoder's scaling factor");
    }
    free(latents);
    free(given);
}

// ---- all of it ----

static enum tt_status check_call(struct run *run, size_t i, struct tt_error *err) {
    const struct tt_recorded_call *call = tt_recording_call(run->recording, i);
    enum tt_status status = tt_recording_load(run->recording, i, err);
    if (status) return status;
    run->tokenizer = call->part < 0 ? NULL
                                    : tt_tokenizer_of(run->model, (enum tt_part)call->part);
    if (run->tokenizer && run->settings->prompt) {
        check_text(run, i);
    } else if (call->part == TT_PART_UNET) {
        if (run->unet != SIZE_MAX) tt_recording_unload(run->recording, run->unet);
        else check_rows(run, i);
        run->unet = i;
    } else if (call->part == TT_PART_VAE_DECODE) {
        run->decoder = i;
    } else if (call->part < 0 && !strcmp(call->name, "scheduler") && run->unet != SIZE_MAX) {
        check_guidance(run, i);
        check_timestep(run, i);
        tt_recording_unload(run->recording, i);
    } else if (call->part < 0 && !strcmp(call->name, "pipeline")) {
        check_scaling(run, i);
    }
    return TT_OK;
}

enum tt_status tt_suspects_of_run(struct tt_session *session, struct tt_recording *recording,
                                  struct tt_run_fault faults[TT_SUSPECTS], size_t *count,
                                  struct tt_error *err) {
    const struct tt_recording_info *info = tt_recording_info(recording);
    struct run run = {.session = session, .model = session->model, .recording = recording,
                      .settings = &info->settings, .faults = faults,
                      .text = {SIZE_MAX, SIZE_MAX}, .unet = SIZE_MAX, .decoder = SIZE_MAX};
    enum tt_status status = TT_OK;
    *count = 0;
    if (info->version < 2 || !info->has_settings || info->statistics) return TT_OK;
    size_t calls = tt_recording_calls(recording);
    for (size_t i = 0; !status && i < calls; i++) status = check_call(&run, i, err);
    for (size_t i = 0; i < calls; i++) tt_recording_unload(recording, i);
    *count = status ? 0 : run.count;
    return status;
}
