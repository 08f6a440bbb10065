// SPDX-License-Identifier: MIT
// The forward process turned into a loss: what a network should have answered, how far off it was,
// and the gradient of that. Tensors in PyTorch order, n samples of `each` floats; sums are in
// double and in the order of the elements. Plain loops, since a sum in double, losses and gradients
// in one pass take 3 ms for 8 pictures of 128 x 128, less than a hundredth of a training step.
#ifndef TT_TRAIN_LOSS_H
#define TT_TRAIN_LOSS_H

#include "noise/schedule.h"
#include "noise/scheduler_config.h"

// At timesteps t (n): noisy = sqrt(a) x0 + sqrt(1 - a) noise, and the target that a model of this
// prediction type learns: the noise, the velocity, or x0 (Ho et al. 2020, arXiv 2006.11239;
// Salimans and Ho 2022, arXiv 2202.00512).
void tt_noise_batch(const struct tt_schedule *schedule, enum tt_prediction prediction, size_t n,
                    size_t each, const size_t *t, const float *x0, const float *noise, float *noisy,
                    float *target);

// weight (n) of each sample's loss: min(SNR, gamma), divided by what the prediction type already
// weighs (Hang et al. 2023, arXiv 2303.09556): SNR for epsilon, SNR + 1 for v, nothing for the
// sample. gamma 0: all 1.
void tt_loss_weights(const struct tt_schedule *schedule, enum tt_prediction prediction,
                     double gamma, size_t n, const size_t *t, float *weight);

// The mean over samples of weight times the mean of (predicted - target)²; weight NULL: all 1.
// gradient, like predicted, gets `scale` times the derivative; it may be predicted.
double tt_loss_squares(size_t n, size_t each, const float *predicted, const float *target,
                       const float *weight, double scale, float *gradient);

struct tt_reconstruction {
    double l1, l2; // weights of the mean absolute and the mean squared difference
    double scale;  // of the gradient
};
// An autoencoder's reconstruction: l1 mean |y - x| + l2 mean (y - x)², over `count` floats.
double tt_loss_reconstruction(size_t count, const float *y, const float *x,
                              struct tt_reconstruction with, float *gradient);

// What the squares of n samples of `each` numbers sum up to on average, over all noise.
double tt_posterior_squares(size_t n, size_t each, const float *moments);

// The sample of a posterior: moments (n, 2C, h, w) are mean and log variance, halves of `each`
// floats; z (n, C, h, w) = mean + exp(logvar / 2) noise, log variances clamped to -30..20.
void tt_posterior_sample(size_t n, size_t each, const float *moments, const float *noise, float *z);
// What that passes back, and the divergence from a normal distribution, summed over a sample and
// averaged over samples as in diffusers: returns the divergence; gradient (n, 2C, h, w) gets dz (n,
// C, h, w) carried back, plus scale times the divergence's own derivative.
double tt_posterior_backward(size_t n, size_t each, const float *moments, const float *noise,
                             const float *dz, double scale, float *gradient);

#endif
