// SPDX-License-Identifier: MIT
// Text to picture: the whole way, from a prompt to latents to pixels. Contracts in tintype.h.
#include <math.h>
#include <sleef.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "generate_settings.h"
#include "session.h"

// ---- text ----

// Says what of a text the model is not given: the bytes of what is behind the last of its `tokens`
// places but one, which has the end of text. As a whole the text takes `used` places.
static enum tt_status note_cut(const struct tt_session *session, const char *what, const char *text,
                               size_t tokens, size_t used, struct tt_error *err) {
    const struct tt_model *model = session->model;
    enum { SHOWN = 160 };
    const struct tt_tokenizer *tokenizer = model->tokenizer;
    size_t at = 0;
    char lost[SHOWN + 80] = "";
    int32_t *ids = malloc(used * sizeof *ids);
    if (!ids) return tt_fail(err, TT_SYSTEM, "out of memory for the prompt");
    enum tt_status status = tt_tokenizer_encode(tokenizer, text, ids, used, NULL, err);
    for (size_t i = tokens - 1; !status && i + 1 < used && at < SHOWN; i++) {
        tt_tokenizer_text(tokenizer, ids[i], lost + at, sizeof lost - at);
        at += strlen(lost + at);
    }
    if (!status)
        tt_note(&session->engine->notes, "%s: cut to %zu of %zu tokens, which is what the model "
                "takes; lost: '%.*s%s'", what, tokens, used, SHOWN, lost,
                at >= SHOWN ? "..." : "");
    free(ids);
    return status;
}

static enum tt_status encode_text(const struct tt_session *session, const char *what,
                                  const char *text, int32_t *ids, size_t tokens,
                                  struct tt_error *err) {
    const struct tt_model *model = session->model;
    size_t used = 0;
    enum tt_status status = tt_tokenizer_encode(model->tokenizer, text, ids, tokens, &used, err);
    if (status || used <= tokens || !session->engine->notes.tell) return status;
    return note_cut(session, what, text, tokens, used, err);
}

// How many places a prompt takes: the model's, or its own tokens when they are neither cut nor
// padded; the negative prompt then takes as many, as in diffusers.
static enum tt_status count_tokens(const struct tt_session *session, const char *prompt,
                                   size_t *tokens, struct tt_error *err) {
    const struct tt_model *model = session->model;
    int32_t ends[2];
    size_t most = *tokens = model->info.tokens;
    if (!tt_tokenizer_whole(model->tokenizer)) return TT_OK;
    enum tt_status status = tt_tokenizer_encode(model->tokenizer, prompt, ends, 2, tokens, err);
    if (!status && *tokens > most)
        return tt_fail(err, TT_BAD_INPUT, "prompt: found %zu tokens, expected at most %zu: "
                       "model_max_length of tokenizer/tokenizer_config.json is less than 2, so "
                       "that prompts are not cut", *tokens, most);
    return status;
}

enum tt_status tt_encode_prompt(struct tt_session *session, const struct tt_settings *settings,
                                struct tt_embeddings *embeddings, struct tt_error *err) {
    const struct tt_model *model = session->model;
    struct tt_settings s;
    enum tt_status status = tt_settings_check(model, settings, &s, err);
    if (!status && model->unconditional) {
        *embeddings = (struct tt_embeddings){.n = 1};
        return TT_OK;
    }
    if (!status && !s.prompt)
        status = tt_fail(err, TT_BAD_INPUT, "prompt: found none, expected a text");
    if (status) return status;
    const char *const both[2] = {s.negative ? s.negative : "", s.prompt}, *const *texts = both;
    size_t n = 2, tokens;
    status = count_tokens(session, s.prompt, &tokens, err);
    if (status) return status;
    // As diffusers: nothing to guide away from, or a model that was taught the scale.
    if (!(s.guidance_scale > 1) || model->info.guidance_width) {
        n = 1;
        texts = &both[1];
    }
    int32_t *ids = malloc(n * tokens * sizeof *ids);
    float *data = malloc(n * tokens * model->info.text_width * sizeof *data);
    if (!ids || !data) status = tt_fail(err, TT_SYSTEM, "out of memory for the prompt");
    for (size_t i = 0; !status && i < n; i++)
        status = encode_text(session, i + 1 == n ? "prompt" : "negative prompt", texts[i],
                             ids + i * tokens, tokens, err);
    if (!status) status = tt_session_text(session, ids, n, tokens, data, err);
    free(ids);
    if (!status) *embeddings = (struct tt_embeddings){n, tokens, data};
    else free(data);
    return status;
}

void tt_embeddings_free(struct tt_embeddings *embeddings) {
    free(embeddings->data);
    *embeddings = (struct tt_embeddings){0};
}

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

// The rows of embeddings that so many passes attend to: the prompt's own are the last.
static const float *attended(const struct tt_model *model, const struct tt_embeddings *embeddings,
                             size_t passes) {
    size_t each = embeddings->tokens * model->info.text_width;
    return each ? embeddings->data + (embeddings->n - passes) * each : NULL; // unconditional
}

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

// The loop of the article: start from noise; at every timestep ask the U-Net what of the sample is
// noise, once for the prompt and once for the negative one; go a little further from the second
// answer than the first one says; let the scheduler take the step. The settings have been checked.
static enum tt_status denoise(struct tt_session *session, struct tt_scheduler *scheduler,
                              const struct tt_settings *s, const struct tt_embeddings *embeddings,
                              struct tt_rng *rng, size_t picture, float *latents,
                              struct tt_error *err) {
    const struct tt_model *model = session->model;
    size_t f = model->info.factor, c = model->info.latent_channels;
    size_t h = s->height / f, w = s->width / f, n = c * h * w;
    float *input = malloc(4 * n * sizeof *input);
    if (!input) return tt_fail(err, TT_SYSTEM, "out of memory for %zu latents", n);
    float *predicted = input + 2 * n;
    enum tt_status status = tt_scheduler_set_timesteps(scheduler, s->steps, err);
    if (!status) status = tt_scheduler_start(scheduler, 1, n, err);
    struct tt_size most = {embeddings->n, h, w, embeddings->tokens};
    if (!status) status = tt_session_prepare(session, TT_PART_UNET, most, err); // loads its weights
    size_t calls = status ? 0 : tt_scheduler_calls(scheduler);

    if (!status) {
        tt_rng_normal(rng, latents, n);
        float sigma = tt_scheduler_init_noise_sigma(scheduler);
        for (size_t i = 0; i < n; i++) latents[i] *= sigma;
    }
    for (size_t call = 0; !status && call < calls; call++) {
        float t = tt_scheduler_timesteps(scheduler)[call], timesteps[2] = {t, t};
        tt_scheduler_scale_input(scheduler, call, latents, input);
        bool guide_now = guided(s, call, calls);
        size_t passes = guide_now ? embeddings->n : 1;
        if (passes == 2) memcpy(input + n, input, n * sizeof *input);
        status = tt_session_unet_guided(session, (struct tt_size){passes, h, w, embeddings->tokens},
                                        input, timesteps, attended(model, embeddings, passes),
                                        guide_now ? s->guidance_scale : 1, predicted, err);
        if (!status && passes == 2) guide(predicted, n, s);
        if (!status)
            status = tt_scheduler_step(scheduler, call, predicted, latents, &rng, 1, latents, err);
        if (!status && !tt_all_finite(latents, n))
            status = fail_not_finite(scheduler, s->guidance_scale, err);
        if (status == TT_BAD_INPUT) tt_fail_prefix(err, "step %zu", call + 1);
        struct tt_progress seen = {picture,   s->count, call + 1,  calls,    t, {4, {1, c, h, w}},
                                   latents, predicted, scheduler, rng};
        if (!status && s->progress && s->progress(s->context, &seen))
            status = tt_fail(err, TT_CANCELLED, "cancelled after step %zu of %zu", call + 1, calls);
    }
    free(input);
    return status;
}

enum tt_status tt_denoise(struct tt_session *session, struct tt_scheduler *scheduler,
                          const struct tt_settings *settings,
                          const struct tt_embeddings *embeddings, struct tt_rng *rng,
                          float *latents, struct tt_error *err) {
    const struct tt_model *model = session->model;
    struct tt_settings s;
    enum tt_status status = tt_settings_check(model, settings, &s, err);
    s.count = 1;
    if (embeddings->n != 1 && embeddings->n != 2)
        return tt_fail(err, TT_BAD_INPUT, "embeddings: found %zu, expected 1 or 2", embeddings->n);
    return status ? status : denoise(session, scheduler, &s, embeddings, rng, 0, latents, err);
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
    float scaling = (float)model->info.scaling_factor;
    for (size_t i = 0; i < n; i++) scaled[i] = latents[i] / scaling;
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
    float scaling = (float)model->info.scaling_factor;
    for (size_t i = 0; !status && i < n; i++) {
        float z = mean[i];
        if (rng) {
            float logvar = fminf(fmaxf(variance[i], -30.0f), 20.0f);
            z += (float)Sleef_cinz_expd1_u10purec(0.5 * logvar) * noise[i];
        }
        latents[i] = z * scaling;
    }
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

enum tt_status tt_generate(struct tt_session *session, const struct tt_settings *settings,
                           float *latents, struct tt_image *images, struct tt_error *err) {
    const struct tt_model *model = session->model;
    struct tt_settings s;
    struct tt_embeddings embeddings = {0};
    struct tt_scheduler *scheduler = NULL;
    enum tt_status status = tt_settings_check(model, settings, &s, err);
    if (status) return status;
    size_t f = model->info.factor, n = model->info.latent_channels * (s.height / f) * (s.width / f);
    size_t stride = latents || images ? n : 0; // else one picture's place serves all
    float *own = latents ? NULL : calloc(stride ? s.count : 1, n * sizeof *own);
    float *all = latents ? latents : own;
    if (!all) return tt_fail(err, TT_SYSTEM, "out of memory for %zu pictures", s.count);
    struct tt_size size = {.n = 1, .height = s.height / f, .width = s.width / f};
    if ((images || s.finished) && !model->unconditional) // not only when all steps are done
        status = tt_session_check_room(session, TT_PART_VAE_DECODE, size, err);
    if (!status)
        status = tt_scheduler_open(&scheduler, s.scheduler, model, s.scheduler_options, err);
    if (!status) status = tt_encode_prompt(session, &s, &embeddings, err);
    for (size_t k = 0; !status && k < s.count; k++) {
        struct tt_rng rng;
        tt_rng_seed(&rng, s.seed + k);
        status = denoise(session, scheduler, &s, &embeddings, &rng, k, all + k * stride, err);
        if (!status && s.finished && s.finished(s.context, k, all + k * stride))
            status = tt_fail(err, TT_CANCELLED, "cancelled after picture %zu of %zu", k + 1,
                             s.count);
    }
    // All latents before the first pixels, so that each network is planned once.
    for (size_t k = 0; images && k < s.count; k++) images[k] = (struct tt_image){0};
    for (size_t k = 0; !status && images && k < s.count; k++)
        status = develop(session, &s, all + k * n, &images[k], err);
    for (size_t k = 0; status && images && k < s.count; k++) tt_image_free(&images[k]);
    tt_embeddings_free(&embeddings);
    tt_scheduler_free(scheduler);
    free(own);
    return status;
}
