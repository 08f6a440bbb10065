// SPDX-License-Identifier: MIT
#include "shape.h"
#include "prototypes.h"
#include "vec/vec_neon.h"

#include <sleef.h>

enum { VD = 2 };
typedef float64x2_t vd;
static inline vd vd_load(const double *p) { return vld1q_f64(p); }
static inline void vd_store(double *p, vd x) { vst1q_f64(p, x); }
static inline vd vd_exp(vd x) { return Sleef_cinz_expd2_u10advsimdnofma(x); }
static inline vd vd_sin(vd x) { return Sleef_cinz_sind2_u10advsimdnofma(x); }
static inline vd vd_cos(vd x) { return Sleef_cinz_cosd2_u10advsimdnofma(x); }

#include "sinusoidal_vec.inc"
