// SPDX-License-Identifier: MIT
// Text to picture: the whole way, from a prompt to latents to pixels. Contracts in tintype.h.
#include <math.h>
#include <sleef.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "conditioning.h"
#include "generate_settings.h"

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
static enum tt_status share_out(struct tt_scheduler *scheduler, struct tt_scheduler *refiner,
                                const struct tt_settings *s, struct stretch both[2],
                                struct tt_error *err) {
    enum tt_status status = tt_scheduler_set_timesteps(scheduler, s->steps, err);
    if (!status && refiner) status = tt_scheduler_set_timesteps(refiner, s->steps, err);
    if (status) return status;
    size_t calls = tt_scheduler_calls(scheduler);
    size_t own = refiner ? calls_before(scheduler, s->refine_from) : calls;
    size_t last = refiner ? tt_scheduler_calls(refiner) : 0;
    size_t others = refiner ? calls_after(refiner, s->refine_from) : 0;
    both[0] = (struct stretch){0, own, 0, own + others};
    both[1] = (struct stretch){last - others, last, own, own + others};
    if (!refiner || (own && others)) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "refine_from: found %g, which leaves %zu calls to the model "
                   "and %zu to the refiner, of %zu steps; expected at least 1 for each",
                   s->refine_from, own, others, s->steps);
}

enum tt_status tt_settings_calls(const struct tt_model *model, const struct tt_settings *settings,
                                 size_t *calls, struct tt_error *err) {
    struct tt_settings s;
    struct tt_scheduler *scheduler = NULL, *refiner = NULL;
    struct stretch both[2];
    enum tt_status status = tt_settings_check(model, settings, &s, err);
    if (!status)
        status = tt_scheduler_open(&scheduler, s.scheduler, model, s.scheduler_options, err);
    if (!status && s.refiner)
        status = tt_scheduler_open(&refiner, s.scheduler, s.refiner->model, s.scheduler_options,
                                   err);
    if (!status) status = share_out(scheduler, refiner, &s, both, err);
    if (!status) *calls = both[0].all;
    tt_scheduler_free(scheduler);
    tt_scheduler_free(refiner);
    return status;
}

// The loop of the article: at every timestep ask the U-Net what of the sample is noise, once for
// the prompt and once for the negative one; go a little further from the second answer than the
// first one says; let the scheduler take the step. The settings have been checked.
static enum tt_status denoise(struct tt_session *session, struct tt_scheduler *scheduler,
                              const struct tt_settings *s, const struct stretch *stretch,
                              const struct tt_embeddings *embeddings, struct tt_rng *rng,
                              size_t picture, float *latents, struct tt_error *err) {
    const struct tt_model *model = session->model;
    size_t f = model->info.factor, c = model->info.latent_channels;
    size_t h = s->height / f, w = s->width / f, n = c * h * w;
    float *input = malloc(4 * n * sizeof *input);
    if (!input) return tt_fail(err, TT_SYSTEM, "out of memory for %zu latents", n);
    float *predicted = input + 2 * n;
    enum tt_status status = tt_scheduler_start(scheduler, 1, n, err);
    struct tt_size most = {embeddings->n, h, w, embeddings->tokens};
    if (!status) status = tt_session_prepare(session, TT_PART_UNET, most, err); // loads its weights
    struct tt_conditions conditions;
    tt_condition(model, s, embeddings, &conditions);
    for (size_t call = stretch->first; !status && call < stretch->last; call++) {
        size_t done = stretch->before + call - stretch->first;
        float t = tt_scheduler_timesteps(scheduler)[call], timesteps[2] = {t, t};
        tt_scheduler_scale_input(scheduler, call, latents, input);
        bool guide_now = guided(s, done, stretch->all);
        size_t passes = guide_now ? embeddings->n : 1;
        if (passes == 2) memcpy(input + n, input, n * sizeof *input);
        struct tt_size size = {passes, h, w, embeddings->tokens};
        struct tt_told told = tt_conditions_of(&conditions, passes);
        told.guidance_scale = guide_now ? s->guidance_scale : 1;
        status = tt_session_unet_told(session, size, input, timesteps, &told, predicted, err);
        if (!status && passes == 2) guide(predicted, n, s);
        if (!status)
            status = tt_scheduler_step(scheduler, call, predicted, latents, &rng, 1, latents, err);
        if (!status && !tt_all_finite(latents, n))
            status = fail_not_finite(scheduler, s->guidance_scale, err);
        if (status == TT_BAD_INPUT) tt_fail_prefix(err, "step %zu", done + 1);
        struct tt_progress seen = {picture, s->count, done + 1, stretch->all, t,
                                   {4, {1, c, h, w}}, latents, predicted, scheduler, rng, call + 1};
        if (!status && s->progress && s->progress(s->context, &seen))
            status = tt_fail(err, TT_CANCELLED, "cancelled after step %zu of %zu", done + 1,
                             stretch->all);
    }
    free(input);
    return status;
}

// From noise, of the scheduler's deviation, as far as the stretch goes.
static enum tt_status begin(struct tt_session *session, struct tt_scheduler *scheduler,
                            const struct tt_settings *s, const struct stretch *stretch,
                            const struct tt_embeddings *embeddings, struct tt_rng *rng,
                            size_t picture, float *latents, struct tt_error *err) {
    size_t f = session->model->info.factor;
    size_t n = session->model->info.latent_channels * (s->height / f) * (s->width / f);
    tt_rng_normal(rng, latents, n);
    float sigma = tt_scheduler_init_noise_sigma(scheduler);
    for (size_t i = 0; i < n; i++) latents[i] *= sigma;
    return denoise(session, scheduler, s, stretch, embeddings, rng, picture, latents, err);
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
    struct stretch all;
    enum tt_status status = tt_settings_check(session->model, settings, &s, err);
    s.count = 1;
    if (!status) status = check_rows(embeddings, err);
    if (!status) status = tt_scheduler_set_timesteps(scheduler, s.steps, err);
    if (status) return status;
    size_t calls = tt_scheduler_calls(scheduler);
    all = (struct stretch){0, s.refiner ? calls_before(scheduler, s.refine_from) : calls, 0, calls};
    return begin(session, scheduler, &s, &all, embeddings, rng, 0, latents, err);
}

enum tt_status tt_refine(struct tt_session *session, struct tt_scheduler *scheduler,
                         const struct tt_settings *settings,
                         const struct tt_embeddings *embeddings, struct tt_rng *rng,
                         float *latents, struct tt_error *err) {
    struct tt_settings s;
    enum tt_status status = tt_settings_check_refiner(session->model, settings, 0, 0, &s, err);
    s.count = 1;
    if (!status) status = check_rows(embeddings, err);
    if (!status) status = tt_scheduler_set_timesteps(scheduler, s.steps, err);
    if (status) return status;
    size_t calls = tt_scheduler_calls(scheduler), own = calls_after(scheduler, s.refine_from);
    struct stretch rest = {calls - own, calls, calls - own, calls};
    return denoise(session, scheduler, &s, &rest, embeddings, rng, 0, latents, err);
}

// ---- pixels ----

// image (c, pixels) in [-1, 1], c 3 or 1 (grey) -> rgb (pixels, 3), and back, for grey with PIL's
// weights of the three.
static void to_bytes(const float *image, size_t c, size_t pixels, uint8_t *rgb) {
    for (size_t i = 0; i < 3 * pixels; i++) {
        float v = image[i % 3 % c * pixels + i / 3] * 0.5f + 0.5f;
        rgb[i] = (uint8_t)rintf((v < 0 ? 0 : v > 1 ? 1 : v) * 255.0f); // numpy rounds half to even
    }
}

static void from_bytes(const uint8_t *rgb, size_t c, size_t pixels, float *image) {
    for (size_t i = 0; c == 3 && i < 3 * pixels; i++)
        image[i % 3 * pixels + i / 3] = 2.0f * ((float)rgb[i] / 255.0f) - 1.0f;
    for (size_t i = 0; c == 1 && i < pixels; i++) {
        const uint8_t *of = rgb + 3 * i;
        unsigned luma = (of[0] * 19595u + of[1] * 38470u + of[2] * 7471u + 0x8000u) >> 16;
        image[i] = 2.0f * ((float)luma / 255.0f) - 1.0f;
    }
}

// The autoencoder's scaling of latents (C, each), undone and done. SDXL's may normalise each
// channel.
static void unscale(const struct tt_model_info *info, const float *latents, size_t n, size_t each,
                    float *out) {
    float scaling = (float)info->scaling_factor;
    const float *mean = info->latents_mean, *std = info->latents_std;
    for (size_t i = 0; i < n; i++)
        out[i] = mean ? latents[i] * std[i / each] / scaling + mean[i / each]
                      : latents[i] / scaling;
}

static void scale(const struct tt_model_info *info, float *latents, size_t n, size_t each) {
    float scaling = (float)info->scaling_factor;
    const float *mean = info->latents_mean, *std = info->latents_std;
    for (size_t i = 0; i < n; i++)
        latents[i] = mean ? (latents[i] - mean[i / each]) * scaling / std[i / each]
                          : latents[i] * scaling;
}

enum tt_status tt_latents_to_pixels(struct tt_session *session, const float *latents, size_t h,
                                    size_t w, uint8_t *rgb, struct tt_error *err) {
    const struct tt_model *model = session->model;
    size_t factor = model->info.factor, n = model->info.latent_channels * h * w;
    size_t pixels = h * factor * w * factor, first;
    struct tt_size size = {.n = 1, .height = h, .width = w};
    enum tt_part part = model->unconditional ? TT_PART_UNET : TT_PART_VAE_DECODE;
    enum tt_status status = tt_check_size(model, part, &size, err);
    if (status) return status;
    if (tt_count_not_finite(latents, n, &first))
        return tt_fail(err, TT_BAD_INPUT, "latents: found %g at element %zu, expected finite "
                       "numbers", (double)latents[first], first);
    if (model->unconditional) { // the latents are the picture
        to_bytes(latents, model->info.latent_channels, pixels, rgb);
        return TT_OK;
    }
    float *scaled = malloc((n + 3 * pixels) * sizeof *scaled);
    if (!scaled) return tt_fail(err, TT_SYSTEM, "out of memory for %zu pixels", pixels);
    float *image = scaled + n;
    unscale(&model->info, latents, n, h * w, scaled);
    status = tt_session_decode(session, size, scaled, image, err);
    if (!status) to_bytes(image, 3, pixels, rgb);
    free(scaled);
    return status;
}

enum tt_status tt_pixels_to_latents(struct tt_session *session, const uint8_t *rgb, size_t height,
                                    size_t width, struct tt_rng *rng, float *latents,
                                    struct tt_error *err) {
    const struct tt_model *model = session->model;
    size_t factor = model->info.factor, pixels = height * width;
    size_t n = model->info.latent_channels * (height / factor) * (width / factor);
    struct tt_size size = {.n = 1, .height = height, .width = width};
    enum tt_part part = model->unconditional ? TT_PART_UNET : TT_PART_VAE_ENCODE;
    enum tt_status status = tt_check_size(model, part, &size, err);
    if (status) return status;
    if (model->unconditional) {
        from_bytes(rgb, model->info.latent_channels, pixels, latents);
        return TT_OK;
    }
    float *image = malloc((3 * pixels + 3 * n) * sizeof *image);
    if (!image) return tt_fail(err, TT_SYSTEM, "out of memory for %zu pixels", pixels);
    float *mean = image + 3 * pixels, *variance = mean + n, *noise = variance + n;
    from_bytes(rgb, 3, pixels, image);
    if (!model->info.posterior) rng = NULL; // it gives latents, not a posterior to draw from
    status = tt_session_encode(session, size, image, mean, err);
    if (!status && rng) tt_rng_normal(rng, noise, n);
    for (size_t i = 0; !status && i < n; i++) {
        float z = mean[i];
        if (rng) {
            float logvar = fminf(fmaxf(variance[i], -30.0f), 20.0f);
            z += (float)Sleef_cinz_expd1_u10purec(0.5 * logvar) * noise[i];
        }
        latents[i] = z;
    }
    if (!status) scale(&model->info, latents, n, n / model->info.latent_channels);
    free(image);
    return status;
}

// ---- the whole way ----

// The pixels of one picture's latents, into memory of the image's own.
static enum tt_status develop(struct tt_session *session, const struct tt_settings *s,
                              const float *latents, struct tt_image *image, struct tt_error *err) {
    const struct tt_model *model = session->model;
    size_t f = model->info.factor;
    *image = (struct tt_image){s->width, s->height, malloc(3 * s->width * s->height)};
    if (!image->rgb)
        return tt_fail(err, TT_SYSTEM, "out of memory for %zu x %zu pixels", s->width, s->height);
    return tt_latents_to_pixels(session, latents, s->height / f, s->width / f, image->rgb, err);
}

// What a model needs to draw the pictures of a run.
struct drawing {
    struct tt_session *session;
    struct tt_settings s; // its own
    struct tt_scheduler *scheduler;
    struct tt_embeddings embeddings;
};

static enum tt_status make_ready(struct drawing *d, struct tt_error *err) {
    const struct tt_settings *s = &d->s;
    enum tt_status status = tt_scheduler_open(&d->scheduler, s->scheduler, d->session->model,
                                              s->scheduler_options, err);
    return status ? status : tt_encode(d->session, s, &d->embeddings, err);
}

static void put_away(struct drawing *d) {
    tt_embeddings_free(&d->embeddings);
    tt_scheduler_free(d->scheduler);
}

// The latents of one picture: what one model begins, its refiner, if any, goes on with.
static enum tt_status draw(struct drawing both[2], size_t k, float *latents, struct tt_error *err) {
    struct drawing *first = &both[0], *second = &both[1];
    struct stretch stretches[2];
    struct tt_rng rng;
    tt_rng_seed(&rng, first->s.seed + k);
    enum tt_status status =
        share_out(first->scheduler, second->scheduler, &first->s, stretches, err);
    if (!status)
        status = begin(first->session, first->scheduler, &first->s, &stretches[0],
                       &first->embeddings, &rng, k, latents, err);
    if (!status && second->session)
        status = denoise(second->session, second->scheduler, &second->s, &stretches[1],
                         &second->embeddings, &rng, k, latents, err);
    return status;
}

enum tt_status tt_generate(struct tt_session *session, const struct tt_settings *settings,
                           float *latents, struct tt_image *images, struct tt_error *err) {
    const struct tt_model *model = session->model;
    struct drawing both[2] = {{.session = session}};
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
    size_t f = model->info.factor, n = model->info.latent_channels * (s->height / f) *
                                       (s->width / f);
    size_t stride = latents || images ? n : 0; // else one picture's place serves all
    float *own = latents ? NULL : calloc(stride ? s->count : 1, n * sizeof *own);
    float *all = latents ? latents : own;
    if (!all) return tt_fail(err, TT_SYSTEM, "out of memory for %zu pictures", s->count);
    struct tt_size size = {.n = 1, .height = s->height / f, .width = s->width / f};
    if ((images || s->finished) && !model->unconditional) // not only when all steps are done
        status = tt_session_check_room(decoder, TT_PART_VAE_DECODE, size, err);
    if (!status) status = make_ready(&both[0], err);
    if (!status && s->refiner) status = make_ready(&both[1], err);
    for (size_t k = 0; !status && k < s->count; k++) {
        status = draw(both, k, all + k * stride, err);
        if (!status && s->finished && s->finished(s->context, k, all + k * stride))
            status = tt_fail(err, TT_CANCELLED, "cancelled after picture %zu of %zu", k + 1,
                             s->count);
    }
    // All latents before the first pixels, so that each network is planned once.
    for (size_t k = 0; images && k < s->count; k++) images[k] = (struct tt_image){0};
    for (size_t k = 0; !status && images && k < s->count; k++)
        status = develop(decoder, s, all + k * n, &images[k], err);
    for (size_t k = 0; status && images && k < s->count; k++) tt_image_free(&images[k]);
    put_away(&both[0]);
    put_away(&both[1]);
    free(own);
    return status;
}
