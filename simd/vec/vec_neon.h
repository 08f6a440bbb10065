// SPDX-License-Identifier: MIT
// The vector words of NEON (AArch64); see vec_avx512.h.
#ifndef TT_VEC_H
#define TT_VEC_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define ISA(name) tt_##name##_neon

enum { VF_LANES = 4 };

typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint32x4_t vb;

static inline vf vf_zero(void) { return vdupq_n_f32(0); }
static inline vf vf_set1(float x) { return vdupq_n_f32(x); }
static inline vf vf_load(const float *p) { return vld1q_f32(p); }
static inline void vf_store(float *p, vf x) { vst1q_f32(p, x); }
static inline vf vf_load_n(const float *p, size_t n) {
    float lanes[4] = {0};
    for (size_t i = 0; i < n; i++) lanes[i] = p[i];
    return vld1q_f32(lanes);
}
static inline void vf_store_n(float *p, vf x, size_t n) {
    float lanes[4];
    vst1q_f32(lanes, x);
    for (size_t i = 0; i < n; i++) p[i] = lanes[i];
}
static inline vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
static inline vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
static inline vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
static inline vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
static inline vf vf_sqrt(vf a) { return vsqrtq_f32(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf vf_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }

#endif
