// SPDX-License-Identifier: MIT
// Moments of a run, kept while it goes on and then drawn side by side.
#ifndef TT_CLI_MOMENTS_H
#define TT_CLI_MOMENTS_H

#include "cli/sheet.h"

// A sample on the way, and when it was one.
struct moment {
    float *latents; // (C, h, w)
    size_t h, w;
    char when[2][24]; // step and timestep in words
};

// Zero-initialise.
struct moments {
    size_t count;
    struct moment *list;
    struct sheet sheet; // the strip that is being made
};

// Room for so many, or for none.
enum tt_status moments_begin(struct moments *m, size_t count, struct tt_error *err);
void moments_free(struct moments *m);

// After a step: keeps it if it is one of the moments, the first of which is before the first step.
enum tt_status moments_keep(struct moments *m, const struct tt_progress *seen,
                            struct tt_error *err);

// The sample after a step as it can be decoded: as the model is given it for the next, of variance
// about 1 whatever the scheduler. A run (or the pass of one model) ends with latents as they are.
void moments_shown(const struct tt_progress *seen, float *out);

// All of a picture, decoded, and enlarged to the size of the last.
enum tt_status moments_draw(struct moments *m, struct tt_session *decoder, const char *title,
                            const struct tt_outline *outline, struct tt_image *image,
                            struct tt_error *err);

#endif
