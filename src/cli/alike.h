// SPDX-License-Identifier: MIT
// How much two pictures are alike.
#ifndef TT_CLI_ALIKE_H
#define TT_CLI_ALIKE_H

#include "tintype.h"

struct alike {
    size_t different;  // pixels
    unsigned largest;  // difference of a channel, of 255
    size_t x, y;       // where that is first, in reading order
    double psnr;       // over all channels, in decibels; infinite when nothing differs
    // The mean over all windows that lie inside; NaN where the pictures are smaller than one.
    double ssim;
    double worst_ssim; // of one window, and its middle
    size_t worst_x, worst_y;
};

// Of pictures of one size. SSIM is of the luma (ITU-R BT.601), with a Gaussian window of 11 x 11
// pixels, sigma 1.5, C1 = (0.01 255)^2, C2 = (0.03 255)^2: Z. Wang, A. C. Bovik, H. R. Sheikh,
// E. P. Simoncelli, "Image quality assessment: from error visibility to structural similarity",
// IEEE Transactions on Image Processing 13 (4), 2004, equation 13. TT_BAD_INPUT: other sizes;
// TT_SYSTEM: out of memory.
enum tt_status alike_measure(const struct tt_image *a, const struct tt_image *b,
                             struct alike *alike, struct tt_error *err);

#endif
