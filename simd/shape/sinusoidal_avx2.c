// SPDX-License-Identifier: MIT
#include "shape.h"
#include "prototypes.h"
#include "vec/vec_avx2.h"

#include <sleef.h>

enum { VD = 4 };
typedef __m256d vd;
static inline vd vd_load(const double *p) { return _mm256_loadu_pd(p); }
static inline void vd_store(double *p, vd x) { _mm256_storeu_pd(p, x); }
static inline vd vd_exp(vd x) { return Sleef_cinz_expd4_u10avx(x); }
static inline vd vd_sin(vd x) { return Sleef_cinz_sind4_u10avx(x); }
static inline vd vd_cos(vd x) { return Sleef_cinz_cosd4_u10avx(x); }

#include "sinusoidal_vec.inc"
