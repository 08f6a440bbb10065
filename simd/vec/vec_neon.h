// SPDX-License-Identifier: MIT
// The vector words of NEON (AArch64); see vec_avx512.h.
#ifndef TT_VEC_H
#define TT_VEC_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ISA(name) tt_##name##_neon

enum { VF_LANES = 4 };

typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint32x4_t vb;
typedef struct {
    float64x2_t low, high;
} vw;

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
static inline vf vf_fms(vf a, vf b, vf c) { return vfmaq_f32(vnegq_f32(c), a, b); }
static inline vf vf_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline vf vf_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
static inline vf vf_abs(vf a) { return vabsq_f32(a); }
static inline vf vf_neg(vf a) { return vnegq_f32(a); }
static inline vf vf_copysign(vf size, vf sign) {
    return vbslq_f32(vdupq_n_u32(0x80000000), sign, size);
}
static inline vb vf_lt(vf a, vf b) { return vcltq_f32(a, b); }
static inline vb vf_ge(vf a, vf b) { return vcgeq_f32(a, b); }
static inline vb vf_ordered(vf a) { return vceqq_f32(a, a); }
static inline vb vb_first(size_t n) {
    return vcltq_u32((uint32x4_t){0, 1, 2, 3}, vdupq_n_u32((uint32_t)n));
}
static inline vf vf_select(vb m, vf a, vf b) { return vbslq_f32(m, a, b); }
// Two powers of two, each a normal float, so that only the second product can round.
static inline vf vf_ldexp(vf p, vf n) {
    const vi bias = vdupq_n_s32(127);
    vi i = vcvtq_s32_f32(n), half = vshrq_n_s32(i, 1);
    vi low = vshlq_n_s32(vaddq_s32(half, bias), 23);
    vi high = vshlq_n_s32(vaddq_s32(vsubq_s32(i, half), bias), 23);
    return vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(low)), vreinterpretq_f32_s32(high));
}
enum { VF_LDEXP_NEAR = 1 };
static inline vf vf_ldexp_near(vf p, vf t) {
    vi exponent = vshlq_n_s32(vreinterpretq_s32_f32(t), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), exponent));
}
static inline int vb_all(vb m) { return vminvq_u32(m) != 0; }
static inline vf vf_from_f16(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
static inline vf vf_from_bf16(const uint16_t *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
static inline vf vf_from_i8(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four))))));
}
static inline vf vf_all_f16(uint16_t half) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half)));
}
static inline vw vw_wide(vf a) {
    return (vw){vcvt_f64_f32(vget_low_f32(a)), vcvt_high_f64_f32(a)};
}
static inline vf vw_narrow(vw a) { return vcvt_high_f32_f64(vcvt_f32_f64(a.low), a.high); }
static inline void vw_store(double *p, vw a) {
    vst1q_f64(p, a.low);
    vst1q_f64(p + 2, a.high);
}
static inline vw vw_add(vw a, vw b) {
    return (vw){vaddq_f64(a.low, b.low), vaddq_f64(a.high, b.high)};
}
static inline vw vw_sub(vw a, vw b) {
    return (vw){vsubq_f64(a.low, b.low), vsubq_f64(a.high, b.high)};
}
static inline vw vw_mul(vw a, vw b) {
    return (vw){vmulq_f64(a.low, b.low), vmulq_f64(a.high, b.high)};
}
static inline void vf_transpose(vf v[VF_LANES]) {
    float32x4x2_t a = vtrnq_f32(v[0], v[1]), b = vtrnq_f32(v[2], v[3]);
    v[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    v[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    v[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    v[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}

// Brings the cache line of p into the second-level cache; p may be any address.
static inline void vec_prefetch(const void *p) { __builtin_prefetch(p, 0, 2); }

#endif
