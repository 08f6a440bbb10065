// SPDX-License-Identifier: MIT
// The kernel checker's words. A check is a function per kernel, check_<name>, that runs the kernel
// over a list of cases:
//
//   void check_scale_f32(struct check *c) {
//       while (check_case(c, 80)) {                         // 80 cases; one when benching
//           size_t n = check_length(c, 65536);
//           const float *x = check_in(c, n, check_fill(c));
//           struct check_out y = check_out(c, n);
//           check_describe(c, "n %zu", n);
//           c->scalar->scale_f32(x, 0.3f, y.want, n);
//           CHECK_CALL(c, c->kernels->scale_f32(x, 0.3f, y.got, n));
//           for (size_t i = 0; check_reference(c) && i < n; i++)
//               check_near(c, &y, i, 0.3f * (double)x[i], 0.5);
//       }
//   }
//
// What the framework does around this: seeds every case, puts every buffer between no-access pages
// (inputs mostly end right before one), fills outputs with a NaN of its own, and after the call
// looks at guards, inputs, rounding mode, flush-to-zero and every bit of every output, gaps of
// strided ones included. The first difference ends the check of this variant.
#ifndef TESTS_KERNELS_CHECK_H
#define TESTS_KERNELS_CHECK_H

#include "kernels.h"

#include <setjmp.h>
#include <stdbool.h>

enum fill {
    FILL_UNIT,   // uniform in [-1, 1)
    FILL_WIDE,   // either sign, 2^-20 to 2^20
    FILL_CANCEL, // neighbours that cancel but for a few ulp
    FILL_FINITE, // zeros of both signs, denormals, huge and tiny among ordinary numbers
    FILL_ANY,    // the same with NaN and infinities
    FILL_BITS,   // any bit pattern
};

// An output twice: what the scalar kernel wrote and what the checked one wrote. Both hold the same
// before the call.
struct check_out {
    float *got, *want;
    size_t n;
};

// Faults that the must-fail suite puts in after a correct call; every check must notice each.
enum sabotage {
    SABOTAGE_NONE,
    SABOTAGE_ULP,      // the last bit of one element
    SABOTAGE_NAN,      // one element NaN
    SABOTAGE_STALE,    // one element as it was before the call
    SABOTAGE_SWAP,     // two different elements exchanged
    SABOTAGE_PAST,     // a byte right after an output
    SABOTAGE_BEFORE,   // a byte right before an output
    SABOTAGE_INPUT,    // a bit of an input
    SABOTAGE_ROUNDING, // rounding mode
    SABOTAGE_COUNT,
};

struct check_slot;

struct check {
    const struct tt_kernels *scalar, *kernels; // the specification; what is checked
    int threads;                               // for drivers
    const char *name;
    enum tt_exactness exactness;
    bool bench; // one case of representative size, CHECK_CALL repeats
    bool quick;
    bool slack; // leave 64 bytes before the no-access page: some emulators read masked-off lanes
    uint64_t seed;
    enum sabotage sabotage;
    size_t sabotage_case;

    // the rest is the framework's
    size_t index;
    uint64_t random;
    struct check_slot *slots;
    size_t used;
    char description[256];
    int rounding;
    long calls;
    double started, seconds, work, limit;
    bool sabotaged, called;
    struct check_result *result;
    sigjmp_buf stop;
};

struct check_result {
    bool failed;
    char message[1024];
    size_t cases;
    uint64_t hash;  // of every output of every case, NaN canonicalised
    double seconds; // per call, of the fastest of several runs (bench)
    double work;    // per call, as check_work said
    bool sabotaged; // the fault asked for found a place
};

typedef void check_function(struct check *c);

// Starts the next case, ends the one before; false after the last. See the example above.
bool check_case(struct check *c, size_t cases);

// True when this is the scalar kernel under check and no bench: the time to compare with float64.
bool check_reference(const struct check *c);

// 0, 1, 2, ... 70 by case, then random up to 1500: all remainders. When benching: bench.
size_t check_length(struct check *c, size_t bench);

// Uniform in [low, high].
size_t check_range(struct check *c, size_t low, size_t high);
uint64_t check_random(struct check *c);

// A fill by case: every second is FILL_UNIT, the others take turns.
enum fill check_fill(struct check *c);

// An input of n floats; of size bytes; aligned to 64 bytes where a contract says so.
float *check_in(struct check *c, size_t n, enum fill fill);
float *check_in_aligned(struct check *c, size_t n, enum fill fill);
void *check_in_bytes(struct check *c, size_t size);
void check_fill_f32(struct check *c, float *x, size_t n, enum fill fill);

// x, n numbers, cut to half precision, as an input of its own; x becomes what those are as floats.
// Without a dtype, float16 and bfloat16 by turns.
struct tt_weight check_halve_to(struct check *c, float *x, size_t n, enum tt_dtype dtype);
struct tt_weight check_halve(struct check *c, float *x, size_t n);

// An output of n floats, filled with the checker's NaN; or with the fill (kernels that update).
struct check_out check_out(struct check *c, size_t n);
struct check_out check_out_aligned(struct check *c, size_t n);
struct check_out check_inout(struct check *c, size_t n, enum fill fill);
struct check_out check_inout_aligned(struct check *c, size_t n, enum fill fill);

// Room to write, aligned to 64 bytes, guarded, not compared.
void *check_scratch(struct check *c, size_t size);

// Words for the report: shapes and whatever else names the case.
void check_describe(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Floating point operations, or elements, of one call: for the bench's rate.
void check_work(struct check *c, double work);

// The call under check.
#define CHECK_CALL(c, call)                                                                        \
    for (check_enter(c); check_again(c);) call
void check_enter(struct check *c);
bool check_again(struct check *c);

// Compares scalar's y->want[i] with a float64 value: off by at most this many units in the last
// place of a float of that size. A NaN wants a NaN, an overflow infinity.
void check_near(struct check *c, const struct check_out *y, size_t i, double value, double ulps);

// The same with an absolute limit.
void check_within(struct check *c, const struct check_out *y, size_t i, double value, double limit);

// For BOUNDED kernels: how far from scalar every output of this case may be.
void check_limit(struct check *c, double limit);

// Ends the check of this variant with a message.
_Noreturn void check_fail(struct check *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Runs one check with the settings in c (scalar, kernels, threads, name, exactness, bench, quick,
// seed, sabotage); result says what came of it. Installs and restores signal handlers.
void check_run(struct check *c, check_function *function, struct check_result *result);

// The checks: of kernels, by enum tt_kernel (NULL where somebody forgot), and of drivers, functions
// of the library that choose tiles and threads. Any table of kernels and any number of threads must
// give the bits of the scalar table on one thread.
extern check_function *const check_kernels[TT_KERNEL_COUNT];
struct check_driver {
    const char *name;
    check_function *function;
};
extern const struct check_driver check_drivers[]; // ends with a NULL name

#define KERNEL(name, exactness, params) check_function check_##name;
#include "kernels.def"
check_function check_attention, check_conv_direct, check_conv_winograd, check_gemm;
check_function check_conv_direct_half, check_conv_winograd_half, check_gemm_half;
check_function check_group_norm, check_layer_norm;
check_function check_column_sums, check_conv_dw_direct, check_conv_dw_winograd;
check_function check_conv_dx_direct, check_conv_dx_winograd;
check_function check_attention_backward, check_group_norm_backward;
check_function check_layer_norm_backward;
check_function check_dequant_packed;
check_function check_compare, check_linear_dw, check_linear_dx, check_sum_squares;

#endif
