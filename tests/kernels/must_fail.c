// SPDX-License-Identifier: MIT
// The checker is checked: kernels broken in every way one can think of must fail, for the
// right reason; and a fault put in after a correct call of every real kernel must be noticed by its
// check.
#include "check.h"

#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

// The prey: y[r][c] = 0.75 x[r][c] + 0.375, rows ldx and ldy floats apart.
struct toy {
    const float *x;
    size_t ldx;
    float *y;
    size_t ldy, rows, cols;
};
typedef void toy_function(const struct toy *t);

static void good(const struct toy *t) {
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->cols; c++)
            t->y[r * t->ldy + c] = fmaf(0.75f, t->x[r * t->ldx + c], 0.375f);
}

static void writes_nan(const struct toy *t) {
    good(t);
    if (t->rows && t->cols) t->y[(t->rows - 1) * t->ldy + t->cols - 1] = NAN;
}

static void loses_nan(const struct toy *t) {
    good(t);
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->cols; c++)
            if (isnan(t->y[r * t->ldy + c])) t->y[r * t->ldy + c] = 0;
}

static void transposed(const struct toy *t) {
    good(t);
    for (size_t r = 0; r < t->rows && t->rows == t->cols; r++)
        for (size_t c = 0; c < t->cols; c++)
            t->y[c * t->ldy + r] = fmaf(0.75f, t->x[r * t->ldx + c], 0.375f);
}

static void off_by_a_row(const struct toy *t) {
    struct toy moved = *t;
    good(t);
    if (t->rows < 2) return;
    moved.y += t->ldy;
    moved.rows--;
    good(&moved);
}

static void one_wrong_element(const struct toy *t) {
    good(t);
    if (t->rows > 3 && t->cols > 2) t->y[3 * t->ldy + 2] *= 1 + 0x1p-23f;
}

static void not_fused(const struct toy *t) {
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->cols; c++) {
            volatile float product = 0.75f * t->x[r * t->ldx + c];
            t->y[r * t->ldy + c] = product + 0.375f;
        }
}

static void short_write(const struct toy *t) {
    struct toy whole = *t;
    whole.cols = t->cols / 8 * 8;
    good(&whole);
}

static void stale_output(const struct toy *t) {
    static int calls;
    if (calls++ % 7 != 6) good(t);
}

static void adds_to_output(const struct toy *t) {
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->cols; c++)
            t->y[r * t->ldy + c] += fmaf(0.75f, t->x[r * t->ldx + c], 0.375f);
}

static void reads_past(const struct toy *t) {
    good(t);
    if (!t->rows || !t->cols) return;
    const volatile float *x = t->x + (t->rows - 1) * t->ldx;
    (void)x[(t->cols + 7) / 8 * 8 - 1];
}

static void reads_before(const struct toy *t) {
    good(t);
    const volatile float *x = t->x;
    if (t->rows && t->cols) (void)x[-1];
}

static void writes_past(const struct toy *t) {
    good(t);
    if (t->rows && t->cols) t->y[(t->rows - 1) * t->ldy + t->cols] = 0;
}

static void writes_before(const struct toy *t) {
    good(t);
    t->y[-1] = 0;
}

static void writes_the_gap(const struct toy *t) {
    good(t);
    if (t->rows > 1 && t->ldy > t->cols) t->y[t->cols] = 0;
}

static void changes_input(const struct toy *t) {
    good(t);
    if (t->rows && t->cols) ((float *)(uintptr_t)t->x)[0] += 1;
}

static void rounds_up(const struct toy *t) {
    good(t);
    fesetround(FE_UPWARD);
}

static void flushes_denormals(const struct toy *t) {
    good(t);
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040);
#elif defined(__aarch64__)
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    __asm__ volatile("msr fpcr, %0" ::"r"(fpcr | 1u << 24));
#endif
}

static void loses_the_sign_of_zero(const struct toy *t) {
    good(t);
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->cols; c++)
            if (t->y[r * t->ldy + c] == 0) t->y[r * t->ldy + c] = -0.0f;
}

static void wrong_when_misaligned(const struct toy *t) {
    good(t);
    if (t->rows && t->cols && (uintptr_t)t->x % 64 == 4) t->y[0] += 1;
}

static void wrong_remainder(const struct toy *t) {
    good(t);
    if (t->rows && t->cols % 16 == 13) t->y[12] += 1;
}

static void traps(const struct toy *t) {
    good(t);
    if (t->rows > 2) __builtin_trap();
}

// Both of these are handed to the checker as scalar and as variant: only float64 can tell.
static void wrong_specification(const struct toy *t) {
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->cols; c++)
            t->y[r * t->ldy + c] = fmaf(0.75f, t->x[r * t->ldx + c], 0.37501f);
}

static void specification_with_nan(const struct toy *t) {
    good(t);
    if (t->rows > 1 && t->cols) t->y[t->ldy] = NAN;
}

static toy_function *scalar, *candidate;

static void check_toy(struct check *c) {
    while (check_case(c, 150)) {
        struct toy t = {.rows = check_range(c, 0, 9), .cols = check_length(c, 1000) % 75};
        if (c->index % 5 == 0) t.rows = t.cols = c->index / 10;
        t.ldx = t.cols + check_range(c, 0, 3);
        t.ldy = t.cols + check_range(c, 0, 3);
        size_t in = t.rows ? (t.rows - 1) * t.ldx + t.cols : 0;
        float *x = check_in(c, in, check_fill(c));
        if (in && c->index % 3 == 0) x[check_range(c, 0, in - 1)] = -0.5f;
        if (in && c->index % 7 == 0) x[0] = x[in / 2] = NAN;
        struct check_out y = check_out(c, t.rows ? (t.rows - 1) * t.ldy + t.cols : 0);
        check_describe(c, "%zu x %zu, strides %zu and %zu", t.rows, t.cols, t.ldx, t.ldy);
        struct toy want = t;
        t.x = want.x = x;
        t.y = y.got;
        want.y = y.want;
        scalar(&want);
        CHECK_CALL(c, candidate(&t));
        for (size_t i = 0; check_reference(c) && i < t.rows * t.cols; i++) {
            size_t r = i / t.cols, k = i % t.cols;
            check_near(c, &y, r * t.ldy + k, 0.75 * (double)x[r * t.ldx + k] + 0.375, 0.5001);
        }
    }
}

static const struct {
    const char *name;
    toy_function *function;
    bool scalar_too;
    const char *reason; // must be in the message
} broken[] = {
    {"writes a NaN", writes_nan, false, "differ"},
    {"loses a NaN", loses_nan, false, "differ"},
    {"transposes", transposed, false, "differ"},
    {"is off by a row", off_by_a_row, false, "differ"},
    {"gets one element wrong by one ulp", one_wrong_element, false, " 1 ulp"},
    {"rounds the product", not_fused, false, "differ"},
    {"writes too little", short_write, false, "was not written"},
    {"leaves stale output", stale_output, false, "was not written"},
    {"adds to its output", adds_to_output, false, "was not written"},
    {"reads past its input", reads_past, false, "outside its buffers"},
    {"reads before its input", reads_before, false, "outside its buffers"},
    {"writes past its output", writes_past, false, "past an output|outside|not the kernel's"},
    {"writes before its output", writes_before, false, "before an output|outside"},
    {"writes between rows", writes_the_gap, false, "not the kernel's"},
    {"changes its input", changes_input, false, "changed input"},
    {"changes the rounding mode", rounds_up, false, "rounding mode"},
    {"flushes denormals", flushes_denormals, false, "flushed to zero"},
    {"gets the sign of zero wrong", loses_the_sign_of_zero, false, "differ"},
    {"fails when misaligned", wrong_when_misaligned, false, "differ"},
    {"fails for one remainder", wrong_remainder, false, "differ"},
    {"is an illegal instruction", traps, false, "illegal instruction|outside its buffers|trap"},
    {"specifies something else", wrong_specification, true, "float64"},
    {"specifies a NaN", specification_with_nan, true, "float64"},
};

static int passed, failed;

// reason: alternatives between bars.
static bool has_reason(const char *message, const char *reason) {
    char copy[128];
    snprintf(copy, sizeof copy, "%s", reason);
    for (char *r = strtok(copy, "|"); r; r = strtok(NULL, "|"))
        if (strstr(message, r)) return true;
    return false;
}

static void verdict(bool right, const char *name, const char *what, const char *message) {
    right ? passed++ : failed++;
    if (!right) printf("FAILED: %s: %s: \"%s\"\n", name, what, message);
}

static void toys(void) {
    printf("Kernels that are wrong on purpose: each must fail, and what follows says how.\n");
    struct tt_kernels table;
    tt_kernels_init(&table, 0);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct check c = {.scalar = &table, .kernels = &table, .name = "toy", .seed = 1};
        struct check_result r;
        scalar = broken[i].scalar_too ? broken[i].function : good;
        candidate = broken[i].function;
        check_run(&c, check_toy, &r);
        printf("  meant to fail: a kernel that %s: %s\n", broken[i].name,
               r.failed ? r.message : "PASSED");
        verdict(r.failed && has_reason(r.message, broken[i].reason), broken[i].name,
                "must fail, and say why", r.message);
    }
    struct check c = {.scalar = &table, .kernels = &table, .name = "toy", .seed = 1};
    struct check_result r;
    scalar = candidate = good;
    check_run(&c, check_toy, &r);
    verdict(!r.failed && r.cases == 150, "toy", "the unbroken kernel must pass", r.message);
}

static void sabotaged(struct check *c, check_function *function) {
    static const char *const faults[SABOTAGE_COUNT] = {
        "none",         "a wrong last bit",  "a NaN",          "a stale element",
        "two swapped",  "a byte past",       "a byte before",  "a changed input",
        "rounding mode"};
    struct check_result r;
    check_run(c, function, &r);
    if (r.failed) return verdict(false, c->name, "fails without a fault", r.message);
    size_t cases = r.cases;
    for (int fault = 1; fault < SABOTAGE_COUNT; fault++) {
        if (fault == SABOTAGE_ULP && c->exactness != TT_EXACT) continue;
        c->sabotage = (enum sabotage)fault;
        c->sabotage_case = cases / 3;
        check_run(c, function, &r);
        verdict(r.failed && r.sabotaged, c->name, faults[fault],
                r.sabotaged ? "went unnoticed" : "found no place for the fault");
    }
}

int main(void) {
    toys();
    struct tt_kernels table;
    tt_kernels_init(&table, tt_cpu_detect());
    for (int k = 0; k < TT_KERNEL_COUNT; k++) {
        struct check c = {.scalar = &table, .kernels = &table, .seed = 1, .quick = true};
        c.name = tt_kernel_names[k];
        c.exactness = tt_kernel_exactness[k];
        if (check_kernels[k]) sabotaged(&c, check_kernels[k]);
        else verdict(false, c.name, "has no check", "");
    }
    for (const struct check_driver *d = check_drivers; d->name; d++) {
        struct check c = {.scalar = &table, .kernels = &table, .seed = 1, .quick = true};
        c.name = d->name;
        c.threads = 2;
        sabotaged(&c, d->function);
    }
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
