// SPDX-License-Identifier: MIT
// The vector words of AVX2 with FMA; see vec_avx512.h.
#ifndef TT_VEC_H
#define TT_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define ISA(name) tt_##name##_avx2

enum { VF_LANES = 8 };

typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vb; // all bits of a lane set, or none
typedef struct {
    __m256d low, high;
} vw;

static inline __m256i vec_first(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vf vf_zero(void) { return _mm256_setzero_ps(); }
static inline vf vf_set1(float x) { return _mm256_set1_ps(x); }
static inline vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
// Whole vectors go without a mask: masked stores are microcode on AMD's processors.
static inline vf vf_load_n(const float *p, size_t n) {
    return n == VF_LANES ? vf_load(p) : _mm256_maskload_ps(p, vec_first(n));
}
static inline void vf_store_n(float *p, vf x, size_t n) {
    if (n == VF_LANES)
        vf_store(p, x);
    else
        _mm256_maskstore_ps(p, vec_first(n), x);
}
static inline vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf vf_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
static inline vf vf_fms(vf a, vf b, vf c) { return _mm256_fmsub_ps(a, b, c); }
static inline vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf vf_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline vf vf_neg(vf a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
static inline vf vf_copysign(vf size, vf sign) {
    const vf bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, size), _mm256_and_ps(bit, sign));
}
static inline vb vf_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline vb vf_ge(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_GE_OQ); }
static inline vb vf_ordered(vf a) { return _mm256_cmp_ps(a, a, _CMP_ORD_Q); }
static inline vb vb_first(size_t n) { return _mm256_castsi256_ps(vec_first(n)); }
static inline vf vf_select(vb m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }
// Two powers of two, each a normal float, so that only the second product can round.
static inline vf vf_ldexp(vf p, vf n) {
    const vi bias = _mm256_set1_epi32(127);
    vi i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1);
    vi low = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    vi high = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(low)), _mm256_castsi256_ps(high));
}
enum { VF_LDEXP_NEAR = 1 };
static inline vf vf_ldexp_near(vf p, vf t) {
    vi exponent = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
}
static inline int vb_all(vb m) { return _mm256_movemask_ps(m) == 0xff; }
static inline vf vf_from_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
static inline vf vf_from_bf16(const uint16_t *p) {
    vi wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
static inline vf vf_from_i8(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline vf vf_all_f16(uint16_t half) { return _mm256_set1_ps(_cvtsh_ss(half)); }
static inline vw vw_wide(vf a) {
    __m128 high = _mm256_extractf128_ps(a, 1);
    return (vw){_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(high)};
}
static inline vf vw_narrow(vw a) {
    return _mm256_set_m128(_mm256_cvtpd_ps(a.high), _mm256_cvtpd_ps(a.low));
}
static inline void vw_store(double *p, vw a) {
    _mm256_storeu_pd(p, a.low);
    _mm256_storeu_pd(p + 4, a.high);
}
static inline vw vw_add(vw a, vw b) {
    return (vw){_mm256_add_pd(a.low, b.low), _mm256_add_pd(a.high, b.high)};
}
static inline vw vw_sub(vw a, vw b) {
    return (vw){_mm256_sub_pd(a.low, b.low), _mm256_sub_pd(a.high, b.high)};
}
static inline vw vw_mul(vw a, vw b) {
    return (vw){_mm256_mul_pd(a.low, b.low), _mm256_mul_pd(a.high, b.high)};
}
static inline void vf_transpose(vf v[VF_LANES]) {
    vf pairs[8], quads[8];
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    // quads[4 g + c]: rows 4 g to 4 g + 3 of columns c and 4 + c
    for (int i = 0; i < 8; i += 4)
        for (int h = 0; h < 2; h++) {
            __m256d a = _mm256_castps_pd(pairs[i + h]), b = _mm256_castps_pd(pairs[i + h + 2]);
            quads[i + 2 * h] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
            quads[i + 2 * h + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
        }
    for (int c = 0; c < 4; c++) {
        v[c] = _mm256_permute2f128_ps(quads[c], quads[4 + c], 0x20);
        v[4 + c] = _mm256_permute2f128_ps(quads[c], quads[4 + c], 0x31);
    }
}

// Brings the cache line of p into the second-level cache; p may be any address.
static inline void vec_prefetch(const void *p) { __builtin_prefetch(p, 0, 2); }

#endif
