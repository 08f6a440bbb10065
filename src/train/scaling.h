// SPDX-License-Identifier: MIT
// The scale of a new autoencoder's latents.
#ifndef TT_TRAIN_SCALING_H
#define TT_TRAIN_SCALING_H

#include "train/task.h"

// One over the standard deviation of samples of what the exported encoder makes of the first
// pictures, over all noise: a diffusion model expects latents of about unit size (arXiv 2112.10752,
// appendix G), and samples are what its training draws. TT_BAD_INPUT: all latents are alike.
enum tt_status tt_measure_scaling(const struct tt_task *task, const char *folder, double *factor,
                                  struct tt_error *err);

#endif
