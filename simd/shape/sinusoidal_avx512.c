// SPDX-License-Identifier: MIT
#include "shape.h"
#include "prototypes.h"
#include "vec/vec_avx512.h"

#include <sleef.h>

enum { VD = 8 };
typedef __m512d vd;
static inline vd vd_load(const double *p) { return _mm512_loadu_pd(p); }
static inline void vd_store(double *p, vd x) { _mm512_storeu_pd(p, x); }
static inline vd vd_exp(vd x) { return Sleef_cinz_expd8_u10avx512fnofma(x); }
static inline vd vd_sin(vd x) { return Sleef_cinz_sind8_u10avx512fnofma(x); }
static inline vd vd_cos(vd x) { return Sleef_cinz_cosd8_u10avx512fnofma(x); }

#include "sinusoidal_vec.inc"
