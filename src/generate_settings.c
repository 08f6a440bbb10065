// SPDX-License-Identifier: MIT
#include "generate_settings.h"

#include <math.h>

#include "base/growth.h"
#include "generate_picture.h"

enum { SCORE_MOST = 1000 };

static const struct tt_settings defaults = {
    .count = 1, .steps = 20, .guidance_scale = 7.5, .guidance_stop = 1, .aesthetic_score = 6,
    .negative_aesthetic_score = 2.5, .refine_from = 0.8, .strength = -1, .inpaint_padding = -1,
    .image_guidance_scale = -1, .upscale_strength = -1,
};

bool tt_wording_asked(const struct tt_settings *s) {
    return s->prompt_syntax != TT_PROMPT_PLAIN || s->clip_skip || s->inversion_count ||
           s->inversion_folder;
}

void tt_settings_defaults(struct tt_settings *settings, size_t size) {
    tt_growth_give(settings, size, &defaults, sizeof defaults);
}

// ---- what SDXL is told ----

static enum tt_status check_size_of(const char *what, size_t width, size_t height,
                                    struct tt_error *err) {
    if (!width == !height && width <= TT_IMAGE_SIDE && height <= TT_IMAGE_SIDE) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: found %zu x %zu, expected sides of 1 to %d, or none",
                   what, width, height, TT_IMAGE_SIDE);
}

static enum tt_status check_numbers(const struct tt_settings *s, struct tt_error *err) {
    enum tt_status status =
        check_size_of("original size", s->original_width, s->original_height, err);
    if (!status) status = check_size_of("target size", s->target_width, s->target_height, err);
    if (!status)
        status = check_size_of("negative original size", s->negative_original_width,
                               s->negative_original_height, err);
    if (!status)
        status = check_size_of("negative target size", s->negative_target_width,
                               s->negative_target_height, err);
    if (status) return status;
    const size_t crops[4] = {s->crop_left, s->crop_top, s->negative_crop_left,
                             s->negative_crop_top};
    for (size_t i = 0; i < 4; i++)
        if (crops[i] > TT_IMAGE_SIDE)
            return tt_fail(err, TT_BAD_INPUT, "crop: found %zu, expected 0 to %d", crops[i],
                           TT_IMAGE_SIDE);
    if (!(fabs(s->aesthetic_score) <= SCORE_MOST) ||
        !(fabs(s->negative_aesthetic_score) <= SCORE_MOST))
        return tt_fail(err, TT_BAD_INPUT, "aesthetic_score, negative_aesthetic_score: found %g, "
                       "%g, expected %d to %d", s->aesthetic_score, s->negative_aesthetic_score,
                       -SCORE_MOST, SCORE_MOST);
    // diffusers would take no notice of one alone.
    if (!s->negative_original_width != !s->negative_target_width ||
        (!s->negative_original_width && (s->negative_crop_left || s->negative_crop_top)))
        return tt_fail(err, TT_BAD_INPUT, "negative original size, negative target size: found one "
                       "of them or a negative crop alone, expected both sizes or none");
    return TT_OK;
}

// A model that is not told something is not given it in vain.
static enum tt_status check_told(const struct tt_model *model, const struct tt_settings *s,
                                 struct tt_error *err) {
    bool numbers = s->original_width || s->target_width || s->negative_original_width ||
                   s->crop_left || s->crop_top;
    const double score[2] = {s->aesthetic_score, s->negative_aesthetic_score};
    // 0: the program has not filled them in.
    bool scores = (score[0] != 0 && score[0] != defaults.aesthetic_score) ||
                  (score[1] != 0 && score[1] != defaults.negative_aesthetic_score);
    const struct tt_model *last = s->refiner ? s->refiner->model : model;
    if (numbers && !model->info.pooled_width)
        return tt_fail(err, TT_BAD_INPUT, "original size, crop, target size: found them, expected "
                       "none: %s is not told them, as SDXL is", model->info.name);
    if (scores && !last->second_stage)
        return tt_fail(err, TT_BAD_INPUT, "aesthetic_score, negative_aesthetic_score: found %g, "
                       "%g, expected none: %s is not told them, as SDXL's refiner is",
                       s->aesthetic_score, s->negative_aesthetic_score, last->info.name);
    return TT_OK;
}

// The sizes that were not given, as diffusers fills them in: the picture's own, and for what is
// guided away from those that are guided towards. Its refiner takes only the place of a crop from
// what was given, unless it is told no score.
static void fill_numbers(struct tt_settings *s, bool going_on, bool scored) {
    if (!s->original_width) s->original_width = s->width, s->original_height = s->height;
    if (!s->target_width) s->target_width = s->width, s->target_height = s->height;
    if ((going_on && !scored) || (!going_on && !s->negative_original_width))
        s->negative_crop_left = s->crop_left, s->negative_crop_top = s->crop_top;
    if (!s->negative_original_width) {
        s->negative_original_width = s->original_width;
        s->negative_original_height = s->original_height;
        s->negative_target_width = s->target_width;
        s->negative_target_height = s->target_height;
    }
}

// ---- two models ----

static enum tt_status check_pair(const struct tt_model *model, const struct tt_settings *s,
                                 struct tt_error *err) {
    const struct tt_model *refiner = s->refiner->model;
    const struct tt_model_info *a = &model->info, *b = &refiner->info;
    if (!a->pooled_width || !b->pooled_width)
        return tt_fail(err, TT_BAD_INPUT, "refiner: found %s with %s, expected two models of SDXL: "
                       "%s is none", b->name, a->name, a->pooled_width ? b->name : a->name);
    if (a->latent_channels != b->latent_channels || a->factor != b->factor)
        return tt_fail(err, TT_BAD_INPUT, "refiner: %s: found latents of %zu channels and factor "
                       "%zu, expected %zu and %zu, as %s has", b->name, b->latent_channels,
                       b->factor, a->latent_channels, a->factor, a->name);
    if (s->refine_from > 0 && s->refine_from < 1) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "refine_from: found %g, expected more than 0 and less than 1",
                   s->refine_from);
}

// ---- all ----

static enum tt_status check_ranges(const struct tt_settings *s, struct tt_error *err) {
    if (!s->count) return tt_fail(err, TT_BAD_INPUT, "count: found 0, expected at least 1");
    if (!s->steps) return tt_fail(err, TT_BAD_INPUT, "steps: found 0, expected at least 1");
    if (!(fabs(s->guidance_scale) <= TT_GUIDANCE_MOST))
        return tt_fail(err, TT_BAD_INPUT, "guidance_scale: found %g, expected %d to %d",
                       s->guidance_scale, -TT_GUIDANCE_MOST, TT_GUIDANCE_MOST);
    if (!(s->guidance_rescale >= 0 && s->guidance_rescale <= 1))
        return tt_fail(err, TT_BAD_INPUT, "guidance_rescale: found %g, expected 0 to 1",
                       s->guidance_rescale);
    if (!(s->guidance_start >= 0 && s->guidance_start <= s->guidance_stop && s->guidance_stop <= 1))
        return tt_fail(err, TT_BAD_INPUT,
                       "guidance_start, guidance_stop: found %g, %g, expected 0 <= start <= stop "
                       "<= 1", s->guidance_start, s->guidance_stop);
    if ((unsigned)s->prompt_syntax > TT_PROMPT_COMPEL)
        return tt_fail(err, TT_BAD_INPUT, "prompt_syntax: found %d, expected one of enum "
                       "tt_prompt_syntax, 0 to %d", s->prompt_syntax, TT_PROMPT_COMPEL);
    return check_numbers(s, err);
}

enum tt_status tt_settings_check(const struct tt_model *model, const struct tt_settings *given,
                                 struct tt_settings *full, struct tt_error *err) {
    struct tt_settings s = defaults;
    enum tt_status status = tt_growth_take(&s, sizeof s, given, "struct tt_settings", err);
    if (!status) status = tt_check_part(model, TT_PART_UNET, err);
    if (!status) status = check_ranges(&s, err);
    if (status) return status;
    if (model->second_stage && !s.image)
        return tt_fail(err, TT_BAD_INPUT, "%s: found SDXL's refiner alone "
                       "(requires_aesthetics_score of model_index.json), expected a model that "
                       "draws from noise, and this one as its refiner, or a picture to begin with",
                       model->info.name);
    const char *text = s.prompt && *s.prompt ? s.prompt : s.negative;
    if (model->unconditional && text && *text)
        return tt_fail(err, TT_BAD_INPUT, "prompt: found '%s', expected none: %s is unconditional, "
                       "it draws without a text", text, model->info.name);
    if (model->unconditional && tt_wording_asked(&s))
        return tt_fail(err, TT_BAD_INPUT, "prompt_syntax, clip_skip, inversions: found some, "
                       "expected none: %s is unconditional, it draws without a text",
                       model->info.name);
    if (s.refiner) status = check_pair(model, &s, err);
    if (!status) status = check_told(model, &s, err);
    if (!status) status = tt_picture_check(model, &s, err);
    if (!status) status = tt_model_size(model, &s.width, &s.height, err);
    // With a picture by the pipelines that go on from one.
    if (!status && model->info.pooled_width) fill_numbers(&s, s.image, model->second_stage);
    if (!status) *full = s;
    return status;
}

enum tt_status tt_settings_check_refiner(const struct tt_model *model,
                                         const struct tt_settings *given, size_t width,
                                         size_t height, struct tt_settings *full,
                                         struct tt_error *err) {
    struct tt_settings s = defaults;
    enum tt_status status = tt_growth_take(&s, sizeof s, given, "struct tt_settings", err);
    if (!status) status = tt_check_part(model, TT_PART_UNET, err);
    if (!status) status = check_ranges(&s, err);
    if (status) return status;
    if (!model->info.pooled_width)
        return tt_fail(err, TT_BAD_INPUT, "refiner: found %s, expected a model of SDXL",
                       model->info.name);
    if (!(s.refine_from > 0 && s.refine_from < 1))
        return tt_fail(err, TT_BAD_INPUT, "refine_from: found %g, expected more than 0 and less "
                       "than 1", s.refine_from);
    if (width) s.width = width, s.height = height;
    status = tt_model_size(model, &s.width, &s.height, err);
    if (!status) fill_numbers(&s, true, model->second_stage);
    if (!status) *full = s;
    return status;
}
