// SPDX-License-Identifier: MIT
#include "shape.h"
#include "prototypes.h"

#include <sleef.h>

void tt_sinusoidal_f32_scalar(const float *timesteps, float *y, size_t n, size_t dim,
                              int flip_sin_to_cos, float downscale_freq_shift, float max_period) {
    size_t half = dim / 2, sin_at = flip_sin_to_cos ? half : 0, cos_at = half - sin_at;
    float rate = (float)-Sleef_cinz_logd1_u10purec((double)max_period);
    for (size_t i = 0; i < half; i++) {
        float exponent = rate * (float)i / ((float)half - downscale_freq_shift);
        float frequency = (float)Sleef_cinz_expd1_u10purec((double)exponent);
        for (size_t t = 0; t < n; t++) {
            double angle = (double)(timesteps[t] * frequency);
            y[t * dim + sin_at + i] = (float)Sleef_cinz_sind1_u10purec(angle);
            y[t * dim + cos_at + i] = (float)Sleef_cinz_cosd1_u10purec(angle);
        }
    }
    if (dim % 2)
        for (size_t t = 0; t < n; t++) y[t * dim + dim - 1] = 0;
}
