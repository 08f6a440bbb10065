// SPDX-License-Identifier: MIT
// The vector words of AVX-512. vec_avx2.h and vec_neon.h offer the same words, so a body written in
// them (simd/*/*_vec.inc) is one text for three instruction sets.
#ifndef TT_VEC_H
#define TT_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define ISA(name) tt_##name##_avx512

enum { VF_LANES = 16 };

typedef __m512 vf;    // floats
typedef __m512i vi;   // 32-bit integers
typedef __mmask16 vb; // a truth value per lane
typedef struct {
    __m512d low, high;
} vw; // doubles, as many as a vf has floats

static inline vf vf_zero(void) { return _mm512_setzero_ps(); }
static inline vf vf_set1(float x) { return _mm512_set1_ps(x); }
static inline vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
// The first n lanes of p (n <= VF_LANES), the rest +0; nothing behind them is touched.
static inline vf vf_load_n(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
static inline void vf_store_n(float *p, vf x, size_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x);
}
static inline vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm512_sqrt_ps(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }   // a b + c
static inline vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); } // c - a b
static inline vf vf_fms(vf a, vf b, vf c) { return _mm512_fmsub_ps(a, b, c); }   // a b - c
// a > b ? a : b, a < b ? a : b: where a comparison with NaN fails, b.
static inline vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf vf_abs(vf a) { return _mm512_abs_ps(a); }
static inline vf vf_neg(vf a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
static inline vf vf_copysign(vf size, vf sign) {
    return _mm512_or_ps(_mm512_abs_ps(size), _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
}
static inline vb vf_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vb vf_ge(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
static inline vb vf_ordered(vf a) { return _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q); } // not NaN
static inline vb vb_first(size_t n) { return (__mmask16)((1u << n) - 1); } // lanes below n
static inline vf vf_select(vb m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); } // m ? a : b
// p 2^n, rounded once, for integral n of at most 252 and p near 1.
static inline vf vf_ldexp(vf p, vf n) { return _mm512_scalef_ps(p, n); }
// p 2^n for t = n + 1.5 2^23, as rounding leaves it, where p is near 1 and the result normal; worth
// a test (VF_LDEXP_NEAR) where vf_ldexp takes many instructions.
enum { VF_LDEXP_NEAR = 0 };
static inline vf vf_ldexp_near(vf p, vf t) {
    return vf_ldexp(p, vf_sub(t, vf_set1(0x1.8p23f)));
}
static inline int vb_all(vb m) { return m == 0xffff; } // true in every lane
static inline vf vf_from_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
static inline vf vf_from_bf16(const uint16_t *p) {
    vi wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
// As many signed bytes; one half in all lanes.
static inline vf vf_from_i8(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
static inline vf vf_all_f16(uint16_t half) { return _mm512_set1_ps(_cvtsh_ss(half)); }
// To doubles, exactly, and back, rounded.
static inline vw vw_wide(vf a) {
    __m256 high = _mm512_extractf32x8_ps(a, 1);
    return (vw){_mm512_cvtps_pd(_mm512_castps512_ps256(a)), _mm512_cvtps_pd(high)};
}
static inline vf vw_narrow(vw a) {
    __m512 low = _mm512_castps256_ps512(_mm512_cvtpd_ps(a.low));
    return _mm512_insertf32x8(low, _mm512_cvtpd_ps(a.high), 1);
}
static inline void vw_store(double *p, vw a) {
    _mm512_storeu_pd(p, a.low);
    _mm512_storeu_pd(p + 8, a.high);
}
static inline vw vw_add(vw a, vw b) {
    return (vw){_mm512_add_pd(a.low, b.low), _mm512_add_pd(a.high, b.high)};
}
static inline vw vw_sub(vw a, vw b) {
    return (vw){_mm512_sub_pd(a.low, b.low), _mm512_sub_pd(a.high, b.high)};
}
static inline vw vw_mul(vw a, vw b) {
    return (vw){_mm512_mul_pd(a.low, b.low), _mm512_mul_pd(a.high, b.high)};
}

// Brings the cache line of p into the second-level cache; p may be any address.
static inline void vec_prefetch(const void *p) { __builtin_prefetch(p, 0, 2); }

// Lane i of vector j becomes lane j of vector i.
static inline void vf_transpose(vf v[VF_LANES]) {
    vf pairs[16], quads[16];
    for (int i = 0; i < 16; i += 2) {
        pairs[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
    // quads[4 g + c]: rows 4 g to 4 g + 3 of columns c, 4 + c, 8 + c, 12 + c
    for (int i = 0; i < 16; i += 4)
        for (int h = 0; h < 2; h++) {
            __m512d a = _mm512_castps_pd(pairs[i + h]), b = _mm512_castps_pd(pairs[i + h + 2]);
            quads[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            quads[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    for (int c = 0; c < 4; c++) {
        vf a = _mm512_shuffle_f32x4(quads[c], quads[4 + c], 0x88); // columns c, 8 + c
        vf b = _mm512_shuffle_f32x4(quads[c], quads[4 + c], 0xdd); // 4 + c, 12 + c
        vf e = _mm512_shuffle_f32x4(quads[8 + c], quads[12 + c], 0x88);
        vf f = _mm512_shuffle_f32x4(quads[8 + c], quads[12 + c], 0xdd);
        v[c] = _mm512_shuffle_f32x4(a, e, 0x88);
        v[8 + c] = _mm512_shuffle_f32x4(a, e, 0xdd);
        v[4 + c] = _mm512_shuffle_f32x4(b, f, 0x88);
        v[12 + c] = _mm512_shuffle_f32x4(b, f, 0xdd);
    }
}

#endif
