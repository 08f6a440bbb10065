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

static inline __m256i vec_first(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vf vf_zero(void) { return _mm256_setzero_ps(); }
static inline vf vf_set1(float x) { return _mm256_set1_ps(x); }
static inline vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
static inline vf vf_load_n(const float *p, size_t n) { return _mm256_maskload_ps(p, vec_first(n)); }
static inline void vf_store_n(float *p, vf x, size_t n) { _mm256_maskstore_ps(p, vec_first(n), x); }
static inline vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf vf_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }

#endif
