// SPDX-License-Identifier: MIT
#include "generate_picture.h"

#include "session.h"

#include <math.h>

enum { MOST_UPSCALE = 16, MOST_BLUR = 1024 };

// What the U-Net takes beside the sample.
static bool sees_mask(const struct tt_model *model) {
    return !model->unconditional &&
           model->info.input_channels == 2 * model->info.latent_channels + 1;
}

static bool sees_picture(const struct tt_model *model) {
    return !model->unconditional && model->info.input_channels == 2 * model->info.latent_channels;
}

enum tt_begins tt_begins(const struct tt_model *model, const struct tt_settings *s) {
    if (sees_picture(model)) return TT_BEGINS_INSTRUCTED;
    if (sees_mask(model)) return TT_BEGINS_SEEN_MASKED;
    return s->mask ? TT_BEGINS_MASKED : s->image ? TT_BEGINS_PICTURE : TT_BEGINS_NOISE;
}

// What is said about a picture that is not there.
static enum tt_status check_none(const struct tt_model *model, const struct tt_settings *s,
                                 struct tt_error *err) {
    const char *what = s->mask                 ? "mask"
                       : s->mask_blur != 0     ? "mask_blur"
                       : s->inpaint_padding >= 0 ? "inpaint_padding"
                       : s->strength >= 0      ? "strength"
                       : s->resize             ? "resize"
                                               : NULL;
    if (what)
        return tt_fail(err, TT_BAD_INPUT, "%s: found it without a picture, expected an image to "
                       "begin with", what);
    if (!sees_mask(model) && !sees_picture(model)) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "image: found none, expected a picture%s: the U-Net of %s "
                   "takes %zu channels, %s", sees_mask(model) ? " and a mask" : "",
                   model->info.name, model->info.input_channels,
                   sees_mask(model) ? "for inpainting" : "for instructions about a picture");
}

static enum tt_status check_mask(const struct tt_model *model, const struct tt_settings *s,
                                 struct tt_error *err) {
    const struct tt_image *image = s->image, *mask = s->mask;
    if (!mask && sees_mask(model))
        return tt_fail(err, TT_BAD_INPUT, "mask: found none, expected one: the U-Net of %s takes "
                       "%zu channels, for inpainting", model->info.name,
                       model->info.input_channels);
    if (!mask && (s->mask_blur != 0 || s->inpaint_padding >= 0))
        return tt_fail(err, TT_BAD_INPUT, "%s: found it without a mask, expected a mask",
                       s->mask_blur != 0 ? "mask_blur" : "inpaint_padding");
    if (!mask) return TT_OK;
    if (sees_picture(model))
        return tt_fail(err, TT_BAD_INPUT, "mask: found one, expected none: %s follows instructions "
                       "about a whole picture", model->info.name);
    if (s->refiner)
        return tt_fail(err, TT_BAD_INPUT, "mask: found one with a refiner, expected one of the "
                       "two: %s would draw all of the picture", s->refiner->model->info.name);
    if (mask->width != image->width || mask->height != image->height)
        return tt_fail(err, TT_BAD_INPUT, "mask: found %zu x %zu pixels, expected %zu x %zu, the "
                       "picture's", mask->width, mask->height, image->width, image->height);
    if (!(s->mask_blur >= 0 && s->mask_blur <= MOST_BLUR))
        return tt_fail(err, TT_BAD_INPUT, "mask_blur: found %g, expected 0 to %d pixels",
                       s->mask_blur, MOST_BLUR);
    if (s->inpaint_padding > TT_IMAGE_SIDE)
        return tt_fail(err, TT_BAD_INPUT, "inpaint_padding: found %d, expected at most %d pixels",
                       s->inpaint_padding, TT_IMAGE_SIDE);
    if (s->inpaint_padding >= 0 && s->resize)
        return tt_fail(err, TT_BAD_INPUT, "resize: found it with inpaint_padding, expected one of "
                       "the two: the region is filled up to the size");
    return TT_OK;
}

static enum tt_status check_strength(const struct tt_model *model, struct tt_settings *s,
                                     struct tt_error *err) {
    if (sees_picture(model) && s->strength >= 0)
        return tt_fail(err, TT_BAD_INPUT, "strength: found %g, expected none: %s begins with "
                       "noise; image_guidance_scale says how closely it keeps to the picture",
                       s->strength, model->info.name);
    if (sees_picture(model) && s->guidance_rescale != 0)
        return tt_fail(err, TT_BAD_INPUT, "guidance_rescale: found %g, expected 0 with %s, which "
                       "is guided twice", s->guidance_rescale, model->info.name);
    if (sees_picture(model)) return TT_OK;
    if (s->strength < 0) s->strength = s->mask ? 1 : 0.8;
    if (!(s->strength > 0 && s->strength <= 1))
        return tt_fail(err, TT_BAD_INPUT, "strength: found %g, expected more than 0, up to 1",
                       s->strength);
    return TT_OK;
}

static enum tt_status check_upscale(const struct tt_model *model, struct tt_settings *s,
                                    struct tt_error *err) {
    if (s->upscale == 0 && (s->upscale_strength >= 0 || s->upscale_in))
        return tt_fail(err, TT_BAD_INPUT, "%s: found it without upscale, expected upscale, such as "
                       "2", s->upscale_in ? "upscale_in" : "upscale_strength");
    if (s->upscale == 0) return TT_OK;
    if (!(s->upscale > 1 && s->upscale <= MOST_UPSCALE))
        return tt_fail(err, TT_BAD_INPUT, "upscale: found %g, expected more than 1, up to %d",
                       s->upscale, MOST_UPSCALE);
    if (s->upscale_in != TT_UPSCALE_LATENTS && s->upscale_in != TT_UPSCALE_PIXELS)
        return tt_fail(err, TT_BAD_INPUT, "upscale_in: found %d, expected %d (latents) or %d "
                       "(pixels)", s->upscale_in, TT_UPSCALE_LATENTS, TT_UPSCALE_PIXELS);
    if (s->mask || s->refiner)
        return tt_fail(err, TT_BAD_INPUT, "upscale: found it with a %s, expected one of the two",
                       s->mask ? "mask" : "refiner");
    if (model->unconditional || sees_picture(model) || sees_mask(model))
        return tt_fail(err, TT_BAD_INPUT, "upscale: found it with %s, expected a model whose U-Net "
                       "takes latents alone", model->info.name);
    if (s->upscale_strength < 0) s->upscale_strength = 0.5;
    if (!(s->upscale_strength > 0 && s->upscale_strength <= 1))
        return tt_fail(err, TT_BAD_INPUT, "upscale_strength: found %g, expected more than 0, up "
                       "to 1", s->upscale_strength);
    return TT_OK;
}

// The picture's own size, or of one side that is given its proportions, down to a multiple of what
// a latent stands for.
static enum tt_status take_size(const struct tt_model *model, struct tt_settings *s,
                                struct tt_error *err) {
    size_t f = model->info.factor, w = s->image->width, h = s->image->height;
    if ((s->width && s->height) || s->inpaint_padding >= 0) return TT_OK;
    if (s->width > TT_IMAGE_SIDE || s->height > TT_IMAGE_SIDE) return TT_OK; // refused later
    size_t width = s->width ? s->width : s->height ? w * s->height / h : w;
    size_t height = s->height ? s->height : s->width ? h * s->width / w : h;
    if (!s->width) width -= width % f;
    if (!s->height) height -= height % f;
    if (!width || !height)
        return tt_fail(err, TT_BAD_INPUT, "image: found %zu x %zu pixels, expected at least %zu x "
                       "%zu, or a width and height to draw at", w, h, f, f);
    s->width = width;
    s->height = height;
    return TT_OK;
}

enum tt_status tt_picture_check(const struct tt_model *model, struct tt_settings *s,
                                struct tt_error *err) {
    const struct tt_image *image = s->image;
    if (s->image_guidance_scale >= 0 && !sees_picture(model))
        return tt_fail(err, TT_BAD_INPUT, "image_guidance_scale: found %g, expected none: the "
                       "U-Net of %s takes %zu channels, that of an instruct-pix2pix %zu",
                       s->image_guidance_scale, model->info.name, model->info.input_channels,
                       2 * model->info.latent_channels);
    if (s->image_guidance_scale < 0 && sees_picture(model)) s->image_guidance_scale = 1.5;
    if (!(s->image_guidance_scale <= TT_GUIDANCE_MOST))
        return tt_fail(err, TT_BAD_INPUT, "image_guidance_scale: found %g, expected 0 to %d",
                       s->image_guidance_scale, TT_GUIDANCE_MOST);
    enum tt_status status = check_upscale(model, s, err);
    if (status) return status;
    if (!image) return check_none(model, s, err);
    if (model->unconditional)
        return tt_fail(err, TT_BAD_INPUT, "image: found one, expected none: %s is unconditional, "
                       "it draws pixels from noise", model->info.name);
    if (!image->rgb || !image->width || !image->height)
        return tt_fail(err, TT_BAD_INPUT, "image: found %zu x %zu pixels, expected a picture",
                       image->width, image->height);
    if (s->resize < TT_RESIZE_STRETCH || s->resize > TT_RESIZE_FILL)
        return tt_fail(err, TT_BAD_INPUT, "resize: found %d, expected 0 (stretch), 1 (crop) or 2 "
                       "(fill)", s->resize);
    status = check_mask(model, s, err);
    if (!status) status = check_strength(model, s, err);
    return status ? status : take_size(model, s, err);
}

struct tt_outline tt_outline_of(const struct tt_model *model, const struct tt_settings *s) {
    size_t f = model->info.factor;
    struct tt_outline of = {s->height / f, s->width / f, s->height, s->width, 0, 0};
    if (s->upscale != 0) {
        of.h = (size_t)((double)of.h * s->upscale);
        of.w = (size_t)((double)of.w * s->upscale);
        of.height = of.h * f;
        of.width = of.w * f;
    }
    if (s->image && s->inpaint_padding >= 0) {
        of.height = s->image->height;
        of.width = s->image->width;
    }
    return of;
}
