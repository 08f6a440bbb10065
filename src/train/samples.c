// SPDX-License-Identifier: MIT
#include "train/samples.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"
#include "io/writer.h"
#include "parts.h"
#include "train/captions.h"

enum { MOST = 8 };

struct tt_sample_prompts {
    char *text[MOST];
    size_t count;
};

void tt_sample_prompts_free(struct tt_sample_prompts *p) {
    if (!p) return;
    for (size_t i = 0; i < p->count; i++) free(p->text[i]);
    free(p);
}

static enum tt_status add_prompt(struct tt_sample_prompts *p, const char *text, size_t length,
                                 struct tt_error *err) {
    char *copy = strndup(text, length);
    if (!copy) return tt_fail(err, TT_SYSTEM, "out of memory for sample prompts");
    p->text[p->count++] = copy;
    return TT_OK;
}

static enum tt_status read_prompts(struct tt_sample_prompts *p, const struct tt_model *model,
                                   const char *path, const struct tt_notes *notes,
                                   struct tt_error *err) {
    struct tt_bytes bytes = {0};
    int32_t ids[2];
    enum tt_status status = tt_file_read(model->engine->files, path, &bytes, err);
    const char *text = (const char *)bytes.data;
    size_t number = 0, blank = 0, more = 0;
    if (!status && tt_is_utf16(text, bytes.size))
        status = tt_fail(err, TT_BAD_INPUT, "%s: found UTF-16 text, expected UTF-8", path);
    for (size_t at = tt_skip_mark(text, bytes.size); !status && at < bytes.size; number++) {
        const char *end = memchr(text + at, '\n', bytes.size - at);
        size_t length = end ? (size_t)(end - text) - at : bytes.size - at, next = at + length + 1;
        size_t space = 0, n;
        while (space < length && (n = tt_white_space(text + at + space, length - space)))
            space += n;
        if (length && text[at + length - 1] == '\r') length--;
        if (space >= length) blank++;
        else if (p->count == MOST) more++;
        else status = add_prompt(p, text + at, length, err);
        if (!status && space < length && !more &&
            tt_tokenizer_encode(model->tokenizer, p->text[p->count - 1], ids, 2, NULL, err))
            status = tt_fail_prefix(err, "%s: line %zu", path, number + 1);
        at = next;
    }
    if (!status && blank)
        tt_note(notes, "%s: %zu lines are blank, of which nothing is drawn", path, blank);
    if (!status && more)
        tt_note(notes, "%s: %zu prompts are too many: the first %d are drawn", path, MOST + more,
                MOST);
    if (!status && !p->count)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found no prompt, expected one a line", path);
    tt_bytes_free(&bytes);
    return status;
}

static enum tt_status first_captions(struct tt_sample_prompts *p, const struct tt_dataset *data,
                                     struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < tt_dataset_count(data) && p->count < 4; i++) {
        const char *text = tt_dataset_captions(data, i) ? tt_dataset_caption(data, i, 0) : "";
        bool known = !*text;
        for (size_t k = 0; k < p->count; k++) known = known || !strcmp(p->text[k], text);
        if (!known) status = add_prompt(p, text, strlen(text), err);
    }
    return status;
}

enum tt_status tt_sample_prompts_new(const struct tt_train_settings *s,
                                     const struct tt_model *model, const struct tt_dataset *data,
                                     const struct tt_notes *notes, struct tt_sample_prompts **out,
                                     struct tt_error *err) {
    struct tt_sample_prompts *p = calloc(1, sizeof *p);
    if (!p) return tt_fail(err, TT_SYSTEM, "out of memory for sample prompts");
    enum tt_status status = TT_OK;
    if (!tt_trains_vae(s->part) && !model->unconditional)
        status = s->sample_prompts ? read_prompts(p, model, s->sample_prompts, notes, err)
                                   : first_captions(p, data, err);
    if (status) tt_sample_prompts_free(p);
    else *out = p;
    return status;
}

static void name_of(const struct tt_train_settings *s, size_t step, size_t k, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%.*s/samples/step-%06zu-%zu.png", PATH_MAX - 64, s->output, step,
             k + 1);
}

static enum tt_status write(const struct tt_train_settings *s, size_t step, size_t k,
                            const struct tt_image *image, const char *text, struct tt_error *err) {
    char path[PATH_MAX];
    name_of(s, step, k, path);
    return tt_image_write(NULL, path, image, text, err);
}

static enum tt_status draw(const struct tt_train_settings *s, struct tt_session *session,
                           const struct tt_sample_prompts *p, size_t count, size_t step,
                           struct tt_error *err) {
    struct tt_settings settings;
    tt_settings_defaults(&settings, sizeof settings);
    settings.steps = s->sample_steps;
    settings.guidance_scale = s->sample_guidance;
    settings.width = s->width;
    settings.height = s->height;
    enum tt_status status = TT_OK;
    for (size_t k = 0; !status && k < count; k++) {
        struct tt_image image = {0};
        settings.prompt = k < p->count ? p->text[k] : NULL;
        settings.seed = k;
        status = tt_generate(session, &settings, NULL, &image, err);
        if (!status) status = write(s, step, k, &image, settings.prompt, err);
        tt_image_free(&image);
    }
    return status;
}

// The left half of rgb is a picture: the right half becomes what the autoencoder makes of it.
static enum tt_status reconstruct(struct tt_session *session, const float *picture,
                                  size_t width, size_t height, uint8_t *rgb, struct tt_error *err) {
    const struct tt_model_info *info = tt_model_info(tt_session_model(session));
    size_t n = width * height, h = height / info->factor, w = width / info->factor;
    uint8_t *one = malloc(3 * n), *back = malloc(3 * n);
    float *latents = malloc(info->latent_channels * h * w * sizeof *latents);
    enum tt_status status = TT_OK;
    if (!one || !back || !latents) status = tt_fail(err, TT_SYSTEM, "out of memory for a sample");
    for (size_t i = 0; !status && i < 3 * n; i++)
        one[i] = (uint8_t)(picture[i % 3 * n + i / 3] * 127.5f + 128.0f);
    if (!status) status = tt_pixels_to_latents(session, one, height, width, NULL, latents, err);
    if (!status) status = tt_latents_to_pixels(session, latents, h, w, back, err);
    for (size_t y = 0; !status && y < height; y++) {
        memcpy(rgb + 6 * width * y, one + 3 * width * y, 3 * width);
        memcpy(rgb + 6 * width * y + 3 * width, back + 3 * width * y, 3 * width);
    }
    free(latents);
    free(back);
    free(one);
    return status;
}

static enum tt_status reconstruct_all(const struct tt_train_settings *s,
                                      struct tt_session *session, const struct tt_dataset *data,
                                      size_t count, size_t step, struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (size_t k = 0; !status && k < count; k++) {
        struct tt_picture_size size = tt_dataset_size(data, k);
        size_t n = 3 * size.width * size.height;
        float *picture = malloc(n * sizeof *picture);
        struct tt_image image = {2 * size.width, size.height, malloc(2 * n)};
        if (!picture || !image.rgb) status = tt_fail(err, TT_SYSTEM, "out of memory for a sample");
        if (!status) status = tt_dataset_picture(data, k, false, picture, err);
        if (!status)
            status = reconstruct(session, picture, size.width, size.height, image.rgb, err);
        if (!status) status = write(s, step, k, &image, tt_dataset_name(data, k), err);
        tt_image_free(&image);
        free(picture);
    }
    return status;
}

enum { PICTURES = 4 }; // of an autoencoder, or without a text

static size_t count_of(const struct tt_train_settings *s, const struct tt_model *model,
                       const struct tt_sample_prompts *prompts, const struct tt_dataset *data) {
    size_t count = tt_dataset_count(data);
    if (tt_trains_vae(s->part)) return count < PICTURES ? count : PICTURES;
    return tt_model_info(model)->unconditional ? PICTURES : prompts->count;
}

bool tt_samples_there(const struct tt_train_settings *s, const struct tt_model *model,
                      const struct tt_sample_prompts *prompts, const struct tt_dataset *data,
                      size_t step) {
    char path[PATH_MAX];
    struct stat info;
    name_of(s, step, count_of(s, model, prompts, data) - 1, path);
    return !stat(path, &info);
}

enum tt_status tt_samples_write(const struct tt_train_settings *s, const char *folder,
                                const struct tt_engine *engine,
                                const struct tt_sample_prompts *prompts,
                                const struct tt_dataset *data, size_t step, struct tt_error *err) {
    // What is read here is what the next export writes over.
    struct tt_engine apart = *engine;
    struct tt_model *model = NULL;
    struct tt_session *session = NULL;
    char samples[PATH_MAX];
    apart.files = NULL;
    snprintf(samples, sizeof samples, "%.*s/samples", PATH_MAX - 64, s->output);
    enum tt_status status = tt_make_folder(samples, err);
    if (!status) status = tt_model_open(folder, &apart, &model, err);
    if (!status) status = tt_session_new(model, NULL, &session, err);
    size_t count = status ? 0 : count_of(s, model, prompts, data);
    if (!status && tt_trains_vae(s->part))
        status = reconstruct_all(s, session, data, count, step, err);
    else if (!status)
        status = draw(s, session, prompts, count, step, err);
    tt_session_free(session);
    tt_model_close(model);
    return status;
}
