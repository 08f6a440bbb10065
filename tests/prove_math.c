// SPDX-License-Identifier: MIT
// The activation kernels over all 2^32 floats: every variant gives the scalar variant's bits, and
// the largest error of each function against double precision, in units of the last place of the
// true value. Of the exponentials, which are no kernels, only the scalar text: their vector text is
// in every kernel here but tanh's small branch. Arguments choose functions by name. `make prove`;
// minutes, so not part of `make test`.
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "kernels.h"
#include "vec/math_scalar.h"

static double true_exp(double x) { return exp(x); }
// At -inf the limit, -0, where the formula has no value.
static double true_silu(double x) { return x == -INFINITY ? -0.0 : x / (1 + exp(-x)); }
// The kernel's 1.702 is the float.
static double true_quick_gelu(double x) {
    return x == -INFINITY ? -0.0 : x / (1 + exp(-(double)1.702f * x));
}
static double true_gelu(double x) {
    return x == -INFINITY ? -0.0 : 0.5 * x * erfc(-x * 0x1.6a09e667f3bcdp-1);
}

static void run_exp(const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = sf_canon(sf_exp(x[i]));
}

// What attention takes: 2^x for x <= 0; nothing is promised above.
static double true_exp2_neg(double x) { return x <= 0 ? exp2(x) : NAN; }

static void run_exp2_neg(const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = x[i] <= 0 ? sf_exp2_neg(x[i]) : NAN;
}

static const struct subject {
    const char *name;
    double (*truth)(double);
    size_t kernel;       // offset of the pointer in struct tt_kernels; 0: run
    void (*run)(const float *, float *, size_t);
    double limit;        // ulp, as measured and rounded up
} subjects[] = {
    {"exp", true_exp, 0, run_exp, 1.02},
    {"exp2_neg", true_exp2_neg, 0, run_exp2_neg, 0.88},
    {"silu", true_silu, offsetof(struct tt_kernels, silu_f32), NULL, 3.2},
    {"quick_gelu", true_quick_gelu, offsetof(struct tt_kernels, quick_gelu_f32), NULL, 65},
    {"gelu", true_gelu, offsetof(struct tt_kernels, gelu_f32), NULL, 6.8},
    {"tanh", tanh, offsetof(struct tt_kernels, tanh_f32), NULL, 1.42},
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects, PIECE = 4096 };

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// Distance of y from truth in units of the last place of a float as large as truth; infinite where
// one is NaN and the other not. A result past the largest float counts as infinity there.
static double ulps(float y, double truth) {
    if (isnan(truth) || isnan(y)) return isnan(truth) && isnan(y) ? 0 : INFINITY;
    if (isinf((float)truth) || isinf(y)) return (float)truth == y ? 0 : INFINITY;
    int exponent;
    frexp(truth, &exponent);
    return fabs((double)y - truth) / ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
}

static void call(const struct subject *s, const struct tt_kernels *kernels, const float *x,
                 float *y) {
    void (*kernel)(const float *, float *, size_t);
    if (s->run) {
        s->run(x, y, PIECE);
        return;
    }
    memcpy(&kernel, (const char *)kernels + s->kernel, sizeof kernel);
    kernel(x, y, PIECE);
}

struct finding {
    double worst;
    float at;
    uint64_t different; // bits of some variant other than scalar's
};

static struct finding prove(const struct subject *s, const struct tt_kernels *tables, int count) {
    struct finding all = {0};
#pragma omp parallel
    {
        struct finding mine = {0};
        float x[PIECE], want[PIECE], got[PIECE];
#pragma omp for schedule(dynamic, 64)
        for (uint32_t piece = 0; piece < (1u << 20); piece++) {
            for (uint32_t i = 0; i < PIECE; i++) x[i] = from_bits(piece * PIECE + i);
            call(s, &tables[0], x, want);
            for (int t = 1; t < count; t++) {
                call(s, &tables[t], x, got);
                for (int i = 0; i < PIECE && memcmp(got, want, sizeof got); i++)
                    mine.different += memcmp(&got[i], &want[i], sizeof *got) != 0;
            }
            for (int i = 0; i < PIECE; i++) {
                double error = ulps(want[i], s->truth(x[i]));
                if (!(error <= mine.worst)) mine.worst = error, mine.at = x[i];
            }
        }
#pragma omp critical
        {
            if (!(mine.worst <= all.worst)) all.worst = mine.worst, all.at = mine.at;
            all.different += mine.different;
        }
    }
    return all;
}

static bool chosen(const char *name, int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(name, argv[i])) return true;
    return argc == 1;
}

int main(int argc, char **argv) {
    struct tt_kernels tables[TT_ISA_COUNT];
    int count = 0, passed = 0, failed = 0;
    unsigned mask;
    for (int i = 0; i < TT_ISA_COUNT; i++)
        if (!tt_cpu_mask(tt_isas[i].name, tt_cpu_detect(), &mask)) {
            tt_kernels_init(&tables[count++], mask);
            printf("%s ", tt_isas[i].name);
        }
    printf("over all floats\n");
    for (int i = 0; i < SUBJECTS; i++) {
        if (!chosen(subjects[i].name, argc, argv)) continue;
        struct finding found = prove(&subjects[i], tables, count);
        bool ok = found.worst <= subjects[i].limit && found.different == 0;
        printf("%-10s %.3f ulp at %a, %llu other bits%s\n", subjects[i].name, found.worst,
               (double)found.at, (unsigned long long)found.different, ok ? "" : "  FAILED");
        fflush(stdout);
        passed += ok;
        failed += !ok;
    }
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
