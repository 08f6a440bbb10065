// SPDX-License-Identifier: MIT
#include "optimiser.h"
#include "prototypes.h"

#include <math.h>

static float lerp(float a, float b, float w) {
    return fabsf(w) < 0.5f ? fmaf(w, b - a, a) : fmaf(w - 1.0f, b - a, b);
}

void tt_adamw_f32_scalar(float *p, const float *g, float *m, float *v, size_t n,
                         const struct tt_adamw *a) {
    for (size_t i = 0; i < n; i++) {
        m[i] = lerp(m[i], g[i], a->rest1);
        v[i] = fmaf(a->rest2 * g[i], g[i], v[i] * a->beta2);
        p[i] = p[i] * a->decay + a->step * m[i] / (sqrtf(v[i]) / a->root + a->eps);
    }
}

void tt_lerp_f32_scalar(const float *a, const float *b, float weight, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = lerp(a[i], b[i], weight);
}
