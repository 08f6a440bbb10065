// SPDX-License-Identifier: MIT
// The weights that training from scratch begins with.
#ifndef TT_TRAIN_INITIAL_H
#define TT_TRAIN_INITIAL_H

#include "graph/params.h"
#include "model/clip.h"
#include "noise/rng.h"

// What torch.nn's layers draw for themselves: linear and convolution weights and their biases
// uniform within 1 / sqrt(fan in) (He et al. 2015, arXiv 1502.01852, with a = sqrt 5), norms 1 and
// 0. The distributions are PyTorch's, the numbers are not: layers draw in the order of the tape.
void tt_initial_layers(struct tt_params *params, struct tt_rng *rng);

// What transformers' CLIPTextModel draws: normal numbers, scaled by width and depth; biases 0.
void tt_initial_clip(struct tt_params *params, const struct tt_clip_config *config,
                     struct tt_rng *rng);

#endif
