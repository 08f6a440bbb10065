// SPDX-License-Identifier: MIT
// Training of the autoencoder, or of its decoder beside an encoder that stays as it is: a picture
// through the encoder to a posterior, a sample of it through the decoder, and as little difference
// as possible at the end (Kingma and Welling 2013, arXiv 1312.6114; Rombach et al. 2022, arXiv
// 2112.10752, without their discriminator).
#include <stdlib.h>
#include <string.h>

#include "train/loss.h"
#include "train/task.h"

// Both halves planned for so many pictures of a size.
struct form {
    struct tt_task_form of;
    struct tt_tape encoder_tape, decoder_tape;
    struct tt_vae encoder, decoder;
    struct tt_plan *encode, *decode; // encode: NULL where the encoder does not learn
};

struct autoencoder {
    struct tt_task_form *forms; // all of them
    struct tt_arena_memory encoder_memory, decoder_memory; // and so share these
    struct tt_params *params;  // of what learns
    struct tt_vae encoder, decoder; // of the batch's form, as all up to latent
    struct tt_plan *encode, *decode;
    struct tt_shape image, moments, latent;
    float *pictures, *sampled, *noise, *z, *dz, *dmoments, *out, *dout;
    float *floats; // where all of these lie
};

static void free_own(struct tt_task *task) {
    struct autoencoder *a = task->own;
    if (!a) return;
    for (struct tt_task_form *at = a->forms, *next; at; at = next) {
        struct form *form = (struct form *)at;
        next = at->next;
        tt_plan_free(form->encode);
        tt_plan_free(form->decode);
        tt_tape_free(&form->encoder_tape);
        tt_tape_free(&form->decoder_tape);
        free(form);
    }
    tt_arena_memory_free(&a->encoder_memory);
    tt_arena_memory_free(&a->decoder_memory);
    tt_params_free(a->params);
    free(a->floats);
    free(a);
    task->own = NULL;
}

// The posteriors' moments of the batch's pictures, into sampled.
static enum tt_status encode(struct tt_task *task, const struct tt_batch *batch,
                             struct tt_error *err) {
    struct autoencoder *a = task->own;
    const size_t *dim = a->image.dim;
    if (!a->encode)
        return tt_session_encode(task->session, (struct tt_size){.n = dim[0], .height = dim[2],
                                                                 .width = dim[3]},
                                 a->pictures, a->sampled, err);
    tt_task_put(task, a->image, a->pictures, tt_plan_data(a->encode, a->encoder.sample));
    enum tt_status status =
        tt_plan_run(a->encode, &task->model->engine->kernels, batch->observer,
                        batch->observer != NULL, err);
    if (!status)
        tt_task_get(task, a->moments, tt_plan_data(a->encode, a->encoder.out), a->sampled);
    return status;
}

// Each picture's loss; what the backward pass would write is written, too, and not used.
static void measure(struct autoencoder *a, struct tt_reconstruction with, double kl_weight,
                    struct tt_fixed *fixed) {
    size_t n = a->latent.dim[0], latent = tt_shape_count(&a->latent) / n;
    size_t image = tt_shape_count(&a->image) / n;
    memset(a->dz, 0, n * latent * sizeof *a->dz);
    for (size_t i = 0; i < n; i++) {
        fixed[i].loss = tt_loss_reconstruction(image, a->out + i * image, a->pictures + i * image,
                                               with, a->dout + i * image);
        if (a->encode) // else the divergence has no part in the loss
            fixed[i].loss += kl_weight *
                             tt_posterior_backward(1, latent, a->sampled + i * 2 * latent,
                                                   a->noise + i * latent, a->dz + i * latent, 0,
                                                   a->dmoments + i * 2 * latent);
    }
}

static enum tt_status make_form(struct tt_task *task, struct tt_task_form *of,
                                struct tt_error *err) {
    struct autoencoder *a = task->own;
    struct form *form = (struct form *)of;
    const struct tt_vae_config *config = tt_vae_of(task->model);
    size_t n = of->n, factor = task->model->info.factor;
    form->encoder = tt_vae_encoder_tape(&form->encoder_tape, config, n, of->size.height,
                                        of->size.width);
    form->decoder = tt_vae_decoder_tape(&form->decoder_tape, config, n, of->size.height / factor,
                                        of->size.width / factor);
    const struct tt_tape *const tapes[] = {&form->encoder_tape, &form->decoder_tape};
    const struct tt_plan_options *options = &task->model->engine->plan;
    bool both = task->settings->part == TT_TRAIN_VAE;
    enum tt_status status = TT_OK;
    if (!a->params) {
        status = tt_params_new(tapes + !both, both ? 2 : 1, true, &a->params, err);
        if (!status) status = tt_task_weights(task, TT_PART_VAE_ENCODE, a->params, err);
    }
    struct tt_both_ways back = {
        .params = a->params, .outputs = &form->encoder.out, .output_count = 1,
        .checkpoint_activations = task->settings->checkpoint_activations,
        .memory = &a->encoder_memory,
    };
    if (!status && both)
        status = tt_plan_new_both_ways(tapes[0], options, &back, &form->encode, err);
    back.outputs = &form->decoder.out;
    back.inputs = &form->decoder.sample;
    back.input_count = both;
    back.memory = &a->decoder_memory;
    return status ? status : tt_plan_new_both_ways(tapes[1], options, &back, &form->decode, err);
}

// The networks as n pictures of that size need them, which are planned when they are new.
static enum tt_status take_form(struct tt_task *task, size_t n, struct tt_picture_size size,
                                struct tt_error *err) {
    struct autoencoder *a = task->own;
    const struct tt_vae_config *config = tt_vae_of(task->model);
    struct tt_task_form *of;
    enum tt_status status =
        tt_task_form(task, &a->forms, sizeof(struct form), n, size, make_form, &of, err);
    if (status) return status;
    const struct form *form = (struct form *)of;
    size_t factor = task->model->info.factor, c = config->latent_channels;
    size_t h = size.height / factor, w = size.width / factor;
    a->encoder = form->encoder;
    a->decoder = form->decoder;
    a->encode = form->encode;
    a->decode = form->decode;
    a->image = (struct tt_shape){4, {n, config->in_channels, size.height, size.width}};
    a->moments = (struct tt_shape){4, {n, 2 * c, h, w}};
    a->latent = (struct tt_shape){4, {n, c, h, w}};
    return TT_OK;
}

static enum tt_status train_batch(struct tt_task *task, const struct tt_batch *batch, double *loss,
                                  struct tt_error *err) {
    struct autoencoder *a = task->own;
    const struct tt_train_settings *s = task->settings;
    const struct tt_kernels *kernels = &task->model->engine->kernels;
    size_t looking = batch->observer != NULL;
    size_t n = batch->count;
    enum tt_status status = take_form(task, n, tt_dataset_size(task->data, batch->items[0]), err);
    if (!status) status = tt_task_pictures(task, batch, a->pictures, err);
    if (status) return status;
    size_t latent = tt_shape_count(&a->latent) / n;

    status = encode(task, batch, err);
    if (status) return status;
    tt_task_noise(batch, 0, n, latent, a->noise);
    tt_posterior_sample(n, latent, a->sampled, a->noise, a->z);
    tt_task_put(task, a->latent, a->z, tt_plan_data(a->decode, a->decoder.sample));
    status = tt_plan_run(a->decode, kernels, batch->observer, looking, err);
    if (status) return status;

    tt_task_get(task, a->image, tt_plan_data(a->decode, a->decoder.out), a->out);
    struct tt_reconstruction with = {s->l1_weight, s->l2_weight, batch->scale};
    if (batch->fixed) {
        measure(a, with, s->kl_weight, batch->fixed);
        return TT_OK;
    }
    *loss = tt_loss_reconstruction(tt_shape_count(&a->image), a->out, a->pictures, with, a->dout);
    tt_task_put(task, a->image, a->dout, tt_plan_seed(a->decode, a->decoder.out));
    status = tt_plan_run_back(a->decode, kernels, batch->observer, looking, err);
    if (status || !a->encode) return status;
    tt_task_get(task, a->latent, tt_plan_gradient(a->decode, a->decoder.sample), a->dz);
    double divergence = tt_posterior_backward(n, latent, a->sampled, a->noise, a->dz,
                                              batch->scale * s->kl_weight, a->dmoments);
    *loss += s->kl_weight * divergence;
    tt_task_put(task, a->moments, a->dmoments, tt_plan_seed(a->encode, a->encoder.out));
    return tt_plan_run_back(a->encode, kernels, batch->observer, looking, err);
}

// No bucket has a larger area, no batch more pictures.
static enum tt_status take_floats(struct tt_task *task, struct tt_error *err) {
    struct autoencoder *a = task->own;
    const struct tt_vae_config *config = tt_vae_of(task->model);
    size_t factor = task->model->info.factor, all = task->settings->batch;
    size_t image = all * config->in_channels * task->height * task->width;
    size_t latent = all * config->latent_channels * (task->height / factor) *
                    (task->width / factor);
    a->floats = malloc((3 * image + 7 * latent) * sizeof *a->floats);
    if (!a->floats) return tt_fail(err, TT_SYSTEM, "out of memory for a batch of pictures");
    a->pictures = a->floats;
    a->out = a->pictures + image;
    a->dout = a->out + image;
    a->noise = a->dout + image;
    a->z = a->noise + latent;
    a->dz = a->z + latent;
    a->sampled = a->dz + latent;
    a->dmoments = a->sampled + 2 * latent;
    return TT_OK;
}

static enum tt_status build(struct tt_task *task, struct tt_error *err) {
    enum tt_status status = tt_task_plan(task, take_form, err);
    return status ? status : take_floats(task, err);
}

enum tt_status tt_task_autoencoder(struct tt_task *task, struct tt_error *err) {
    task->own = calloc(1, sizeof(struct autoencoder));
    task->batch = train_batch;
    task->draws = 1;
    task->free = free_own;
    enum tt_status status =
        task->own ? build(task, err) : tt_fail(err, TT_SYSTEM, "out of memory for training");
    if (status) {
        free_own(task);
        return status;
    }
    task->learns[0] = (struct tt_learner){"vae", ((struct autoencoder *)task->own)->params};
    task->count = 1;
    return TT_OK;
}
