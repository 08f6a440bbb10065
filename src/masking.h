// SPDX-License-Identifier: MIT
// Picture and mask of a run in pixels: at its size before it, and put together again after it.
#ifndef TT_MASKING_H
#define TT_MASKING_H

#include "tintype.h"

// Zero-initialise.
struct tt_masking {
    struct tt_image image; // at the run's size
    float *mask;           // (height, width) of it, 0 or 1; NULL: none
};

// From the checked settings: the mask blurred, the region cut out, both at the size. TT_BAD_INPUT:
// there is padding around a mask that shows nothing.
enum tt_status tt_masking_make(const struct tt_settings *s, struct tt_masking *masking,
                               struct tt_error *err);
void tt_masking_free(struct tt_masking *masking);

// The mask at the size of latents: the first pixel of each f x f.
void tt_masking_shrink(const struct tt_masking *masking, size_t f, float *mask);

// The pixels of a run, which it takes, into its result: with a mask that is blurred, or has
// padding, what the mask leaves comes from the picture itself.
enum tt_status tt_masking_overlay(const struct tt_settings *s, struct tt_image *image,
                                  struct tt_error *err);

#endif
