// SPDX-License-Identifier: MIT
// Training of the U-Net, the text encoder, or both: pick t, add noise in closed form, predict, mean
// squared error (Ho et al. 2020, arXiv 2006.11239), in the latent space of a frozen autoencoder; or
// of an unconditional U-Net on the pixels themselves.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/captions.h"
#include "train/latents.h"
#include "train/loss.h"
#include "train/task.h"

// A U-Net planned for so many pictures of a size, and a text encoder for so many captions.
struct form {
    struct tt_task_form of;
    struct tt_tape tape;
    struct tt_unet unet;
    struct tt_plan *plan;
};
struct wording {
    struct tt_task_form of; // of no size
    struct tt_tape tape;
    struct tt_clip text;
    struct tt_plan *plan;
};

struct denoise {
    struct tt_task_form *forms, *wordings; // all of them
    struct tt_arena_memory unet_memory, text_memory; // and so share these
    struct tt_unet unet; // of the batch's form, as all up to latent and each
    struct tt_clip text;
    struct tt_params *unet_params, *text_params; // text: NULL where it is not trained
    struct tt_plan *unet_plan, *text_plan;
    struct tt_scheduler *scheduler;
    enum tt_prediction prediction;
    struct tt_shape latent; // (batch, C, h, w)
    size_t each, tokens, width; // of a picture's latents; of a caption; D; the last two may be 0
    struct tt_latents latents;
    float *floats, *x0, *noise, *noisy, *target, *out, *context, *timesteps, *weight;
    int32_t *ids;
    size_t *t;
};

static void free_own(struct tt_task *task) {
    struct denoise *d = task->own;
    if (!d) return;
    for (struct tt_task_form *at = d->forms, *next; at; at = next) {
        struct form *form = (struct form *)at;
        next = at->next;
        tt_plan_free(form->plan);
        tt_tape_free(&form->tape);
        free(form);
    }
    for (struct tt_task_form *at = d->wordings, *next; at; at = next) {
        struct wording *wording = (struct wording *)at;
        next = at->next;
        tt_plan_free(wording->plan);
        tt_tape_free(&wording->tape);
        free(wording);
    }
    tt_arena_memory_free(&d->unet_memory);
    tt_arena_memory_free(&d->text_memory);
    tt_params_free(d->unet_params);
    tt_params_free(d->text_params);
    tt_scheduler_free(d->scheduler);
    tt_latents_free(&d->latents);
    free(d->floats);
    free(d->ids);
    free(d->t);
    free(d);
    task->own = NULL;
}

// ---- latents, computed once ----

// From item *done on.
static enum tt_status encode_all(struct tt_task *task, const struct tt_task_cache *cache,
                                 size_t all, size_t *done, struct tt_error *err) {
    struct denoise *d = task->own;
    size_t pixels = 3 * task->height * task->width;
    float *picture = malloc(pixels * sizeof *picture);
    if (!picture) return tt_fail(err, TT_SYSTEM, "out of memory for a picture");
    enum tt_status status = TT_OK;
    while (!status && *done < all) {
        size_t i = *done;
        bool mirrored;
        size_t item = tt_latents_item(task, i, &mirrored);
        struct tt_picture_size seen = tt_dataset_size(task->data, item);
        struct tt_size size = {.n = 1, .height = seen.height, .width = seen.width};
        status = tt_dataset_picture(task->data, item, mirrored, picture, err);
        if (!status)
            status = tt_session_encode(task->session, size, picture,
                                       d->latents.moments + d->latents.at[i], err);
        if (!status) ++*done;
        if (!status && cache->progress && cache->progress(cache->context, *done, all))
            status = tt_fail(err, TT_CANCELLED, "cancelled while encoding pictures");
    }
    free(picture);
    return status;
}

static enum tt_status prepare(struct tt_task *task, const struct tt_task_cache *cache,
                                   struct tt_error *err) {
    struct denoise *d = task->own;
    int threads = task->model->engine->plan.threads;
    char key[TT_LATENTS_KEY];
    enum tt_status status = tt_latents_new(&d->latents, task, err);
    if (!status) status = tt_latents_key(task, key, err);
    if (status) return status;
    size_t before = tt_latents_read(&d->latents, cache, key, threads), done = before;
    status = encode_all(task, cache, d->latents.count, &done, err);
    if (done == before) return status;
    // What has been encoded is kept, whatever stopped it.
    enum tt_status saved = tt_latents_write(&d->latents, cache, key, done, threads, err);
    return status ? status : saved;
}

// ---- a batch ----

// A latent of each picture: a sample of its posterior, with the model's scaling.
static void draw_latents(struct tt_task *task, const struct tt_batch *batch) {
    struct denoise *d = task->own;
    size_t n = d->latent.dim[0], count = tt_dataset_count(task->data);
    float scaling = (float)task->model->info.scaling_factor;
    float shift = (float)task->model->info.shift_factor;
    tt_task_noise(batch, 0, n, d->each, d->noise);
    for (size_t i = 0; i < n; i++) {
        float chance = 1;
        bool flip = task->settings->flip, held = batch->items[i] >= count;
        if (flip && !batch->fixed) tt_rng_uniform(batch->rng, &chance, 1);
        size_t at = batch->items[i] + (chance < 0.5f || (held && flip) ? count : 0);
        tt_posterior_sample(1, d->each, d->latents.moments + d->latents.at[at],
                            d->noise + i * d->each, d->x0 + i * d->each);
    }
    for (size_t i = 0; i < n * d->each; i++) d->x0[i] = (d->x0[i] - shift) * scaling;
}

static size_t below(struct tt_rng *rng, size_t n) {
    float u;
    tt_rng_uniform(rng, &u, 1);
    size_t i = (size_t)((double)u * (double)n);
    return i < n ? i : n - 1;
}

static enum tt_status encode(const struct tt_task *task, struct tt_rng *rng, const char *text,
                             int32_t *ids, struct tt_error *err) {
    const struct denoise *d = task->own;
    double chance = task->settings->word_dropout;
    char *left = chance > 0 ? malloc(strlen(text) + 1) : NULL;
    if (chance > 0 && !left) return tt_fail(err, TT_SYSTEM, "out of memory for a caption");
    if (left) tt_caption_drop_words(text, chance, rng, left);
    enum tt_status status = tt_tokenizer_encode(task->model->tokenizer, left ? left : text, ids,
                                                d->tokens, NULL, err);
    free(left);
    return status;
}

// One of each picture's captions, or none.
static enum tt_status choose_captions(struct tt_task *task, const struct tt_batch *batch,
                                      struct tt_error *err) {
    struct denoise *d = task->own;
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < d->latent.dim[0]; i++) {
        size_t item = batch->items[i];
        float chance;
        if (batch->fixed) { // draws take turns
            size_t turn = batch->fixed[i].draw % tt_dataset_captions(task->data, item);
            status = tt_tokenizer_encode(task->model->tokenizer,
                                         tt_dataset_caption(task->data, item, turn),
                                         d->ids + i * d->tokens, d->tokens, NULL, err);
            continue;
        }
        tt_rng_uniform(batch->rng, &chance, 1);
        size_t k = below(batch->rng, tt_dataset_captions(task->data, item));
        bool dropped = (double)chance < task->settings->caption_dropout;
        const char *text = dropped ? "" : tt_dataset_caption(task->data, item, k);
        status = encode(task, batch->rng, text, d->ids + i * d->tokens, err);
        if (status) tt_fail_prefix(err, "%s", tt_dataset_name(task->data, item));
    }
    return status;
}

// Embeddings of the captions, into the U-Net's input.
static enum tt_status embed(struct tt_task *task, const struct tt_batch *batch,
                            struct tt_error *err) {
    struct denoise *d = task->own;
    size_t n = d->latent.dim[0];
    float *to = tt_plan_data(d->unet_plan, d->unet.encoder_hidden_states);
    if (!d->text_plan) return tt_session_text(task->session, d->ids, n, d->tokens, to, err);
    const struct tt_clip *text = &d->text;
    memcpy(tt_plan_data(d->text_plan, text->input_ids), d->ids, n * d->tokens * sizeof *d->ids);
    enum tt_status status =
        tt_clip_prepare(tt_clip_of(task->model), d->ids, n, d->tokens,
                        (int32_t *)tt_plan_data(d->text_plan, text->position_ids),
                        (int32_t *)tt_plan_data(d->text_plan, text->eos_index), err);
    if (!status)
        status = tt_plan_run(d->text_plan, &task->model->engine->kernels, batch->observer,
                                 batch->observer != NULL, err);
    if (!status)
        memcpy(to, tt_plan_data(d->text_plan, text->context),
               n * d->tokens * d->width * sizeof *to);
    return status;
}

static enum tt_status backward(struct tt_task *task, const struct tt_batch *batch,
                               struct tt_error *err) {
    struct denoise *d = task->own;
    size_t looking = batch->observer != NULL;
    const struct tt_kernels *kernels = &task->model->engine->kernels;
    tt_task_put(task, d->latent, d->out, tt_plan_seed(d->unet_plan, d->unet.out));
    enum tt_status status = tt_plan_run_back(d->unet_plan, kernels, batch->observer, looking, err);
    if (status || !d->text_plan) return status;
    memcpy(tt_plan_seed(d->text_plan, d->text.context),
           tt_plan_gradient(d->unet_plan, d->unet.encoder_hidden_states),
           d->latent.dim[0] * d->tokens * d->width * sizeof(float));
    return tt_plan_run_back(d->text_plan, kernels, batch->observer, looking, err);
}

// The batch's pictures where there is no text: as they are, or, for a U-Net of one channel, grey.
static enum tt_status draw_pictures(struct tt_task *task, const struct tt_batch *batch,
                                    struct tt_error *err) {
    struct denoise *d = task->own;
    size_t n = d->latent.dim[0], pixels = d->latent.dim[2] * d->latent.dim[3];
    if (d->latent.dim[1] == 3) return tt_task_pictures(task, batch, d->x0, err);
    float *rgb = malloc(n * 3 * pixels * sizeof *rgb);
    if (!rgb) return tt_fail(err, TT_SYSTEM, "out of memory for %zu pictures", n);
    enum tt_status status = tt_task_pictures(task, batch, rgb, err);
    for (size_t i = 0; !status && i < n * pixels; i++) {
        const float *red = rgb + i / pixels * 3 * pixels + i % pixels;
        d->x0[i] = 0.299f * red[0] + 0.587f * red[pixels] + 0.114f * red[2 * pixels];
    }
    free(rgb);
    return status;
}

// ---- plans ----

static enum tt_status make_wording(struct tt_task *task, struct tt_task_form *of,
                                   struct tt_error *err) {
    struct denoise *d = task->own;
    struct wording *w = (struct wording *)of;
    w->text = tt_clip_tape(&w->tape, tt_clip_of(task->model), of->n, d->tokens, 0);
    const struct tt_tape *tape = &w->tape;
    enum tt_status status = TT_OK;
    if (!d->text_params) {
        status = tt_params_new(&tape, 1, true, &d->text_params, err);
        if (!status) status = tt_task_weights(task, TT_PART_TEXT, d->text_params, err);
    }
    struct tt_both_ways back = {
        .params = d->text_params, .outputs = &w->text.context, .output_count = 1,
        .checkpoint_activations = task->settings->checkpoint_activations,
        .memory = &d->text_memory,
    };
    const struct tt_plan_options *options = &task->model->engine->plan;
    return status ? status : tt_plan_new_both_ways(tape, options, &back, &w->plan, err);
}

static enum tt_status take_wording(struct tt_task *task, size_t n, struct tt_error *err) {
    struct denoise *d = task->own;
    struct tt_picture_size none = {0, 0};
    struct tt_task_form *of;
    enum tt_status status =
        tt_task_form(task, &d->wordings, sizeof(struct wording), n, none, make_wording, &of, err);
    if (status) return status;
    d->text = ((struct wording *)of)->text;
    d->text_plan = ((struct wording *)of)->plan;
    return TT_OK;
}

static enum tt_status make_form(struct tt_task *task, struct tt_task_form *of,
                                struct tt_error *err) {
    struct denoise *d = task->own;
    struct form *form = (struct form *)of;
    const struct tt_train_settings *s = task->settings;
    size_t factor = tt_model_info(task->model)->factor;
    const struct tt_tape *tape = &form->tape;
    form->unet =
        tt_unet_tape(&form->tape, tt_unet_of(task->model), of->n, of->size.height / factor,
                     of->size.width / factor, d->tokens);
    enum tt_status status = TT_OK;
    if (!d->unet_params) {
        status = tt_params_new(&tape, 1, s->part != TT_TRAIN_TEXT, &d->unet_params, err);
        if (!status) status = tt_task_weights(task, TT_PART_UNET, d->unet_params, err);
    }
    if (status) return status;
    struct tt_both_ways back = {
        .params = d->unet_params, .outputs = &form->unet.out, .output_count = 1,
        .inputs = &form->unet.encoder_hidden_states,
        .input_count = s->part == TT_TRAIN_UNET ? 0 : 1,
        .checkpoint_activations = s->checkpoint_activations, .memory = &d->unet_memory,
    };
    return tt_plan_new_both_ways(tape, &task->model->engine->plan, &back, &form->plan, err);
}

// The networks as n pictures of that size need them, which are planned when they are new.
static enum tt_status take_form(struct tt_task *task, size_t n, struct tt_picture_size size,
                                struct tt_error *err) {
    struct denoise *d = task->own;
    const struct tt_model_info *info = tt_model_info(task->model);
    struct tt_task_form *of;
    enum tt_status status =
        tt_task_form(task, &d->forms, sizeof(struct form), n, size, make_form, &of, err);
    if (status) return status;
    const struct form *form = (struct form *)of;
    size_t h = size.height / info->factor, w = size.width / info->factor;
    d->unet = form->unet;
    d->unet_plan = form->plan;
    d->latent = (struct tt_shape){4, {n, info->latent_channels, h, w}};
    d->each = info->latent_channels * h * w;
    return task->settings->part == TT_TRAIN_UNET ? TT_OK : take_wording(task, n, err);
}

// ---- a whole batch ----

// What the batch is of: latents and captions, or, where there is no text, pictures.
static enum tt_status draw_batch(struct tt_task *task, const struct tt_batch *batch,
                                 struct tt_error *err) {
    if (task->model->unconditional) return draw_pictures(task, batch, err);
    draw_latents(task, batch);
    enum tt_status status = choose_captions(task, batch, err);
    return status ? status : embed(task, batch, err);
}

// The draws of a picture lie each in an equal part of the schedule, where depends on the picture.
static size_t timestep_of(const struct tt_fixed *fixed, size_t count) {
    double within = (double)(fixed->seed >> 11) * 0x1p-53;
    size_t t = (size_t)(((double)fixed->draw + within) / (double)fixed->draws * (double)count);
    return t < count ? t : count - 1;
}

static enum tt_status train_batch(struct tt_task *task, const struct tt_batch *batch, double *loss,
                                  struct tt_error *err) {
    struct denoise *d = task->own;
    const struct tt_schedule *schedule = tt_scheduler_schedule(d->scheduler);
    size_t n = batch->count;
    enum tt_status status = take_form(task, n, tt_dataset_size(task->data, batch->items[0]), err);
    if (!status) status = draw_batch(task, batch, err);
    if (status) return status;

    for (size_t i = 0; i < n; i++) {
        d->t[i] = batch->fixed ? timestep_of(&batch->fixed[i], schedule->count)
                               : below(batch->rng, schedule->count);
        d->timesteps[i] = (float)d->t[i];
    }
    tt_task_noise(batch, 1, n, d->each, d->noise);
    tt_noise_batch(schedule, d->prediction, n, d->each, d->t, d->x0, d->noise, d->noisy,
                   d->target);
    tt_task_put(task, d->latent, d->noisy, tt_plan_data(d->unet_plan, d->unet.sample));
    memcpy(tt_plan_data(d->unet_plan, d->unet.timestep), d->timesteps, n * sizeof(float));
    status = tt_plan_run(d->unet_plan, &task->model->engine->kernels, batch->observer,
                             batch->observer != NULL, err);
    if (status) return status;

    tt_task_get(task, d->latent, tt_plan_data(d->unet_plan, d->unet.out), d->out);
    tt_loss_weights(schedule, d->prediction, task->settings->min_snr, n, d->t, d->weight);
    for (size_t i = 0; batch->fixed && i < n; i++)
        batch->fixed[i].loss = tt_loss_squares(1, d->each, d->out + i * d->each,
                                               d->target + i * d->each, &d->weight[i], 0,
                                               d->out + i * d->each);
    if (batch->fixed) return TT_OK;
    *loss = tt_loss_squares(n, d->each, d->out, d->target, d->weight, batch->scale, d->out);
    return backward(task, batch, err);
}

// ---- building ----

// No bucket has a larger area, no batch more pictures.
static enum tt_status take_memory(struct tt_task *task, struct tt_error *err) {
    struct denoise *d = task->own;
    const struct tt_model_info *info = tt_model_info(task->model);
    size_t n = task->settings->batch, all = n * info->latent_channels *
                                            (task->height / info->factor) *
                                            (task->width / info->factor);
    d->floats = malloc((5 * all + 2 * n) * sizeof *d->floats);
    d->ids = malloc(n * (d->tokens ? d->tokens : 1) * sizeof *d->ids);
    d->t = malloc(n * sizeof *d->t);
    if (!d->floats || !d->ids || !d->t)
        return tt_fail(err, TT_SYSTEM, "out of memory for a batch of latents");
    d->x0 = d->floats;
    d->noise = d->x0 + all;
    d->noisy = d->noise + all;
    d->target = d->noisy + all;
    d->out = d->target + all;
    d->timesteps = d->out + all;
    d->weight = d->timesteps + n;
    return TT_OK;
}

// The scheduler of the model and of the settings, whose prediction can be learnt at every timestep.
static enum tt_status open_scheduler(struct tt_task *task, struct tt_error *err) {
    struct denoise *d = task->own;
    const struct tt_train_settings *s = task->settings;
    const char *name = tt_model_info(task->model)->name;
    char type[48];
    const char *options[4] = {NULL}, **next = options;
    snprintf(type, sizeof type, "prediction_type=%s",
             tt_setting_words(TT_SETTING_PREDICTION)[s->prediction_type]);
    if (s->prediction_type != TT_PREDICTION_OF_MODEL) *next++ = type;
    enum tt_status status = tt_scheduler_open(&d->scheduler, NULL, task->model, options, err);
    if (status) return status;
    if (s->zero_snr) {
        struct tt_scheduler *spaced = NULL;
        char scheduler[64];
        snprintf(scheduler, sizeof scheduler, "%s", tt_scheduler_name(d->scheduler));
        tt_scheduler_free(d->scheduler);
        d->scheduler = NULL;
        *next++ = "rescale_betas_zero_snr=true";
        if (tt_scheduler_open(&d->scheduler, NULL, task->model, options, NULL))
            return tt_fail(err, TT_BAD_INPUT, "zero_snr: %s: its scheduler, %s, cannot end in pure "
                           "noise; a copy of the folder can: with \"DDIMScheduler\" as "
                           "\"_class_name\" in scheduler/scheduler_config.json and under "
                           "\"scheduler\" in model_index.json", name, scheduler);
        *next = "timestep_spacing=trailing";
        task->spaced = !tt_scheduler_open(&spaced, NULL, task->model, options, NULL);
        tt_scheduler_free(spaced);
    }
    const struct tt_scheduler_values *values = tt_scheduler_settings(d->scheduler);
    d->prediction = (enum tt_prediction)values->prediction_type;
    if (values->rescale_betas_zero_snr && d->prediction == TT_PREDICT_EPSILON)
        return tt_fail(err, TT_BAD_INPUT, "%s: found prediction_type epsilon, expected "
                       "v_prediction or sample (--prediction-type): where all is noise, its "
                       "epsilon tells nothing of the picture, and sampling divides by 0",
                       s->zero_snr ? "zero_snr" : "rescale_betas_zero_snr");
    return TT_OK;
}

static enum tt_status build(struct tt_task *task, struct tt_error *err) {
    struct denoise *d = task->own;
    const struct tt_model_info *info = tt_model_info(task->model);
    d->tokens = info->tokens;
    d->width = info->text_width;
    enum tt_status status = open_scheduler(task, err);
    if (!status) status = take_memory(task, err);
    return status ? status : tt_task_plan(task, take_form, err);
}

enum tt_status tt_task_denoise(struct tt_task *task, struct tt_error *err) {
    struct denoise *d = task->own = calloc(1, sizeof *d);
    task->prepare = task->model->unconditional ? NULL : prepare;
    task->batch = train_batch;
    task->draws = 4;
    task->free = free_own;
    enum tt_status status =
        d ? build(task, err) : tt_fail(err, TT_SYSTEM, "out of memory for training");
    if (status) {
        free_own(task);
        return status;
    }
    if (task->settings->part != TT_TRAIN_TEXT)
        task->learns[task->count++] = (struct tt_learner){"unet", d->unet_params};
    if (task->settings->part != TT_TRAIN_UNET)
        task->learns[task->count++] = (struct tt_learner){"text_encoder", d->text_params};
    return TT_OK;
}
