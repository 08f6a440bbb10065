// SPDX-License-Identifier: MIT
#include "noise/numeric.h"

#include <math.h>
#include <sleef.h>
#include <stdint.h>
#include <string.h>

double tt_exp(double x) { return Sleef_cinz_expd1_u10purec(x); }
double tt_expm1(double x) { return Sleef_cinz_expm1d1_u10purec(x); }
double tt_log(double x) { return Sleef_cinz_logd1_u10purec(x); }
double tt_cos(double x) { return Sleef_cinz_cosd1_u10purec(x); }
double tt_pow(double x, double y) { return Sleef_cinz_powd1_u10purec(x, y); }
float tt_expf(float x) { return (float)tt_exp((double)x); }
float tt_logf(float x) { return (float)tt_log((double)x); }

// The regularised incomplete beta function I(x; a, a) for x <= 1/2 by its hypergeometric series,
// whose terms are all positive; *slope becomes its derivative.
static double beta_distribution(double x, double *slope) {
    const double a = 0.6, whole = 2.4153442080024718; // B(a, a)
    double sum = 0.0, factor = 1.0, power = tt_pow(x, a);
    for (int n = 0; n < 64 && factor > 0x1p-60; n++) {
        sum += factor / (a + n);
        factor *= (n + 1.0 - a) / (n + 1.0) * x;
    }
    *slope = power / x * tt_pow(1.0 - x, a - 1.0) / whole;
    return power * sum / whole;
}

double tt_beta_quantile(double p) {
    if (!(p > 0.0)) return 0.0;
    if (p > 0.5) return 1.0 - tt_beta_quantile(1.0 - p); // symmetric
    double x = tt_pow(p * 0.6 * 2.4153442080024718, 1.0 / 0.6); // the series' first term
    double step = 1.0; // of log x: Newton's method in log x, log p, nearly a straight line
    for (int i = 0; i < 8 && fabs(step) > 0x1p-27; i++) {
        x = x < 0.5 ? x : 0.5;
        double slope, found = beta_distribution(x, &slope);
        step = tt_log(p / found) * found / (x * slope);
        x *= tt_exp(step);
    }
    return x;
}

static float horner(const float *coefficients, size_t n, float x) {
    float sum = coefficients[n - 1];
    for (size_t i = n - 1; i-- > 0;)
        sum = fmaf(sum, x, coefficients[i]);
    return sum;
}

// ln x = e ln 2 + P(m - 1) / Q(m - 1) with m in (sqrt 1/2, sqrt 2], numpy's rational approximation.
float tt_numpy_logf(float x) {
    static const float p[] = {0.0f,          1.0f,          2.1126775431f,
                              1.4800006336f, 0.3808837741f, 0.0258997912f};
    static const float q[] = {1.0f,          2.6126775431f, 2.4530060718f,
                              0.9864942959f, 0.1546476375f, 0.0058750954f};
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int e = (int)(bits >> 23) - 127;
    bits = (bits & 0x007fffffu) | 0x3f800000u;
    float m; // in [1, 2)
    memcpy(&m, &bits, sizeof m);
    if (m > 1.41421356f) {
        m *= 0.5f;
        e++;
    }
    m -= 1.0f;
    return fmaf((float)e, 0.693147181f, horner(p, 6, m) / horner(q, 6, m));
}

void tt_linspace_f32(float *out, size_t n, float start, float end) {
    if (n == 1) {
        out[0] = start;
        return;
    }
    float step = (end - start) / (float)(n - 1);
    for (size_t i = 0; i < n / 2; i++)
        out[i] = fmaf(step, (float)i, start);
    for (size_t i = n / 2; i < n; i++)
        out[i] = fmaf(-step, (float)(n - 1 - i), end);
}

double tt_linspace(double start, double end, size_t n, size_t i) {
    if (n == 1) return start;
    if (i == n - 1) return end;
    return (double)i * ((end - start) / (double)(n - 1)) + start;
}

double tt_interp(double x, const float *table, size_t n) {
    if (!(x > 0.0)) return table[0];
    if (x >= (double)(n - 1)) return table[n - 1];
    size_t j = (size_t)x;
    double low = table[j];
    return ((double)table[j + 1] - low) * (x - (double)j) + low;
}
