// SPDX-License-Identifier: MIT
// The settings of a generation that are about a picture, checked; and what they make of a run.
#ifndef TT_GENERATE_PICTURE_H
#define TT_GENERATE_PICTURE_H

#include "session.h"

// What a run begins with, and what the U-Net sees beside the sample.
enum tt_begins {
    TT_BEGINS_NOISE,
    TT_BEGINS_PICTURE,     // noised
    TT_BEGINS_MASKED,      // the same; what the mask leaves is put back after each step
    TT_BEGINS_SEEN_MASKED, // the U-Net sees mask and masked picture, and was trained to inpaint
    TT_BEGINS_INSTRUCTED,  // noise; the U-Net sees the picture that it is told to change
    TT_BEGINS_LATENTS,     // that another model leaves
};
enum tt_begins tt_begins(const struct tt_model *model, const struct tt_settings *s);

// Checks what of the settings is about a picture, and fills in what is left to it: width, height,
// strength, image_guidance_scale, upscale_strength. TT_BAD_INPUT names what does not fit.
enum tt_status tt_picture_check(const struct tt_model *model, struct tt_settings *s,
                                struct tt_error *err);

// Of the settings, checked: the latents that come out, and their pictures. Without calls.
struct tt_outline tt_outline_of(const struct tt_model *model, const struct tt_settings *s);

#endif
