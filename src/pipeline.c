// SPDX-License-Identifier: MIT
// Text to picture: the whole way, from a prompt to latents to pixels. Contracts in tintype.h.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/growth.h"
#include "conditioning.h"
#include "from_picture.h"
#include "generate_settings.h"
#include "masking.h"

// ---- guidance ----

// torch.std over all of x: unbiased.
static double deviation(const float *x, size_t n) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    return sqrt(squares / (double)(n - 1));
}

// predicted (2, n): without the prompt, then with it; the guided prediction goes over the first.
// Classifier-free guidance, arXiv 2207.12598; the rescaling is of arXiv 2305.08891, section 3.4.
static void guide(float *predicted, size_t n, const struct tt_settings *s) {
    const float *with = predicted + n;
    float scale = (float)s->guidance_scale, mix = (float)s->guidance_rescale;
    for (size_t i = 0; i < n; i++) predicted[i] += scale * (with[i] - predicted[i]);
    if (!(s->guidance_rescale > 0)) return;
    float ratio = (float)deviation(with, n) / (float)deviation(predicted, n);
    float rest = (float)(1 - s->guidance_rescale);
    for (size_t i = 0; i < n; i++)
        predicted[i] = mix * (predicted[i] * ratio) + rest * predicted[i];
}

// predicted (3, n): with text and picture, with the picture alone, with neither; the guided
// prediction goes over the first. Brooks et al. 2023 (arXiv 2211.09800), equation 3.
static void guide_twice(float *predicted, size_t n, const struct tt_settings *s) {
    const float *with_picture = predicted + n, *without = predicted + 2 * n;
    float scale = (float)s->guidance_scale, image_scale = (float)s->image_guidance_scale;
    for (size_t i = 0; i < n; i++)
        predicted[i] = without[i] + scale * (predicted[i] - with_picture[i]) +
                       image_scale * (with_picture[i] - without[i]);
}

// Kynkäänniemi et al. 2024 (arXiv 2404.07724): guidance harms while there is little but noise, and
// is of no use once the picture stands; between, it may be stronger.
static bool guided(const struct tt_settings *s, size_t call, size_t calls) {
    double first = rint(s->guidance_start * (double)calls);
    double last = rint(s->guidance_stop * (double)calls);
    return (double)call >= first && (double)call < last;
}

// ---- the loop ----

// A sample that is not finite, and why where that is known: a schedule whose last sample is pure
// noise leaves nothing to divide by.
static enum tt_status fail_not_finite(const struct tt_scheduler *scheduler, double scale,
                                      struct tt_error *err) {
    const struct tt_scheduler_values *v = tt_scheduler_settings(scheduler);
    bool cause = v->rescale_betas_zero_snr && v->prediction_type == TT_PREDICT_EPSILON;
    return tt_fail(err, TT_BAD_INPUT, "scheduler %s with guidance scale %g: the latents are not "
                   "finite%s", tt_scheduler_name(scheduler), scale, cause ?
                   ": found rescale_betas_zero_snr with prediction_type epsilon, expected another "
                   "prediction_type, since a first sample of noise alone has no prediction of it"
                   : "");
}

// The calls of the U-Net that one picture takes, of which one model makes those from `first` to
// before `last`, by its scheduler's counting; `before` others have been made by another.
struct stretch {
    size_t first, last, before, all;
};

// What diffusers makes of denoising_end and denoising_start: timesteps below are the refiner's.
static float cut_at(const struct tt_scheduler *scheduler, double fraction) {
    double n = (double)tt_scheduler_settings(scheduler)->num_train_timesteps;
    return (float)rint(n - fraction * n); // Python rounds half to even
}

static size_t calls_before(const struct tt_scheduler *scheduler, double fraction) {
    size_t calls = tt_scheduler_calls(scheduler), count = 0;
    float cut = cut_at(scheduler, fraction);
    for (size_t i = 0; i < calls; i++) count += tt_scheduler_timesteps(scheduler)[i] >= cut;
    return count;
}

// From the end: a scheduler of two calls a step, of which all timesteps but the highest stand
// twice, goes on between steps, not within one.
static size_t calls_after(const struct tt_scheduler *scheduler, double fraction) {
    size_t calls = tt_scheduler_calls(scheduler), count = 0;
    float cut = cut_at(scheduler, fraction);
    for (size_t i = 0; i < calls; i++) count += tt_scheduler_timesteps(scheduler)[i] < cut;
    if (tt_scheduler_order(scheduler) == 2 && count % 2 == 0 && count < calls) count++;
    return count;
}

// Both models' stretches, their schedulers' timesteps chosen; of one model alone: refiner NULL.
static enum tt_status share_out(const struct tt_from *from, struct tt_scheduler *scheduler,
                                struct tt_scheduler *refiner, const struct tt_settings *s,
                                struct stretch both[2], struct tt_error *err) {
    size_t first = 0;
    enum tt_status status = tt_from_schedule(from, scheduler, s->steps, &first, err);
    if (!status && refiner) status = tt_scheduler_set_timesteps(refiner, s->steps, err);
    if (status) return status;
    size_t calls = tt_scheduler_calls(scheduler);
    size_t end = refiner ? calls_before(scheduler, s->refine_from) : calls;
    size_t last = refiner ? tt_scheduler_calls(refiner) : 0;
    size_t others = refiner ? calls_after(refiner, s->refine_from) : 0;
    size_t own = end > first ? end - first : 0;
    both[0] = (struct stretch){first, first + own, 0, own + others};
    both[1] = (struct stretch){last - others, last, own, own + others};
    if (!refiner || (own && others)) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "refine_from: found %g, which leaves %zu calls to the model "
                   "and %zu to the refiner, of %zu steps; expected at least 1 for each",
                   s->refine_from, own, others, s->steps);
}

// Calls of the U-Nets in a run's (first) pass.
static enum tt_status count_calls(const struct tt_model *model, const struct tt_settings *s,
                                  const struct tt_from *from, size_t *calls,
                                  struct tt_error *err) {
    struct tt_scheduler *scheduler = NULL, *refiner = NULL;
    struct stretch both[2];
    enum tt_status status =
        tt_scheduler_open(&scheduler, s->scheduler, model, s->scheduler_options, err);
    if (!status && s->refiner)
        status = tt_scheduler_open(&refiner, s->scheduler, s->refiner->model, s->scheduler_options,
                                   err);
    if (!status) status = share_out(from, scheduler, refiner, s, both, err);
    if (!status) *calls = both[0].all;
    tt_scheduler_free(scheduler);
    tt_scheduler_free(refiner);
    return status;
}

enum tt_status tt_settings_complete(const struct tt_model *model, struct tt_settings *settings,
                                    struct tt_outline *outline, struct tt_error *err) {
    struct tt_settings s;
    size_t second = 0;
    enum tt_status status = tt_settings_check(model, settings, &s, err);
    if (status) return status;
    struct tt_outline of = tt_outline_of(model, &s);
    struct tt_from from = {.model = model, .begins = tt_begins(model, &s), .strength = s.strength};
    status = count_calls(model, &s, &from, &of.calls, err);
    if (!status && s.upscale != 0) {
        from.begins = TT_BEGINS_PICTURE;
        from.strength = s.upscale_strength;
        status = count_calls(model, &s, &from, &second, err);
        if (status) tt_fail_prefix(err, "upscale_strength");
    }
    if (status) return status;
    of.all_calls = of.calls + second;
    settings->width = s.width;
    settings->height = s.height;
    settings->strength = s.strength;
    settings->image_guidance_scale = s.image_guidance_scale;
    settings->upscale_strength = s.upscale_strength;
    *outline = of;
    return TT_OK;
}

// What a run of calls works on: sizes in latents, and floats of its own.
struct work {
    size_t c, h, w, n; // n: floats of a sample
    size_t passes;     // of a guided step
    struct tt_conditions conditions;
    float *scaled, *input, *predicted;
};

static enum tt_status make_room(const struct tt_model *model, const struct tt_settings *s,
                                size_t passes, struct work *work, struct tt_error *err) {
    size_t f = model->info.factor, c = model->info.latent_channels;
    size_t h = s->height / f, w = s->width / f, n = c * h * w;
    size_t each = model->info.input_channels * h * w;
    float *memory = malloc((n + passes * (each + n)) * sizeof *memory);
    if (!memory) return tt_fail(err, TT_SYSTEM, "out of memory for %zu latents", n);
    *work = (struct work){.c = c, .h = h, .w = w, .n = n, .passes = passes, .scaled = memory,
                          .input = memory + n, .predicted = memory + n + passes * each};
    return TT_OK;
}

// What the U-Net predicts of the scaled sample, guided.
static enum tt_status predict(struct tt_session *session, const struct tt_settings *s,
                              struct tt_from *from, struct work *work, float t, bool guide_now,
                              struct tt_error *err) {
    const struct tt_embeddings *embeddings = work->conditions.embeddings;
    size_t passes = guide_now ? work->passes : 1;
    float timesteps[3] = {t, t, t};
    struct tt_told told = tt_conditions_of(&work->conditions, passes < 3 ? passes : 1);
    if (passes == 3 && !(told.embeddings = tt_from_attended(from, embeddings, err)))
        return TT_SYSTEM;
    told.guidance_scale = guide_now ? s->guidance_scale : 1;
    tt_from_input(from, work->scaled, passes, work->input);
    struct tt_size size = {passes, work->h, work->w, embeddings->tokens};
    enum tt_status status = tt_session_unet_told(session, size, work->input, timesteps, &told,
                                                 work->predicted, err);
    if (!status && passes == 2) guide(work->predicted, work->n, s);
    if (!status && passes == 3) guide_twice(work->predicted, work->n, s);
    return status;
}

// The loop of the article: at every timestep ask the U-Net what of the sample is noise, once for
// the prompt and once for the negative one; go a little further from the second answer than the
// first one says; let the scheduler take the step. The settings have been checked.
static enum tt_status denoise(struct tt_session *session, struct tt_scheduler *scheduler,
                              const struct tt_settings *s, const struct stretch *stretch,
                              const struct tt_embeddings *embeddings, struct tt_from *from,
                              struct tt_rng *rng, size_t picture, float *latents,
                              struct tt_error *err) {
    struct work work = {0};
    size_t passes = tt_from_passes(from, s, embeddings);
    enum tt_status status = make_room(session->model, s, passes, &work, err);
    if (!status) status = tt_scheduler_start(scheduler, 1, work.n, err);
    struct tt_size most = {passes, work.h, work.w, embeddings->tokens};
    if (!status) status = tt_session_prepare(session, TT_PART_UNET, most, err); // loads its weights
    tt_condition(session->model, s, embeddings, &work.conditions);
    if (!status) status = tt_from_begin(from, scheduler, stretch->first, rng, latents, err);
    for (size_t call = stretch->first; !status && call < stretch->last; call++) {
        size_t done = stretch->before + call - stretch->first;
        float t = tt_scheduler_timesteps(scheduler)[call];
        tt_scheduler_scale_input(scheduler, call, latents, work.scaled);
        status = predict(session, s, from, &work, t, guided(s, done, stretch->all), err);
        if (!status)
            status = tt_scheduler_step(scheduler, call, work.predicted, latents, &rng, 1, latents,
                                       err);
        if (!status && !tt_all_finite(latents, work.n))
            status = fail_not_finite(scheduler, s->guidance_scale, err);
        if (!status) status = tt_from_put_back(from, scheduler, call, latents, err);
        if (status == TT_BAD_INPUT) tt_fail_prefix(err, "step %zu", done + 1);
        struct tt_progress seen = {picture, s->count, done + 1, stretch->all, t,
                                   {4, {1, work.c, work.h, work.w}}, latents, work.predicted,
                                   scheduler, rng, call + 1, work.scaled};
        if (!status && s->progress && s->progress(s->context, &seen))
            status = tt_fail(err, TT_CANCELLED, "cancelled after step %zu of %zu", done + 1,
                             stretch->all);
    }
    free(work.scaled);
    return status;
}

static enum tt_status check_rows(const struct tt_embeddings *embeddings, struct tt_error *err) {
    if (embeddings->n == 1 || embeddings->n == 2) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "embeddings: found %zu, expected 1 or 2", embeddings->n);
}

enum tt_status tt_denoise(struct tt_session *session, struct tt_scheduler *scheduler,
                          const struct tt_settings *settings,
                          const struct tt_embeddings *embeddings, struct tt_rng *rng,
                          float *latents, struct tt_error *err) {
    struct tt_settings s;
    struct stretch both[2];
    struct tt_from from = {0};
    enum tt_status status = tt_settings_check(session->model, settings, &s, err);
    s.count = 1;
    if (!status) status = check_rows(embeddings, err);
    if (!status) status = tt_from_new(session, &s, NULL, &from, err);
    if (!status) status = share_out(&from, scheduler, NULL, &s, both, err);
    if (!status && s.refiner) both[0].last = calls_before(scheduler, s.refine_from);
    if (!status)
        status = denoise(session, scheduler, &s, &both[0], embeddings, &from, rng, 0, latents, err);
    tt_from_free(&from);
    return status;
}

enum tt_status tt_refine(struct tt_session *session, struct tt_scheduler *scheduler,
                         const struct tt_settings *settings,
                         const struct tt_embeddings *embeddings, struct tt_rng *rng,
                         float *latents, struct tt_error *err) {
    struct tt_settings s;
    struct tt_from none = {0};
    enum tt_status status = tt_settings_check_refiner(session->model, settings, 0, 0, &s, err);
    s.count = 1;
    if (!status) status = check_rows(embeddings, err);
    if (!status) status = tt_scheduler_set_timesteps(scheduler, s.steps, err);
    if (status) return status;
    size_t calls = tt_scheduler_calls(scheduler), own = calls_after(scheduler, s.refine_from);
    struct stretch rest = {calls - own, calls, calls - own, calls};
    tt_from_going_on(session->model, &s, &none);
    return denoise(session, scheduler, &s, &rest, embeddings, &none, rng, 0, latents, err);
}

// ---- the whole way ----

enum tt_status tt_develop(struct tt_session *session, const struct tt_settings *settings,
                          const float *latents, struct tt_image *image, struct tt_error *err) {
    const struct tt_model *model = session->model;
    struct tt_settings s;
    enum tt_status status = tt_settings_check(model, settings, &s, err);
    if (status) return status;
    struct tt_outline of = tt_outline_of(model, &s);
    size_t f = model->info.factor, width = of.w * f, height = of.h * f;
    *image = (struct tt_image){width, height, malloc(3 * width * height)};
    if (!image->rgb)
        return tt_fail(err, TT_SYSTEM, "out of memory for %zu x %zu pixels", width, height);
    // Who has the last word has the autoencoder, too.
    status = tt_latents_to_pixels(s.refiner ? s.refiner : session, latents, of.h, of.w, image->rgb,
                                  err);
    if (!status) status = tt_masking_overlay(&s, image, err);
    if (status) tt_image_free(image);
    return status;
}

// What a model needs to draw the pictures of a run.
struct drawing {
    struct tt_session *session;
    struct tt_settings s; // its own
    const struct tt_settings *asked; // as the caller gave them
    struct tt_scheduler *scheduler;
    struct tt_embeddings embeddings;
    struct tt_from from;
};

static enum tt_status make_ready(struct drawing *d, struct tt_error *err) {
    const struct tt_settings *s = &d->s;
    enum tt_status status = tt_scheduler_open(&d->scheduler, s->scheduler, d->session->model,
                                              s->scheduler_options, err);
    return status ? status : tt_encode(d->session, s, &d->embeddings, err);
}

static void put_away(struct drawing *d) {
    tt_from_free(&d->from);
    tt_embeddings_free(&d->embeddings);
    tt_scheduler_free(d->scheduler);
}

// What SDXL is told of sizes is, where it was not said, each pass's own.
static enum tt_status settings_of_second(const struct drawing *d, const struct tt_image *larger,
                                         struct tt_settings *s, struct tt_error *err) {
    struct tt_settings second;
    tt_settings_defaults(&second, sizeof second);
    enum tt_status status =
        tt_growth_take(&second, sizeof second, d->asked, "struct tt_settings", err);
    second.upscale = second.upscale_in = 0;
    second.upscale_strength = -1;
    second.strength = d->s.upscale_strength;
    second.resize = TT_RESIZE_STRETCH;
    second.image = larger;
    second.width = second.height = 0;
    return status ? status : tt_settings_check(d->session->model, &second, s, err);
}

// The second pass begins with the first one's result, enlarged, as if that were given to a run of
// its own, of the same seed. stretch: of the first pass.
static enum tt_status draw_larger(const struct drawing *d, const struct stretch *stretch, size_t k,
                                  const float *small, float *latents, struct tt_error *err) {
    const struct tt_model *model = d->session->model;
    struct tt_settings first = d->s, s;
    struct tt_outline of = tt_outline_of(model, &d->s);
    struct tt_from from = {0};
    struct tt_image picture = {0}, larger = {of.width, of.height, NULL};
    struct stretch both[2];
    struct tt_rng rng;
    size_t f = model->info.factor, n = model->info.latent_channels * of.h * of.w;
    first.upscale = first.upscale_in = 0;
    first.upscale_strength = -1;
    float *begin = NULL; // latents that it begins with; else `larger` is the picture that it does
    enum tt_status status = TT_OK;
    if (d->s.upscale_in == TT_UPSCALE_LATENTS) {
        begin = malloc(n * sizeof *begin);
        if (!begin) return tt_fail(err, TT_SYSTEM, "out of memory for a second pass");
        tt_latents_enlarge(small, model->info.latent_channels, first.height / f, first.width / f,
                           of.h, of.w, begin);
        larger.rgb = (uint8_t *)begin; // for the settings; nobody looks at it
    } else {
        status = tt_develop(d->session, &first, small, &picture, err);
        if (!status)
            status = tt_image_resize(&picture, TT_RESIZE_STRETCH, of.width, of.height, &larger,
                                     err);
    }
    if (!status) status = settings_of_second(d, &larger, &s, err);
    if (!status) status = tt_from_new(d->session, &s, begin, &from, err);
    if (!status) status = share_out(&from, d->scheduler, NULL, &s, both, err);
    if (!status) {
        tt_rng_seed(&rng, s.seed + k);
        both[0].before = stretch->before + stretch->last - stretch->first;
        both[0].all = stretch->all;
        status = denoise(d->session, d->scheduler, &s, &both[0], &d->embeddings, &from, &rng, k,
                         latents, err);
    }
    tt_from_free(&from);
    tt_image_free(&picture);
    if (begin) free(begin);
    else tt_image_free(&larger);
    return status;
}

// Two passes.
static enum tt_status draw_twice(struct drawing *d, size_t k, float *latents,
                                 struct tt_error *err) {
    struct tt_settings whole = d->s;
    struct tt_outline of;
    struct stretch both[2];
    struct tt_rng rng;
    float *small = malloc(d->from.n * sizeof *small);
    enum tt_status status = small ? TT_OK : tt_fail(err, TT_SYSTEM, "out of memory for latents");
    if (!status) status = tt_settings_complete(d->session->model, &whole, &of, err);
    if (!status) status = share_out(&d->from, d->scheduler, NULL, &d->s, both, err);
    tt_rng_seed(&rng, d->s.seed + k);
    both[0].all = of.all_calls;
    if (!status)
        status = denoise(d->session, d->scheduler, &d->s, &both[0], &d->embeddings, &d->from, &rng,
                         k, small, err);
    if (!status) status = draw_larger(d, &both[0], k, small, latents, err);
    free(small);
    return status;
}

// The latents of one picture: what one model begins, its refiner, if any, goes on with.
static enum tt_status draw(struct drawing both[2], size_t k, float *latents, struct tt_error *err) {
    struct drawing *first = &both[0], *second = &both[1];
    struct stretch stretches[2];
    struct tt_rng rng;
    if (first->s.upscale != 0) return draw_twice(first, k, latents, err);
    tt_rng_seed(&rng, first->s.seed + k);
    enum tt_status status =
        share_out(&first->from, first->scheduler, second->scheduler, &first->s, stretches, err);
    if (!status)
        status = denoise(first->session, first->scheduler, &first->s, &stretches[0],
                         &first->embeddings, &first->from, &rng, k, latents, err);
    if (!status && second->session)
        status = denoise(second->session, second->scheduler, &second->s, &stretches[1],
                         &second->embeddings, &second->from, &rng, k, latents, err);
    return status;
}

enum tt_status tt_generate(struct tt_session *session, const struct tt_settings *settings,
                           float *latents, struct tt_image *images, struct tt_error *err) {
    const struct tt_model *model = session->model;
    struct drawing both[2] = {{.session = session, .asked = settings}};
    struct tt_settings *const s = &both[0].s;
    enum tt_status status = tt_settings_check(model, settings, s, err);
    if (status) return status;
    if (s->refiner) {
        both[1].session = s->refiner;
        status = tt_settings_check_refiner(s->refiner->model, settings, s->width, s->height,
                                           &both[1].s, err);
        if (status) return status;
    }
    struct tt_session *decoder = s->refiner ? s->refiner : session;
    struct tt_outline of = tt_outline_of(model, s);
    size_t n = model->info.latent_channels * of.h * of.w;
    size_t stride = latents || images ? n : 0; // else one picture's place serves all
    float *own = latents ? NULL : calloc(stride ? s->count : 1, n * sizeof *own);
    float *all = latents ? latents : own;
    if (!all) return tt_fail(err, TT_SYSTEM, "out of memory for %zu pictures", s->count);
    struct tt_size size = {.n = 1, .height = of.h, .width = of.w};
    if ((images || s->finished) && !model->unconditional) // not only when all steps are done
        status = tt_session_check_room(decoder, TT_PART_VAE_DECODE, size, err);
    if (!status) status = make_ready(&both[0], err);
    if (!status) status = tt_from_new(session, s, NULL, &both[0].from, err);
    if (!status && s->refiner) status = make_ready(&both[1], err);
    if (s->refiner) tt_from_going_on(s->refiner->model, &both[1].s, &both[1].from);
    for (size_t k = 0; !status && k < s->count; k++) {
        status = draw(both, k, all + k * stride, err);
        if (!status && s->finished && s->finished(s->context, k, all + k * stride))
            status = tt_fail(err, TT_CANCELLED, "cancelled after picture %zu of %zu", k + 1,
                             s->count);
    }
    // All latents before the first pixels, so that each network is planned once.
    for (size_t k = 0; images && k < s->count; k++) images[k] = (struct tt_image){0};
    for (size_t k = 0; !status && images && k < s->count; k++)
        status = tt_develop(session, s, all + k * n, &images[k], err);
    for (size_t k = 0; status && images && k < s->count; k++) tt_image_free(&images[k]);
    put_away(&both[0]);
    put_away(&both[1]);
    free(own);
    return status;
}
