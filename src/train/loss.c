// SPDX-License-Identifier: MIT
#include "train/loss.h"

#include <math.h>
#include <string.h>

#include "noise/numeric.h"

void tt_noise_batch(const struct tt_schedule *schedule, enum tt_prediction prediction, size_t n,
                    size_t each, const size_t *t, const float *x0, const float *noise, float *noisy,
                    float *target) {
    for (size_t i = 0; i < n; i++) {
        size_t at = i * each;
        tt_add_noise(schedule, t[i], x0 + at, noise + at, noisy + at, each);
        switch (prediction) {
        case TT_PREDICT_V:
            tt_velocity(schedule, t[i], x0 + at, noise + at, target + at, each);
            break;
        case TT_PREDICT_SAMPLE: memcpy(target + at, x0 + at, each * sizeof *target); break;
        default: memcpy(target + at, noise + at, each * sizeof *target); break;
        }
    }
}

void tt_loss_weights(const struct tt_schedule *schedule, enum tt_prediction prediction,
                     double gamma, size_t n, const size_t *t, float *weight) {
    for (size_t i = 0; i < n; i++) {
        double a = schedule->alphas_cumprod[t[i]], snr = a / (1 - a);
        double least = snr < gamma ? snr : gamma;
        weight[i] = 1;
        if (!(gamma > 0)) continue;
        if (prediction == TT_PREDICT_SAMPLE) weight[i] = (float)least;
        else if (prediction == TT_PREDICT_V) weight[i] = (float)(least / (snr + 1));
        else weight[i] = (float)(snr > 0 ? least / snr : 1); // its limit in pure noise
    }
}

double tt_loss_squares(size_t n, size_t each, const float *predicted, const float *target,
                       const float *weight, double scale, float *gradient) {
    double loss = 0;
    for (size_t i = 0; i < n; i++) {
        double w = weight ? (double)weight[i] : 1, sum = 0;
        float factor = (float)(scale * 2 * w / (double)(n * each));
        for (size_t j = i * each; j < (i + 1) * each; j++) {
            float d = predicted[j] - target[j];
            sum += (double)d * d;
            gradient[j] = factor * d;
        }
        loss += w * (sum / (double)each);
    }
    return loss / (double)n;
}

double tt_loss_reconstruction(size_t count, const float *y, const float *x,
                              struct tt_reconstruction with, float *gradient) {
    double absolute = 0, squares = 0;
    float f1 = (float)(with.scale * with.l1 / (double)count);
    float f2 = (float)(with.scale * 2 * with.l2 / (double)count);
    for (size_t i = 0; i < count; i++) {
        float d = y[i] - x[i];
        absolute += (double)fabsf(d);
        squares += (double)d * d;
        gradient[i] = (d > 0 ? f1 : d < 0 ? -f1 : 0) + f2 * d;
    }
    return with.l1 * (absolute / (double)count) + with.l2 * (squares / (double)count);
}

enum { LEAST_LOGVAR = -30, MOST_LOGVAR = 20 };

static float clamp(float logvar) {
    return logvar < LEAST_LOGVAR ? LEAST_LOGVAR : logvar > MOST_LOGVAR ? MOST_LOGVAR : logvar;
}

void tt_posterior_sample(size_t n, size_t each, const float *moments, const float *noise,
                         float *z) {
    for (size_t i = 0; i < n; i++) {
        const float *mean = moments + 2 * i * each, *logvar = mean + each;
        for (size_t j = 0; j < each; j++)
            z[i * each + j] = mean[j] + tt_expf(0.5f * clamp(logvar[j])) * noise[i * each + j];
    }
}

double tt_posterior_squares(size_t n, size_t each, const float *moments) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const float *mean = moments + 2 * i * each, *logvar = mean + each;
        for (size_t j = 0; j < each; j++)
            sum += (double)mean[j] * mean[j] + (double)tt_expf(clamp(logvar[j]));
    }
    return sum;
}

double tt_posterior_backward(size_t n, size_t each, const float *moments, const float *noise,
                             const float *dz, double scale, float *gradient) {
    double divergence = 0;
    float factor = (float)(scale / (double)n);
    for (size_t i = 0; i < n; i++) {
        const float *mean = moments + 2 * i * each, *logvar = mean + each;
        float *dmean = gradient + 2 * i * each, *dlogvar = dmean + each;
        for (size_t j = 0; j < each; j++) {
            float clamped = clamp(logvar[j]), d = dz[i * each + j];
            float variance = tt_expf(clamped), deviation = tt_expf(0.5f * clamped);
            double square = (double)mean[j] * mean[j];
            divergence += 0.5 * (square + (double)variance - 1 - (double)clamped);
            dmean[j] = d + factor * mean[j];
            dlogvar[j] = 0.5f * deviation * noise[i * each + j] * d +
                         factor * 0.5f * (variance - 1);
            if (logvar[j] < LEAST_LOGVAR || logvar[j] > MOST_LOGVAR) dlogvar[j] = 0;
        }
    }
    return divergence / (double)n;
}
